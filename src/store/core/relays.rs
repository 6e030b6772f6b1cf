//! The outbox of the relays: written with the event, changed with each attempt, both in the transactions of the writer. So an event
//! that was acknowledged is never without its deliveries, and a delivery that is deleted was accepted by its target.
//!
//! An outbox rather than a cursor: filters select few events, the decision is that of the moment when the event came, and a target
//! that rejects one event holds back what has the same ordering key and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::storage::{DeliveryRow, DeliveryState, Storage};
use super::{STEP, Tx};
use crate::event::SourceName;
use crate::ledger::catalogue::Metric;
use crate::record::{Entry, Kind, Position, Record};
use crate::route::{Format, RelayName, chosen};
use crate::store::Raw;
use crate::store::hash::short_hash;
use crate::store::ids::{DeliveryId, MessageRowId, OrderingKey};

/// Every value of the `result` label of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AttemptResult {
    Delivered,
    /// An answer that says no, redirects included.
    Rejected,
    Throttled,
    /// An answer of 500 and above.
    Failed,
    Timeout,
    Unreachable,
    /// The name leads to an address that is not allowed.
    Forbidden,
    /// There is nothing to send any more: its person has been erased.
    Erased,
}

impl AttemptResult {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// The label value.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// What one attempt led to.
#[derive(Clone, Debug)]
pub struct AttemptOutcome {
    pub delivery: DeliveryId,
    /// Which attempt it was, from 1: one that has been saved is not saved again.
    pub attempt: u32,
    pub result: AttemptResult,
    pub next: Next,
}

#[derive(Clone, Debug)]
pub enum Next {
    Done,
    Again {
        at: Timestamp,
        why: String,
    },
    /// Given up.
    Dead {
        why: String,
    },
}

/// A delivery that is due, with what it is to carry.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub attempts: u32,
    /// From when its age counts.
    pub since: Timestamp,
    pub entry: Entry,
    /// The request that brought the event; `None` where there was none, or nothing of it may be known any more.
    pub request: Option<Raw>,
}

/// What is due of one relay.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub deliveries: Vec<Delivery>,
    /// When the next one is, after those.
    pub next: Option<Timestamp>,
}

/// A delivery that was not made, as `smscope relay` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    pub id: DeliveryId,
    pub relay: String,
    pub kind: String,
    pub message_id: Option<String>,
    pub received_at: Timestamp,
    pub state: String,
    pub attempts: u32,
    pub error: Option<String>,
}

/// Which dead letters are to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterFilter {
    Ids(Vec<DeliveryId>),
    Relay(String),
    All,
}

/// What a step of a redrive has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedriveStep {
    pub redriven: u64,
    /// The last dead letter that was checked; `None` when there was none left.
    pub reached: Option<DeliveryId>,
}

/// Longer than anything is put off: what is due later was dated by a clock that has been set back since.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3_660);

