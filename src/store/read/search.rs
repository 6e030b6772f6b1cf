//! Searching the journal for users: from its newest event backwards, so that what is asked for is found without reading a long history,
//! and forwards, to follow what arrives. What a number or a reference has is found by their keys, without reading the rest.

use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::{PAGE, ReadStore, Start, Table};
use crate::number::networks;
use crate::record::{Entry, Kind, Position, Record};
use crate::store::StoreError;
use crate::store::erase::Subjects;

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
        match self.0.starts(filter.ref_client.as_deref(), filter.subjects.as_ref())? {
            Some(starts) => self.follow_chains(starts, filter, limit),
            None => self.scan(filter, limit),
        }
    }

    /// Where a search ends that goes backwards.
    fn first(&self, filter: &EventFilter) -> Result<Position, StoreError> {
        let first = filter.since.map(|since| self.first_since(Table::Events, since)).transpose()?;
        Ok(Position(first.unwrap_or_default()))
    }

    /// The newest of the events that are meant, by the chains of their messages.
    fn follow_chains(
        &self,
        mut starts: BinaryHeap<Start>,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let first = self.first(filter)?;
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
            // Older ones have expired.
            let Some((entry, previous)) = self.0.event_and_previous(position)? else { continue };
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
    pub(in crate::store) fn scan(&self, filter: &EventFilter, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let first = self.first(filter)?;
        let needles = filter.needles();
        let mut found = Vec::new();
        // Where all are meant, these are the ones.
        let (mut before, mut page) = (Position(i64::MAX), limit.min(PAGE));
        while found.len() < limit {
            let events = self.0.events_before(before, page)?;
            let (read, last) = (events.len(), events.last().map(|event| event.position));
            for event in events.into_iter().take_while(|event| event.position >= first) {
                if !needles.iter().all(|needle| event.json.contains(needle)) {
                    continue;
                }
                let entry = event.into_entry()?;
                if filter.accepts(&entry) {
                    found.push(entry);
                    if found.len() == limit {
                        break;
                    }
                }
            }
            match last {
                Some(last) if read == page && last > first => before = last,
                _ => break,
            }
            page = PAGE;
        }
        found.reverse();
        Ok(found)
    }

    /// The events after `position` that are meant, of the next thousand, oldest first; and how far that reaches.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn events_after(&self, position: Position, filter: &EventFilter) -> Result<(Vec<Entry>, Position), StoreError> {
        let read = self.0.entries_after(position, PAGE)?;
        let reached = read.last().map_or(position, |entry| entry.position);
        Ok((read.into_iter().filter(|entry| filter.accepts(entry)).collect(), reached))
    }
}
