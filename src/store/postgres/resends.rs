//! The table `resends`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::error::PgError;
use super::session::{Pipeline, columns, params};
use super::transaction::{PgTx, Slot};
use super::values::{Columns, int4};
use crate::event::SourceName;
use crate::route::RelayName;
use crate::store::core::storage::{ResendRow, Resends};
use crate::store::ids::{KeyedHash, MessageRowId, ResendId};
use crate::store::resends::ChainOutcome;

/// A query of whole rows of `resends AS r`, as [`ResendRows::admit`] takes them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT r.id, r.rule, r.source, r.message, r.event, r.attempt, r.state, r.due_at, r.deadline, r.requested_at, r.expects, ",
            "r.replacement, r.outcome FROM smscope.resends AS r ",
            $condition
        )
    };
}

/// What expects a message under one of some keys.
pub(super) const EXPECTING: &str = select!("WHERE r.expects = ANY($1)");
/// What the messages with some keys replaced.
pub(super) const REPLACED_BY: &str =
    select!("JOIN smscope.messages AS m ON m.id = r.replacement WHERE m.key = ANY($1)");

/// What some messages have, and what they replaced.
pub(super) const OF_MESSAGES: &str = select!("WHERE r.message = ANY($1) OR r.replacement = ANY($1)");

/// What is known of the table.
#[derive(Default)]
pub(super) struct ResendRows {
    rows: HashMap<ResendId, Slot<ResendRow>>,
    by_message: HashMap<MessageRowId, Option<ResendId>>,
    by_replacement: HashMap<MessageRowId, Option<ResendId>>,
    /// All that expect a message under a key, and perhaps some that do not any more.
    expecting: HashMap<KeyedHash, BTreeSet<ResendId>>,
    changed: Vec<ResendId>,
    /// Messages that are a replacement in the table, and not in memory any more.
    left: HashSet<MessageRowId>,
}

impl ResendRows {
    /// Nothing expects a message under these keys, unless it is admitted.
    pub fn ask_for(&mut self, keys: &[KeyedHash]) {
        for key in keys {
            self.expecting.entry(*key).or_default();
        }
    }

    /// These messages have replaced none, unless one is admitted.
    pub fn ask_for_replaced(&mut self, messages: impl IntoIterator<Item = MessageRowId>) {
        for message in messages {
            self.by_replacement.entry(message).or_insert(None);
        }
    }

    /// These messages have no resends and have replaced none, unless one is admitted.
    pub fn ask_for_messages(&mut self, messages: &[MessageRowId]) {
        self.ask_for_replaced(messages.iter().copied());
        for message in messages {
            self.by_message.entry(*message).or_insert(None);
        }
    }

    /// A row of the table. What memory has is newer.
    pub fn admit(&mut self, row: &Row) -> Result<ResendId, PgError> {
        let (id, row) = read(row)?;
        let slot = self.rows.entry(id).or_insert_with(|| Slot::stored(Some(row)));
        if let Some(row) = slot.row.clone() {
            self.find(id, &row);
        }
        Ok(id)
    }

    /// Makes a row be found.
    fn find(&mut self, id: ResendId, row: &ResendRow) {
        self.by_message.insert(row.message, Some(id));
        if let Some(message) = row.replacement {
            self.by_replacement.insert(message, Some(id));
        }
        if let Some(ids) = row.expects.and_then(|key| self.expecting.get_mut(&key)) {
            ids.insert(id);
        }
    }

    fn put(&mut self, id: ResendId, row: ResendRow) {
        let slot = self.rows.entry(id).or_insert(Slot { row: None, is_stored: false, is_changed: false });
        let replaced = slot.row.as_ref().and_then(|row| row.replacement);
        slot.row = Some(row.clone());
        let is_stored = slot.is_stored;
        if !slot.is_changed {
            slot.is_changed = true;
            self.changed.push(id);
        }
        if let Some(message) = replaced.filter(|message| row.replacement != Some(*message)) {
            self.by_replacement.insert(message, None);
            if is_stored {
                self.left.insert(message);
            }
        }
        self.find(id, &row);
    }

    fn get(&self, id: ResendId) -> Option<ResendRow> {
        self.rows.get(&id)?.row.clone()
    }

