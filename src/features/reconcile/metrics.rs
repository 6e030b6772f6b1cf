//! The metrics of the rounds.

use strum::{IntoStaticStr, VariantArray};

use crate::event::SourceName;
use crate::process_metrics::{ProcessMetric, count_result, counter, source_label};

pub const RECONCILE_ROUNDS: ProcessMetric =
    counter("smscope_reconcile_rounds_total", "{round}", "Rounds of fetching overdue messages from the provider.");

pub static METRICS: &[&ProcessMetric] = &[&RECONCILE_ROUNDS];

/// How a round of reconciliation ended: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RoundResult {
    /// All messages were found, or the whole list was read.
    Complete,
    /// The limit of pages was reached first.
    Incomplete,
    /// An error of the provider's API or of the store.
    Failed,
}

/// Registers every result at 0, and counts one.
pub fn count(source: &SourceName, result: Option<RoundResult>) {
    count_result(&RECONCILE_ROUNDS, &source_label(source.as_str()), RoundResult::VARIANTS, result.map(Into::into));
}