impl<S: Storage> Tx<'_, S> {
    /// Queues an event for the relays that accept it. `raw_relayed`: the relays that have the event's request; of an event without
    /// a request, `None`.
    pub(super) fn relay(
        &mut self,
        record: &Record,
        event: Position,
        message: Option<MessageRowId>,
        received_at: Timestamp,
        mut raw_relayed: Option<&mut Vec<RelayName>>,
    ) -> Result<(), S::Error> {
        let settings = self.settings;
        if settings.relays.is_empty() {
            return Ok(());
        }
        let key = ordering_key(record, event, message);
        for route in chosen(&settings.relays, record) {
            if route.format == Format::Raw {
                match &mut raw_relayed {
                    None => continue,
                    Some(relayed) if relayed.contains(&route.relay) => continue,
                    Some(relayed) => relayed.push(route.relay.clone()),
                }
            }
            let waits = self.storage.is_queued(&route.relay, key)?;
            self.storage.insert_delivery(&DeliveryRow {
                relay: route.relay.clone(),
                event,
                ordering_key: key,
                state: if waits { DeliveryState::Blocked } else { DeliveryState::Due },
                due_at: received_at,
                since: received_at,
                attempts: 0,
                error: None,
            })?;
            self.add(Metric::RelayEvents, &[route.relay.as_str()], 1);
            self.add(Metric::RelayPending, &[route.relay.as_str()], 1);
            self.outcome.relays_changed = true;
        }
        Ok(())
    }

    /// The relays that pass on as it came what has this record.
    pub(super) fn raw_relays_of(&self, record: &Record) -> Vec<RelayName> {
        let raw = chosen(&self.settings.relays, record).into_iter().filter(|route| route.format == Format::Raw);
        raw.map(|route| route.relay.clone()).collect()
    }

    /// The series of each relay exist from the start; what is left of a relay that is not configured any more is a dead letter.
    pub(super) fn start_relays(&mut self) -> Result<(), S::Error> {
        let settings = self.settings;
        for route in &settings.relays {
            let name = route.relay.as_str();
            for metric in [Metric::RelayEvents, Metric::RelayGivenUp, Metric::RelayPending, Metric::RelayDeadLetters] {
                self.add(metric, &[name], 0);
            }
            for result in AttemptResult::ALL {
                self.add(Metric::RelayAttempts, &[name, result.as_str()], 0);
            }
        }
        for (relay, count) in self.storage.pending_deliveries()? {
            if !self.is_configured(&relay) {
                self.storage.bury_deliveries(&relay, "the relay is not configured any more")?;
                self.count_dead(&relay, count);
            }
        }
        Ok(())
    }

    fn is_configured(&self, relay: &RelayName) -> bool {
        self.settings.relays.iter().any(|route| route.relay == *relay)
    }

    fn count_dead(&mut self, relay: &RelayName, count: i64) {
        self.add(Metric::RelayPending, &[relay.as_str()], -count);
        self.add(Metric::RelayDeadLetters, &[relay.as_str()], count);
        self.add(Metric::RelayGivenUp, &[relay.as_str()], count);
    }

    /// Saves what an attempt led to; the next with its ordering key may go then.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn save_attempt(&mut self, attempt: &AttemptOutcome, now: Timestamp) -> Result<(), S::Error> {
        // Its event may have expired meanwhile, as a dead letter; or the attempt is saved, and the relay did not hear of it.
        let Some(row) = self.storage.delivery(attempt.delivery)? else { return Ok(()) };
        if row.attempts >= attempt.attempt {
            return Ok(());
        }
        self.add(Metric::RelayAttempts, &[row.relay.as_str(), attempt.result.as_str()], 1);
        let was_dead = row.state == DeliveryState::Dead;
        let tried = DeliveryRow { attempts: row.attempts + 1, ..row.clone() };
        match &attempt.next {
            Next::Done => {
                self.storage.delete_delivery(attempt.delivery)?;
                let gauge = if was_dead { Metric::RelayDeadLetters } else { Metric::RelayPending };
                self.add(gauge, &[row.relay.as_str()], -1);
            }
            Next::Again { at, why } => {
                let again = DeliveryRow { due_at: *at, error: Some(why.clone()), ..tried };
                return self.storage.put_delivery(attempt.delivery, &again);
            }
            Next::Dead { why } => {
                let dead = DeliveryRow { state: DeliveryState::Dead, error: Some(why.clone()), ..tried };
                self.storage.put_delivery(attempt.delivery, &dead)?;
                if !was_dead {
                    self.count_dead(&row.relay, 1);
                }
            }
        }
        if was_dead { Ok(()) } else { self.unblock_next(&row.relay, row.ordering_key, now) }
    }

    /// Makes the oldest with an ordering key due, unless one is.
    fn unblock_next(&mut self, relay: &RelayName, key: OrderingKey, now: Timestamp) -> Result<(), S::Error> {
        if self.storage.first_in_order(relay, key, DeliveryState::Due)?.is_some() {
            return Ok(());
        }
        let Some(id) = self.storage.first_in_order(relay, key, DeliveryState::Blocked)? else { return Ok(()) };
        let Some(row) = self.storage.delivery(id)? else { return Ok(()) };
        self.storage.put_delivery(id, &DeliveryRow { state: DeliveryState::Due, due_at: now, ..row })?;
        self.outcome.relays_changed = true;
        Ok(())
    }

    /// Gives up a step of what has passed its relay's maximum age. Gives how many.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn expire_deliveries(&mut self, now: Timestamp) -> Result<usize, S::Error> {
        let mut expired = 0;
        let settings = self.settings;
        for route in &settings.relays {
            let before = now.checked_sub(route.max_age).unwrap_or(Timestamp::MIN);
            for id in self.storage.waiting_since(&route.relay, before, STEP)? {
                let Some(row) = self.storage.delivery(id)? else { continue };
                let error = row.error.map_or("too old".to_owned(), |error| format!("{error}; too old"));
                let dead = DeliveryRow { state: DeliveryState::Dead, error: Some(error), ..row };
                self.storage.put_delivery(id, &dead)?;
                self.count_dead(&dead.relay, 1);
                self.unblock_next(&dead.relay, dead.ordering_key, now)?;
                expired += 1;
            }
        }
        Ok(expired)
    }

    /// Brings to `now` what a clock that was ahead has put off until far later. Gives how many.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn promote_misdated(&mut self, now: Timestamp) -> Result<usize, S::Error> {
        let after = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
        let mut promoted = 0;
        let settings = self.settings;
        for route in &settings.relays {
            promoted += self.storage.promote(&route.relay, now, after)?;
        }
        self.outcome.relays_changed |= promoted > 0;
        Ok(promoted)
    }

    /// Redrives a step of the dead letters of configured relays, as if they had just come: those after the id `after`.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn redrive(
        &mut self,
        filter: &DeadLetterFilter,
        after: DeliveryId,
        now: Timestamp,
    ) -> Result<RedriveStep, S::Error> {
        let dead = self.storage.dead_letters_after(after, STEP)?;
        let mut step = RedriveStep { redriven: 0, reached: dead.last().map(|(last, _)| *last) };
        for (id, row) in dead {
            let is_selected = match filter {
                DeadLetterFilter::Ids(ids) => ids.contains(&id),
                DeadLetterFilter::Relay(name) => *name == row.relay.as_str(),
                DeadLetterFilter::All => true,
            };
            if !is_selected || !self.is_configured(&row.relay) {
                continue;
            }
            let waiting = DeliveryRow { state: DeliveryState::Blocked, since: now, attempts: 0, ..row };
            self.storage.put_delivery(id, &waiting)?;
            self.add(Metric::RelayPending, &[waiting.relay.as_str()], 1);
            self.add(Metric::RelayDeadLetters, &[waiting.relay.as_str()], -1);
            self.unblock_next(&waiting.relay, waiting.ordering_key, now)?;
            step.redriven += 1;
        }
        Ok(step)
    }

    /// Deletes a step of the dead letters whose events have expired. Gives how many.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn purge_dead_letters(&mut self) -> Result<usize, S::Error> {
        let purged = self.storage.dead_letters_without_event(STEP)?;
        for (id, relay) in &purged {
            self.storage.delete_delivery(*id)?;
            self.add(Metric::RelayDeadLetters, &[relay.as_str()], -1);
        }
        Ok(purged.len())
    }
}

/// Receipts of a message are delivered in order, and so are replies of a number.
fn ordering_key(record: &Record, event: Position, message: Option<MessageRowId>) -> OrderingKey {
    match (record.kind, message) {
        (Kind::Reply | Kind::Stop, _) => {
            let id = record.message_id.as_deref().unwrap_or_default();
            reply_ordering_key(&record.source, record.number.as_deref(), id)
        }
        (_, Some(message)) => OrderingKey(message.0),
        // In order with nothing else.
        (_, None) => OrderingKey(-event.0),
    }
}

/// That of a reply with an id.
pub fn reply_ordering_key(source: &SourceName, number: Option<&str>, id: &str) -> OrderingKey {
    OrderingKey(short_hash(&["reply", source.as_str(), number.unwrap_or(id)]))
}
