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

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::hash::short_hash;
use crate::store::ids::MessageRowId;

/// Keys in memory at which they start to move. Opening reads no more rows than about this.
const FLUSH_THRESHOLD: usize = 32_768;
/// Keys moved in one step.
const STEP: usize = 1_024;

/// A message that is found by another key from now on.
#[derive(Clone, Copy, Debug)]
pub struct Rekeyed {
    pub message: MessageRowId,
    pub from: i64,
    pub to: i64,
}

#[derive(Debug)]
pub struct Lookup {
    /// Key to message, of the messages after `keys_indexed_to`.
    memtable: HashMap<i64, MessageRowId>,
    /// The same of messages whose key another memtable one has already: the recipients of a legacy id, or a collision of hashes.
    collisions: HashMap<i64, Vec<MessageRowId>>,
    /// Those of the open transaction.
    uncommitted: Vec<(i64, MessageRowId)>,
    flush: Option<Flush>,
    /// [`FLUSH_THRESHOLD`] and [`STEP`], fewer in tests.
    flush_threshold: usize,
    step: usize,
}

/// A move that is under way.
#[derive(Debug)]
struct Flush {
    /// Sorted, so that neighbours share pages.
    keys: Vec<(i64, MessageRowId)>,
    next: usize,
    /// The newest message at its start: the table is complete up to it at the end.
    up_to: MessageRowId,
}

/// The key of a message.
pub fn key(source: &str, message_id: &str, part: &str) -> i64 {
    short_hash(&[source, message_id, part])
}

/// The key of all messages with a legacy id.
pub fn id_key(source: &str, message_id: &str) -> i64 {
    short_hash(&[source, message_id])
}

impl Lookup {
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let indexed_to: MessageRowId = connection
            .query_row("SELECT value FROM meta WHERE key = 'keys_indexed_to'", [], |row| row.get(0))
            .optional()?
            .unwrap_or_default();
        let mut lookup = Self {
            memtable: HashMap::new(),
            collisions: HashMap::new(),
            uncommitted: Vec::new(),
            flush: None,
            flush_threshold: FLUSH_THRESHOLD,
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
        lookup.uncommitted.clear();
        Ok(lookup)
    }

    /// The messages that may be the one with this key: none or one, but for a collision of hashes.
    pub fn candidates(&self, connection: &Connection, key: i64) -> rusqlite::Result<Vec<MessageRowId>> {
        self.some_candidates(connection, key, usize::MAX)
    }

    /// At most two messages that have this key, of however many.
    pub fn first_two(&self, connection: &Connection, key: i64) -> rusqlite::Result<Vec<MessageRowId>> {
        // While it moves, one that is in memory is in the table too: of three, two are different if there are two.
        let mut messages = self.some_candidates(connection, key, 3)?;
        messages.sort_unstable();
        messages.dedup();
        messages.truncate(2);
        Ok(messages)
    }

