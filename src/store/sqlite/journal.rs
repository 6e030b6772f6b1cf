//! The table `events`: the journal.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::packing;
use super::search_index::Key;
use super::transaction::SqliteTx;
use super::unrecognized;
use super::values::{timestamp, unreadable, word};
use crate::event::{Reason, SourceName};
use crate::record::{Entry, Position, Record};
use crate::store::core::storage::{EventRequest, EventRow, Journal, NewEvent, StoredBody};
use crate::store::{Raw, Reprocessed};

/// The columns of which [`record`] reads a record, in this order.
macro_rules! record_columns {
    () => {
        "event, packed"
    };
}
pub(super) use record_columns;

/// What SQL finds in `event` of an event that is packed.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Journal for SqliteTx<'_> {
    fn next_position(&self) -> Position {
        self.next_position
    }

    fn append(&mut self, event: &NewEvent<'_>) -> rusqlite::Result<Position> {
        let (mut request, mut raw, stored_with) = match event.request {
            EventRequest::None => (None, None, None),
            EventRequest::Own(raw) => (Some(raw), Some(raw), None),
            EventRequest::Redacted(raw) => (Some(raw), None, None),
            EventRequest::StoredWith(position) => (None, None, Some(position)),
        };
        let record = event.record;
        let mut shown = to_json(record)?;
        let is_redacted = record.erased || matches!(event.request, EventRequest::Redacted(_));
        let form = if is_redacted { None } else { packed(record, &shown, raw) };
        let packed = form.map(|(short, packed)| {
            shown = short;
            (request, raw) = (None, None);
            packed
        });
        let own = event.needs_own_keys.then_some(record);
        let position = self.next_position;
        self.connection
            .prepare_cached(
                "INSERT INTO events (id, received_at, source, kind, message, previous, event, packed, request, method, query, \
                 content_type, body, number_key, ref_key) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                position,
                event.received_at.as_millisecond(),
                record.source.as_str(),
                record.kind.as_str(),
                event.message,
                event.previous,
                shown,
                packed,
                stored_with,
                request.map(|raw| raw.method.as_str()),
                raw.map(|raw| raw.query.as_str()),
                request.and_then(|raw| raw.content_type.as_deref()),
                raw.map(|raw| &raw.body[..]),
                own.and_then(|record| Key::of_number(record.number.as_deref()?)),
                own.and_then(|record| record.ref_client.as_deref().map(Key::of_reference)),
            ])?;
        self.next_position = position.plus(1);
        Ok(position)
    }

    fn event(&self, position: Position) -> rusqlite::Result<Option<EventRow>> {
        self.connection
            .prepare_cached(concat!("SELECT received_at, previous, ", record_columns!(), " FROM events WHERE id = ?1"))?
            .query_row([position], |row| {
                Ok(EventRow { received_at: timestamp(row.get(0)?)?, previous: row.get(1)?, record: record(row, 2)? })
            })
            .optional()
    }

    fn event_source(&self, position: Position) -> rusqlite::Result<Option<(SourceName, Option<Position>)>> {
        self.connection
            .prepare_cached("SELECT source, request FROM events WHERE id = ?1")?
            .query_row([position], |row| Ok((word(row, 0, SourceName::new)?, row.get(1)?)))
            .optional()
    }

    fn readable_record(&self, position: Position) -> rusqlite::Result<Option<Record>> {
        self.connection
            .prepare_cached(concat!("SELECT ", record_columns!(), " FROM events WHERE id = ?1"))?
            .query_row([position], |row| Ok(record(row, 0).ok()))
            .optional()
            .map(Option::flatten)
    }

    fn put_record(&mut self, position: Position, record: &Record) -> rusqlite::Result<()> {
        unpack(self.connection, position)?;
        self.connection
            .prepare_cached("UPDATE events SET event = ?2, number_key = iif(?3, number_key, NULL), ref_key = iif(?4, ref_key, NULL) WHERE id = ?1")?
            .execute(params![position, to_json(record)?, record.number.is_some(), record.ref_client.is_some()])
            .map(drop)
    }

    fn request_body(&self, position: Position) -> rusqlite::Result<Option<StoredBody>> {
        self.connection
            .prepare_cached(
                "SELECT received_at, coalesce(method, ''), coalesce(query, ''), content_type, body, packed FROM events \
                 WHERE id = ?1",
            )?
            .query_row([position], |row| Ok((timestamp(row.get(0)?)?, request(row, 1)?.map(|raw| raw.body.into()))))
            .optional()
    }

    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> rusqlite::Result<()> {
        unpack(self.connection, position)?;
        self.connection
            .prepare_cached("UPDATE events SET query = NULL, body = ?2 WHERE id = ?1")?
            .execute(params![position, body])
            .map(drop)
    }

    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> rusqlite::Result<()> {
        unrecognized::resolve(self.connection, reprocessed)
    }
}

