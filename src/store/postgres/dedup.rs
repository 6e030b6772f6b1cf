//! The table `event_keys`: which replies and unrecognized requests are stored already.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PgError;
use super::keys;
use super::session::{Pipeline, columns, params};
use super::transaction::PgTx;
use super::values::Columns;
use crate::event::{SourceName, Status};
use crate::store::core::has_receipt_as_written;
use crate::store::core::storage::{DedupKeys, EventKey, MessageRow};
use crate::store::ids::MessageRowId;

/// A query of rows, as [`EventKeyRows::admit`] takes them.
pub(super) const FIND: &str = "SELECT key, is_erased FROM smscope.event_keys WHERE key = ANY($1)";

/// What is known of the table.
#[derive(Default)]
pub(super) struct EventKeyRows {
    known: HashMap<Uuid, EventKey>,
    new: Vec<NewKey>,
}

struct NewKey {
    key: Uuid,
    source: SourceName,
    received_at: i64,
    is_unrecognized: bool,
}

impl EventKeyRows {
    /// None of these keys is stored, unless it is admitted.
    pub fn ask_for(&mut self, keys: &[Uuid]) {
        for key in keys {
            self.known.entry(*key).or_insert(EventKey::Unknown);
        }
    }

    pub fn admit(&mut self, row: &Row) -> Result<(), PgError> {
        let mut columns = Columns::of("event_keys", row, 0);
        let key = columns.get()?;
        self.known.insert(key, if columns.get()? { EventKey::Erased } else { EventKey::Known });
        Ok(())
    }

    /// Adds the statements that make the table what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        let new = std::mem::take(&mut self.new);
        if new.is_empty() {
            return;
        }
        writes.add(
            "INSERT INTO smscope.event_keys (key, source, received_at, is_unrecognized) \
             SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bool[])",
            columns![
                new.iter().map(|new| new.key).collect::<Vec<_>>() => UUID_ARRAY,
                new.iter().map(|new| new.source.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
                new.iter().map(|new| new.received_at).collect::<Vec<_>>() => INT8_ARRAY,
                new.iter().map(|new| new.is_unrecognized).collect::<Vec<_>>() => BOOL_ARRAY,
            ],
        );
    }
}

impl DedupKeys for PgTx<'_> {
    fn has_receipt_as_written(
        &self,
        message: MessageRowId,
        row: &MessageRow,
        status: &Status,
    ) -> Result<bool, PgError> {
        Ok(message <= self.ids.spelled_to && has_receipt_as_written(self, row, status)?)
    }

    fn event_key(&self, source: &SourceName, key: &str) -> Result<EventKey, PgError> {
        let key = keys::event(source.as_str(), key);
        if let Some(known) = self.event_keys.borrow().known.get(&key) {
            return Ok(*known);
        }
        let asked = [key];
        let found = self.query_opt(FIND, params![&asked[..] => UUID_ARRAY])?;
        let mut rows = self.event_keys.borrow_mut();
        rows.ask_for(&asked);
        found.iter().try_for_each(|row| rows.admit(row))?;
        Ok(rows.known[&key])
    }

    fn take_event_key(&mut self, source: &SourceName, key: &str, arrived_at: Timestamp) -> Result<bool, PgError> {
        if self.event_key(source, key)? != EventKey::Unknown {
            return Ok(false);
        }
        let is_unrecognized = key.starts_with("sha256:");
        let (key, received_at) = (keys::event(source.as_str(), key), arrived_at.as_millisecond());
        let rows = self.event_keys.get_mut();
        rows.known.insert(key, EventKey::Known);
        rows.new.push(NewKey { key, source: source.clone(), received_at, is_unrecognized });
        Ok(true)
    }

    fn erase_event_key(&mut self, source: &SourceName, key: &str) -> Result<(), PgError> {
        self.write_event_keys()?;
        let key = keys::event(source.as_str(), key);
        let sql = "UPDATE smscope.event_keys SET is_erased = true WHERE key = $1";
        if self.execute(sql, params![key => UUID])? > 0 {
            self.event_keys.get_mut().known.insert(key, EventKey::Erased);
        }
        Ok(())
    }

    fn erase_unrecognized_keys(&mut self, source: &SourceName, arrived_at: Timestamp) -> Result<(), PgError> {
        self.write_event_keys()?;
        let erased = self.query(
            "UPDATE smscope.event_keys SET is_erased = true \
             WHERE received_at = $2 AND source = $1 AND is_unrecognized RETURNING key, is_erased",
            params![source.as_str() => TEXT, arrived_at.as_millisecond() => INT8],
        )?;
        let rows = self.event_keys.get_mut();
        erased.iter().try_for_each(|row| rows.admit(row))
    }
}

impl PgTx<'_> {
    fn write_event_keys(&self) -> Result<(), PgError> {
        self.flush(|writes| self.event_keys.borrow_mut().write(writes))
    }
}
