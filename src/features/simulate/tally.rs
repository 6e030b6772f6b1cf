//! What a run counts of itself: answers and the time that they took.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;

use super::caller::{Answer, Taken};

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Messages whose story began.
    pub messages: u64,
    /// Attempts, retries and copies included.
    pub requests: u64,
    /// Attempts that followed one that was not acknowledged.
    pub retries: u64,
    /// Webhooks that were given up after the last retry.
    pub given_up: u64,
    /// Webhooks that were still to be sent when the run was ended.
    pub left: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub unrecognized: u64,
    pub other: u64,
    pub refused: BTreeMap<StatusCode, u64>,
    pub unreachable: u64,
    pub silent: u64,
    pub took: Times,
    /// How far sending fell behind the plan, at most.
    pub behind: Duration,
}

impl Tally {
    /// Counts one attempt.
    pub fn answered(&mut self, answer: Answer, took: Duration) {
        match answer {
            Answer::Taken(Taken::Accepted) => self.accepted += 1,
            Answer::Taken(Taken::Duplicate) => self.duplicate += 1,
            Answer::Taken(Taken::Unrecognized) => self.unrecognized += 1,
            Answer::Taken(Taken::Other) => self.other += 1,
            Answer::Refused { status, .. } => *self.refused.entry(status).or_default() += 1,
            Answer::Unreachable => self.unreachable += 1,
            Answer::Silent => self.silent += 1,
        }
        if matches!(answer, Answer::Taken(_) | Answer::Refused { .. }) {
            self.took.add(took);
        }
    }

    /// Answers of any kind.
    pub fn acknowledged(&self) -> u64 {
        self.accepted + self.duplicate + self.unrecognized + self.other
    }

    /// Attempts that were not acknowledged.
    pub fn not_acknowledged(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.unreachable + self.silent
    }
}

/// Durations, kept to within 2 %.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// By the logarithm of the microseconds.
    buckets: BTreeMap<u32, u64>,
    count: u64,
    longest: Duration,
}

/// Buckets for each factor of e.
const FINENESS: f64 = 50.0;

impl Times {
    pub fn add(&mut self, time: Duration) {
        let micros = time.as_secs_f64() * 1e6;
        *self.buckets.entry((micros.max(1.0).ln() * FINENESS) as u32).or_default() += 1;
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    /// The time that `share` of all are not above; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= wanted {
                let upper = ((f64::from(*bucket) + 1.0) / FINENESS).exp();
                return Duration::from_secs_f64(upper / 1e6).min(self.longest);
            }
        }
        self.longest
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_within_two_per_cent() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for millis in 1..=1_000 {
            times.add(Duration::from_millis(millis));
        }
        for (share, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = times.quantile(share).as_secs_f64() * 1_000.0;
            assert!((millis..=millis * 1.021).contains(&found), "{share}: {found}");
        }
        assert_eq!(times.longest(), Duration::from_secs(1));
    }
}