    /// Adds the statements that make the table what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        self.left.clear();
        let (mut new, mut stored) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.changed) {
            let Some(slot) = self.rows.get_mut(&id) else { continue };
            let rows = if slot.is_stored { &mut stored } else { &mut new };
            rows.extend(slot.row.clone().map(|row| (id, row)));
            (slot.is_stored, slot.is_changed) = (true, false);
        }
        // A replacement that a stored row leaves may be that of a new one.
        update_all(&stored, writes);
        insert_all(&new, writes);
    }
}

impl Resends for PgTx<'_> {
    fn insert_resend(&mut self, row: &ResendRow) -> Result<bool, PgError> {
        if self.resend_of(row.message)?.is_some() {
            return Ok(false);
        }
        self.ids.resend.0 += 1;
        self.resends.get_mut().put(self.ids.resend, row.clone());
        Ok(true)
    }

    fn resend(&self, id: ResendId) -> Result<Option<ResendRow>, PgError> {
        if id <= self.begun.resend && !self.resends.borrow().rows.contains_key(&id) {
            let found = self.query_opt(select!("WHERE r.id = $1"), params![id => INT8])?;
            let mut resends = self.resends.borrow_mut();
            match found {
                Some(row) => resends.admit(&row).map(drop)?,
                None => drop(resends.rows.insert(id, Slot::stored(None))),
            }
        }
        Ok(self.resends.borrow().get(id))
    }

    fn put_resend(&mut self, id: ResendId, row: &ResendRow) -> Result<(), PgError> {
        // It may not have been read.
        self.resend(id)?;
        if row.replacement.is_some_and(|message| self.resends.get_mut().left.contains(&message)) {
            // The resend that had this replacement has to leave it first.
            self.write_resends()?;
        }
        self.resends.get_mut().put(id, row.clone());
        Ok(())
    }

    fn resend_replaced_by(&self, message: MessageRowId) -> Result<Option<(ResendId, ResendRow)>, PgError> {
        let known = self.resends.borrow().by_replacement.get(&message).copied();
        let id = match known {
            Some(id) => id,
            None if message > self.begun.message => None,
            None => {
                let found = self.query_opt(select!("WHERE r.replacement = $1"), params![message => INT8])?;
                let mut resends = self.resends.borrow_mut();
                resends.ask_for_replaced([message]);
                found.map(|row| resends.admit(&row)).transpose()?
            }
        };
        Ok(id.and_then(|id| Some((id, self.resends.borrow().get(id)?))))
    }

    fn resend_expecting(&self, key: KeyedHash, at: Timestamp, skew: Duration) -> Result<Option<ResendId>, PgError> {
        if !self.resends.borrow().expecting.contains_key(&key) {
            self.write_resends()?;
            let keys = [key];
            let found = self.query(EXPECTING, params![&keys[..] => INT8_ARRAY])?;
            let mut resends = self.resends.borrow_mut();
            resends.ask_for(&keys);
            found.iter().try_for_each(|row| resends.admit(row).map(drop))?;
        }
        let (at, skew) = (at.as_millisecond(), skew.as_millis() as i64);
        let is_it = |row: &ResendRow| {
            row.expects == Some(key)
                && row.requested_at.is_some_and(|requested| at >= requested.as_millisecond() - skew)
                && at <= row.deadline.as_millisecond() + skew
        };
        let resends = self.resends.borrow();
        let ids = resends.expecting.get(&key).into_iter().flatten();
        Ok(ids.copied().find(|id| resends.rows.get(id).and_then(|slot| slot.row.as_ref()).is_some_and(is_it)))
    }

    fn unfinished_resends(&self) -> Result<Vec<(ResendId, ResendRow)>, PgError> {
        self.write_resends()?;
        let found = self.query(select!("WHERE r.state IN ('waiting', 'sending') ORDER BY r.id"), &[])?;
        let mut resends = self.resends.borrow_mut();
        let mut all = Vec::with_capacity(found.len());
        for row in &found {
            let id = resends.admit(row)?;
            all.extend(resends.get(id).map(|row| (id, row)));
        }
        Ok(all)
    }

    fn resends_requested_after(&self, rule: &RelayName, since: Timestamp) -> Result<u32, PgError> {
        self.write_resends()?;
        let sql = "SELECT count(*) FROM smscope.resends WHERE rule = $1 AND requested_at > $2";
        let found = self.query_opt(sql, params![rule.as_str() => TEXT, since.as_millisecond() => INT8])?;
        let count: i64 = found.map_or(Ok(0), |row| Columns::of("resends", &row, 0).get())?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn forget_expectation(&mut self, message: MessageRowId) -> Result<(), PgError> {
        let Some(id) = self.resend_of(message)? else { return Ok(()) };
        let resends = self.resends.get_mut();
        if let Some(row) = resends.get(id).filter(|row| row.expects.is_some()) {
            resends.put(id, ResendRow { expects: None, ..row });
        }
        Ok(())
    }
}

