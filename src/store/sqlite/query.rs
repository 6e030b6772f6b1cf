//! Reading events and messages for users, beside the writer: a thousand rows at a time, so that no long view of an old state prevents
//! the write-ahead log from being shortened.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::connection::connect_to_read;
use super::journal::record_columns;
use super::search_index::Key;
use super::values::timestamp;
use super::{cohorts, conversations, journal, outbox, schema, search_index, unrecognized};
use crate::event::plain_id;
use crate::record::{Entry, Position};
use crate::store::erase::Subjects;
use crate::store::ids::{MessageRowId, OptOutSeq};
use crate::store::opt_outs::OptOut;
use crate::store::relays::Undelivered;
use crate::store::{OpenError, Raw, StoreError, Unrecognized};

/// Rows that are read at once.
const AT_ONCE: i64 = 1_000;

/// A store that is only read, in use or not.
pub struct ReadStore {
    pub(super) connection: Connection,
}

/// Which events or messages are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Arrived here, or first seen, at this time or later…
    pub since: Option<Timestamp>,
    /// …and before this.
    pub until: Option<Timestamp>,
    /// The provider's id of a message or a reply.
    pub message: Option<String>,
    pub subjects: Option<Subjects>,
}

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub source: String,
    pub message_id: String,
    #[serde(skip)]
    pub id: MessageRowId,
    /// The newest of its events.
    #[serde(skip)]
    pub newest_event: Option<Position>,
    pub state: String,
    pub reason: Option<String>,
    pub channel: String,
    pub flow: String,
    pub country: String,
    pub number: Option<String>,
    pub ref_client: Option<String>,
    pub campaign_id: Option<String>,
    pub mccmnc: Option<String>,
    pub parts: Option<u32>,
    pub cost_micros: Option<i64>,
    pub currency: Option<String>,
    pub accepted_at: Timestamp,
    pub first_seen: Timestamp,
    pub last_event: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
}

const OF_A_MESSAGE: &str = "id, source, message_id, state, reason, channel, flow, country, number, ref_client, campaign_id, mccmnc, \
    parts, cost_micros, currency, accepted_at, first_seen, last_event, settled_at, erased_at, newest_event";

impl ReadStore {
    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError> {
        Ok(conversations::opt_outs_after(&self.connection, seq, limit)?)
    }

