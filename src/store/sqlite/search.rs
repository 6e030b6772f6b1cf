//! Searching the journal for users: from its newest event backwards, so that what is asked for is found without reading a long history,
//! and forwards, to follow what arrives. What a number or a reference has is found by their keys, without reading the rest.

use std::collections::BinaryHeap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::journal::record_columns;
use super::query::ReadStore;
use super::search_index::Key;
use super::values::timestamp;
use super::{cohorts, journal, search_index};
use crate::number::networks;
use crate::record::{Entry, Kind, Position, Record};
use crate::store::StoreError;
use crate::store::erase::Subjects;

/// Events that are read at once: no long view of an old state keeps the write-ahead log from being shortened.
const PAGE: i64 = 1_000;

/// Messages and single events of a number or a reference that are looked up one by one.
const MOST_STARTS: usize = 1_000;

/// An event that may be meant: of two at a position the one with a chain is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    position: Position,
    /// The event before it of the same message may be meant as well.
    chain: bool,
}

/// Which events are meant. What is `None` or empty excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Arrived here at this time or later…
    pub since: Option<Timestamp>,
    /// …and before this.
    pub until: Option<Timestamp>,
    pub source: Option<String>,
    pub kinds: Vec<Kind>,
    pub country: Option<String>,
    /// A MCCMNC or an operator's name.
    pub network: Option<String>,
    pub reason: Option<String>,
    /// Of a message or a reply, or of the message that a reply answers.
    pub message_id: Option<String>,
    pub ref_client: Option<String>,
    pub subjects: Option<Subjects>,
}

impl EventFilter {
    fn accepts(&self, entry: &Entry) -> bool {
        let Entry { received_at, record, .. } = entry;
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        let is_in_time =
            self.since.is_none_or(|since| *received_at >= since) && self.until.is_none_or(|until| *received_at < until);
        let answered = record.answers.as_ref().map(|answers| answers.message_id.as_str());
        is_in_time
            && is(&self.source, Some(record.source.as_str()))
            && (self.kinds.is_empty() || self.kinds.contains(&record.kind))
            && self.country.as_deref().is_none_or(|wanted| {
                record.country.as_deref().is_some_and(|country| country.eq_ignore_ascii_case(wanted))
            })
            && self.network.as_deref().is_none_or(|network| is_of_network(record, network))
            && is(&self.reason, record.reason.map(|reason| reason.as_str()))
            && (is(&self.message_id, record.message_id.as_deref())
                || is(&self.message_id, answered)
                || is(&self.message_id, record.origin_message_id.as_deref()))
            && is(&self.ref_client, record.ref_client.as_deref())
            && self.subjects.as_ref().is_none_or(|subjects| {
                record.number.as_deref().is_some_and(|number| subjects.have(record.source.as_str(), number))
            })
    }

    /// Texts that an event which is meant has in it: a look at its bytes is cheaper than decoding it.
    fn needles(&self) -> Vec<String> {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        [&self.message_id, &self.ref_client, &self.reason].into_iter().flatten().map(quoted).collect()
    }
}

fn is_of_network(record: &Record, wanted: &str) -> bool {
    let Some(code) = record.mccmnc.as_deref() else { return false };
    code == wanted || networks::name(code, record.network.as_deref()).eq_ignore_ascii_case(wanted)
}

