//! The table `event_keys`, and receipts as earlier versions knew them: what is stored already.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::transaction::SqliteTx;
use crate::event::{SourceName, Status};
use crate::store::copy::hashed_key;
use crate::store::core::has_receipt_as_written;
use crate::store::core::storage::{DedupKeys, EventKey, MessageRow};
use crate::store::hash::event_hash;
use crate::store::ids::MessageRowId;

impl DedupKeys for SqliteTx<'_> {
    fn has_receipt_as_written(
        &self,
        message: MessageRowId,
        row: &MessageRow,
        status: &Status,
    ) -> rusqlite::Result<bool> {
        Ok(message <= self.spelled_to && has_receipt_as_written(self, row, status)?)
    }

    fn event_key(&self, source: &SourceName, key: &str) -> rusqlite::Result<EventKey> {
        let found: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT erased FROM event_keys WHERE source = ?1 AND key IN (?2, ?3)")?
            .query_row(params![source.as_str(), key, hashed(source, key)], |row| row.get(0))
            .optional()?;
        Ok(match found {
            None => EventKey::Unknown,
            Some(Some(1)) => EventKey::Erased,
            Some(_) => EventKey::Known,
        })
    }

    fn take_event_key(&mut self, source: &SourceName, key: &str, arrived_at: Timestamp) -> rusqlite::Result<bool> {
        if self.event_key(source, key)? != EventKey::Unknown {
            return Ok(false);
        }
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO event_keys (received_at, source, key) VALUES (?1, ?2, ?3)")?
            .execute(params![arrived_at.as_millisecond(), source.as_str(), key])
            .map(|inserted| inserted == 1)
    }

    fn erase_event_key(&mut self, source: &SourceName, key: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE event_keys SET erased = 1 WHERE source = ?1 AND key IN (?2, ?3)")?
            .execute(params![source.as_str(), key, hashed(source, key)])
            .map(drop)
    }

    fn erase_unrecognized_keys(&mut self, source: &SourceName, arrived_at: Timestamp) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE event_keys SET erased = 1 WHERE source = ?1 AND received_at = ?2 AND key LIKE 'sha256:%'",
            )?
            .execute(params![source.as_str(), arrived_at.as_millisecond()])
            .map(drop)
    }
}

/// What stands for a key that came from the database of a fleet, which has its hash alone.
fn hashed(source: &SourceName, key: &str) -> String {
    hashed_key(key.starts_with("sha256:"), event_hash(source.as_str(), key))
}
