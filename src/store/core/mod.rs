//! The rules of the store: what a webhook, an expiry, an attempt of a relay or an erasure changes. No SQL and no I/O: what the rules
//! read and write goes through [`Storage`], so that they are the same on every database and are tested without one.
//!
//! A driver (`sqlite/writer.rs`) opens a transaction, makes a [`Tx`] on it, runs commands, saves the counters ([`Outcome`]) in the
//! same transaction, commits, and then publishes the outcome. If anything fails, it drops all of it.

pub mod conversations;
pub mod erase;
mod expiry;
mod ingest;
mod lookups;
pub mod opt_outs;
mod pseudonymizer;
mod records;
pub mod relays;
pub mod resends;
pub mod retention;
pub mod storage;

use std::time::Duration;

use jiff::Timestamp;
pub use lookups::Lookups;
pub use pseudonymizer::Pseudonymizer;
pub use records::{has_receipt_as_written, receipt_key, reply_key, unrecognized_key};
use storage::{MessageRow, NewEvent, Storage};

use super::floods::FirstSight;
use super::ids::OptOutSeq;
use super::{Settings, Submission};
use crate::event::SourceName;
use crate::ledger::accounting::{Counters, MessageLabels};
use crate::ledger::caps::LabelCaps;
use crate::ledger::catalogue::Metric;
use crate::ledger::{CounterUpdates, Ledger};
use crate::record::{Entry, Position, Record};

/// Rows that maintenance changes in one transaction: a short one, between two of requests.
pub const STEP: usize = 200;

/// What one receipt lets us observe, once the transaction has committed.
#[derive(Debug, PartialEq)]
pub struct Observation {
    pub labels: MessageLabels,
    /// From sent to delivered, by the provider's clock.
    pub delivered_in: Option<Duration>,
    /// From the provider's status time to the arrival here.
    pub delayed: Option<Duration>,
}

/// What a transaction gives besides the results of its commands, to be published once it has committed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counters: CounterUpdates,
    pub observations: Vec<Observation>,
    pub first_sights: Vec<FirstSight>,
    /// The newest event that was appended.
    pub newest: Option<Position>,
    /// All that were appended, if they are collected.
    pub appended: Vec<Entry>,
    /// Events that were appended earlier are not what they were.
    pub events_changed: bool,
    /// A relay has something to do.
    pub relays_changed: bool,
    /// There is another failure to be resent.
    pub resends_changed: bool,
    /// The latest opt-out, if there was one.
    pub newest_opt_out: Option<OptOutSeq>,
}

/// The rules on one open transaction.
pub struct Tx<'a, S> {
    pub storage: S,
    settings: &'a Settings,
    /// As of the last commit.
    ledger: &'a Ledger,
    caps: &'a mut LabelCaps,
    pseudonymizer: &'a Pseudonymizer,
    collects_events: bool,
    outcome: Outcome,
}

impl<'a, S: Storage> Tx<'a, S> {
    pub fn new(
        storage: S,
        settings: &'a Settings,
        ledger: &'a Ledger,
        caps: &'a mut LabelCaps,
        pseudonymizer: &'a Pseudonymizer,
    ) -> Self {
        Self { storage, settings, ledger, caps, pseudonymizer, collects_events: false, outcome: Outcome::default() }
    }

    /// The outcome is to have the events that are appended.
    pub fn collect_events(&mut self) {
        self.collects_events = true;
    }

    #[cfg(test)]
    pub fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The end of the commands: the storage, to be committed, and what to save and publish.
    pub fn finish(self) -> (S, Outcome) {
        (self.storage, self.outcome)
    }

    /// What will be asked of the storage to ingest `submissions`.
    pub fn lookups<'s>(&self, submissions: impl IntoIterator<Item = &'s Submission>) -> Lookups<'s> {
        Lookups::of(submissions, self.settings, self.pseudonymizer)
    }

    /// What a start does: the series that are known in advance exist, and what is not configured any more is settled.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn start(&mut self) -> Result<(), S::Error> {
        let sources: &'a [SourceName] = &self.settings.sources;
        for source in sources {
            self.counters().open_reply_kinds(source.as_str(), "SMS");
            self.counters().open_reconciled(source.as_str());
            if self.settings.opt_outs.is_some() {
                self.add(Metric::OptOuts, &[source.as_str()], 0);
            }
        }
        self.start_relays()?;
        self.start_resends()
    }

    /// The rules of an erasure.
    pub fn eraser(&mut self) -> erase::Eraser<'_, S> {
        erase::Eraser { storage: &mut self.storage, pseudonymizer: self.pseudonymizer }
    }

    fn counters(&mut self) -> Counters<'_> {
        Counters { ledger: self.ledger, updates: &mut self.outcome.counters }
    }

    fn add(&mut self, metric: Metric, labels: &[&str], amount: i64) {
        self.outcome.counters.add(self.ledger, metric, labels, amount);
    }

    /// Makes the event that is appended next the newest of a message. Gives the one before it.
    fn set_newest_event(&self, row: &mut MessageRow) -> Option<Position> {
        row.newest_event.replace(self.storage.next_position())
    }

    /// What `find` gives of the events of a message, from `newest` on backwards.
    fn find_event<T>(
        &self,
        newest: Option<Position>,
        find: impl Fn(&Record) -> Option<T>,
    ) -> Result<Option<T>, S::Error> {
        let mut next = newest;
        while let Some(position) = next {
            let Some(event) = self.storage.event(position)? else { break };
            if let Some(found) = find(&event.record) {
                return Ok(Some(found));
            }
            next = event.previous;
        }
        Ok(None)
    }

    fn append(&mut self, event: &NewEvent<'_>) -> Result<Position, S::Error> {
        let position = self.storage.append(event)?;
        self.outcome.newest = Some(position);
        if self.collects_events {
            // As the journal has it.
            let received_at = Timestamp::from_millisecond(event.received_at.as_millisecond());
            let (received_at, record) = (received_at.unwrap_or(event.received_at), event.record.clone());
            self.outcome.appended.push(Entry { position, received_at, record });
        }
        Ok(position)
    }
}
