//! The table `resends`.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::transaction::SqliteTx;
use super::values::{timestamp, word};
use crate::event::SourceName;
use crate::route::RelayName;
use crate::store::core::storage::{ResendRow, Resends};
use crate::store::ids::{KeyedHash, MessageRowId, ResendId};
use crate::store::resends::{ChainOutcome, DueResends, LONGEST_WAIT};

/// A query of whole rows, as [`read`] takes them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, replacement, ",
            "outcome FROM resends WHERE ",
            $condition
        )
    };
}

impl Resends for SqliteTx<'_> {
    fn insert_resend(&mut self, row: &ResendRow) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO resends (rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, \
                 replacement, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                row.rule.as_str(),
                row.source.as_str(),
                row.message,
                row.event,
                row.attempt,
                row.state.as_str(),
                row.due_at.as_millisecond(),
                row.deadline.as_millisecond(),
                row.requested_at.map(|at| at.as_millisecond()),
                row.expects,
                row.replacement,
                row.outcome.map(ChainOutcome::as_str),
            ])
            .map(|inserted| inserted == 1)
    }

    fn resend(&self, id: ResendId) -> rusqlite::Result<Option<ResendRow>> {
        self.connection.prepare_cached(select!("id = ?1"))?.query_row([id], |row| Ok(read(row)?.1)).optional()
    }

    fn put_resend(&mut self, id: ResendId, row: &ResendRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE resends SET state = ?2, due_at = ?3, deadline = ?4, requested_at = ?5, expects = ?6, replacement = ?7, \
                 outcome = ?8 WHERE id = ?1",
            )?
            .execute(params![
                id,
                row.state.as_str(),
                row.due_at.as_millisecond(),
                row.deadline.as_millisecond(),
                row.requested_at.map(|at| at.as_millisecond()),
                row.expects,
                row.replacement,
                row.outcome.map(ChainOutcome::as_str),
            ])
            .map(drop)
    }

    fn resend_replaced_by(&self, message: MessageRowId) -> rusqlite::Result<Option<(ResendId, ResendRow)>> {
        self.connection.prepare_cached(select!("replacement = ?1"))?.query_row([message], read).optional()
    }

    fn resend_expecting(&self, key: KeyedHash, at: Timestamp, skew: Duration) -> rusqlite::Result<Option<ResendId>> {
        self.connection
            .prepare_cached(
                "SELECT min(id) FROM resends WHERE expects = ?1 AND ?2 BETWEEN requested_at - ?3 AND deadline + ?3",
            )?
            .query_row(params![key, at.as_millisecond(), skew.as_millis() as i64], |row| row.get(0))
    }

    fn unfinished_resends(&self) -> rusqlite::Result<Vec<(ResendId, ResendRow)>> {
        self.connection.prepare(select!("state IN ('waiting', 'sending') ORDER BY id"))?.query_map([], read)?.collect()
    }

    fn resends_requested_after(&self, rule: &RelayName, since: Timestamp) -> rusqlite::Result<u32> {
        self.connection
            .prepare_cached("SELECT count(*) FROM resends WHERE rule = ?1 AND requested_at > ?2")?
            .query_row(params![rule.as_str(), since.as_millisecond()], |row| row.get(0))
    }

    fn forget_expectation(&mut self, message: MessageRowId) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE resends SET expects = NULL WHERE message = ?1")?
            .execute([message])
            .map(drop)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(ResendId, ResendRow)> {
    let outcome: Option<String> = row.get(12)?;
    let resend = ResendRow {
        rule: word(row, 1, RelayName::new)?,
        source: word(row, 2, SourceName::new)?,
        message: row.get(3)?,
        event: row.get(4)?,
        attempt: row.get(5)?,
        state: word(row, 6, |word| word.parse().ok())?,
        due_at: timestamp(row.get(7)?)?,
        deadline: timestamp(row.get(8)?)?,
        requested_at: row.get::<_, Option<i64>>(9)?.map(timestamp).transpose()?,
        expects: row.get(10)?,
        replacement: row.get(11)?,
        outcome: outcome.and_then(|word| ChainOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)),
    };
    Ok((row.get(0)?, resend))
}

/// Up to `limit` resends of a source that are due at `now`, the longest due first, and when the next one is.
pub fn due(connection: &Connection, source: &SourceName, now: Timestamp, limit: usize) -> rusqlite::Result<DueResends> {
    let misdated = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    let ids = connection
        .prepare_cached(
            "SELECT id FROM resends WHERE source = ?1 AND state = 'waiting' AND (due_at <= ?2 OR due_at > ?3) \
             ORDER BY due_at LIMIT ?4",
        )?
        .query_map(params![source.as_str(), now.as_millisecond(), misdated.as_millisecond(), limit as i64], |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due_at) FROM resends WHERE source = ?1 AND state = 'waiting' AND due_at > ?2")?
        .query_row(params![source.as_str(), now.as_millisecond()], |row| row.get(0))?;
    Ok(DueResends { ids, next: next.map(timestamp).transpose()? })
}
