//! What relays have to deliver: written with the event, settled with each attempt. Both are part of the writer's transactions, so an
//! event that was acknowledged is never without its deliveries, and a delivery that is gone was taken by its target.
//!
//! An outbox rather than a cursor: filters take few events, the decision is the one of when the event came, and a target that
//! refuses one event holds back that event's lane and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::lookup::short_hash;
use super::retention;
use super::transaction::Open;
use crate::ledger::catalogue::Metric;
use crate::record::{Entry, Kind, Record};
use crate::route::{Format, RelayName, chosen};

/// Every value of the `result` label of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    Delivered,
    /// An answer that says no, redirects included.
    Refused,
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
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Refused,
        Self::Throttled,
        Self::Failed,
        Self::Timeout,
        Self::Unreachable,
        Self::Forbidden,
        Self::Erased,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Forbidden => "forbidden",
            Self::Erased => "erased",
        }
    }
}

/// What has become of one attempt.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery: i64,
    /// Which attempt it was, from 1: one that has been noted is not noted again.
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
    pub id: i64,
    pub attempts: u32,
    /// From when its age counts.
    pub since: Timestamp,
    pub entry: Entry,
    /// The request that brought the event; `None` where there was none, or nothing of it may be known any more.
    pub request: Option<KeptRequest>,
}

#[derive(Clone, Debug)]
pub struct KeptRequest {
    pub method: String,
    pub query: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// What is due of one relay.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub deliveries: Vec<Delivery>,
    /// When the next one is, after those.
    pub next: Option<Timestamp>,
}

/// A delivery that was not made, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    pub id: i64,
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
    Ids(Vec<i64>),
    Relay(String),
    All,
}

/// What a step of a redrive has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedriveStep {
    pub redriven: u64,
    /// The id of the last dead letter that was looked at; `None` when there was none left.
    pub reached: Option<i64>,
}

mod reading;
#[cfg(test)]
mod tests;

use reading::{after_longest_wait, too_old};
pub use reading::{due, is_misdated, needed_from, oldest_pending, undelivered};

/// Longer than anything is put off: what is due later still was dated by a clock that has been set back since.
const LONGEST_WAIT: Duration = Duration::from_secs(3_660);

const DUE: &str = "due";
const BEHIND: &str = "behind";
const DEAD: &str = "dead";