impl PgTx<'_> {
    fn resend_of(&self, message: MessageRowId) -> Result<Option<ResendId>, PgError> {
        if let Some(known) = self.resends.borrow().by_message.get(&message) {
            return Ok(*known);
        }
        if message > self.begun.message {
            return Ok(None);
        }
        let found = self.query_opt(select!("WHERE r.message = $1"), params![message => INT8])?;
        let mut resends = self.resends.borrow_mut();
        let id = found.map(|row| resends.admit(&row)).transpose()?;
        resends.by_message.insert(message, id);
        Ok(id)
    }

    fn write_resends(&self) -> Result<(), PgError> {
        self.flush(|writes| self.resends.borrow_mut().write(writes))
    }
}

fn insert_all(new: &[(ResendId, ResendRow)], writes: &mut Pipeline) {
    if new.is_empty() {
        return;
    }
    writes.add(
        "INSERT INTO smscope.resends (id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, \
         replacement, outcome) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], \
         $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])",
        columns![
            new.iter().map(|(id, _)| *id).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.rule.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
            new.iter().map(|(_, row)| row.source.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
            new.iter().map(|(_, row)| row.message).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.event).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| int4(row.attempt)).collect::<Vec<_>>() => INT4_ARRAY,
            new.iter().map(|(_, row)| row.state.as_str()).collect::<Vec<_>>() => TEXT_ARRAY,
            new.iter().map(|(_, row)| row.due_at.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.deadline.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.requested_at.map(|at| at.as_millisecond())).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.expects).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.replacement).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.outcome.map(ChainOutcome::as_str)).collect::<Vec<_>>() => TEXT_ARRAY,
        ],
    );
}

fn update_all(stored: &[(ResendId, ResendRow)], writes: &mut Pipeline) {
    if stored.is_empty() {
        return;
    }
    writes.add(
        "UPDATE smscope.resends AS r SET state = u.state, due_at = u.due_at, deadline = u.deadline, \
         requested_at = u.requested_at, expects = u.expects, replacement = u.replacement, outcome = u.outcome \
         FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[]) \
         AS u (id, state, due_at, deadline, requested_at, expects, replacement, outcome) WHERE r.id = u.id",
        columns![
            stored.iter().map(|(id, _)| *id).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.state.as_str()).collect::<Vec<_>>() => TEXT_ARRAY,
            stored.iter().map(|(_, row)| row.due_at.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.deadline.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.requested_at.map(|at| at.as_millisecond())).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.expects).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.replacement).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.outcome.map(ChainOutcome::as_str)).collect::<Vec<_>>() => TEXT_ARRAY,
        ],
    );
}

fn read(row: &Row) -> Result<(ResendId, ResendRow), PgError> {
    let mut columns = Columns::of("resends", row, 0);
    let id = columns.get()?;
    let row = ResendRow {
        rule: columns.word(RelayName::new)?,
        source: columns.word(SourceName::new)?,
        message: columns.get()?,
        event: columns.get()?,
        attempt: columns.count()?,
        state: columns.word(|word| word.parse().ok())?,
        due_at: columns.time()?,
        deadline: columns.time()?,
        requested_at: columns.optional_time()?,
        expects: columns.get()?,
        replacement: columns.get()?,
        outcome: columns
            .get::<Option<&str>>()?
            .and_then(|word| ChainOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)),
    };
    Ok((id, row))
}
