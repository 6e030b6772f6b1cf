//! The tables `series` and `counters`: the durable counters. And `label_values`.
//!
//! A commit changes a handful of counters. Their values are in a table of their own, a few bytes each, so that this writes one page;
//! beside their names they would be on several.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::ledger::caps::Label;
use crate::ledger::catalogue::Metric;
use crate::ledger::{CounterUpdates, Ledger, Series};

/// The rows of the ledger's series, by their places in it.
#[derive(Debug, Default)]
pub struct SeriesIds(Vec<i64>);

pub fn load(connection: &Connection) -> rusqlite::Result<(Ledger, SeriesIds)> {
    let (mut ledger, mut ids) = (Ledger::default(), SeriesIds::default());
    let mut updates = CounterUpdates::default();
    let mut statement =
        connection.prepare("SELECT metric, labels, value, id FROM series JOIN counters ON series = id ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A metric or label that this version does not have stays in the table, out of sight.
        let Some(metric) = Metric::from_name(row.get_ref(0)?.as_str()?) else { continue };
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(row.get_ref(1)?.as_str()?) else { continue };
        let values: Option<Vec<&str>> =
            metric.description().labels.iter().map(|&name| labels.get(name).map(String::as_str)).collect();
        if let Some(values) = values {
            updates.add(&ledger, metric, &values, row.get(2)?);
            ids.0.push(row.get(3)?);
        }
    }
    ledger.apply(updates);
    Ok((ledger, ids))
}

/// Saves the values that a transaction changes, as they are after it. `ids` are those of the ledger before it, with those of
/// transactions that were not committed, perhaps, and with those of its new series afterwards.
pub fn save(
    connection: &Connection,
    ledger: &Ledger,
    updates: &CounterUpdates,
    ids: &mut SeriesIds,
) -> rusqlite::Result<()> {
    ids.0.truncate(ledger.series_count());
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO counters (series, value) VALUES (?1, ?2)")?;
    for (place, value) in updates.changed(ledger) {
        put.execute([ids.0[place], value])?;
    }
    for (series, value) in updates.new_series() {
        let id = connection
            .prepare_cached("INSERT INTO series (metric, labels) VALUES (?1, ?2)")?
            .insert(params![series.metric.description().name, labels_json(series)])?;
        put.execute([id, *value])?;
        ids.0.push(id);
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

pub fn load_label_values(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare("SELECT label, value FROM label_values")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub fn save_label_values(connection: &Connection, values: &[(Label, String)]) -> rusqlite::Result<()> {
    for (label, value) in values {
        connection
            .prepare_cached("INSERT OR IGNORE INTO label_values (label, value) VALUES (?1, ?2)")?
            .execute([label.as_str(), value])?;
    }
    Ok(())
}
