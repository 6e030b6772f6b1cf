//! Events and messages as users read them, a page at a time.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::journal::record_columns;
use super::search_index::Key;
use super::values::timestamp;
use super::{journal, search_index};
use crate::record::{Entry, Position};
use crate::store::Raw;
use crate::store::ids::MessageRowId;
use crate::store::query::Message;
use crate::store::read::{Person, PersonalEvent, Recipient, StoredEvent, Table};

/// By what the messages are found.
#[derive(Clone, Copy)]
pub enum SearchedColumn {
    Id,
    Reference,
}

/// A query of messages, as [`message`] takes them.
macro_rules! messages {
    ($condition:literal) => {
        concat!(
            "SELECT id, source, message_id, state, reason, channel, flow, country, number, ref_client, campaign_id, mccmnc, parts, ",
            "cost_micros, currency, accepted_at, first_seen, last_event, settled_at, erased_at, newest_event FROM messages WHERE ",
            $condition
        )
    };
}

/// A query of events, as [`event`] takes them.
macro_rules! events {
    ($condition:literal) => {
        concat!("SELECT id, received_at, source, ", record_columns!(), " FROM events WHERE ", $condition)
    };
}

pub fn events_after(connection: &Connection, position: Position, limit: usize) -> rusqlite::Result<Vec<StoredEvent>> {
    connection
        .prepare_cached(events!("id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![position, limit as i64], event)?
        .collect()
}

pub fn events_before(connection: &Connection, position: Position, limit: usize) -> rusqlite::Result<Vec<StoredEvent>> {
    connection
        .prepare_cached(events!("id < ?1 ORDER BY id DESC LIMIT ?2"))?
        .query_map(params![position, limit as i64], event)?
        .collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        position: row.get(0)?,
        received_at: timestamp(row.get(1)?)?,
        source: row.get(2)?,
        json: journal::record_json(row, 3)?.into_owned(),
    })
}

/// The requests that are stored with these events.
pub fn requests_of(connection: &Connection, events: &[Position]) -> rusqlite::Result<HashMap<Position, Raw>> {
    let mut statement = connection
        .prepare_cached("SELECT method, coalesce(query, ''), content_type, body, packed FROM events WHERE id = ?1")?;
    let mut requests = HashMap::new();
    for event in events {
        let request = statement.query_row([event], |row| journal::request(row, 0)).optional()?;
        requests.extend(request.flatten().map(|raw| (*event, raw)));
    }
    Ok(requests)
}

pub fn personal_events_after(
    connection: &Connection,
    position: Position,
    limit: usize,
) -> rusqlite::Result<Vec<PersonalEvent>> {
    let read = |row: &Row<'_>| {
        Ok(PersonalEvent {
            position: row.get(0)?,
            source: row.get(1)?,
            kind: row.get(2)?,
            message: row.get(3)?,
            raw: journal::request(row, 4)?,
            person: Person::of(&journal::record_json(row, 9)?),
        })
    };
    connection
        .prepare_cached(concat!(
            "SELECT id, source, kind, message, coalesce(method, ''), coalesce(query, ''), content_type, body, packed, ",
            record_columns!(),
            " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2"
        ))?
        .query_map(params![position, limit as i64], read)?
        .collect()
}

/// The event `newest` and those before it of the same message, the oldest first.
pub fn chain(connection: &Connection, newest: Position) -> rusqlite::Result<Vec<Entry>> {
    let (mut events, mut next) = (Vec::new(), Some(newest));
    while let Some(position) = next {
        // Older ones have expired.
        let Some((entry, previous)) = event_and_previous(connection, position)? else { break };
        events.push(entry);
        next = previous;
    }
    events.reverse();
    Ok(events)
}

/// An event, and the position of the one before it of the same message.
pub fn event_and_previous(
    connection: &Connection,
    position: Position,
) -> rusqlite::Result<Option<(Entry, Option<Position>)>> {
    connection
        .prepare_cached(concat!("SELECT id, received_at, ", record_columns!(), ", previous FROM events WHERE id = ?1"))?
        .query_row([position], |row| Ok((journal::entry(row, 0)?, row.get(4)?)))
        .optional()
}

