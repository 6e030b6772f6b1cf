//! The table `events`: the journal.

use rusqlite::{Connection, OptionalExtension, params};

use super::transaction::SqliteTx;
use super::unrecognized;
use super::values::{timestamp, unreadable, word};
use crate::event::SourceName;
use crate::record::{Entry, Kind, Position, Record};
use crate::store::Reprocessed;
use crate::store::core::storage::{EventRequest, EventRow, Journal, NewEvent, StoredBody};
use crate::store::ids::MessageRowId;

impl Journal for SqliteTx<'_> {
    fn append(&mut self, event: &NewEvent<'_>) -> rusqlite::Result<Position> {
        let (request, raw, stored_with) = match event.request {
            EventRequest::None => (None, None, None),
            EventRequest::Own(raw) => (Some(raw), Some(raw), None),
            EventRequest::Redacted(raw) => (Some(raw), None, None),
            EventRequest::StoredWith(position) => (None, None, Some(position)),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO events (received_at, source, kind, message, event, request, method, query, content_type, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .insert(params![
                event.received_at.as_millisecond(),
                event.record.source.as_str(),
                event.record.kind.as_str(),
                event.message,
                to_json(event.record)?,
                stored_with,
                request.map(|raw| raw.method.as_str()),
                raw.map(|raw| raw.query.as_str()),
                request.and_then(|raw| raw.content_type.as_deref()),
                raw.map(|raw| &raw.body[..]),
            ])
            .map(Position)
    }

    fn event(&self, position: Position) -> rusqlite::Result<Option<EventRow>> {
        self.connection
            .prepare_cached("SELECT received_at, event FROM events WHERE id = ?1")?
            .query_row([position], |row| {
                Ok(EventRow { received_at: timestamp(row.get(0)?)?, record: from_json(1, row.get_ref(1)?.as_str()?)? })
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
        let record: Option<String> = self
            .connection
            .prepare_cached("SELECT event FROM events WHERE id = ?1")?
            .query_row([position], |row| row.get(0))
            .optional()?;
        Ok(record.and_then(|record| serde_json::from_str(&record).ok()))
    }

    fn put_record(&mut self, position: Position, record: &Record) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE events SET event = ?2 WHERE id = ?1")?
            .execute(params![position, to_json(record)?])
            .map(drop)
    }

    fn request_body(&self, position: Position) -> rusqlite::Result<Option<StoredBody>> {
        self.connection
            .prepare_cached("SELECT received_at, body FROM events WHERE id = ?1")?
            .query_row([position], |row| Ok((timestamp(row.get(0)?)?, row.get(1)?)))
            .optional()
    }

    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE events SET query = NULL, body = ?2 WHERE id = ?1")?
            .execute(params![position, body])
            .map(drop)
    }

    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> rusqlite::Result<()> {
        unrecognized::resolve(self.connection, reprocessed)
    }

    fn newest_text(&self, message: MessageRowId) -> rusqlite::Result<Option<String>> {
        self.connection
            .prepare_cached(
                "SELECT event ->> '$.text' FROM events WHERE message = ?1 AND kind LIKE 'message.%' \
                 AND event ->> '$.text' IS NOT NULL ORDER BY id DESC LIMIT 1",
            )?
            .query_row([message], |row| row.get(0))
            .optional()
    }

    fn has_event(&self, message: MessageRowId, kind: Kind) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM events WHERE message = ?1 AND kind = ?2")?
            .exists(params![message, kind.as_str()])
    }
}

/// Up to `limit` entries after `position`, oldest first.
pub fn read(connection: &Connection, position: Position, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached("SELECT id, received_at, event FROM events WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![position, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            entry(row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?)
        })?
        .collect()
}

/// An entry of its columns.
pub fn entry(position: Position, received_at: i64, record: &str) -> rusqlite::Result<Entry> {
    Ok(Entry { position, received_at: timestamp(received_at)?, record: from_json(2, record)? })
}

/// A record of its column.
pub fn from_json(column: usize, record: &str) -> rusqlite::Result<Record> {
    serde_json::from_str(record).map_err(|error| unreadable(column, error))
}

fn to_json(record: &Record) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The position of the newest event.
pub fn newest(connection: &Connection) -> rusqlite::Result<Position> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM events")?.query_row([], |row| row.get(0))
}
