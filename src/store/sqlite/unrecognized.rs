//! Stored requests that were not understood when they came, for a decoder that has learned something since.

use rusqlite::{Connection, OptionalExtension, params};

use super::journal::{self, record_columns};
use crate::event::TraceParent;
use crate::record::{Entry, Position};
use crate::store::{Reprocessed, Unrecognized};

/// Events that one request can have brought: one of a JSON array, and more are never made of one.
const MOST_EVENTS: i64 = 1_000;

/// The next request after the event `position` that has unrecognized events, and the last of these.
pub fn next(
    connection: &Connection,
    position: Position,
    newest: Position,
) -> rusqlite::Result<Option<(Unrecognized, Position)>> {
    let first: Option<(Position, Option<Position>)> = connection
        .prepare_cached(
            "SELECT id, request FROM events INDEXED BY events_unrecognized \
             WHERE kind = 'webhook.unrecognized' AND id > ?1 AND id <= ?2 AND event ->> '$.reprocessed' IS NULL ORDER BY id LIMIT 1",
        )?
        .query_row([position, newest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, request)) = first else { return Ok(None) };
    let request = request.unwrap_or(first);
    let events: Vec<Position> = connection
        .prepare_cached(
            "SELECT id FROM events INDEXED BY events_unrecognized \
             WHERE kind = 'webhook.unrecognized' AND id >= ?1 AND id < ?1 + ?2 AND id <= ?3 AND coalesce(request, id) = ?4 \
             AND event ->> '$.reprocessed' IS NULL ORDER BY id",
        )?
        .query_map(params![first, MOST_EVENTS, newest, request], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let is_whole = events == [request]
        && !connection
            .prepare_cached("SELECT 1 FROM events WHERE id > ?1 AND id < ?1 + ?2 AND request = ?1")?
            .exists(params![request, MOST_EVENTS])?;
    let last = events.last().copied().unwrap_or(first);
    let Entry { received_at, record, .. } = connection
        .prepare_cached(concat!("SELECT id, received_at, ", record_columns!(), " FROM events WHERE id = ?1"))?
        .query_row([first], |row| journal::entry(row, 0))?;
    let raw = connection
        .prepare_cached(
            "SELECT coalesce(method, ''), coalesce(query, ''), content_type, body, packed FROM events WHERE id = ?1",
        )?
        .query_row([request], |row| journal::request(row, 0))
        .optional()?
        .flatten();
    let found = Unrecognized {
        request,
        received_at,
        source: record.source,
        trace: record.trace.as_deref().and_then(TraceParent::parse),
        raw,
        events,
        is_whole,
    };
    Ok(Some((found, last)))
}

/// Notes that the events are understood now.
pub fn resolve(connection: &Connection, reprocessed: &Reprocessed) -> rusqlite::Result<()> {
    for event in &reprocessed.resolves {
        connection
            .prepare_cached("UPDATE events SET event = json_set(event, '$.reprocessed', json('true')) WHERE id = ?1")?
            .execute([event])?;
    }
    if let Some((query, body)) = &reprocessed.redacted {
        journal::unpack(connection, reprocessed.request)?;
        connection
            .prepare_cached("UPDATE events SET query = ?2, body = ?3 WHERE id = ?1 AND body IS NOT NULL")?
            .execute(params![reprocessed.request, query, body])?;
    }
    Ok(())
}
