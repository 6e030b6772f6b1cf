//! The pauses between attempts: of one delivery, and of a target that fails altogether.

use std::time::Duration;

use tokio::time::Instant;

use super::target::DeliveryOutcome;
use crate::outbound::Backoff;
use crate::store::relays::AttemptResult;

/// Between two attempts at a delivery, and of a target that keeps failing.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600));

/// Consecutive failures from which on a target is only probed.
const PROBE_THRESHOLD: u32 = 3;

/// The recent results of a target.
#[derive(Debug, Default)]
pub struct Health {
    failures: u32,
    /// Attempts that began before this are not counted again: concurrent attempts fail together.
    counted: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Health {
    /// How many attempts may be in flight, of `limit`.
    pub fn room(&self, limit: usize, now: Instant) -> usize {
        match self.paused_until {
            Some(until) if until > now => 0,
            _ if self.failures >= PROBE_THRESHOLD => 1,
            _ => limit,
        }
    }

    /// What is left of a pause.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// Records an attempt that began at `started`.
    pub fn note(&mut self, started: Instant, outcome: &DeliveryOutcome) {
        match outcome.result {
            AttemptResult::Delivered => *self = Self::default(),
            AttemptResult::Erased => {}
            _ if self.counted.is_some_and(|counted| started < counted) => self.wait(outcome.after),
            _ => {
                self.failures = self.failures.saturating_add(1);
                self.counted = Some(Instant::now());
                let own =
                    (self.failures >= PROBE_THRESHOLD).then(|| BACKOFF.after(self.failures - PROBE_THRESHOLD + 1));
                self.wait(own.max(outcome.after));
            }
        }
    }

    fn wait(&mut self, pause: Option<Duration>) {
        let until = pause.and_then(|pause| Instant::now().checked_add(pause));
        self.paused_until = self.paused_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(result: AttemptResult, after: Option<u64>) -> DeliveryOutcome {
        DeliveryOutcome { result, why: String::new(), after: after.map(Duration::from_secs) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_keeps_failing_is_probed_until_it_accepts_a_delivery() {
        let mut health = Health::default();
        let step = || async { tokio::time::advance(Duration::from_millis(10)).await };
        for _ in 0..2 {
            step().await;
            health.note(Instant::now(), &outcome(AttemptResult::Timeout, None));
            assert_eq!(health.room(8, Instant::now()), 8);
        }
        step().await;
        health.note(Instant::now(), &outcome(AttemptResult::Failed, None));
        assert_eq!(health.room(8, Instant::now()), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(health.room(8, Instant::now()), 1);
        health.note(Instant::now(), &outcome(AttemptResult::Delivered, None));
        assert_eq!(health.room(8, Instant::now()), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_at_one_time_counts_once() {
        let mut health = Health::default();
        let started = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        for _ in 0..8 {
            health.note(started, &outcome(AttemptResult::Unreachable, None));
        }
        assert_eq!(health.room(8, Instant::now()), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_target_requests_is_honored() {
        let mut health = Health::default();
        health.note(Instant::now(), &outcome(AttemptResult::Throttled, Some(30)));
        assert_eq!(health.room(8, Instant::now()), 0);
        assert_eq!(health.pause(Instant::now()), Some(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!((health.room(8, Instant::now()), health.pause(Instant::now())), (8, None));
    }
}
