//! The limit of the writer's queue.
//!
//! A provider waits a few hundred milliseconds for a response. A request that could not be answered in that time is rejected at once,
//! with a Retry-After: the queue holds no more than the writer processes in a tenth of a second. The sync that ends a transaction does
//! not count: on a slow disk a longer queue makes larger transactions, not longer waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Work that may be ahead of a request.
const AHEAD: Duration = Duration::from_millis(100);

/// What is admitted however slow the writer was: one bad moment must not shut the door.
const FEWEST: usize = 64;

/// Before anything has been measured.
const AT_FIRST: usize = 1024;

/// Bytes of requests. Receipts come nowhere near it; it is what bodies at their limit may take of the memory.
const BYTES: usize = 32 << 20;

/// What a request adds to the queue.
#[derive(Clone, Copy)]
pub struct Weight {
    pub events: usize,
    pub bytes: usize,
}

pub struct Backlog {
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Events that may wait.
    limit: AtomicUsize,
    /// What is stored waits too long already to be processed.
    is_inbox_full: AtomicBool,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            limit: AtomicUsize::new(AT_FIRST),
            is_inbox_full: AtomicBool::new(false),
        }
    }
}

impl Backlog {
    /// Adds a request, unless there is too much ahead of it. An empty queue accepts any request.
    pub fn admit(&self, weight: Weight) -> bool {
        if self.is_inbox_full.load(Ordering::Relaxed) {
            return false;
        }
        let events = self.events.fetch_add(weight.events, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(weight.bytes, Ordering::Relaxed);
        let admitted = events < self.limit.load(Ordering::Relaxed) && bytes < BYTES;
        if !admitted {
            self.remove(weight);
        }
        admitted
    }

    /// How many wait, with those of a request that the writer has just received.
    pub fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// The writer has received it, or it was never queued.
    pub fn remove(&self, weight: Weight) {
        self.events.fetch_sub(weight.events, Ordering::Relaxed);
        self.bytes.fetch_sub(weight.bytes, Ordering::Relaxed);
    }

    /// Whether the inbox of a fleet is full: nothing is admitted then. Gives what it was before.
    pub fn set_inbox_full(&self, is_full: bool) -> bool {
        self.is_inbox_full.swap(is_full, Ordering::Relaxed)
    }

    /// The writer has worked for so long on so many events, syncing aside.
    pub fn worked(&self, events: usize, took: Duration) {
        // Of a few events the time says little: most of it is the transaction's own.
        if events < FEWEST {
            return;
        }
        let possible = (events as f64 * AHEAD.as_secs_f64() / took.as_secs_f64().max(1e-6)) as usize;
        let limit = self.limit.load(Ordering::Relaxed);
        self.limit.store(((3 * limit + possible) / 4).max(FEWEST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(backlog: &Backlog, weight: Weight) -> usize {
        let admitted = (0..100_000).take_while(|_| backlog.admit(weight)).count();
        (0..admitted).for_each(|_| backlog.remove(weight));
        admitted
    }

    #[test]
    fn as_much_may_wait_as_can_be_worked_off_in_time() {
        let one = Weight { events: 1, bytes: 1000 };
        let backlog = Backlog::default();
        assert_eq!(admitted(&backlog, one), AT_FIRST);
        for (events, millis, limit) in [(1000, 20, 4990..=5000), (1000, 500, 200..=205), (100, 1000, 64..=64)] {
            (0..50).for_each(|_| backlog.worked(events, Duration::from_millis(millis)));
            let admitted = admitted(&backlog, one);
            assert!(limit.contains(&admitted), "{events} in {millis} ms: {admitted}");
        }
        (0..50).for_each(|_| backlog.worked(1, Duration::from_secs(10)));
        assert_eq!(admitted(&backlog, one), 64, "few events tell nothing");
        let list = Weight { events: 1000, bytes: 200_000 };
        assert_eq!(admitted(&backlog, list), 1, "a long list is taken when nothing is ahead of it");
        assert_eq!(admitted(&backlog, Weight { events: 0, bytes: 1 << 20 }), 32, "bytes have a limit of their own");
    }
}
