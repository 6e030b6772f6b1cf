//! The journal, and the requests of its events.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::super::error::PgError;
use super::super::journal::from_json;
use super::super::packed;
use super::super::session::{Session, params};
use super::super::values::Columns;
use crate::event::TraceParent;
use crate::record::{Entry, Position};
use crate::store::read::{Person, PersonalEvent, StoredEvent};
use crate::store::{Raw, Unrecognized};

/// Events that one request can have brought: one of a JSON array, and more are never made of one.
const MOST_EVENTS: i64 = 1_000;

pub async fn newest(session: &Session) -> Result<Position, PgError> {
    let sql = "SELECT greatest((SELECT max(position) FROM smscope.journal), \
         (SELECT value::bigint FROM smscope.meta WHERE key = 'journal_head'), 0)";
    let found = session.query_opt(sql, &[]).await?;
    found.map_or(Ok(Position::default()), |row| columns(&row).get())
}

pub async fn entries_after(session: &Session, position: Position, limit: usize) -> Result<Vec<Entry>, PgError> {
    let sql = "SELECT position, received_at, event FROM smscope.journal WHERE position > $1 ORDER BY position LIMIT $2";
    let rows = session.query(sql, params![position => INT8, limited(limit) => INT8]).await?;
    rows.iter().map(|row| entry(&mut columns(row))).collect()
}

pub async fn events_after(session: &Session, position: Position, limit: usize) -> Result<Vec<StoredEvent>, PgError> {
    let sql = "SELECT position, received_at, source, event FROM smscope.journal WHERE position > $1 ORDER BY position LIMIT $2";
    let rows = session.query(sql, params![position => INT8, limited(limit) => INT8]).await?;
    rows.iter().map(stored).collect()
}

pub async fn events_before(session: &Session, position: Position, limit: usize) -> Result<Vec<StoredEvent>, PgError> {
    let sql = "SELECT position, received_at, source, event FROM smscope.journal WHERE position < $1 \
         ORDER BY position DESC LIMIT $2";
    let rows = session.query(sql, params![position => INT8, limited(limit) => INT8]).await?;
    rows.iter().map(stored).collect()
}

pub async fn requests_of(session: &Session, positions: &[Position]) -> Result<HashMap<Position, Raw>, PgError> {
    let (Some(first), Some(last)) = (positions.iter().min(), positions.iter().max()) else { return Ok(HashMap::new()) };
    // By their range, and which of it as a filter: as a condition of an index each would be sought in each partition.
    let sql = "SELECT j.position, r.requests[j.received_index] \
         FROM smscope.journal AS j JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day \
         WHERE j.position BETWEEN $1 AND $2 AND j.position + 0 = ANY($3)";
    let rows = session.query(sql, params![first => INT8, last => INT8, positions => INT8_ARRAY]).await?;
    let mut requests = HashMap::new();
    for row in &rows {
        let mut columns = columns(row);
        let position = columns.get()?;
        requests.extend(packed::raw(columns.get()?)?.map(|(raw, _)| (position, raw)));
    }
    Ok(requests)
}

pub async fn personal_events_after(
    session: &Session,
    position: Position,
    limit: usize,
) -> Result<Vec<PersonalEvent>, PgError> {
    let sql = "SELECT j.position, j.source, j.kind, j.message, j.event, r.requests[j.received_index] \
         FROM smscope.journal AS j LEFT JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day \
         WHERE j.position > $1 ORDER BY j.position LIMIT $2";
    let rows = session.query(sql, params![position => INT8, limited(limit) => INT8]).await?;
    let read = |row: &Row| {
        let mut columns = columns(row);
        Ok(PersonalEvent {
            position: columns.get()?,
            source: columns.get()?,
            kind: columns.get()?,
            message: columns.get()?,
            person: Person::of(columns.get()?),
            raw: packed::raw(columns.get()?)?.map(|(raw, _)| raw),
        })
    };
    rows.iter().map(read).collect()
}

pub async fn chain(session: &Session, newest: Position) -> Result<Vec<Entry>, PgError> {
    let sql = "WITH RECURSIVE chain AS (\
           SELECT position, received_at, event, previous FROM smscope.journal WHERE position = $1 \
           UNION ALL SELECT j.position, j.received_at, j.event, j.previous FROM chain AS c \
           JOIN smscope.journal AS j ON j.position = c.previous AND j.position < c.position) \
         SELECT position, received_at, event FROM chain ORDER BY position";
    let rows = session.query(sql, params![newest => INT8]).await?;
    rows.iter().map(|row| entry(&mut columns(row))).collect()
}

