//! The tables `series` and `counters`: the durable counters. And `label_values`.

use std::collections::HashMap;

use super::error::PgError;
use super::session::{Pipeline, Session, columns};
use super::texts::without_nul;
use super::values::Columns;
use crate::ledger::caps::Label;
use crate::ledger::catalogue::Metric;
use crate::ledger::{CounterUpdates, Ledger, Series};

/// The rows of the ledger's series, by their places in it.
#[derive(Debug, Default)]
pub struct SeriesIds {
    ids: Vec<i64>,
    /// Of all rows, also of those that this version does not know.
    newest: i64,
}

/// # Errors
/// Those of the database.
pub async fn load(session: &Session) -> Result<(Ledger, SeriesIds), PgError> {
    let (mut ledger, mut ids) = (Ledger::default(), SeriesIds::default());
    let mut updates = CounterUpdates::default();
    let sql = "SELECT id, metric, labels, value FROM smscope.series JOIN smscope.counters ON series = id ORDER BY id";
    for row in session.query(sql, &[]).await? {
        let mut columns = Columns::of("series", &row, 0);
        let (id, metric, labels): (i64, &str, &str) = (columns.get()?, columns.get()?, columns.get()?);
        ids.newest = id;
        // A metric or label that this version does not have stays in the table, out of sight.
        let Some(metric) = Metric::from_name(metric) else { continue };
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(labels) else { continue };
        let values: Option<Vec<&str>> =
            metric.description().labels.iter().map(|&name| labels.get(name).map(String::as_str)).collect();
        if let Some(values) = values {
            updates.add(&ledger, metric, &values, columns.get()?);
            ids.ids.push(id);
        }
    }
    ledger.apply(updates);
    Ok((ledger, ids))
}

/// Adds the statements that save the values which a transaction changes, as they are after it. `ids` are those of the ledger before it,
/// with those of transactions that were not committed, perhaps, and with those of its new series afterwards.
pub fn save(writes: &mut Pipeline, ledger: &Ledger, updates: &CounterUpdates, ids: &mut SeriesIds) {
    ids.ids.truncate(ledger.series_count());
    let (mut series, mut values): (Vec<i64>, Vec<i64>) =
        updates.changed(ledger).map(|(place, value)| (ids.ids[place], value)).unzip();
    let (mut new, mut metrics, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (one, value) in updates.new_series() {
        ids.newest += 1;
        ids.ids.push(ids.newest);
        new.push(ids.newest);
        metrics.push(one.metric.description().name);
        labels.push(labels_json(one));
        series.push(ids.newest);
        values.push(*value);
    }
    if !new.is_empty() {
        writes.add(
            "INSERT INTO smscope.series (id, metric, labels) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])",
            columns![new => INT8_ARRAY, metrics => TEXT_ARRAY, labels => TEXT_ARRAY],
        );
    }
    if !series.is_empty() {
        writes.add(
            "INSERT INTO smscope.counters (series, value) SELECT * FROM unnest($1::bigint[], $2::bigint[]) \
             ON CONFLICT (series) DO UPDATE SET value = excluded.value",
            columns![series => INT8_ARRAY, values => INT8_ARRAY],
        );
    }
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

/// # Errors
/// Those of the database.
pub async fn load_label_values(session: &Session) -> Result<Vec<(String, String)>, PgError> {
    let rows = session.query("SELECT label, value FROM smscope.label_values", &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        let mut columns = Columns::of("label_values", row, 0);
        Ok((columns.get()?, columns.get()?))
    };
    rows.iter().map(read).collect()
}

/// Adds the statement that saves label values which a transaction has admitted.
pub fn save_label_values(writes: &mut Pipeline, values: &[(Label, String)]) {
    if values.is_empty() {
        return;
    }
    let labels: Vec<&str> = values.iter().map(|(label, _)| label.as_str()).collect();
    let values: Vec<String> = values.iter().map(|(_, value)| without_nul(value).into_owned()).collect();
    writes.add(
        "INSERT INTO smscope.label_values (label, value) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
        columns![labels => TEXT_ARRAY, values => TEXT_ARRAY],
    );
}
