//! What became of the messages that were accepted in each hour, as of now: receipts arrive late, so a rate by arrival lies during an
//! incident, and a rate by acceptance does not.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::connection::connect_to_read;
use super::values::timestamp;
use crate::number::networks;
use crate::store::OpenError;

/// Every zone's hours and days begin with a quarter of an hour of UTC.
const QUARTER: i64 = 900_000;

/// By what messages are grouped besides the labels of their counters: each makes more rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub campaign: bool,
    pub network: bool,
}

/// Messages of one source, time of acceptance, channel, flow and country, in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohort {
    pub source: String,
    /// Start of the quarter of an hour.
    pub quarter: Timestamp,
    pub channel: String,
    pub flow: String,
    pub country: String,
    /// Empty where there is none, or it is not asked for.
    pub campaign: String,
    /// The network's name; empty where it is not known, or not asked for.
    pub network: String,
    /// `scheduled`, `enroute`, `delivered`, `read`, `failed` or `expired`.
    pub state: String,
    /// The normalized cause, for `failed`.
    pub reason: Option<String>,
}

/// Counts the messages that were accepted at `since` or later, from a store that may be in use meanwhile. Reads every such message
/// once: about a second for a million.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn since(folder: &Path, since: Timestamp, detail: Detail) -> Result<BTreeMap<Cohort, u64>, OpenError> {
    let connection = connect_to_read(folder)?;
    // One view of the store for all that follows.
    let view = connection.unchecked_transaction()?;
    let since = since.as_millisecond();
    let names = if detail.network { network_names(&view)? } else { HashMap::new() };
    let column = |wanted, name| if wanted { name } else { "''" };
    let mut rows = view.prepare(&format!(
        "SELECT source, accepted_at / ?3, channel, flow, country, state, CASE state WHEN 'failed' THEN reason END, \
         coalesce({}, ''), coalesce({}, ''), count(*) \
         FROM messages WHERE id >= ?1 AND accepted_at >= ?2 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
        column(detail.campaign, "campaign_id"),
        column(detail.network, "mccmnc"),
    ))?;
    let rows = rows.query_map([first_since(&view, "messages", "first_seen", since)?, since, QUARTER], |row| {
        let code: String = row.get(8)?;
        let network = match names.get(&code) {
            Some(name) => name.clone(),
            None if code.is_empty() => String::new(),
            None => networks::name(&code, None),
        };
        let cohort = Cohort {
            source: row.get(0)?,
            quarter: timestamp(row.get::<_, i64>(1)? * QUARTER)?,
            channel: row.get(2)?,
            flow: row.get(3)?,
            country: row.get(4)?,
            state: row.get(5)?,
            reason: row.get(6)?,
            campaign: row.get(7)?,
            network,
        };
        Ok((cohort, row.get::<_, i64>(9)?.unsigned_abs()))
    })?;
    // Codes of one operator have one name.
    let mut counts = BTreeMap::new();
    for row in rows {
        let (cohort, count) = row?;
        *counts.entry(cohort).or_default() += count;
    }
    Ok(counts)
}

/// The names under which networks have been counted.
fn network_names(connection: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    connection
        .prepare(
            "SELECT DISTINCT labels ->> '$.network', labels ->> '$.network_name' FROM ledger \
             WHERE metric = 'sms_network_outcomes_total' AND labels ->> '$.network_name' IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
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
