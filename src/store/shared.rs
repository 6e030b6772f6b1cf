//! What the writer shows to everyone else, as of its last commit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use super::clock::SteadyClock;
use super::ids::OptOutSeq;
use crate::event::SourceName;
use crate::ledger::catalogue::{Description, gauge};
use crate::ledger::snapshot::{Family, Sample, Snapshot};
use crate::ledger::{CounterUpdates, Ledger, Reading};
use crate::record::{Entry, Position};
use crate::route::RelayName;
use crate::tasks::Leadership;

/// `-1` in place of a cursor: nothing is exported.
const NO_CURSOR: i64 = -1;

/// `-1` in place of the size of a write-ahead log: the database has none of its own.
const NO_LOG: i64 = -1;

pub struct Shared {
    pub created_at: Timestamp,
    /// The position of the newest event.
    pub newest: watch::Sender<Position>,
    /// Changes whenever a relay has something new to do.
    pub relays: watch::Sender<u64>,
    /// Changes whenever there is another failure to be resent.
    pub resends: watch::Sender<u64>,
    /// The latest opt-out.
    pub opt_outs: watch::Sender<OptOutSeq>,
    cursor: AtomicI64,
    healthy: AtomicBool,
    log_size: AtomicI64,
    clock: Mutex<SteadyClock>,
    // Only the writer changes it, for microseconds; it holds a read lock while a transaction is open, which no scrape waits for.
    ledger: RwLock<Ledger>,
    /// The newest events, for the log exporter.
    recent: Mutex<RecentEvents>,
    /// As they were read last: what a scrape shows while the database cannot be read.
    gauges: Mutex<Gauges>,
    leadership: watch::Sender<Leadership>,
}

/// The events that were committed last, without a gap: an exporter that keeps up takes them from here, and reads the journal only when
/// it is behind or has to send something again.
#[derive(Debug, Default)]
struct RecentEvents {
    events: VecDeque<Entry>,
    /// An exporter is near the newest event. For one that is far behind nothing is collected.
    is_followed: bool,
}

impl RecentEvents {
    /// More than an exporter sends at once, four times over.
    const MOST: usize = 2_048;

    fn add(&mut self, appended: Vec<Entry>) {
        self.events.extend(appended);
        if self.events.len() > Self::MOST {
            *self = Self::default();
        }
    }

    /// Takes up to `limit` events out, from the one that follows on `after`; none if that one is not here. `newest` is the newest of all.
    fn take(&mut self, after: Position, limit: usize, newest: Position) -> Vec<Entry> {
        self.is_followed |= newest.since(after) <= Self::MOST as u64 / 2;
        while self.events.front().is_some_and(|entry| entry.position <= after) {
            self.events.pop_front();
        }
        if self.events.front().is_none_or(|entry| entry.position != after.plus(1)) {
            return Vec::new();
        }
        let count = limit.min(self.events.len());
        self.events.drain(..count).collect()
    }
}

/// Read from the database's own indexes for each scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// First arrival, in Unix milliseconds, of the oldest enroute message by source.
    pub oldest_pending: Vec<(SourceName, i64)>,
    /// Since when, in Unix milliseconds, the oldest delivery of each relay waits.
    pub oldest_relayed: Vec<(RelayName, i64)>,
    /// How many events the journal holds.
    pub events: i64,
    pub bytes_in_use: i64,
    pub size_limit: Option<i64>,
}

impl Shared {
    pub fn new(
        created_at: Timestamp,
        clock: SteadyClock,
        cursor: Option<Position>,
        ledger: Ledger,
        newest: Position,
    ) -> Self {
        Self {
            created_at,
            newest: watch::Sender::new(newest),
            relays: watch::Sender::new(0),
            resends: watch::Sender::new(0),
            opt_outs: watch::Sender::new(OptOutSeq::default()),
            cursor: AtomicI64::new(cursor.map_or(NO_CURSOR, |position| position.0)),
            healthy: AtomicBool::new(true),
            log_size: AtomicI64::new(NO_LOG),
            clock: Mutex::new(clock),
            ledger: RwLock::new(ledger),
            recent: Mutex::default(),
            gauges: Mutex::default(),
            leadership: watch::Sender::new(Leadership::ForLife),
        }
    }

    pub fn leadership(&self) -> &watch::Sender<Leadership> {
        &self.leadership
    }

    /// What a leader starts from.
    pub fn replace(&self, ledger: Ledger, cursor: Option<Position>, newest: Position) {
        *self.ledger.write().unwrap_or_else(PoisonError::into_inner) = ledger;
        *self.recent() = RecentEvents::default();
        self.cursor.store(cursor.map_or(NO_CURSOR, |position| position.0), Ordering::Release);
        self.newest.send_replace(newest);
    }

    fn recent(&self) -> MutexGuard<'_, RecentEvents> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`RecentEvents::take`].
    pub fn take_recent(&self, after: Position, limit: usize) -> Vec<Entry> {
        let newest = *self.newest.borrow();
        self.recent().take(after, limit, newest)
    }

