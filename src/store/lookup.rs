//! Finding a message by its ids.
//!
//! Message ids are random, so an index of them is written all over: each new message dirties a page of its own, and those pages were
//! more than half of what a commit wrote. So the keys of the newest messages (a 64-bit hash of source, message id and part) are in
//! memory only. Once there are many, they are sorted and moved to the table `message_keys` in steps, which writes each page of it
//! once for many keys.
//!
//! Nothing depends on the memory: the row of each message holds its key, and `keys_indexed_to` in `meta` says up to which message the
//! table is complete. Opening reads the keys after that. A step that is done twice changes nothing.
//!
//! A legacy id covers many recipients: each such message has a second key, of source and id alone, by which all of them are found.
//!
//! A key is a hint: a caller that follows it compares the ids themselves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::event::SourceName;

/// Keys in memory at which they start to move. Opening reads no more rows than about this.
const MANY: usize = 32_768;
/// Keys moved in one step.
const STEP: usize = 1_024;

#[derive(Debug)]
pub struct Lookup {
    /// Key to message, of the messages after `keys_indexed_to`.
    young: HashMap<i64, i64>,
    /// The same of messages whose key another young one has already: the recipients of a legacy id, or a collision of hashes.
    twins: HashMap<i64, Vec<i64>>,
    /// Those of the open transaction.
    fresh: Vec<(i64, i64)>,
    moving: Option<Moving>,
    /// [`MANY`] and [`STEP`], fewer in tests.
    many: usize,
    step: usize,
}

/// A move that is under way.
#[derive(Debug)]
struct Moving {
    /// Sorted, so that neighbours share pages.
    keys: Vec<(i64, i64)>,
    next: usize,
    /// The newest message at its start: the table is complete up to it at the end.
    up_to: i64,
}

/// The key of a message.
pub fn key(source: &SourceName, message_id: &str, part: &str) -> i64 {
    short_hash(&[source.as_str(), message_id, part])
}

/// The key of all messages with a legacy id.
pub fn id_key(source: &str, message_id: &str) -> i64 {
    short_hash(&[source, message_id])
}