impl Open<'_> {
    /// Hands an event to the relays that take it. `raw_taken` remembers which relays have had its request.
    pub fn relay(
        &mut self,
        record: &Record,
        event: i64,
        message: Option<i64>,
        received_at: Timestamp,
        raw_taken: Option<&mut Vec<RelayName>>,
    ) -> rusqlite::Result<()> {
        if self.routes.is_empty() {
            return Ok(());
        }
        let routes = self.routes;
        let mut raw_taken = raw_taken;
        for route in chosen(routes, record) {
            if route.format == Format::Raw {
                match &mut raw_taken {
                    // An expiry has no request.
                    None => continue,
                    Some(taken) if taken.contains(&route.relay) => continue,
                    Some(taken) => taken.push(route.relay.clone()),
                }
            }
            self.connection
                .prepare_cached(
                    "INSERT INTO relay_deliveries (relay, event, lane, state, due_at, since, attempts) VALUES (?1, ?2, ?3, \
                     CASE WHEN EXISTS (SELECT 1 FROM relay_deliveries WHERE relay = ?1 AND lane = ?3 AND state <> 'dead') \
                     THEN 'behind' ELSE 'due' END, ?4, ?4, 0)",
                )?
                .execute(params![
                    route.relay.as_str(),
                    event,
                    lane(record, event, message),
                    received_at.as_millisecond()
                ])?;
            self.postings.add(Metric::RelayEvents, &[route.relay.as_str()], 1);
            self.postings.add(Metric::RelayPending, &[route.relay.as_str()], 1);
            self.relays_changed = true;
        }
        Ok(())
    }

    /// The relays that pass on as it came what has this record.
    pub fn raw_relays_of(&self, record: &Record) -> Vec<RelayName> {
        let raw = chosen(self.routes, record).into_iter().filter(|route| route.format == Format::Raw);
        raw.map(|route| route.relay.clone()).collect()
    }

    /// The series of each relay exist from the start; what a relay left that is configured no more is a dead letter.
    pub fn open_relays(&mut self) -> rusqlite::Result<()> {
        for route in self.routes {
            let name = route.relay.as_str();
            for metric in [Metric::RelayEvents, Metric::RelayGivenUp, Metric::RelayPending, Metric::RelayDeadLetters] {
                self.postings.add(metric, &[name], 0);
            }
            for result in AttemptResult::ALL {
                self.postings.add(Metric::RelayAttempts, &[name, result.as_str()], 0);
            }
        }
        let mut left: Vec<(String, i64)> = self
            .connection
            .prepare("SELECT relay, count(*) FROM relay_deliveries WHERE state <> 'dead' GROUP BY relay")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        left.retain(|(relay, _)| !self.is_configured(relay));
        for (relay, count) in &left {
            self.connection.execute(
                "UPDATE relay_deliveries SET state = 'dead', error = 'the relay is not configured any more' \
                 WHERE relay = ?1 AND state <> 'dead'",
                [relay],
            )?;
            self.died(relay, *count);
        }
        Ok(())
    }

    fn is_configured(&self, relay: &str) -> bool {
        self.routes.iter().any(|route| route.relay.as_str() == relay)
    }

    fn died(&mut self, relay: &str, count: i64) {
        self.postings.add(Metric::RelayPending, &[relay], -count);
        self.postings.add(Metric::RelayDeadLetters, &[relay], count);
        self.postings.add(Metric::RelayGivenUp, &[relay], count);
    }

    /// Writes down what has become of an attempt; the next of its lane may go then.
    pub fn settle(&mut self, settled: &Settlement, now: Timestamp) -> rusqlite::Result<()> {
        let found: Option<(String, i64, String)> = self
            .connection
            .prepare_cached("SELECT relay, lane, state FROM relay_deliveries WHERE id = ?1 AND attempts < ?2")?
            .query_row(params![settled.delivery, settled.attempt], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        // Its event may have gone meanwhile, as a dead letter; or it has been noted, which the relay was not told.
        let Some((relay, lane, state)) = found else { return Ok(()) };
        self.postings.add(Metric::RelayAttempts, &[&relay, settled.result.as_str()], 1);
        let was_dead = state == DEAD;
        match &settled.next {
            Next::Done => {
                self.connection
                    .prepare_cached("DELETE FROM relay_deliveries WHERE id = ?1")?
                    .execute([settled.delivery])?;
                let gauge = if was_dead { Metric::RelayDeadLetters } else { Metric::RelayPending };
                self.postings.add(gauge, &[&relay], -1);
            }
            Next::Again { at, why } => {
                self.connection
                    .prepare_cached(
                        "UPDATE relay_deliveries SET attempts = attempts + 1, due_at = ?2, error = ?3 WHERE id = ?1",
                    )?
                    .execute(params![settled.delivery, at.as_millisecond(), why])?;
                return Ok(());
            }
            Next::Dead { why } => {
                self.connection
                    .prepare_cached(
                        "UPDATE relay_deliveries SET attempts = attempts + 1, state = 'dead', error = ?2 WHERE id = ?1",
                    )?
                    .execute(params![settled.delivery, why])?;
                if !was_dead {
                    self.died(&relay, 1);
                }
            }
        }
        if was_dead { Ok(()) } else { self.release(&relay, lane, now) }
    }

    /// Lets the oldest of a lane go, unless one is going.
    fn release(&mut self, relay: &str, lane: i64, now: Timestamp) -> rusqlite::Result<()> {
        let released = self
            .connection
            .prepare_cached(
                "UPDATE relay_deliveries SET state = 'due', due_at = ?3 WHERE id = \
                 (SELECT min(id) FROM relay_deliveries WHERE relay = ?1 AND lane = ?2 AND state = 'behind') \
                 AND NOT EXISTS (SELECT 1 FROM relay_deliveries WHERE relay = ?1 AND lane = ?2 AND state = 'due')",
            )?
            .execute(params![relay, lane, now.as_millisecond()])?;
        self.relays_changed |= released > 0;
        Ok(())
    }

    /// Gives up a step of what has passed its relay's maximum age. Gives how many.
    pub fn give_up_old(&mut self, now: Timestamp) -> rusqlite::Result<usize> {
        let mut given_up = 0;
        for route in self.routes {
            let before = retention::before(now, route.max_age);
            for (id, lane) in too_old(self.connection, route, before)? {
                self.connection
                    .prepare_cached(
                        "UPDATE relay_deliveries SET state = 'dead', error = coalesce(error || '; ', '') || 'too old' WHERE id = ?1",
                    )?
                    .execute([id])?;
                self.died(route.relay.as_str(), 1);
                self.release(route.relay.as_str(), lane, now)?;
                given_up += 1;
            }
        }
        Ok(given_up)
    }

    /// Brings to `now` what a clock that was ahead has put off until far later. Gives how many.
    pub fn bring_forward(&mut self, now: Timestamp) -> rusqlite::Result<usize> {
        let mut brought = 0;
        for route in self.routes {
            brought += self
                .connection
                .prepare_cached(
                    "UPDATE relay_deliveries SET due_at = ?2, since = min(since, ?2) \
                     WHERE relay = ?1 AND state = 'due' AND due_at > ?3",
                )?
                .execute(params![route.relay.as_str(), now.as_millisecond(), after_longest_wait(now)])?;
        }
        self.relays_changed |= brought > 0;
        Ok(brought)
    }

    /// Tries a step of the dead letters of configured relays again, as if they had just come: those after the id `after`.
    pub fn redrive(&mut self, filter: &DeadLetterFilter, after: i64, now: Timestamp) -> rusqlite::Result<RedriveStep> {
        // Read first: what is changed while it is being read may be read twice.
        let dead: Vec<(i64, String, i64)> = self
            .connection
            .prepare_cached(
                "SELECT id, relay, lane FROM relay_deliveries WHERE id > ?1 AND state = 'dead' ORDER BY id LIMIT ?2",
            )?
            .query_map([after, retention::STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut step = RedriveStep { redriven: 0, reached: dead.last().map(|(last, ..)| *last) };
        for (id, relay, lane) in dead {
            let is_meant = match filter {
                DeadLetterFilter::Ids(ids) => ids.contains(&id),
                DeadLetterFilter::Relay(name) => *name == relay,
                DeadLetterFilter::All => true,
            };
            if !is_meant || !self.is_configured(&relay) {
                continue;
            }
            self.connection
                .prepare_cached("UPDATE relay_deliveries SET state = 'behind', since = ?2, attempts = 0 WHERE id = ?1")?
                .execute([id, now.as_millisecond()])?;
            self.postings.add(Metric::RelayPending, &[&relay], 1);
            self.postings.add(Metric::RelayDeadLetters, &[&relay], -1);
            self.release(&relay, lane, now)?;
            step.redriven += 1;
        }
        Ok(step)
    }

    /// Forgets a step of dead letters whose events are gone.
    pub fn forget_dead(&mut self) -> rusqlite::Result<usize> {
        // Ids grow with places in the journal, and what is not dead keeps its event.
        let gone: Vec<(i64, String)> = self
            .connection
            .prepare_cached(
                "SELECT id, relay FROM (SELECT id, relay, event FROM relay_deliveries ORDER BY id LIMIT ?1) \
                 WHERE event < (SELECT coalesce(min(id), 0) FROM events)",
            )?
            .query_map([retention::STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (id, relay) in &gone {
            self.connection.prepare_cached("DELETE FROM relay_deliveries WHERE id = ?1")?.execute([id])?;
            self.postings.add(Metric::RelayDeadLetters, &[relay], -1);
        }
        Ok(gone.len())
    }
}

/// What keeps its order: the receipts of a message, the replies of a number.
fn lane(record: &Record, event: i64, message: Option<i64>) -> i64 {
    match (record.kind, message) {
        (Kind::Reply | Kind::Stop, _) => {
            let id = record.message_id.as_deref().unwrap_or_default();
            short_hash(&["reply", record.source.as_str(), record.number.as_deref().unwrap_or(id)])
        }
        (_, Some(message)) => message,
        // Alone in its lane.
        (_, None) => -event,
    }
}