    /// Deliveries that were not made, the oldest first: of one relay or all, waiting or given up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn undelivered(
        &self,
        relay: Option<&str>,
        only_dead: bool,
        limit: usize,
    ) -> Result<Vec<Undelivered>, StoreError> {
        Ok(outbox::undelivered(&self.connection, relay, only_dead, limit)?)
    }

    /// The next request that was not understood, and the last of its events that were not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unrecognized_after(
        &self,
        position: Position,
        newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError> {
        Ok(unrecognized::next(&self.connection, position, newest)?)
    }

    /// The position of the newest event.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest(&self) -> Result<Position, StoreError> {
        Ok(journal::newest(&self.connection)?)
    }

    /// # Errors
    /// There is no store in `folder`, or one of another version.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let connection = connect_to_read(folder)?;
        schema::check(&connection)?;
        Ok(Self { connection })
    }

    /// Hands over each selected event, oldest first, and how far the walk is, from 0 to 1. Ends early when `each` fails.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn events<E: From<StoreError>>(
        &self,
        selection: &Selection,
        each: impl FnMut(Option<Entry>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.journal(selection, each, |entry, _| Ok(Some(entry)))
    }

    /// The same for the requests that are stored with these events.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn requests<E: From<StoreError>>(
        &self,
        selection: &Selection,
        each: impl FnMut(Option<(Entry, Raw)>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.journal(selection, each, |entry, row| Ok(journal::request(row, 4)?.map(|raw| (entry, raw))))
    }

    fn journal<T, E: From<StoreError>>(
        &self,
        selection: &Selection,
        each: impl FnMut(Option<T>, f64) -> Result<(), E>,
        take: impl Fn(Entry, &Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<(), E> {
        const QUERY: &str = concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            ", method, coalesce(query, ''), content_type, body, packed, source FROM events WHERE id > ?1 ORDER BY id LIMIT ?2"
        );
        let message: Option<&str> = selection.message.as_deref();
        let mut statement = self.connection.prepare(QUERY).map_err(StoreError::from)?;
        self.walk(selection, "events", "received_at", each, |place, found| {
            let mut rows = statement.query([place, AT_ONCE])?;
            while let Some(row) = rows.next()? {
                // Not the whole record: what is not selected may be unreadable.
                let json = journal::record_json(row, 2)?;
                let person = journal::person(&json);
                let is_selected = message.is_none_or(|message| person.message_id.as_deref() == Some(message))
                    && selection.is_of(row.get_ref(9)?.as_str()?, person.number.as_deref());
                let (position, received_at) = (Position(row.get(0)?), timestamp(row.get(1)?)?);
                let entry = |record| Entry { position, received_at, record };
                let taken = if is_selected { take(entry(journal::parse(2, &json)?), row)? } else { None };
                found.push((position.0, received_at, taken));
            }
            Ok(())
        })
    }

    /// The same for messages, by the time at which they were first seen.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn messages<E: From<StoreError>>(
        &self,
        selection: &Selection,
        each: impl FnMut(Option<Message>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let query = format!("SELECT {OF_A_MESSAGE} FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2");
        let mut statement = self.connection.prepare(&query).map_err(StoreError::from)?;
        self.walk(selection, "messages", "first_seen", each, |place, found| {
            let mut rows = statement.query([place, AT_ONCE])?;
            while let Some(row) = rows.next()? {
                let message = message(row)?;
                let is_selected = selection.message.as_ref().is_none_or(|id| *id == message.message_id)
                    && selection.is_of(&message.source, message.number.as_deref());
                found.push((message.id.0, message.first_seen, is_selected.then_some(message)));
            }
            Ok(())
        })
    }

    fn walk<T, E: From<StoreError>>(
        &self,
        selection: &Selection,
        table: &str,
        time: &str,
        mut each: impl FnMut(Option<T>, f64) -> Result<(), E>,
        mut read: impl FnMut(i64, &mut Vec<(i64, Timestamp, Option<T>)>) -> rusqlite::Result<()>,
    ) -> Result<(), E> {
        // Two seeks: both aggregates in one query would read the whole table.
        let ends =
            format!("SELECT coalesce((SELECT min(id) FROM {table}), 1), coalesce((SELECT max(id) FROM {table}), 0)");
        let ends = self.connection.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (oldest, newest): (i64, i64) = ends.map_err(StoreError::from)?;
        let first = match selection.since {
            Some(since) => cohorts::first_since(&self.connection, table, time, since.as_millisecond()),
            None => Ok(oldest),
        };
        let first = first.map_err(StoreError::from)?;
        let mut place = first - 1;
        let mut found = Vec::new();
        while place < newest {
            read(place, &mut found).map_err(StoreError::from)?;
            if found.is_empty() {
                break;
            }
            for (id, at, row) in found.drain(..) {
                place = id;
                // Clocks step back, so times are not quite in the order of places.
                let in_time =
                    selection.since.is_none_or(|since| at >= since) && selection.until.is_none_or(|until| at < until);
                let share = (id - first + 1) as f64 / (newest - first + 1) as f64;
                each(row.filter(|_| in_time), share)?;
            }
        }
        Ok(())
    }

    /// The messages with this id or, where there is none, with this reference; each with its events.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn journeys(&self, id: &str) -> Result<Vec<(Message, Vec<Entry>)>, StoreError> {
        let mut messages = self.messages_with_id(id)?;
        if messages.is_empty() {
            messages = self.messages_by("ref_client", id, Key::of_reference(id))?;
        }
        let journey = |message: Message| self.events_of(message.newest_event).map(|events| (message, events));
        Ok(messages.into_iter().map(journey).collect::<rusqlite::Result<_>>()?)
    }

    /// The messages with this id, of which a legacy id has many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages_with_id(&self, id: &str) -> Result<Vec<Message>, StoreError> {
        let id = plain_id(id.trim().to_owned());
        Ok(self.messages_by("message_id", &id, Key::of_id(&id))?)
    }

    /// The messages that have a value in a column, which has the key.
    fn messages_by(&self, column: &str, value: &str, key: Key) -> rusqlite::Result<Vec<Message>> {
        // What is indexed meanwhile is found twice.
        let after = format!("SELECT id FROM messages WHERE id > ?1 AND {column} = ?2");
        let mut found: BTreeSet<MessageRowId> = self
            .connection
            .prepare(&after)?
            .query_map(params![search_index::searchable_to(&self.connection)?, value], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        found.extend(search_index::find(&self.connection, key)?);
        let query = format!("SELECT {OF_A_MESSAGE} FROM messages WHERE id = ?1 AND {column} = ?2");
        let mut row = self.connection.prepare(&query)?;
        let messages = found.into_iter().map(|id| row.query_row(params![id, value], message).optional());
        messages.filter_map(Result::transpose).collect()
    }

    /// The events of a message, the oldest first.
    fn events_of(&self, newest: Option<Position>) -> rusqlite::Result<Vec<Entry>> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            ", previous FROM events WHERE id = ?1"
        ))?;
        let (mut events, mut next) = (Vec::new(), newest);
        while let Some(position) = next {
            let event = statement.query_row([position], |row| Ok((journal::entry(row, 0)?, row.get(4)?))).optional()?;
            // Older ones have expired.
            let Some((entry, previous)) = event else { break };
            events.push(entry);
            next = previous;
        }
        events.reverse();
        Ok(events)
    }

    /// The reply with this id, which is no message of its own.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reply(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self
            .connection
            .query_row(
                concat!(
                    "SELECT id, received_at, ",
                    record_columns!(),
                    " FROM events INDEXED BY events_replies \
                     WHERE kind IN ('reply.received', 'reply.stop') AND event ->> '$.message_id' IN (?1, ?2)"
                ),
                params![id, plain_id(id.to_owned())],
                |row| journal::entry(row, 0),
            )
            .optional()?)
    }
}

impl Selection {
    fn is_of(&self, source: &str, number: Option<&str>) -> bool {
        match (&self.subjects, number) {
            (None, _) => true,
            (Some(subjects), Some(number)) => subjects.have(source, number),
            (Some(_), None) => false,
        }
    }
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
