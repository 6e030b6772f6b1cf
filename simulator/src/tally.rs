//! What a run counts: attempts, their outcomes and the time to a response.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::storage::Summary;

use super::transport::{Acknowledgement, AttemptOutcome};

/// Counts of one run.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Messages of which a webhook was sent or queued.
    pub messages: u64,
    /// Attempts, retries and copies included.
    pub requests: u64,
    /// Attempts that followed one that was not acknowledged.
    pub retries: u64,
    /// Webhooks that were given up after the last retry.
    pub given_up: u64,
    /// Webhooks that were not sent when the run was ended.
    pub left: u64,
    acknowledged: BTreeMap<Acknowledgement, u64>,
    /// Attempts that were not acknowledged, by what happened.
    pub failed: BTreeMap<String, u64>,
    /// Seconds to a response.
    pub took: Summary,
    /// How far sending fell behind the plan, at most.
    pub behind: Duration,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            messages: 0,
            requests: 0,
            retries: 0,
            given_up: 0,
            left: 0,
            acknowledged: BTreeMap::new(),
            failed: BTreeMap::new(),
            took: Summary::with_defaults(),
            behind: Duration::ZERO,
        }
    }
}

impl Tally {
    /// Counts one attempt.
    pub fn count(&mut self, outcome: AttemptOutcome, took: Duration) {
        let failure = match outcome {
            AttemptOutcome::Acknowledged(acknowledgement) => {
                *self.acknowledged.entry(acknowledgement).or_default() += 1;
                return self.took.add(took.as_secs_f64());
            }
            AttemptOutcome::Rejected { status, .. } => {
                self.took.add(took.as_secs_f64());
                format!("answered {}", status.as_u16())
            }
            AttemptOutcome::Unreachable => "without a connection".to_owned(),
            AttemptOutcome::Unanswered => "without an answer".to_owned(),
        };
        *self.failed.entry(failure).or_default() += 1;
    }

    pub fn acknowledged(&self, acknowledgement: Acknowledgement) -> u64 {
        self.acknowledged.get(&acknowledgement).copied().unwrap_or(0)
    }
}