/// The reply with one of these ids.
pub fn reply(connection: &Connection, ids: [&str; 2]) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            " FROM events INDEXED BY events_replies \
             WHERE kind IN ('reply.received', 'reply.stop') AND event ->> '$.message_id' IN (?1, ?2)"
        ))?
        .query_row(ids, |row| journal::entry(row, 0))
        .optional()
}

pub fn messages_after(connection: &Connection, id: MessageRowId, limit: usize) -> rusqlite::Result<Vec<Message>> {
    connection
        .prepare_cached(messages!("id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![id, limit as i64], message)?
        .collect()
}

pub fn recipients_after(connection: &Connection, id: MessageRowId, limit: usize) -> rusqlite::Result<Vec<Recipient>> {
    let read = |row: &Row<'_>| {
        Ok(Recipient {
            id: row.get(0)?,
            source: row.get(1)?,
            message_id: row.get(2)?,
            number: row.get(3)?,
            part: row.get(4)?,
            is_erased: row.get(5)?,
        })
    };
    connection
        .prepare_cached(
            "SELECT id, source, message_id, number, part, erased_at IS NOT NULL FROM messages WHERE id > ?1 \
             ORDER BY id LIMIT ?2",
        )?
        .query_map(params![id, limit as i64], read)?
        .collect()
}

/// By their keys, and not by an index of ids: that would be written all over by each message.
/// The messages with this id, or with this reference.
pub fn messages_with(connection: &Connection, column: SearchedColumn, value: &str) -> rusqlite::Result<Vec<Message>> {
    let (key, later, row) = match column {
        SearchedColumn::Id => (
            Key::of_id(value),
            "SELECT id FROM messages WHERE id > ?1 AND message_id = ?2",
            messages!("id = ?1 AND message_id = ?2"),
        ),
        SearchedColumn::Reference => (
            Key::of_reference(value),
            "SELECT id FROM messages WHERE id > ?1 AND ref_client = ?2",
            messages!("id = ?1 AND ref_client = ?2"),
        ),
    };
    // What is indexed meanwhile is found twice.
    let mut found: BTreeSet<MessageRowId> = connection
        .prepare_cached(later)?
        .query_map(params![search_index::searchable_to(connection)?, value], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    found.extend(search_index::find(connection, key)?);
    let mut row = connection.prepare_cached(row)?;
    let messages = found.into_iter().map(|id| row.query_row(params![id, value], message).optional());
    messages.filter_map(Result::transpose).collect()
}

/// The lowest and the highest id of a table.
pub fn ends(connection: &Connection, table: Table) -> rusqlite::Result<Option<(i64, i64)>> {
    // Two seeks: both aggregates in one query would read the whole table.
    let ends = match table {
        Table::Events => "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)",
        Table::Messages => "SELECT (SELECT min(id) FROM messages), (SELECT max(id) FROM messages)",
    };
    connection.prepare_cached(ends)?.query_row([], |row| {
        let (lowest, highest): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(lowest.zip(highest))
    })
}

/// Id and time of the first row with this id or a higher one.
pub fn first_from(connection: &Connection, table: Table, id: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    let first = match table {
        Table::Events => "SELECT id, received_at FROM events WHERE id >= ?1 ORDER BY id LIMIT 1",
        Table::Messages => "SELECT id, first_seen FROM messages WHERE id >= ?1 ORDER BY id LIMIT 1",
    };
    connection.prepare_cached(first)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let time = |column| timestamp(row.get(column)?);
    let time_or_none = |column| row.get::<_, Option<i64>>(column)?.map(timestamp).transpose();
    Ok(Message {
        id: row.get(0)?,
        source: row.get(1)?,
        message_id: row.get(2)?,
        state: row.get(3)?,
        reason: row.get(4)?,
        channel: row.get(5)?,
        flow: row.get(6)?,
        country: row.get(7)?,
        number: row.get(8)?,
        ref_client: row.get(9)?,
        campaign_id: row.get(10)?,
        mccmnc: row.get(11)?,
        parts: row.get(12)?,
        cost_micros: row.get(13)?,
        currency: row.get(14)?,
        accepted_at: time(15)?,
        first_seen: time(16)?,
        last_event: time(17)?,
        settled_at: time_or_none(18)?,
        erased_at: time_or_none(19)?,
        newest_event: row.get(20)?,
    })
}
