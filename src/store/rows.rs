//! The small tables: ledger, label values, cursors; and what is read of the others at start and after each commit.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::clock::SteadyClock;
use super::messages::timestamp;
use super::shared::{Gauges, Shared};
use super::{OpenError, Settings, opt_outs, relays, retention};
use crate::ledger::caps::{Label, LabelCaps};
use crate::ledger::catalogue::Metric;
use crate::ledger::{Ledger, Postings, Series};

const CURSOR: &str = "otlp-logs";

/// Reads what the writer and its shared view start from; makes what a new store lacks.
pub fn load(connection: &Connection, settings: &Settings) -> Result<(Shared, LabelCaps), OpenError> {
    let created_at: i64 = {
        connection.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('created_at', ?1)",
            [Timestamp::now().as_millisecond()],
        )?;
        connection.query_row("SELECT value FROM meta WHERE key = 'created_at'", [], |row| row.get(0))?
    };
    let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
    let cursor = if settings.exports_logs {
        connection
            .execute("INSERT OR IGNORE INTO cursors (name, position) VALUES (?1, ?2)", params![CURSOR, newest])?;
        connection.query_row("SELECT position FROM cursors WHERE name = ?1", [CURSOR], |row| row.get(0)).optional()?
    } else {
        connection.execute("DELETE FROM cursors WHERE name = ?1", [CURSOR])?;
        None
    };
    let ledger = load_ledger(connection)?;
    let values: Vec<(String, String)> = connection
        .prepare("SELECT label, value FROM label_values")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let gauges = gauges(connection, settings)?;
    let seen: Option<i64> =
        connection.query_row("SELECT value FROM meta WHERE key = 'seen_at'", [], |row| row.get(0)).optional()?;
    let seen = seen.map(timestamp).transpose()?.unwrap_or_else(Timestamp::now);
    let clock = SteadyClock::from(seen, Instant::now());
    let shared = Shared::new(timestamp(created_at)?, clock, cursor, ledger, gauges);
    shared.opt_outs.send_replace(opt_outs::newest(connection)?);
    let names = shared.visible().ledger.network_names();
    Ok((shared, LabelCaps::new(values, names)))
}

fn load_ledger(connection: &Connection) -> rusqlite::Result<Ledger> {
    let mut postings = Postings::default();
    let mut statement = connection.prepare("SELECT metric, labels, value FROM ledger")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A metric or label that this version does not have stays in the table, out of sight.
        let Some(metric) = Metric::from_name(row.get_ref(0)?.as_str()?) else { continue };
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(row.get_ref(1)?.as_str()?) else { continue };
        let values: Option<Vec<&str>> =
            metric.description().labels.iter().map(|&name| labels.get(name).map(String::as_str)).collect();
        if let Some(values) = values {
            postings.add(metric, &values, row.get(2)?);
        }
    }
    let mut ledger = Ledger::default();
    ledger.apply(postings);
    Ok(ledger)
}

/// The last message that was there when receipts began to be known by what they say and not by how that is written.
pub fn spelled_to(connection: &Connection) -> rusqlite::Result<i64> {
    let place: Option<i64> =
        connection.query_row("SELECT value FROM meta WHERE key = 'spelled_to'", [], |row| row.get(0)).optional()?;
    Ok(place.unwrap_or(0))
}

pub fn save_ledger(connection: &Connection, ledger: &Ledger, postings: &Postings) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO ledger (metric, labels, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT (metric, labels) DO UPDATE SET value = excluded.value",
    )?;
    for (series, amount) in postings.iter() {
        if amount != 0 || !ledger.contains(series) {
            let value = ledger.value(series) + amount;
            statement.execute(params![series.metric.description().name, labels_json(series), value])?;
        }
    }
    Ok(())
}

/// `{"source":"smsmode","channel":"SMS",…}`, the keys in the metric's order: the same text for the same series, always.
fn labels_json(series: &Series) -> String {
    let mut text = String::from("{");
    for (name, value) in series.metric.description().labels.iter().zip(series.labels.iter()) {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&serde_json::Value::from(&**value).to_string());
    }
    text.push('}');
    text
}

pub fn save_label_values(connection: &Connection, fresh: &[(Label, String)]) -> rusqlite::Result<()> {
    for (label, value) in fresh {
        connection
            .prepare_cached("INSERT OR IGNORE INTO label_values (label, value) VALUES (?1, ?2)")?
            .execute([label.as_str(), value])?;
    }
    Ok(())
}

pub fn save_cursor(connection: &Connection, position: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE cursors SET position = max(position, ?2) WHERE name = ?1")?
        .execute(params![CURSOR, position])
        .map(drop)
}

/// Notes until when the store was in use.
pub fn save_seen(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('seen_at', ?1)")?
        .execute([now.as_millisecond()])
        .map(drop)
}

pub fn gauges(connection: &Connection, settings: &Settings) -> rusqlite::Result<Gauges> {
    let mut oldest_pending = Vec::new();
    for source in &settings.sources {
        let oldest: Option<i64> = connection
            .prepare_cached("SELECT min(first_seen) FROM messages WHERE source = ?1 AND state = 'enroute'")?
            .query_row([source.as_str()], |row| row.get(0))?;
        oldest_pending.extend(oldest.map(|oldest| (source.clone(), oldest)));
    }
    // Places in the journal are used without gaps and events go oldest first.
    let (oldest, newest): (i64, i64) = connection
        .prepare_cached("SELECT coalesce((SELECT min(id) FROM events), 1), coalesce((SELECT max(id) FROM events), 0)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Gauges {
        oldest_pending,
        oldest_relayed: relays::oldest_pending(connection, &settings.relays)?,
        newest,
        events: newest - oldest + 1,
        bytes_in_use: retention::bytes_in_use(connection)?,
        size_limit: settings.size_limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
    })
}
