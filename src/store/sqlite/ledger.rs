//! The tables `ledger` and `label_values`: the durable counters.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::ledger::caps::Label;
use crate::ledger::catalogue::Metric;
use crate::ledger::{CounterUpdates, Ledger, Series};

pub fn load(connection: &Connection) -> rusqlite::Result<Ledger> {
    let mut updates = CounterUpdates::default();
    let mut statement = connection.prepare("SELECT metric, labels, value FROM ledger")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A metric or label that this version does not have stays in the table, out of sight.
        let Some(metric) = Metric::from_name(row.get_ref(0)?.as_str()?) else { continue };
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(row.get_ref(1)?.as_str()?) else { continue };
        let values: Option<Vec<&str>> =
            metric.description().labels.iter().map(|&name| labels.get(name).map(String::as_str)).collect();
        if let Some(values) = values {
            updates.add(metric, &values, row.get(2)?);
        }
    }
    let mut ledger = Ledger::default();
    ledger.apply(updates);
    Ok(ledger)
}

/// Saves the values that a transaction changes, as they are after it.
pub fn save(connection: &Connection, ledger: &Ledger, updates: &CounterUpdates) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO ledger (metric, labels, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT (metric, labels) DO UPDATE SET value = excluded.value",
    )?;
    for (series, amount) in updates.iter() {
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
