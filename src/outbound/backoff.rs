//! How long to wait before a retry.

use std::time::Duration;

/// Exponential backoff with jitter: the wait doubles with each failure up to a limit, and chance takes up to half of it, so that clients
/// that failed together do not retry together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after `failures` failures in a row, from 1.
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest).mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_chance_takes_up_to_half() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600));
        for (failures, whole) in [(1, 1), (2, 2), (5, 16), (10, 512), (11, 600), (12, 600), (u32::MAX, 600)] {
            for _ in 0..100 {
                let wait = backoff.after(failures).as_secs_f64();
                assert!((f64::from(whole) / 2.0..=f64::from(whole)).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
