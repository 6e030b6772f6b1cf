//! `smscope export`: events or messages as JSON lines or CSV, for audits and for requests of access (GDPR, article 15). Row by row, in
//! constant memory.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Exit;
use super::csv_output::{self, CsvOutput};
use super::parse::{subjects, time};
use super::progress_bar::ProgressBar;
use super::store_view::view;
use crate::config::Loaded;
use crate::record::{Entry, Position, Record};
use crate::store::query::{Message, ReadStore, Selection};
use crate::store::{Raw, StoreError};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What to export
    #[arg(long, value_enum, default_value_t)]
    pub table: Table,
    /// Only what arrived here, or was first seen, at this time or later: 2026-04-01, 2026-04-01T10:00Z, or 7d ago [default: all]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Only what did so before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
    /// Only the message with this id
    #[arg(long, value_name = "MESSAGE_ID")]
    pub message: Option<String>,
    /// Only what is of this phone number; - reads numbers from standard input, one per line, so that no list of processes shows them
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// # Errors
/// There is no store, or it cannot be read; a recipient that is no number.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let subjects = match &arguments.recipient[..] {
        [] => None,
        recipients => Some(subjects(&loaded.config, recipients)?),
    };
    let selection =
        Selection { since: arguments.since, until: arguments.until, message: arguments.message.clone(), subjects };
    let view = view(&loaded.config)?;
    let bar = ProgressBar::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = export(&view, &selection, arguments.table, arguments.format, &mut out, |share| {
        bar.show("exporting", share);
    });
    bar.end();
    match written {
        Ok(_) => Ok(ExitCode::SUCCESS),
        // The reader has closed the pipe: it has what it needs.
        Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Exit::failure(error)),
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Each stored event, decoded
    #[default]
    Events,
    /// What is known of each message, also when its events are gone
    Messages,
    /// Each stored request, as it came
    Requests,
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
enum ExportError {
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("standard output: {0}")]
    Write(#[from] io::Error),
}

/// The first columns of CSV; those of the record follow.
const FIRST_COLUMNS: [&str; 4] = ["position", "received_at", "source", "kind"];

/// The columns of a request.
const REQUEST: [&str; 8] =
    ["position", "received_at", "source", "method", "query", "content_type", "body", "body_base64"];

#[derive(Serialize)]
struct Event<'a> {
    position: Position,
    received_at: Timestamp,
    #[serde(flatten)]
    record: &'a Record,
}

/// Writes the selected rows, and reports progress from 0 to 1 to `tell`. Returns the number of rows.
///
/// # Errors
/// The store cannot be read or `out` not written.
fn export(
    view: &ReadStore,
    selection: &Selection,
    table: Table,
    format: Format,
    out: &mut impl Write,
    mut tell: impl FnMut(f64),
) -> Result<u64, ExportError> {
    let columns = columns(table);
    let mut out = match format {
        Format::Jsonl => Rows::Jsonl(out),
        Format::Csv => Rows::Csv(Box::new(CsvOutput::new(out, &columns)?)),
    };
    let mut written = 0;
    let mut row = |row: Option<Value>, share: f64| -> Result<(), ExportError> {
        tell(share);
        let Some(Value::Object(row)) = row else { return Ok(()) };
        written += 1;
        match &mut out {
            Rows::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &without_nulls(row)).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Rows::Csv(csv) => csv.object(&columns, &row)?,
        }
        Ok(())
    };
    match table {
        Table::Events => view.events(selection, |entry, share| row(entry.as_ref().map(event), share))?,
        Table::Messages => {
            view.messages(selection, |message, share| row(message.and_then(|m| serde_json::to_value(m).ok()), share))?;
        }
        Table::Requests => view.requests(selection, |stored, share| row(stored.map(request), share))?,
    }
    match out {
        Rows::Jsonl(out) => out.flush()?,
        Rows::Csv(csv) => csv.finish()?,
    }
    Ok(written)
}

/// The output of rows.
enum Rows<W: Write> {
    Jsonl(W),
    Csv(Box<CsvOutput<W>>),
}

fn columns(table: Table) -> Vec<&'static str> {
    match table {
        Table::Events => {
            let rest = csv_output::fields::<Record>().iter().filter(|field| !FIRST_COLUMNS.contains(field));
            FIRST_COLUMNS.iter().chain(rest).copied().collect()
        }
        Table::Messages => csv_output::fields::<Message>().to_vec(),
        Table::Requests => REQUEST.to_vec(),
    }
}

