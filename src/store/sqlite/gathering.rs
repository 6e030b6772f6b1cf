//! Whether a commit waits a moment for more: it costs a sync, some pages and some wake-ups, however few events share it.

use std::time::{Duration, Instant};

/// How long a commit waits.
const WAIT: Duration = Duration::from_millis(2);
/// It waits for more only where the last commit began this short a time ago: at a few events per second none comes.
const FREQUENT: Duration = Duration::from_millis(5);
/// Events that share a commit well enough without a wait: as many come by themselves while the one before is synced.
const ENOUGH: usize = 8;
/// Commits without a wait after many that brought nothing: a client that waits for each answer sends nothing meanwhile.
const MOST_WITHOUT: u32 = 64;

#[derive(Debug, Default)]
pub struct Gathering {
    last_began: Option<Instant>,
    /// Events of a commit lately, smoothed: under load, a small one between large ones is no reason to wait.
    usual: f64,
    /// Events that were there before the wait, if there was one.
    before: Option<usize>,
    /// How many more commits do not wait, and how many did not after the last wait in vain.
    without: u32,
    penalty: u32,
}

impl Gathering {
    /// How long to wait now that the first event of a commit is there, and `events` in all.
    pub fn wait(&mut self, events: usize, now: Instant) -> Option<Duration> {
        let last_began = self.last_began.replace(now);
        let is_frequent = last_began.is_some_and(|last| now.saturating_duration_since(last) < FREQUENT);
        let is_due = self.without == 0;
        self.without = self.without.saturating_sub(1);
        let is_small = events < ENOUGH && self.usual < ENOUGH as f64;
        self.before = (is_frequent && is_due && is_small).then_some(events);
        self.before.map(|_| WAIT)
    }

    /// How many events the commit has.
    pub fn gathered(&mut self, events: usize) {
        if let Some(before) = self.before.take() {
            self.penalty = if events > before { 0 } else { (2 * self.penalty).clamp(1, MOST_WITHOUT) };
            self.without = self.penalty;
        }
        self.usual += (events as f64 - self.usual) / 4.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_where_others_came_just_before_and_few_are_there() {
        let start = Instant::now();
        let mut gathering = Gathering::default();
        for (millis, [events, gathered], expected) in [
            (0, [1, 1], None),
            (4, [1, 2], Some(WAIT)),
            (9, [1, 1], None),
            (12, [7, 8], Some(WAIT)),
            (13, [8, 40], None),
            (14, [1, 1], None),
            (15, [1, 1], None),
            (16, [1, 1], Some(WAIT)),
            (100, [1, 1], None),
        ] {
            let wait = gathering.wait(events, start + Duration::from_millis(millis));
            assert_eq!(wait, expected, "{millis} ms, {events} events");
            gathering.gathered(gathered);
        }
    }

    #[test]
    fn waits_that_bring_nothing_become_rare() {
        let mut now = Instant::now();
        let mut gathering = Gathering::default();
        let mut waits = |commits: u32, brings_any: bool| {
            let waited = (0..commits).filter(|_| {
                now += Duration::from_millis(1);
                let waited = gathering.wait(1, now).is_some();
                gathering.gathered(if brings_any { 2 } else { 1 });
                waited
            });
            waited.count()
        };
        assert_eq!(waits(1, false), 0, "the first one");
        assert_eq!(waits(1_000, false), 21);
        // The first one that brings something ends it.
        assert_eq!(waits(64, true), 20);
        assert_eq!(waits(100, true), 100);
    }
}
