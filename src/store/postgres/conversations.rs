//! The tables `opt_outs` and `conversation_keys`.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PgError;
use super::keys;
use super::session::{Pipeline, columns, params};
use super::texts::without_nul;
use super::transaction::PgTx;
use super::values::Columns;
use crate::event::SourceName;
use crate::store::core::storage::{Conversations, NewOptOut, OptOuts};
use crate::store::ids::{KeyedHash, MessageRowId, OptOutSeq};
use crate::store::opt_outs::OptOut;

/// The opt-outs of some people, the number in the parameters first.
pub(super) const FIND_OPT_OUTS: &str = "SELECT u.at, o.id, o.number, o.source, o.sender, o.state = 'out', o.since, o.origin \
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (source, person, at) \
     JOIN smscope.opt_outs AS o ON o.source = u.source AND o.person = u.person ORDER BY o.id";

/// What is known of the table `opt_outs`.
#[derive(Default)]
pub(super) struct OptOutRows {
    /// All that these people have said, in its order.
    of_people: HashMap<(SourceName, String), Vec<OptOut>>,
    /// To be written, with the person.
    changed: HashMap<Uuid, (String, OptOut)>,
}

impl OptOutRows {
    /// Rows of [`FIND_OPT_OUTS`], which was asked for these people.
    pub fn admit(&mut self, people: &[(SourceName, String)], rows: &[Row]) -> Result<(), PgError> {
        for person in people {
            self.of_people.insert(person.clone(), Vec::new());
        }
        for row in rows {
            let mut columns = Columns::of("opt_outs", row, 0);
            let at: i64 = columns.get()?;
            let one = read(&mut columns)?;
            let person = usize::try_from(at - 1).ok().and_then(|at| people.get(at));
            if let Some(said) = person.and_then(|person| self.of_people.get_mut(person)) {
                said.push(one);
            }
        }
        Ok(())
    }

    /// Adds the statements that make the table what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        let (keys, rows): (Vec<_>, Vec<_>) = self.changed.drain().unzip();
        if keys.is_empty() {
            return;
        }
        let text = |text: &str| without_nul(text).into_owned();
        writes.add(
            "INSERT INTO smscope.opt_outs (key, id, source, person, sender, number, state, since, origin) \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::bigint[], $9::text[]) ON CONFLICT (key) DO UPDATE SET id = excluded.id, number = excluded.number, \
             state = excluded.state, since = excluded.since, origin = excluded.origin",
            columns![
                keys => UUID_ARRAY,
                rows.iter().map(|(_, one)| one.seq).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|(_, one)| one.source.clone()).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|(person, _)| person.clone()).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|(_, one)| text(&one.sender)).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|(_, one)| one.number.as_deref().map(text)).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|(_, one)| if one.opted_out { "out" } else { "in" }).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|(_, one)| one.since.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|(_, one)| one.origin.clone()).collect::<Vec<_>>() => TEXT_ARRAY,
            ],
        );
    }
}