fn event(entry: &Entry) -> Value {
    let Entry { position, received_at, record } = entry;
    serde_json::to_value(Event { position: *position, received_at: *received_at, record }).unwrap_or_default()
}

/// A request that is stored with an event. A body that is no text is there in base64.
fn request((entry, raw): (Entry, Raw)) -> Value {
    let (body, body_base64) = match String::from_utf8(raw.body.into()) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    };
    json!({
        "position": entry.position,
        "received_at": entry.received_at,
        "source": entry.record.source,
        "method": raw.method,
        "query": raw.query,
        "content_type": raw.content_type,
        "body": body,
        "body_base64": body_base64,
    })
}

/// The members that have a value.
fn without_nulls(row: Map<String, Value>) -> Map<String, Value> {
    row.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::{Reason, SourceName};
    use crate::record::{Answers, Kind, MatchedBy, Resend, Through};

    /// A record in which everything is known. Every field is named here, so that a new one is not forgotten.
    fn full() -> Record {
        let some = || Some("a \"b\", c".to_owned());
        Record {
            kind: Kind::Failed,
            source: SourceName::new("smsmode").unwrap(),
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
            cost_micros: Some(-1),
            currency: some(),
            delivery_ms: Some(1),
            text: some(),
            answers: Some(Answers {
                message_id: "m, 1".into(),
                ref_client: some(),
                campaign_id: None,
                accepted_at: Timestamp::UNIX_EPOCH,
                after_ms: 5,
                matched_by: MatchedBy::Number,
            }),
            replaces: some(),
            resend: Some(Resend {
                rule: "absent, or \"away\"".into(),
                attempt: 1,
                attempts: 2,
                through: Through::Api,
                until: Timestamp::UNIX_EPOCH,
            }),
            why: some(),
            trace: some(),
            reconciled: true,
            repaired: true,
            reprocessed: true,
            arrived_at: Some(Timestamp::UNIX_EPOCH),
            erased: true,
        }
    }

    #[test]
    fn csv_has_a_column_for_everything_that_an_event_can_have_and_gives_it_back() {
        let whole = event(&Entry { position: Position(1), received_at: Timestamp::UNIX_EPOCH, record: full() });
        let whole = whole.as_object().unwrap();
        let columns = columns(Table::Events);
        assert_eq!(whole.keys().map(String::as_str).collect::<BTreeSet<_>>(), columns.iter().copied().collect());

        let mut out = Vec::new();
        let mut csv = CsvOutput::new(&mut out, &columns).unwrap();
        csv.object(&columns, whole).unwrap();
        csv.finish().unwrap();
        let mut reader = csv::Reader::from_reader(&*out);
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), columns);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        for (column, cell) in columns.iter().zip(&rows[0]) {
            match &whole[*column] {
                Value::String(text) => assert_eq!(cell, text, "{column}"),
                other => assert_eq!(&serde_json::from_str::<Value>(cell).unwrap(), other, "{column}"),
            }
        }
    }

    #[test]
    fn a_request_is_exported_as_it_came_also_where_it_is_no_text() {
        for (body, member, expected) in
            [(&b"{\"a\":1}\n"[..], "body", "{\"a\":1}\n"), (&[0xff, 0x00], "body_base64", "/wA=")]
        {
            let record = Record::new(Kind::Unrecognized, SourceName::new("smsmode").unwrap());
            let entry = Entry { position: Position(1), received_at: Timestamp::UNIX_EPOCH, record };
            let raw =
                Raw { method: "POST".into(), query: "a=1".into(), content_type: None, body: body.to_vec().into() };
            let row = without_nulls(request((entry, raw)).as_object().unwrap().clone());
            assert_eq!(row[member], expected);
            assert_eq!(row.len(), 6, "{row:?}");
            assert!(row.keys().all(|member| REQUEST.contains(&member.as_str())), "{row:?}");
        }
    }

    #[test]
    fn csv_has_a_column_for_all_that_is_known_of_a_message() {
        let columns = columns(Table::Messages);
        assert!(columns.contains(&"message_id") && columns.contains(&"erased_at"), "{columns:?}");
        assert!(!columns.contains(&"id"), "{columns:?}");
    }
}
