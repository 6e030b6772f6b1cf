//! Walking through events and messages for users, and finding the journey of one message.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::ReadStore;
use super::{PAGE, Person, StoredEvent, Table};
use crate::event::plain_id;
use crate::record::{Entry, Position};
use crate::store::erase::Subjects;
use crate::store::ids::MessageRowId;
use crate::store::{Raw, StoreError};

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

/// A row that was walked over: its id and time, and what is wanted of it.
type Walked<T> = (i64, Timestamp, Option<T>);

impl ReadStore {
    /// Hands over each selected event, oldest first, and how far the walk is, from 0 to 1. Ends early when `each` fails.
    ///
    /// # Errors
    /// The store cannot be read, or `each` failed.
    pub fn events<E: From<StoreError>>(
        &self,
        selection: &Selection,
        each: impl FnMut(Option<Entry>, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(selection, Table::Events, each, |place| {
            let walked = |event: StoredEvent| -> Result<Walked<Entry>, StoreError> {
                let (id, at, is_selected) = (event.position.0, event.received_at, selection.is_of_event(&event));
                Ok((id, at, if is_selected { Some(event.into_entry()?) } else { None }))
            };
            self.0.events_after(Position(place), PAGE)?.into_iter().map(walked).collect()
        })
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
        self.walk(selection, Table::Events, each, |place| {
            let events = self.0.events_after(Position(place), PAGE)?;
            let selected = events.iter().filter(|event| selection.is_of_event(event)).map(|event| event.position);
            let mut requests = self.0.requests_of(&selected.collect::<Vec<_>>())?;
            let walked = |event: StoredEvent| -> Result<Walked<(Entry, Raw)>, StoreError> {
                let (id, at) = (event.position.0, event.received_at);
                let request = requests.remove(&event.position);
                let taken = request.map(|raw| event.into_entry().map(|entry| (entry, raw)));
                Ok((id, at, taken.transpose()?))
            };
            events.into_iter().map(walked).collect()
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
        self.walk(selection, Table::Messages, each, |place| {
            let walked = |message: Message| {
                let is_selected = selection.message.as_ref().is_none_or(|id| *id == message.message_id)
                    && selection.is_of(&message.source, message.number.as_deref());
                (message.id.0, message.first_seen, is_selected.then_some(message))
            };
            Ok(self.0.messages_after(MessageRowId(place), PAGE)?.into_iter().map(walked).collect())
        })
    }

    /// `read`: the rows after an id.
    fn walk<T, E: From<StoreError>>(
        &self,
        selection: &Selection,
        table: Table,
        mut each: impl FnMut(Option<T>, f64) -> Result<(), E>,
        read: impl Fn(i64) -> Result<Vec<Walked<T>>, StoreError>,
    ) -> Result<(), E> {
        let Some((oldest, newest)) = self.0.ends(table)? else { return Ok(()) };
        let first = match selection.since {
            Some(since) => self.first_since(table, since)?,
            None => oldest,
        };
        let mut place = first - 1;
        while place < newest {
            let rows = read(place)?;
            if rows.is_empty() {
                break;
            }
            for (id, at, row) in rows {
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
            messages = self.0.messages_with_reference(id)?;
        }
        let journey = |message: Message| {
            let events = message.newest_event.map(|newest| self.0.chain(newest)).transpose()?;
            Ok((message, events.unwrap_or_default()))
        };
        messages.into_iter().map(journey).collect()
    }

    /// The messages with this id, of which a legacy id has many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages_with_id(&self, id: &str) -> Result<Vec<Message>, StoreError> {
        self.0.messages_with_id(&plain_id(id.trim().to_owned()))
    }

    /// The reply with this id, which is no message of its own.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reply(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        self.0.reply([id, &plain_id(id.to_owned())])
    }
}

impl Selection {
    /// Not by the whole record: what is not selected may be unreadable.
    fn is_of_event(&self, event: &StoredEvent) -> bool {
        if self.message.is_none() && self.subjects.is_none() {
            return true;
        }
        let person = Person::of(&event.json);
        self.message.as_ref().is_none_or(|id| person.message_id.as_ref() == Some(id))
            && self.is_of(&event.source, person.number.as_deref())
    }

    fn is_of(&self, source: &str, number: Option<&str>) -> bool {
        match (&self.subjects, number) {
            (None, _) => true,
            (Some(subjects), Some(number)) => subjects.have(source, number),
            (Some(_), None) => false,
        }
    }
}