impl ReadStore {
    /// The newest `limit` events that are meant, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest_events(&self, filter: &EventFilter, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let first = match filter.since {
            Some(since) => cohorts::first_since(&self.connection, "events", "received_at", since.as_millisecond())?,
            None => 0,
        };
        // One view: of what arrives meanwhile, none is passed over that is older than one that is found.
        let view = self.connection.unchecked_transaction()?;
        if let Some(starts) = self.starts(filter)? {
            return self.follow_chains(starts, filter, Position(first), limit);
        }
        drop(view);
        self.scan(filter, first, limit)
    }

    /// Where to find the events of a number or a reference: the newest events of its messages, whose chains lead to all others of
    /// theirs, and those that are found alone. `None`: neither is asked for; or there are so many of them that some are among the
    /// newest events.
    fn starts(&self, filter: &EventFilter) -> rusqlite::Result<Option<BinaryHeap<Start>>> {
        let (keys, alone): (Vec<Key>, &str) = match (&filter.ref_client, &filter.subjects) {
            (Some(reference), _) => (
                vec![Key::of_reference(reference)],
                "SELECT id FROM events INDEXED BY events_by_ref WHERE ref_key = ?1 LIMIT ?2",
            ),
            (None, Some(subjects)) => (
                subjects.last_digits().filter_map(Key::of_number).collect(),
                "SELECT id FROM events INDEXED BY events_by_number WHERE number_key = ?1 LIMIT ?2",
            ),
            (None, None) => return Ok(None),
        };
        let searchable_to = search_index::searchable_to(&self.connection)?;
        let mut messages = Vec::new();
        let mut starts = BinaryHeap::new();
        let mut alone = self.connection.prepare(alone)?;
        for key in keys {
            messages.extend(search_index::find(&self.connection, key)?);
            for position in alone.query_map(params![key, MOST_STARTS as i64 + 1], |row| row.get(0))? {
                starts.push(Start { position: position?, chain: false });
            }
            if messages.len() + starts.len() > MOST_STARTS {
                return Ok(None);
            }
        }
        let columns = "SELECT source, number, ref_client, newest_event FROM messages";
        let mut add = |row: &Row<'_>| {
            let is_meant = match (&filter.ref_client, &filter.subjects, row.get_ref(1)?.as_str_or_null()?) {
                (Some(reference), ..) => row.get_ref(2)?.as_str_or_null()? == Some(reference),
                (None, Some(subjects), Some(number)) => subjects.have(row.get_ref(0)?.as_str()?, number),
                _ => false,
            };
            if let Some(position) = row.get::<_, Option<Position>>(3)?.filter(|_| is_meant) {
                starts.push(Start { position, chain: true });
            }
            Ok::<_, rusqlite::Error>(())
        };
        let mut indexed = self.connection.prepare(&format!("{columns} WHERE id = ?1"))?;
        for message in messages {
            indexed.query_row([message], |row| add(row)).optional()?;
        }
        let mut later = self.connection.prepare(&format!("{columns} WHERE id > ?1"))?;
        let mut later = later.query([searchable_to])?;
        while let Some(row) = later.next()? {
            add(row)?;
        }
        Ok(Some(starts))
    }

    /// The newest of the events that are meant, from `first` on, by the chains of their messages.
    fn follow_chains(
        &self,
        mut starts: BinaryHeap<Start>,
        filter: &EventFilter,
        first: Position,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut event = self.connection.prepare(concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            ", previous FROM events WHERE id = ?1"
        ))?;
        let mut found = Vec::new();
        let mut before = Position(i64::MAX);
        while found.len() < limit
            && let Some(Start { position, chain }) = starts.pop()
            && position >= first
        {
            // One that is found alone may be in a chain too, which comes first.
            if position == before {
                continue;
            }
            before = position;
            let read = |row: &Row<'_>| Ok((journal::entry(row, 0)?, row.get::<_, Option<Position>>(4)?));
            let read = event.query_row([position], read).optional()?;
            // Older ones have expired.
            let Some((entry, previous)) = read else { continue };
            if let Some(position) = previous.filter(|_| chain) {
                starts.push(Start { position, chain });
            }
            if filter.accepts(&entry) {
                found.push(entry);
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The same, whatever is meant, by reading events until there are enough.
    pub(super) fn scan(&self, filter: &EventFilter, first: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut statement = self.connection.prepare(concat!(
            "SELECT id, received_at, ",
            record_columns!(),
            " FROM events WHERE id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
        ))?;
        let needles = filter.needles();
        let mut found = Vec::new();
        let mut before = Position(i64::MAX);
        while found.len() < limit {
            let mut rows = statement.query(params![before, first, PAGE])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                read += 1;
                before = row.get(0)?;
                let text = journal::record_json(row, 2)?;
                if !needles.iter().all(|needle| text.contains(needle)) {
                    continue;
                }
                let (received_at, record) = (timestamp(row.get(1)?)?, journal::parse(2, &text)?);
                let entry = Entry { position: before, received_at, record };
                if filter.accepts(&entry) {
                    found.push(entry);
                    if found.len() == limit {
                        break;
                    }
                }
            }
            if read < PAGE {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The events after `position` that are meant, of the next thousand, oldest first; and how far that reaches.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn events_after(&self, position: Position, filter: &EventFilter) -> Result<(Vec<Entry>, Position), StoreError> {
        let read = journal::read(&self.connection, position, PAGE as usize)?;
        let reached = read.last().map_or(position, |entry| entry.position);
        Ok((read.into_iter().filter(|entry| filter.accepts(entry)).collect(), reached))
    }
}