/// 64 bits of the SHA-256 of some texts, each with its length, so that no two lists of texts run together.
pub fn short_hash(texts: &[&str]) -> i64 {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

impl Lookup {
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let indexed_to: i64 = connection
            .query_row("SELECT value FROM meta WHERE key = 'keys_indexed_to'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let mut lookup = Self {
            young: HashMap::new(),
            twins: HashMap::new(),
            fresh: Vec::new(),
            moving: None,
            many: MANY,
            step: STEP,
        };
        let mut rows = connection
            .prepare("SELECT key, id, source, message_id, part <> '' FROM messages WHERE id > ?1 ORDER BY id")?;
        let mut rows = rows.query([indexed_to])?;
        while let Some(row) = rows.next()? {
            let message = row.get(1)?;
            lookup.insert(row.get(0)?, message);
            if row.get(4)? {
                lookup.insert(id_key(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?), message);
            }
        }
        lookup.settle();
        Ok(lookup)
    }

    /// The messages that may be the one with this key: none or one, but for a collision of hashes.
    pub fn candidates(&self, connection: &Connection, key: i64) -> rusqlite::Result<Vec<i64>> {
        self.some_candidates(connection, key, usize::MAX)
    }

    /// At most two messages that have this key, of however many.
    pub fn first_two(&self, connection: &Connection, key: i64) -> rusqlite::Result<Vec<i64>> {
        // While it moves, one that is in memory is in the table too: of three, two are different if there are two.
        let mut messages = self.some_candidates(connection, key, 3)?;
        messages.sort_unstable();
        messages.dedup();
        messages.truncate(2);
        Ok(messages)
    }

    fn some_candidates(&self, connection: &Connection, key: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let twins = self.twins.get(&key).into_iter().flatten().copied();
        let mut messages: Vec<i64> = self.young.get(&key).copied().into_iter().chain(twins).take(limit).collect();
        let mut statement = connection.prepare_cached("SELECT message FROM message_keys WHERE key = ?1")?;
        let mut rows = statement.query([key])?;
        while messages.len() < limit
            && let Some(row) = rows.next()?
        {
            messages.push(row.get(0)?);
        }
        Ok(messages)
    }

    /// Remembers a new message.
    pub fn insert(&mut self, key: i64, message: i64) {
        match self.young.entry(key) {
            Entry::Vacant(place) => {
                place.insert(message);
            }
            Entry::Occupied(_) => self.twins.entry(key).or_default().push(message),
        }
        self.fresh.push((key, message));
    }

    /// Forgets a message whose row has gone.
    pub fn forget(&mut self, key: i64, message: i64) {
        if self.young.get(&key) == Some(&message) {
            self.young.remove(&key);
        }
        if let Entry::Occupied(mut twins) = self.twins.entry(key) {
            twins.get_mut().retain(|twin| *twin != message);
            if twins.get().is_empty() {
                twins.remove();
            }
        }
    }

    /// A message is found by another key from now on; the table knows it already.
    pub fn rekey(&mut self, from: i64, to: i64, message: i64) {
        if self.candidate_in_memory(from, message) {
            self.forget(from, message);
            self.insert(to, message);
            self.settle();
        }
        // A move that is under way would bring the old key back.
        if let Some(moving) = &mut self.moving {
            for moved in &mut moving.keys[moving.next..] {
                if *moved == (from, message) {
                    *moved = (to, message);
                }
            }
        }
    }

    fn candidate_in_memory(&self, key: i64, message: i64) -> bool {
        self.young.get(&key) == Some(&message) || self.twins.get(&key).is_some_and(|twins| twins.contains(&message))
    }

    /// The transaction committed: what it remembered stays.
    pub fn settle(&mut self) {
        self.fresh.clear();
    }

    /// The transaction did not commit: what it remembered is forgotten.
    pub fn take_back(&mut self) {
        for (key, message) in std::mem::take(&mut self.fresh) {
            self.forget(key, message);
        }
    }

    /// Whether there is a step to be done.
    pub fn has_many(&self) -> bool {
        self.moving.is_some() || self.young.len() >= self.many
    }

    /// Writes one step's keys, in a transaction. Gives what [`Lookup::moved`] is to be told once that has committed.
    pub fn write_step(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let moving = self.moving.get_or_insert_with(|| {
            let young = self.young.iter().map(|(key, message)| (*key, *message));
            let twins = self.twins.iter().flat_map(|(key, twins)| twins.iter().map(|message| (*key, *message)));
            let mut keys: Vec<(i64, i64)> = young.chain(twins).collect();
            keys.sort_unstable();
            let up_to = keys.iter().map(|(_, message)| *message).max().unwrap_or(0);
            Moving { keys, next: 0, up_to }
        });
        let end = moving.keys.len().min(moving.next + self.step);
        let mut save =
            connection.prepare_cached("INSERT OR IGNORE INTO message_keys (key, message) VALUES (?1, ?2)")?;
        for (key, message) in &moving.keys[moving.next..end] {
            save.execute([key, message])?;
        }
        if end == moving.keys.len() {
            connection
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('keys_indexed_to', ?1)")?
                .execute([moving.up_to])?;
        }
        Ok(end)
    }

    /// The step up to `end` has committed.
    pub fn moved(&mut self, end: usize) {
        let Some(moving) = &mut self.moving else { return };
        moving.next = end;
        if end == moving.keys.len() {
            let up_to = moving.up_to;
            self.young.retain(|_, message| *message > up_to);
            self.twins.retain(|_, twins| {
                twins.retain(|message| *message > up_to);
                !twins.is_empty()
            });
            self.moving = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Action {
        /// Messages with these keys, in one transaction that commits or does not.
        Add(Vec<i64>, bool),
        /// Another key for one of the messages.
        Rekey(usize, i64),
        /// One step of housekeeping, whose transaction commits or does not.
        Move(bool),
        Restart,
    }

    fn action() -> impl Strategy<Value = Action> {
        // Few keys, so that some collide.
        prop_oneof![
            4 => (prop::collection::vec(0i64..40, 1..6), prop::bool::weighted(0.8)).prop_map(|(k, c)| Action::Add(k, c)),
            3 => prop::bool::weighted(0.8).prop_map(Action::Move),
            2 => (0usize..100, 0i64..40).prop_map(|(at, key)| Action::Rekey(at, key)),
            1 => Just(Action::Restart),
        ]
    }

    fn opened(connection: &Connection) -> Lookup {
        Lookup { many: 8, step: 3, ..Lookup::load(connection).unwrap() }
    }

    fn database() -> Connection {
        Connection::open_in_memory()
            .and_then(|connection| {
                connection.execute_batch(
                    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
                     CREATE TABLE messages (id INTEGER PRIMARY KEY, key INTEGER NOT NULL, source TEXT DEFAULT '',
                       message_id TEXT DEFAULT '', part TEXT DEFAULT '') STRICT;
                     CREATE TABLE message_keys (key INTEGER, message INTEGER, PRIMARY KEY (key, message)) WITHOUT ROWID;",
                )?;
                Ok(connection)
            })
            .unwrap()
    }

    proptest! {
        #[test]
        fn every_message_is_found_whatever_moves_fails_or_restarts(actions in prop::collection::vec(action(), 1..60)) {
            let mut connection = database();
            let mut lookup = opened(&connection);
            let mut truth: Vec<(i64, i64)> = Vec::new();
            for action in actions {
                match action {
                    Action::Add(keys, commits) => {
                        let transaction = connection.transaction().unwrap();
                        let mut added = Vec::new();
                        for key in keys {
                            transaction.execute("INSERT INTO messages (key) VALUES (?1)", [key]).unwrap();
                            let id = transaction.last_insert_rowid();
                            lookup.insert(key, id);
                            added.push((key, id));
                        }
                        if commits {
                            transaction.commit().unwrap();
                            lookup.settle();
                            truth.extend(added);
                        } else {
                            drop(transaction);
                            lookup.take_back();
                        }
                    }
                    Action::Move(commits) if lookup.has_many() => {
                        let transaction = connection.transaction().unwrap();
                        let end = lookup.write_step(&transaction).unwrap();
                        if commits {
                            transaction.commit().unwrap();
                            lookup.moved(end);
                        }
                    }
                    Action::Move(_) => {}
                    Action::Rekey(..) if truth.is_empty() => {}
                    Action::Rekey(at, to) => {
                        let at = at % truth.len();
                        let (from, id) = truth[at];
                        connection.execute("UPDATE messages SET key = ?2 WHERE id = ?1", [id, to]).unwrap();
                        connection
                            .execute("DELETE FROM message_keys WHERE key = ?1 AND message = ?2", [from, id])
                            .unwrap();
                        connection.execute("INSERT OR IGNORE INTO message_keys VALUES (?1, ?2)", [to, id]).unwrap();
                        lookup.rekey(from, to, id);
                        truth[at].0 = to;
                    }
                    Action::Restart => lookup = opened(&connection),
                }
                for key in 0..40 {
                    let found: BTreeSet<i64> = lookup.candidates(&connection, key).unwrap().into_iter().collect();
                    let expected: BTreeSet<i64> = truth.iter().filter(|(k, _)| *k == key).map(|(_, id)| *id).collect();
                    prop_assert_eq!(found, expected, "key {}", key);
                }
            }
        }
    }

    #[test]
    fn the_messages_of_a_legacy_id_are_found_by_it_in_memory_in_the_table_and_after_a_restart() {
        let connection = database();
        let mut lookup = opened(&connection);
        let of_id = id_key("smsmode", "many");
        let insert = "INSERT INTO messages (key, source, message_id, part) VALUES (?1, 'smsmode', 'many', ?1)";
        for key in 0..20 {
            connection.execute(insert, [key]).unwrap();
            let id = connection.last_insert_rowid();
            lookup.insert(key, id);
            lookup.insert(of_id, id);
            lookup.settle();
            for lookup in [&lookup, &opened(&connection)] {
                let all: BTreeSet<i64> = lookup.candidates(&connection, of_id).unwrap().into_iter().collect();
                assert_eq!(all.len() as i64, key + 1);
                let two = lookup.first_two(&connection, of_id).unwrap();
                assert_eq!(two.len() as i64, (key + 1).min(2), "{two:?}");
            }
            // Some are in memory and in the table at the same time.
            if lookup.has_many() {
                let end = lookup.write_step(&connection).unwrap();
                lookup.moved(end);
            }
        }
    }

    #[test]
    fn the_memory_holds_few_keys_once_they_have_moved() {
        let connection = database();
        let mut lookup = opened(&connection);
        for key in 0..20 {
            connection.execute("INSERT INTO messages (key) VALUES (?1)", [key]).unwrap();
            lookup.insert(key, connection.last_insert_rowid());
            lookup.settle();
        }
        while lookup.has_many() {
            let end = lookup.write_step(&connection).unwrap();
            lookup.moved(end);
        }
        assert!(lookup.young.len() < 8, "{lookup:?}");
        assert!(opened(&connection).young.len() < 8, "nor after a restart");
    }

    #[test]
    fn no_two_lists_of_texts_run_together() {
        assert_ne!(short_hash(&["ab", "c"]), short_hash(&["a", "bc"]));
        assert_ne!(short_hash(&["ab", ""]), short_hash(&["ab"]));
    }
}