impl OptOuts for PgTx<'_> {
    fn opt_outs_of(&self, source: &SourceName, person: &str) -> Result<Vec<OptOut>, PgError> {
        let them = (source.clone(), person.to_owned());
        if let Some(said) = self.opt_outs.borrow().of_people.get(&them) {
            return Ok(said.clone());
        }
        self.flush(|writes| self.opt_outs.borrow_mut().write(writes))?;
        let (sources, people) = ([source.as_str()], [person]);
        let found = self.query(FIND_OPT_OUTS, params![&sources[..] => TEXT_ARRAY, &people[..] => TEXT_ARRAY])?;
        let mut rows = self.opt_outs.borrow_mut();
        let people = [them];
        rows.admit(&people, &found)?;
        Ok(rows.of_people[&people[0]].clone())
    }

    fn put_opt_out(&mut self, person: &str, opt_out: &NewOptOut<'_>) -> Result<OptOutSeq, PgError> {
        self.ids.opt_out.0 += 1;
        let one = OptOut {
            seq: self.ids.opt_out,
            number: Some(opt_out.number.to_owned()),
            source: opt_out.source.as_str().to_owned(),
            sender: opt_out.sender.to_owned(),
            opted_out: opt_out.opted_out,
            since: opt_out.since,
            origin: opt_out.origin.to_owned(),
        };
        let rows = self.opt_outs.get_mut();
        if let Some(said) = rows.of_people.get_mut(&(opt_out.source.clone(), person.to_owned())) {
            said.retain(|earlier| earlier.sender != opt_out.sender);
            said.push(one.clone());
        }
        let key = keys::key(&["opt-out", opt_out.source.as_str(), person, opt_out.sender]);
        rows.changed.insert(key, (person.to_owned(), one));
        Ok(self.ids.opt_out)
    }

    fn forget_number(&mut self, opt_out: OptOutSeq) -> Result<bool, PgError> {
        self.flush(|writes| self.opt_outs.borrow_mut().write(writes))?;
        self.opt_outs.get_mut().of_people.clear();
        let sql = "UPDATE smscope.opt_outs SET number = NULL WHERE id = $1 AND number IS NOT NULL";
        self.redacted.get_mut().table("opt_outs");
        Ok(self.execute(sql, params![opt_out => INT8])? == 1)
    }
}

/// What is known of the table `conversation_keys`.
#[derive(Default)]
pub(super) struct ConversationRows {
    known: HashMap<KeyedHash, Option<MessageRowId>>,
    changed: HashMap<KeyedHash, MessageRowId>,
}

impl ConversationRows {
    /// None of these keys is there, unless it is admitted.
    pub fn ask_for(&mut self, keys: &[KeyedHash]) {
        for key in keys {
            self.known.entry(*key).or_insert(None);
        }
    }

    pub fn admit(&mut self, key: KeyedHash, message: MessageRowId) {
        self.known.insert(key, Some(message));
    }

    /// Adds the statements that make the table what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        let (keys, messages): (Vec<_>, Vec<_>) = self.changed.drain().unzip();
        if !keys.is_empty() {
            writes.add(
                "INSERT INTO smscope.conversation_keys (key, message) SELECT unnest($1::bigint[]), unnest($2::bigint[]) \
                 ON CONFLICT (key) DO UPDATE SET message = excluded.message",
                columns![keys => INT8_ARRAY, messages => INT8_ARRAY],
            );
        }
    }
}

impl Conversations for PgTx<'_> {
    fn put_conversation(&mut self, key: KeyedHash, message: MessageRowId) -> Result<(), PgError> {
        let rows = self.conversations.get_mut();
        rows.known.insert(key, Some(message));
        rows.changed.insert(key, message);
        Ok(())
    }

    fn conversation(&self, key: KeyedHash) -> Result<Option<MessageRowId>, PgError> {
        if let Some(known) = self.conversations.borrow().known.get(&key) {
            return Ok(*known);
        }
        let sql = "SELECT message FROM smscope.conversation_keys WHERE key = $1";
        let found = self.query_opt(sql, params![key => INT8])?;
        let message = found.map(|row| Columns::of("conversation_keys", &row, 0).get()).transpose()?;
        self.conversations.borrow_mut().known.insert(key, message);
        Ok(message)
    }

    fn forget_conversations(&mut self, message: MessageRowId) -> Result<(), PgError> {
        self.flush(|writes| self.conversations.borrow_mut().write(writes))?;
        for known in self.conversations.get_mut().known.values_mut() {
            *known = known.filter(|known| *known != message);
        }
        self.execute("DELETE FROM smscope.conversation_keys WHERE message = $1", params![message => INT8]).map(drop)
    }
}

pub(super) fn read(columns: &mut Columns<'_>) -> Result<OptOut, PgError> {
    Ok(OptOut {
        seq: columns.get()?,
        number: columns.get()?,
        source: columns.get()?,
        sender: columns.get()?,
        opted_out: columns.get()?,
        since: columns.time()?,
        origin: columns.get()?,
    })
}
