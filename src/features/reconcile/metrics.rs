//! The metrics of the rounds.

use crate::event::SourceName;
use crate::process_metrics::{ProcessMetric, count_result, counter, source_label};

pub const RECONCILE_ROUNDS: ProcessMetric = counter(
    "smscope_reconcile_rounds_total",
    "{round}",
    "Rounds of asking the provider for messages that are pending for too long.",
);

pub static METRICS: &[&ProcessMetric] = &[&RECONCILE_ROUNDS];

/// How a round of reconciliation ended: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoundResult {
    /// All that was looked for was found, or the whole list was read.
    Complete,
    /// The limit of pages came first.
    Incomplete,
    /// The provider's API or our own store did not do its part.
    Failed,
}

impl RoundResult {
    pub const ALL: [RoundResult; 3] = [RoundResult::Complete, RoundResult::Incomplete, RoundResult::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            RoundResult::Complete => "complete",
            RoundResult::Incomplete => "incomplete",
            RoundResult::Failed => "failed",
        }
    }
}

/// Registers every result at 0, and counts one.
pub fn count(source: &SourceName, result: Option<RoundResult>) {
    let results = RoundResult::ALL.map(RoundResult::as_str);
    count_result(&RECONCILE_ROUNDS, &source_label(source.as_str()), &results, result.map(RoundResult::as_str));
}