    /// Whether somebody takes recent events.
    pub fn collects_events(&self) -> bool {
        self.recent().is_followed
    }

    /// The ledger as it stands. The writer must drop this before it calls [`Shared::publish`].
    pub fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what a transaction that has committed has changed.
    pub fn publish(&self, counters: CounterUpdates, newest: Option<Position>, appended: Vec<Entry>) {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner).apply(counters);
        self.recent().add(appended);
        if let Some(newest) = newest {
            self.newest.send_replace(newest);
        }
    }

    /// Events have been changed where they are stored: something of a person may be in memory still.
    pub fn forget_events(&self) {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner).forget_exemplars();
        self.recent().events.clear();
    }

    pub fn cursor(&self) -> Position {
        Position(self.cursor.load(Ordering::Acquire))
    }

    /// The cursor, where there is one.
    pub fn export_cursor(&self) -> Option<Position> {
        Some(self.cursor()).filter(|cursor| cursor.0 != NO_CURSOR)
    }

    /// Moves the cursor on; never back.
    pub fn advance_cursor(&self, position: Position) {
        self.cursor.fetch_max(position.0, Ordering::AcqRel);
    }

    /// The time to measure ages by.
    pub fn now(&self) -> Timestamp {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.read(Timestamp::now(), Instant::now())
    }

    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    /// Gives what it was before.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::AcqRel)
    }

    /// Bytes of the write-ahead log.
    pub fn set_log_size(&self, bytes: u64) {
        self.log_size.store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// All durable series. `gauges`: as just read; `None` where they could not be.
    pub fn snapshot(&self, gauges: Option<Gauges>) -> Snapshot {
        // The writer waits for the ledger no longer than it takes to copy the numbers.
        let reading = self.ledger().reading();
        self.snapshot_of(&reading, gauges)
    }

    /// The same with counters that were read elsewhere.
    pub fn snapshot_of(&self, reading: &Reading, gauges: Option<Gauges>) -> Snapshot {
        let gauges = {
            let mut last = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(gauges) = gauges {
                *last = gauges;
            }
            last.clone()
        };
        let mut families = reading.families();
        let oldest = gauges.oldest_pending.iter().map(|(source, time)| sample(&[source.as_str()], *time)).collect();
        families.push(Family { description: &gauge::PENDING_OLDEST, samples: oldest });
        let waiting = gauges.oldest_relayed.iter().map(|(relay, since)| sample(&[relay.as_str()], *since)).collect();
        families.push(Family { description: &gauge::RELAY_OLDEST, samples: waiting });
        let single = |description: &'static Description, value: Option<i64>| Family {
            description,
            samples: value.map(|value| sample(&[], value)).into_iter().collect(),
        };
        families.push(single(&gauge::STORE_EVENTS, Some(gauges.events)));
        families.push(single(&gauge::STORE_SIZE, Some(gauges.bytes_in_use)));
        let log_size = self.log_size.load(Ordering::Relaxed);
        families.push(single(&gauge::STORE_WAL_SIZE, Some(log_size).filter(|size| *size != NO_LOG)));
        families.push(single(&gauge::STORE_LIMIT, gauges.size_limit));
        Snapshot { families }
    }
}

fn sample(labels: &[&str], value: i64) -> Sample {
    Sample { labels: labels.iter().map(|&label| label.into()).collect(), value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, Record};

    fn events(positions: std::ops::RangeInclusive<i64>) -> Vec<Entry> {
        let record = Record::new(Kind::Enroute, SourceName::new("smsmode").unwrap());
        let entry = |position| Entry {
            position: Position(position),
            received_at: Timestamp::UNIX_EPOCH,
            record: record.clone(),
        };
        positions.map(entry).collect()
    }

    #[test]
    fn recent_events_are_given_once_in_order_and_only_if_none_is_missing_before_them() {
        let mut recent = RecentEvents::default();
        recent.add(events(5..=8));
        assert_eq!(recent.take(Position(2), 10, Position(8)), [], "3 and 4 are in the journal alone");
        assert_eq!(recent.take(Position(4), 3, Position(8)), events(5..=7));
        assert_eq!(recent.take(Position(4), 3, Position(8)), [], "what is sent again is read from the journal");
        recent.add(events(9..=10));
        assert_eq!(recent.take(Position(9), 10, Position(10)), events(10..=10), "8 and 9 were read from the journal");
    }

    #[test]
    fn recent_events_are_bounded_and_collected_for_an_exporter_that_keeps_up_alone() {
        let mut recent = RecentEvents::default();
        assert!(!recent.is_followed, "nobody exports");
        assert_eq!(recent.take(Position(0), 10, Position(9_000)), []);
        assert!(!recent.is_followed, "the exporter is far behind");
        assert_eq!(recent.take(Position(8_500), 10, Position(9_000)), []);
        assert!(recent.is_followed);
        (9..12).for_each(|n| recent.add(events(n * 1_000 + 1..=n * 1_000 + 1_000)));
        assert!(!recent.is_followed && recent.events.is_empty(), "it has fallen behind");
    }
}