/// The packed form of an event that has one, with what SQL finds in `event` then. `json`: the record.
pub fn packed(record: &Record, json: &str, raw: Option<&Raw>) -> Option<(String, Vec<u8>)> {
    if !record.kind.is_receipt() || record.erased {
        return None;
    }
    let packed = packing::pack(json, raw)?;
    let Record { occurred_at, ref status, ref detail, reason, .. } = *record;
    let shown = Shown { occurred_at, status: status.as_deref(), detail: detail.as_deref(), reason };
    Some((to_json(&shown).ok()?, packed))
}

/// Stores an event that is packed as it is, so that it can be changed.
pub fn unpack(connection: &Connection, position: Position) -> rusqlite::Result<()> {
    let packed: Option<Vec<u8>> = connection
        .prepare_cached("SELECT packed FROM events WHERE id = ?1")?
        .query_row([position], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(packed) = packed else { return Ok(()) };
    let unpacked = packing::unpack(&packed)?;
    let raw = unpacked.raw()?;
    let raw = raw.as_ref();
    connection
        .prepare_cached(
            "UPDATE events SET event = ?2, packed = NULL, method = ?3, query = ?4, content_type = ?5, body = ?6 \
             WHERE id = ?1",
        )?
        .execute(params![
            position,
            unpacked.into_record()?,
            raw.map(|raw| raw.method.as_str()),
            raw.map(|raw| raw.query.as_str()),
            raw.and_then(|raw| raw.content_type.as_deref()),
            raw.map(|raw| &raw.body[..]),
        ])
        .map(drop)
}

/// Up to `limit` entries after `position`, oldest first.
pub fn read(connection: &Connection, position: Position, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached(concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2"
        ))?
        .query_map(params![position, i64::try_from(limit).unwrap_or(i64::MAX)], |row| entry(row, 0))?
        .collect()
}

/// An entry of the columns `id`, `received_at` and those of its record, the first of which is `column`.
pub fn entry(row: &Row<'_>, column: usize) -> rusqlite::Result<Entry> {
    Ok(Entry {
        position: row.get(column)?,
        received_at: timestamp(row.get(column + 1)?)?,
        record: record(row, column + 2)?,
    })
}

/// A record of its columns, the first of which is `column`.
pub fn record(row: &Row<'_>, column: usize) -> rusqlite::Result<Record> {
    serde_json::from_str(&record_json(row, column)?).map_err(|error| unreadable(column, error))
}

/// A record of its columns, as JSON.
pub fn record_json<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Cow<'a, str>> {
    Ok(match row.get_ref(column + 1)?.as_blob_or_null()? {
        Some(packed) => Cow::Owned(packing::unpack(packed)?.into_record()?),
        None => Cow::Borrowed(row.get_ref(column)?.as_str()?),
    })
}

/// A stored request, of the columns `method`, `query`, `content_type`, `body` and `packed`; `None` where it is stored with another
/// event, or was redacted.
pub fn request(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Raw>> {
    if let Some(packed) = row.get_ref(column + 4)?.as_blob_or_null()? {
        return Ok(packing::unpack(packed)?.raw()?);
    }
    let (method, query, body): (_, _, Option<Vec<u8>>) = (row.get(column)?, row.get(column + 1)?, row.get(column + 3)?);
    let (Some(method), Some(query), Some(body)) = (method, query, body) else { return Ok(None) };
    Ok(Some(Raw { method, query, content_type: row.get(column + 2)?, body: body.into() }))
}

fn to_json(record: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The position of the newest event.
pub fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM events")?.query_row([], |row| row.get(0))
}
