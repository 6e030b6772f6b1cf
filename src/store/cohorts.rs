//! What became of the messages that were accepted in each hour, as of now: receipts arrive late, so a rate by arrival lies during an
//! incident, and a rate by acceptance does not.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::OpenError;

const HOUR: i64 = 3_600_000;

/// Messages of one source, hour of acceptance, channel, flow and country, in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohort {
    pub source: String,
    /// Start of the hour.
    pub hour: Timestamp,
    pub channel: String,
    pub flow: String,
    pub country: String,
    /// `scheduled`, `enroute`, `delivered`, `read`, `failed` or `expired`.
    pub state: String,
    /// The normalised cause, for `failed`.
    pub reason: Option<String>,
}

/// Counts the messages that were accepted at `since` or later, from a store that may be in use meanwhile. Reads every such message
/// once: about a second for a million.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn since(folder: &Path, since: Timestamp) -> Result<BTreeMap<Cohort, u64>, OpenError> {
    let connection = super::connect_to_read(folder)?;
    // One view of the store for all that follows.
    let view = connection.unchecked_transaction()?;
    let since = since.as_millisecond();
    let mut rows = view.prepare(
        "SELECT source, accepted_at / ?3, channel, flow, country, state, CASE state WHEN 'failed' THEN reason END, count(*) \
         FROM messages WHERE id >= ?1 AND accepted_at >= ?2 GROUP BY 1, 2, 3, 4, 5, 6, 7",
    )?;
    let rows = rows.query_map([first_since(&view, "messages", "first_seen", since)?, since, HOUR], |row| {
        let cohort = Cohort {
            source: row.get(0)?,
            hour: super::messages::timestamp(row.get::<_, i64>(1)? * HOUR)?,
            channel: row.get(2)?,
            flow: row.get(3)?,
            country: row.get(4)?,
            state: row.get(5)?,
            reason: row.get(6)?,
        };
        Ok((cohort, row.get::<_, i64>(7)?.unsigned_abs()))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The lowest id of the rows whose `time` is `since` or later, of messages by first sight or events by arrival. Ids grow with these,
/// so a search by halves finds it without an index; and nothing is accepted after it was first seen, so nothing before it is wanted.
pub(super) fn first_since(connection: &Connection, table: &str, time: &str, since: i64) -> rusqlite::Result<i64> {
    let mut next = connection.prepare(&format!("SELECT id, {time} FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1"))?;
    let ends = format!("SELECT coalesce(min(id), 0), coalesce(max(id), 0) + 1 FROM {table}");
    let (mut low, mut high): (i64, i64) = connection.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((id, time)) if time < since => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