    fn some_candidates(&self, connection: &Connection, key: i64, limit: usize) -> rusqlite::Result<Vec<MessageRowId>> {
        let collisions = self.collisions.get(&key).into_iter().flatten().copied();
        let mut messages: Vec<MessageRowId> =
            self.memtable.get(&key).copied().into_iter().chain(collisions).take(limit).collect();
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
    pub fn insert(&mut self, key: i64, message: MessageRowId) {
        match self.memtable.entry(key) {
            Entry::Vacant(place) => {
                place.insert(message);
            }
            Entry::Occupied(_) => self.collisions.entry(key).or_default().push(message),
        }
        self.uncommitted.push((key, message));
    }

    /// Removes a message whose row has been deleted.
    pub fn forget(&mut self, key: i64, message: MessageRowId) {
        if self.memtable.get(&key) == Some(&message) {
            self.memtable.remove(&key);
        }
        if let Entry::Occupied(mut collisions) = self.collisions.entry(key) {
            collisions.get_mut().retain(|twin| *twin != message);
            if collisions.get().is_empty() {
                collisions.remove();
            }
        }
    }

    fn is_in_memory(&self, key: i64, message: MessageRowId) -> bool {
        self.memtable.get(&key) == Some(&message)
            || self.collisions.get(&key).is_some_and(|collisions| collisions.contains(&message))
    }

    /// The transaction has committed: what it remembered stays, and the messages in `rekeyed` are found by their new keys, which the
    /// table has already.
    pub fn commit(&mut self, rekeyed: Vec<Rekeyed>) {
        self.uncommitted.clear();
        for Rekeyed { message, from, to } in rekeyed {
            if self.is_in_memory(from, message) {
                self.forget(from, message);
                self.insert(to, message);
                self.uncommitted.clear();
            }
            // A flush that is under way would bring the old key back.
            if let Some(flush) = &mut self.flush {
                for flushing in &mut flush.keys[flush.next..] {
                    if *flushing == (from, message) {
                        *flushing = (to, message);
                    }
                }
            }
        }
    }

    /// The transaction did not commit: what it remembered is forgotten.
    pub fn rollback(&mut self) {
        for (key, message) in std::mem::take(&mut self.uncommitted) {
            self.forget(key, message);
        }
    }

    /// Whether there is a step to be done.
    pub fn wants_flush(&self) -> bool {
        self.flush.is_some() || self.memtable.len() >= self.flush_threshold
    }

    /// Writes one step's keys, in a transaction. Gives the argument of [`Lookup::flushed`], to be called after the commit.
    pub fn flush_step(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let flush = self.flush.get_or_insert_with(|| {
            let memtable = self.memtable.iter().map(|(key, message)| (*key, *message));
            let collisions =
                self.collisions.iter().flat_map(|(key, collisions)| collisions.iter().map(|message| (*key, *message)));
            let mut keys: Vec<(i64, MessageRowId)> = memtable.chain(collisions).collect();
            keys.sort_unstable();
            let up_to = keys.iter().map(|(_, message)| *message).max().unwrap_or_default();
            Flush { keys, next: 0, up_to }
        });
        let end = flush.keys.len().min(flush.next + self.step);
        let mut save =
            connection.prepare_cached("INSERT OR IGNORE INTO message_keys (key, message) VALUES (?1, ?2)")?;
        for (key, message) in &flush.keys[flush.next..end] {
            save.execute(params![key, message])?;
        }
        if end == flush.keys.len() {
            connection
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('keys_indexed_to', ?1)")?
                .execute([flush.up_to])?;
        }
        Ok(end)
    }

    /// The step up to `end` has committed.
    pub fn flushed(&mut self, end: usize) {
        let Some(flush) = &mut self.flush else { return };
        flush.next = end;
        if end == flush.keys.len() {
            let up_to = flush.up_to;
            self.memtable.retain(|_, message| *message > up_to);
            self.collisions.retain(|_, collisions| {
                collisions.retain(|message| *message > up_to);
                !collisions.is_empty()
            });
            self.flush = None;
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
        /// One step of maintenance, whose transaction commits or does not.
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
        Lookup { flush_threshold: 8, step: 3, ..Lookup::load(connection).unwrap() }
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
            let mut truth: Vec<(i64, MessageRowId)> = Vec::new();
            for action in actions {
                match action {
                    Action::Add(keys, commits) => {
                        let transaction = connection.transaction().unwrap();
                        let mut added = Vec::new();
                        for key in keys {
                            transaction.execute("INSERT INTO messages (key) VALUES (?1)", [key]).unwrap();
                            let id = MessageRowId(transaction.last_insert_rowid());
                            lookup.insert(key, id);
                            added.push((key, id));
                        }
                        if commits {
                            transaction.commit().unwrap();
                            lookup.commit(Vec::new());
                            truth.extend(added);
                        } else {
                            drop(transaction);
                            lookup.rollback();
                        }
                    }
                    Action::Move(commits) if lookup.wants_flush() => {
                        let transaction = connection.transaction().unwrap();
                        let end = lookup.flush_step(&transaction).unwrap();
                        if commits {
                            transaction.commit().unwrap();
                            lookup.flushed(end);
                        }
                    }
                    Action::Move(_) => {}
                    Action::Rekey(..) if truth.is_empty() => {}
                    Action::Rekey(at, to) => {
                        let at = at % truth.len();
                        let (from, id) = truth[at];
                        connection.execute("UPDATE messages SET key = ?2 WHERE id = ?1", params![id, to]).unwrap();
                        connection
                            .execute("DELETE FROM message_keys WHERE key = ?1 AND message = ?2", params![from, id])
                            .unwrap();
                        connection.execute("INSERT OR IGNORE INTO message_keys VALUES (?1, ?2)", params![to, id]).unwrap();
                        lookup.commit(vec![Rekeyed { message: id, from, to }]);
                        truth[at].0 = to;
                    }
                    Action::Restart => lookup = opened(&connection),
                }
                for key in 0..40 {
                    let found: BTreeSet<MessageRowId> = lookup.candidates(&connection, key).unwrap().into_iter().collect();
                    let expected: BTreeSet<MessageRowId> = truth.iter().filter(|(k, _)| *k == key).map(|(_, id)| *id).collect();
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
            let id = MessageRowId(connection.last_insert_rowid());
            lookup.insert(key, id);
            lookup.insert(of_id, id);
            lookup.commit(Vec::new());
            for lookup in [&lookup, &opened(&connection)] {
                let all: BTreeSet<MessageRowId> = lookup.candidates(&connection, of_id).unwrap().into_iter().collect();
                assert_eq!(all.len() as i64, key + 1);
                let two = lookup.first_two(&connection, of_id).unwrap();
                assert_eq!(two.len() as i64, (key + 1).min(2), "{two:?}");
            }
            // Some are in memory and in the table at the same time.
            if lookup.wants_flush() {
                let end = lookup.flush_step(&connection).unwrap();
                lookup.flushed(end);
            }
        }
    }

    #[test]
    fn the_memory_holds_few_keys_once_they_have_moved() {
        let connection = database();
        let mut lookup = opened(&connection);
        for key in 0..20 {
            connection.execute("INSERT INTO messages (key) VALUES (?1)", [key]).unwrap();
            lookup.insert(key, MessageRowId(connection.last_insert_rowid()));
            lookup.commit(Vec::new());
        }
        while lookup.wants_flush() {
            let end = lookup.flush_step(&connection).unwrap();
            lookup.flushed(end);
        }
        assert!(lookup.memtable.len() < 8, "{lookup:?}");
        assert!(opened(&connection).memtable.len() < 8, "nor after a restart");
    }
}
