//! Reading the store beside its writer: for background jobs, and for people by commands.
//!
//! [`Reader`] is what a database has to answer, a page at a time: no long view of an old state, which would hold up the write-ahead
//! log of one database and the vacuum of the other. What is made of the pages is here, once for both.

pub mod cohorts;
pub mod query;
pub mod search;

use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::erase::Subjects;
use super::ids::{DeliveryId, MessageRowId, OptOutSeq};
use super::opt_outs::OptOut;
use super::postgres::{Connector, PgReaders};
use super::relays::{Due, Undelivered};
use super::resends::DueResends;
use super::shared::Gauges;
use super::{OpenError, Raw, Settings, StoreError, Unrecognized, sqlite};
use crate::event::SourceName;
use crate::record::{Entry, Position, Record};
use crate::route::RelayName;
use cohorts::{Cohort, Detail};
use query::Message;

/// Rows that are read at once; few in tests, where there are several pages too.
pub(super) const PAGE: usize = if cfg!(test) { 3 } else { 1_000 };

/// A store that is only read, in use or not.
pub struct ReadStore(Box<dyn Reader>);

/// Reads a database. Each call sees all that was committed before it, and blocks until the database has answered.
pub(super) trait Reader: Send + Sync {
    /// What a number, as it is stored, has said to senders of a source, the oldest first.
    fn opt_outs_of(&self, source: &SourceName, number: &str) -> Result<Vec<OptOut>, StoreError>;

    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order.
    fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError>;

    /// Up to `limit` deliveries of a relay that are due at `now`, the longest due first, those aside that are `in_flight`.
    fn due(&self, relay: &RelayName, now: Timestamp, in_flight: &[DeliveryId], limit: usize)
    -> Result<Due, StoreError>;

    /// Deliveries that were not made, the oldest first: of one relay or all, waiting or given up.
    fn undelivered(&self, relay: Option<&str>, only_dead: bool, limit: usize) -> Result<Vec<Undelivered>, StoreError>;

    /// Up to `limit` resends of a source that are due at `now`, the longest due first.
    fn due_resends(&self, source: &SourceName, now: Timestamp, limit: usize) -> Result<DueResends, StoreError>;

