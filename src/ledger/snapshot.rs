//! What a scrape or a push is made from: every durable series at one moment.

use std::sync::Arc;

use super::catalogue::Description;

/// The label values of one series, in the order of [`Description::labels`].
pub type LabelValues = Arc<[Box<str>]>;

/// One metric with all its series.
#[derive(Clone, Debug)]
pub struct Family {
    pub description: &'static Description,
    pub samples: Vec<Sample>,
}

/// One series. The value in the metric's own unit is `value / description.scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub labels: LabelValues,
    pub value: i64,
}

/// The state of the ledger between two transactions, and the gauges beside it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub families: Vec<Family>,
}
