//! `smscope export`: events or messages as JSON lines or CSV, for audits and for those who ask what is kept of them (GDPR, article
//! 15). Row by row, in constant memory.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::record::{Entry, Record};
use crate::report::quoted;
use crate::store::look::{View, Wanted};

/// What is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Each kept event, decoded
    #[default]
    Events,
    /// What is known of each message, also when its events are gone
    Messages,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An object a line
    #[default]
    Jsonl,
    /// RFC 4180, with a heading
    Csv,
}

/// Why an export ends early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the store cannot be read: {0}")]
    Store(#[from] rusqlite::Error),
    #[error("standard output: {0}")]
    Write(#[from] io::Error),
}

/// Columns of CSV: the members of an object.
const OF_EVENTS: &[&str] = &[
    "position",
    "received_at",
    "source",
    "kind",
    "occurred_at",
    "message_id",
    "ref_client",
    "origin_message_id",
    "campaign_id",
    "channel",
    "flow",
    "country",
    "number",
    "originator",
    "status",
    "detail",
    "reason",
    "mccmnc",
    "network",
    "parts",
    "cost_micros",
    "currency",
    "delivery_ms",
    "text",
    "why",
    "trace",
    "reconciled",
    "repaired",
    "erased",
];
const OF_MESSAGES: &[&str] = &[
    "source",
    "message_id",
    "state",
    "reason",
    "channel",
    "flow",
    "country",
    "number",
    "ref_client",
    "campaign_id",
    "mccmnc",
    "parts",
    "cost_micros",
    "currency",
    "accepted_at",
    "first_seen",
    "last_event",
    "settled_at",
    "erased_at",
];

#[derive(Serialize)]
struct Event<'a> {
    position: i64,
    received_at: Timestamp,
    #[serde(flatten)]
    record: &'a Record,
}

/// Writes what is wanted, and tells how far it is, from 0 to 1. Gives how many rows it wrote.
///
/// # Errors
/// The store cannot be read or `out` not written.
pub fn export(
    view: &View,
    wanted: &Wanted,
    table: Table,
    format: Format,
    out: &mut impl Write,
    mut tell: impl FnMut(f64),
) -> Result<u64, ExportError> {
    let columns = match table {
        Table::Events => OF_EVENTS,
        Table::Messages => OF_MESSAGES,
    };
    if format == Format::Csv {
        writeln!(out, "{}", columns.join(","))?;
    }
    let mut written = 0;
    let mut row = |row: Option<Value>, share: f64| -> Result<(), ExportError> {
        tell(share);
        let Some(Value::Object(row)) = row else { return Ok(()) };
        written += 1;
        match format {
            Format::Jsonl => serde_json::to_writer(&mut *out, &known(row)).map_err(io::Error::from)?,
            Format::Csv => {
                let cells = columns.iter().map(|column| cell(row.get(*column)));
                out.write_all(cells.collect::<Vec<_>>().join(",").as_bytes())?;
            }
        }
        Ok(out.write_all(b"\n")?)
    };
    match table {
        Table::Events => view.events(wanted, |entry, share| row(entry.as_ref().map(event), share))?,
        Table::Messages => {
            view.messages(wanted, |message, share| row(message.and_then(|m| serde_json::to_value(m).ok()), share))?;
        }
    }
    out.flush()?;
    Ok(written)
}

fn event(entry: &Entry) -> Value {
    let Entry { position, received_at, record } = entry;
    serde_json::to_value(Event { position: *position, received_at: *received_at, record }).unwrap_or_default()
}

/// The members that have a value.
fn known(row: Map<String, Value>) -> Map<String, Value> {
    row.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::{Reason, SourceName};
    use crate::record::Kind;

    #[test]
    fn csv_has_a_column_for_everything_that_an_event_can_have() {
        let some = || Some("1".to_owned());
        let record = Record {
            occurred_at: Some(Timestamp::UNIX_EPOCH),
            channel: some(),
            flow: some(),
            country: some(),
            message_id: some(),
            ref_client: some(),
            origin_message_id: some(),
            campaign_id: some(),
            status: some(),
            detail: some(),
            reason: Some(Reason::Unknown),
            number: some(),
            originator: some(),
            mccmnc: some(),
            network: some(),
            parts: Some(1),
            cost_micros: Some(1),
            currency: some(),
            delivery_ms: Some(1),
            text: some(),
            why: some(),
            trace: some(),
            reconciled: true,
            erased: true,
            ..Record::new(Kind::Failed, SourceName::new("smsmode").unwrap())
        };
        let whole = event(&Entry { position: 1, received_at: Timestamp::UNIX_EPOCH, record });
        let members: BTreeSet<&str> = whole.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, OF_EVENTS.iter().copied().collect());
    }
}