    /// Up to `limit` messages of a source that are pending since `before` or longer, the longest first. Not those whose id is that of
    /// many messages (legacy).
    fn overdue(&self, source: &SourceName, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, StoreError>;

    /// The next request after the event `position` and up to `newest` that was not understood, and the last of its events that were
    /// not.
    fn unrecognized_after(
        &self,
        position: Position,
        newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError>;

    /// The store's own gauges.
    fn gauges(&self, settings: &Settings) -> Result<Gauges, StoreError>;

    /// The position of the newest event; 0 if there was none yet.
    fn newest(&self) -> Result<Position, StoreError>;

    /// Up to `limit` entries after `position`, the oldest first.
    fn entries_after(&self, position: Position, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The same events, not decoded yet.
    fn events_after(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Up to `limit` events before `position`, the newest first.
    fn events_before(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// The requests that are stored with these events. Of an event whose request is stored with another, or was erased, none.
    fn requests_of(&self, events: &[Position]) -> Result<HashMap<Position, Raw>, StoreError>;

    /// Up to `limit` events after `position`, as far as they tell of people.
    fn personal_events_after(&self, position: Position, limit: usize) -> Result<Vec<PersonalEvent>, StoreError>;

    /// The event `newest` and those before it of the same message, as far as they are stored, the oldest first.
    fn chain(&self, newest: Position) -> Result<Vec<Entry>, StoreError>;

    /// An event, and the position of the one before it of the same message; `None` where it has expired.
    fn event_and_previous(&self, position: Position) -> Result<Option<(Entry, Option<Position>)>, StoreError>;

    /// Where the events of a reference or, without one, of people are: the newest events of their messages, whose chains lead to all
    /// others of theirs, and those that are found alone. `None`: neither is asked for, there is no index of them, or there are so many
    /// of them that some are among the newest events.
    fn starts(
        &self,
        reference: Option<&str>,
        subjects: Option<&Subjects>,
    ) -> Result<Option<BinaryHeap<Start>>, StoreError>;

    /// The reply with one of these ids.
    fn reply(&self, ids: [&str; 2]) -> Result<Option<Entry>, StoreError>;

    /// Up to `limit` messages after `id`, in the order of first sight.
    fn messages_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Message>, StoreError>;

    /// The same messages, as far as they tell of people.
    fn recipients_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Recipient>, StoreError>;

    /// The messages with this id, of which a legacy id has many, in the order of first sight.
    fn messages_with_id(&self, id: &str) -> Result<Vec<Message>, StoreError>;

    /// The messages with this reference, in the order of first sight.
    fn messages_with_reference(&self, reference: &str) -> Result<Vec<Message>, StoreError>;

    /// How many messages from `first` on that were accepted at `since` or later there are of each cohort, with its network's code for
    /// the name. The same cohort may be there several times.
    fn cohorts(&self, first: MessageRowId, since: Timestamp, detail: Detail) -> Result<Vec<(Cohort, u64)>, StoreError>;

    /// The names under which networks have been counted, by their codes.
    fn network_names(&self) -> Result<HashMap<String, String>, StoreError>;

    /// The lowest and the highest id of a table; `None` while it is empty.
    fn ends(&self, table: Table) -> Result<Option<(i64, i64)>, StoreError>;

    /// The first row with this id or a higher one: its id, and when it was first seen or arrived, in Unix milliseconds.
    fn first_from(&self, table: Table, id: i64) -> Result<Option<(i64, i64)>, StoreError>;
}

/// An event that may be meant: of two at a position the one with a chain is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    pub position: Position,
    /// The event before it of the same message may be meant as well.
    pub chain: bool,
}

/// A table whose ids grow with the time of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    Messages,
}

/// An event as it is stored. Its record may be one that this version cannot read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredEvent {
    pub position: Position,
    pub received_at: Timestamp,
    pub source: String,
    /// The record.
    pub json: String,
}

impl StoredEvent {
    fn into_entry(self) -> Result<Entry, StoreError> {
        let Self { position, received_at, json, .. } = self;
        let record: Record = serde_json::from_str(&json)
            .map_err(|error| StoreError::Database(format!("the event {position} cannot be read: {error}")))?;
        Ok(Entry { position, received_at, record })
    }
}

/// An event with the request that is stored with it.
pub(super) struct PersonalEvent {
    pub position: Position,
    pub source: String,
    pub kind: String,
    pub message: Option<MessageRowId>,
    pub raw: Option<Raw>,
    pub person: Person,
}

/// Whom a message is to.
pub(super) struct Recipient {
    pub id: MessageRowId,
    pub source: String,
    pub message_id: String,
    pub number: Option<String>,
    /// The recipient of a legacy message, or what stands for an erased one.
    pub part: String,
    pub is_erased: bool,
}

/// What a record says of a person. It can be read of a record that cannot, as a whole: one that a newer version has written.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Person {
    pub number: Option<String>,
    pub ref_client: Option<String>,
    pub message_id: Option<String>,
    pub erased: bool,
}

impl Person {
    /// What is there of it in the JSON of a record.
    pub fn of(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }
}

/// A message that should have had its final receipt by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    pub message_id: String,
    pub channel: String,
    /// The provider's time of acceptance, else of sending, else that of first arrival here.
    pub accepted_at: Timestamp,
}

impl ReadStore {
    /// The embedded store in `folder`.
    ///
    /// # Errors
    /// There is none, or one of another version.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self(Box::new(sqlite::Readers::checked(folder)?)))
    }

    /// The store of a fleet.
    ///
    /// # Errors
    /// The server cannot be reached, or has no store, or one of another version.
    pub fn connect(connector: Connector) -> Result<Self, OpenError> {
        Ok(Self(Box::new(PgReaders::checked(connector)?)))
    }

    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError> {
        self.0.opt_outs_after(seq, limit)
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
        self.0.undelivered(relay, only_dead, limit)
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
        self.0.unrecognized_after(position, newest)
    }

    /// The position of the newest event.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest(&self) -> Result<Position, StoreError> {
        self.0.newest()
    }

    /// The lowest id of the rows whose time is `since` or later, of messages by first sight or events by arrival. Ids grow with
    /// these, so a search by halves finds it without an index; and nothing is accepted after it was first seen, so nothing before it
    /// is wanted.
    fn first_since(&self, table: Table, since: Timestamp) -> Result<i64, StoreError> {
        let Some((mut low, newest)) = self.0.ends(table)? else { return Ok(0) };
        let mut high = newest + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.0.first_from(table, middle)? {
                Some((id, time)) if time < since.as_millisecond() => low = id + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