pub async fn event_and_previous(
    session: &Session,
    position: Position,
) -> Result<Option<(Entry, Option<Position>)>, PgError> {
    let sql = "SELECT position, received_at, event, previous FROM smscope.journal WHERE position = $1";
    let found = session.query_opt(sql, params![position => INT8]).await?;
    let read = |row: &Row| {
        let mut columns = columns(row);
        Ok((entry(&mut columns)?, columns.get()?))
    };
    found.as_ref().map(read).transpose()
}

pub async fn reply(session: &Session, ids: [&str; 2]) -> Result<Option<Entry>, PgError> {
    let sql = "SELECT position, received_at, event FROM smscope.journal WHERE kind IN ('reply.received', 'reply.stop') \
         AND (event::json ->> 'message_id' = $1 OR event::json ->> 'message_id' = $2) ORDER BY position LIMIT 1";
    let found = session.query_opt(sql, params![ids[0] => TEXT, ids[1] => TEXT]).await?;
    found.map(|row| entry(&mut columns(&row))).transpose()
}

pub async fn unrecognized_after(
    session: &Session,
    position: Position,
    newest: Position,
) -> Result<Option<(Unrecognized, Position)>, PgError> {
    let sql = "SELECT position, received_at, event, request FROM smscope.journal WHERE kind = 'webhook.unrecognized' \
         AND position > $1 AND position <= $2 AND event::json ->> 'reprocessed' IS NULL ORDER BY position LIMIT 1";
    let Some(row) = session.query_opt(sql, params![position => INT8, newest => INT8]).await? else { return Ok(None) };
    let mut first = columns(&row);
    let Entry { position, received_at, record } = entry(&mut first)?;
    let request = first.get::<Option<Position>>()?.unwrap_or(position);
    let window = [position, newest, request];
    let (events, is_alone, raw) =
        tokio::try_join!(unrecognized_of(session, window), is_alone(session, request), request_of(session, request),)?;
    let last = events.last().copied().unwrap_or(position);
    let found = Unrecognized {
        request,
        received_at,
        source: record.source,
        trace: record.trace.as_deref().and_then(TraceParent::parse),
        raw,
        is_whole: events == [request] && is_alone,
        events,
    };
    Ok(Some((found, last)))
}

/// The unrecognized events of `request` from `first` to `newest`.
async fn unrecognized_of(session: &Session, [first, newest, request]: [Position; 3]) -> Result<Vec<Position>, PgError> {
    let sql = "SELECT position FROM smscope.journal WHERE kind = 'webhook.unrecognized' \
         AND position >= $1 AND position < $1 + $2 AND position <= $3 AND coalesce(request, position) = $4 \
         AND event::json ->> 'reprocessed' IS NULL ORDER BY position";
    let rows = session.query(sql, params![first => INT8, MOST_EVENTS => INT8, newest => INT8, request => INT8]).await?;
    rows.iter().map(|row| columns(row).get()).collect()
}

/// Whether no other event has the request of this one.
async fn is_alone(session: &Session, request: Position) -> Result<bool, PgError> {
    let sql = "SELECT FROM smscope.journal WHERE position > $1 AND position < $1 + $2 AND request = $1 LIMIT 1";
    Ok(session.query_opt(sql, params![request => INT8, MOST_EVENTS => INT8]).await?.is_none())
}

async fn request_of(session: &Session, event: Position) -> Result<Option<Raw>, PgError> {
    Ok(requests_of(session, &[event]).await?.remove(&event))
}

/// The lowest and the highest position.
pub async fn ends(session: &Session) -> Result<Option<(i64, i64)>, PgError> {
    let sql = "SELECT min(position), max(position) FROM smscope.journal";
    let Some(row) = session.query_opt(sql, &[]).await? else { return Ok(None) };
    let mut columns = columns(&row);
    Ok(columns.get::<Option<i64>>()?.zip(columns.get()?))
}

pub async fn first_from(session: &Session, position: i64) -> Result<Option<(i64, i64)>, PgError> {
    let sql = "SELECT position, received_at FROM smscope.journal WHERE position >= $1 ORDER BY position LIMIT 1";
    let found = session.query_opt(sql, params![position => INT8]).await?;
    found
        .map(|row| {
            let mut columns = columns(&row);
            Ok((columns.get()?, columns.get()?))
        })
        .transpose()
}

/// An entry of the next columns: position, time and record.
pub fn entry(columns: &mut Columns<'_>) -> Result<Entry, PgError> {
    Ok(Entry { position: columns.get()?, received_at: columns.time()?, record: from_json(columns.get()?)? })
}

fn stored(row: &Row) -> Result<StoredEvent, PgError> {
    let mut columns = columns(row);
    Ok(StoredEvent {
        position: columns.get()?,
        received_at: columns.time()?,
        source: columns.get()?,
        json: columns.get()?,
    })
}

fn columns(row: &Row) -> Columns<'_> {
    Columns::of("journal", row, 0)
}

/// A number of rows.
pub fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
