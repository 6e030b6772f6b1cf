//! Reading events and messages for people: beside whoever writes, a thousand rows at a time, so that no long view of an old state
//! keeps the write-ahead log from being shortened.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::erase::People;
use super::lookup;
use super::messages::timestamp;
use super::opt_outs::{self, OptOut};
use super::relays::{self, Undelivered};
use super::unrecognized::{self, Unrecognized};
use crate::event::plain_id;
use crate::record::{Entry, Record};

/// Rows that are read at once.
const AT_ONCE: i64 = 1_000;

/// A store that is looked into.
pub struct View {
    pub(super) connection: Connection,
}

/// Which events or messages are meant.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Arrived here, or first seen, at this time or later…
    pub since: Option<Timestamp>,
    /// …and before this.
    pub until: Option<Timestamp>,
    /// The provider's id of a message or a reply.
    pub message: Option<String>,
    pub people: Option<People>,
}

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub source: String,
    pub message_id: String,
    #[serde(skip)]
    pub id: i64,
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
    parts, cost_micros, currency, accepted_at, first_seen, last_event, settled_at, erased_at";

impl View {
    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn opt_outs_after(&self, seq: i64, limit: usize) -> rusqlite::Result<Vec<OptOut>> {
        opt_outs::after(&self.connection, seq, limit)
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
    ) -> rusqlite::Result<Vec<Undelivered>> {
        relays::undelivered(&self.connection, relay, only_dead, limit)
    }

    /// The next request that was not understood, as [`super::Store::unrecognized_after`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unrecognized_after(&self, position: i64, newest: i64) -> rusqlite::Result<Option<(Unrecognized, i64)>> {
        unrecognized::next(&self.connection, position, newest)
    }

    /// The place of the newest event.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))
    }

    /// # Errors
    /// There is no store in `folder`, or one of another version.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let connection = super::connection::connect_to_read(folder)?;
        super::schema::check(&connection)?;
        Ok(Self { connection })
    }

    /// Hands over each event that is wanted, oldest first, and how far the walk is, from 0 to 1. Ends early when `each` fails.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn events<E: From<rusqlite::Error>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(Option<Entry>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let message: Option<&str> = wanted.message.as_deref();
        let mut statement = self.connection.prepare(
            "SELECT id, received_at, event ->> '$.message_id', event ->> '$.number', source, event FROM events \
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        self.walk(wanted, "events", "received_at", each, |place, found| {
            let mut rows = statement.query([place, AT_ONCE])?;
            while let Some(row) = rows.next()? {
                let is_wanted = || -> rusqlite::Result<bool> {
                    let id = row.get_ref(2)?.as_str_or_null()?;
                    let number = row.get_ref(3)?.as_str_or_null()?;
                    Ok(message.is_none_or(|message| id == Some(message))
                        && wanted.is_of(row.get_ref(4)?.as_str()?, number))
                };
                let (position, received_at) = (row.get(0)?, timestamp(row.get(1)?)?);
                let entry = is_wanted()?.then(|| record(row, 5)).transpose()?;
                found.push((position, received_at, entry.map(|record| Entry { position, received_at, record })));
            }
            Ok(())
        })
    }

    /// The same for messages, by the time at which they were first seen.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn messages<E: From<rusqlite::Error>>(
        &self,
        wanted: &Wanted,
        each: impl FnMut(Option<Message>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let query = format!("SELECT {OF_A_MESSAGE} FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2");
        let mut statement = self.connection.prepare(&query)?;
        self.walk(wanted, "messages", "first_seen", each, |place, found| {
            let mut rows = statement.query([place, AT_ONCE])?;
            while let Some(row) = rows.next()? {
                let message = message(row)?;
                let is_wanted = wanted.message.as_ref().is_none_or(|id| *id == message.message_id)
                    && wanted.is_of(&message.source, message.number.as_deref());
                found.push((message.id, message.first_seen, is_wanted.then_some(message)));
            }
            Ok(())
        })
    }

    fn walk<T, E: From<rusqlite::Error>>(
        &self,
        wanted: &Wanted,
        table: &str,
        time: &str,
        mut each: impl FnMut(Option<T>, f64) -> Result<(), E>,
        mut read: impl FnMut(i64, &mut Vec<(i64, Timestamp, Option<T>)>) -> rusqlite::Result<()>,
    ) -> Result<(), E> {
        let newest: i64 =
            self.connection.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))?;
        let first = match wanted.since {
            Some(since) => super::cohorts::first_since(&self.connection, table, time, since.as_millisecond())?,
            None => {
                self.connection.query_row(&format!("SELECT coalesce(min(id), 1) FROM {table}"), [], |row| row.get(0))?
            }
        };
        let mut place = first - 1;
        let mut found = Vec::new();
        while place < newest {
            read(place, &mut found)?;
            if found.is_empty() {
                break;
            }
            for (id, at, row) in found.drain(..) {
                place = id;
                // Clocks step back, so times are not quite in the order of places.
                let in_time =
                    wanted.since.is_none_or(|since| at >= since) && wanted.until.is_none_or(|until| at < until);
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
    pub fn journeys(&self, id: &str) -> rusqlite::Result<Vec<(Message, Vec<Entry>)>> {
        let mut messages = self.messages_with_id(id)?;
        if messages.is_empty() {
            let query = format!("SELECT {OF_A_MESSAGE} FROM messages WHERE ref_client = ?1 ORDER BY id");
            messages = self.connection.prepare(&query)?.query_map([id], message)?.collect::<rusqlite::Result<_>>()?;
        }
        let journey = |message: Message| self.events_of(message.id).map(|events| (message, events));
        messages.into_iter().map(journey).collect()
    }

    /// The messages with this id, of which a legacy id has many. By their keys, and not by an index of ids: that would be written all
    /// over by each message.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages_with_id(&self, id: &str) -> rusqlite::Result<Vec<Message>> {
        let id = plain_id(id.trim().to_owned());
        // Keys move from the newest messages to the table: what moves meanwhile is found in both.
        let mut found: BTreeSet<i64> = self
            .connection
            .prepare_cached(
                "SELECT id FROM messages WHERE id > coalesce((SELECT value FROM meta WHERE key = 'keys_indexed_to'), 0) \
                 AND message_id = ?1",
            )?
            .query_map([&id], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut with_key = self.connection.prepare_cached("SELECT message FROM message_keys WHERE key = ?1")?;
        for source in self.sources()? {
            for key in [lookup::short_hash(&[&source, &id, ""]), lookup::id_key(&source, &id)] {
                for message in with_key.query_map([key], |row| row.get(0))? {
                    found.insert(message?);
                }
            }
        }
        let query = format!("SELECT {OF_A_MESSAGE} FROM messages WHERE id = ?1 AND message_id = ?2");
        let mut row = self.connection.prepare_cached(&query)?;
        let messages = found.into_iter().map(|place| row.query_row(params![place, id], message).optional());
        messages.filter_map(Result::transpose).collect()
    }

    /// All sources that ever had a message, configured now or not.
    fn sources(&self) -> rusqlite::Result<Vec<String>> {
        self.connection
            .prepare_cached("SELECT DISTINCT labels ->> '$.source' FROM ledger WHERE metric = 'sms_messages_total'")?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    fn events_of(&self, message: i64) -> rusqlite::Result<Vec<Entry>> {
        self.connection
            .prepare_cached("SELECT id, received_at, event FROM events WHERE message = ?1 ORDER BY id")?
            .query_map([message], |row| {
                Ok(Entry { position: row.get(0)?, received_at: timestamp(row.get(1)?)?, record: record(row, 2)? })
            })?
            .collect()
    }

    /// The reply with this id, which is no message of its own.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reply(&self, id: &str) -> rusqlite::Result<Option<Entry>> {
        self.connection
            .query_row(
                "SELECT id, received_at, event FROM events INDEXED BY events_replies \
                 WHERE kind IN ('reply.received', 'reply.stop') AND event ->> '$.message_id' IN (?1, ?2)",
                params![id, plain_id(id.to_owned())],
                |row| {
                    Ok(Entry { position: row.get(0)?, received_at: timestamp(row.get(1)?)?, record: record(row, 2)? })
                },
            )
            .optional()
    }
}

impl Wanted {
    fn is_of(&self, source: &str, number: Option<&str>) -> bool {
        match (&self.people, number) {
            (None, _) => true,
            (Some(people), Some(number)) => people.have(source, number),
            (Some(_), None) => false,
        }
    }
}

fn record(row: &Row<'_>, column: usize) -> rusqlite::Result<Record> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
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
    })
}
