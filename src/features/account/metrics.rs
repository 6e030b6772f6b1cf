//! The metrics of the polls, and the gauges of what they read.

use jiff::Timestamp;

use crate::event::SourceName;
use crate::ledger::catalogue::{Description, Kind, Unit};
use crate::process_metrics::{ProcessMetric, count_result, counter, gauge, set_time, source_label};

pub const ACCOUNT_POLLS: ProcessMetric =
    counter("smscope_account_polls_total", "{poll}", "Polls of the account through the provider's API.");
pub const ACCOUNT_LAST_SUCCESS: ProcessMetric = gauge(
    "smscope_account_last_success_timestamp_seconds",
    Unit::Seconds,
    "Time of the last successful poll, as a Unix time; no sample before the first.",
);
pub const ACCOUNT_BALANCE: Description = Description {
    name: "smscope_account_balance",
    kind: Kind::Gauge,
    unit: Unit::Count("{credit}"),
    labels: &["source", "organisation"],
    help: "Credit of an organisation, in the provider's own number.",
    scale: 1_000_000,
};
pub const ACCOUNT_ACTIVE: Description = Description {
    name: "smscope_account_active",
    kind: Kind::Gauge,
    unit: Unit::Count("{organisation}"),
    labels: &["source", "organisation"],
    help: "1 when the organisation's state is ACTIVATED, else 0.",
    scale: 1,
};
pub const ACCOUNT_CONSUMPTION: Description = Description {
    name: "smscope_account_consumption",
    kind: Kind::Gauge,
    unit: Unit::Count("{credit}"),
    labels: &["source", "organisation", "period"],
    help: "What an organisation has used in the present month, in the provider's own number.",
    scale: 1_000_000,
};
pub const ACCOUNT_LIMIT: Description = Description {
    name: "smscope_account_consumption_limit",
    kind: Kind::Gauge,
    unit: Unit::Count("{credit}"),
    labels: &["source", "organisation", "period"],
    help: "What an organisation may use in a month, in the provider's own number.",
    scale: 1_000_000,
};
pub const CHANNEL_CONSUMPTION: Description = Description {
    name: "smscope_channel_consumption",
    kind: Kind::Gauge,
    unit: Unit::Count("{credit}"),
    labels: &["source", "channel_id", "channel_name", "period"],
    help: "What a channel has used in the present day or month, in the provider's own number.",
    scale: 1_000_000,
};
pub const CHANNEL_LIMIT: Description = Description {
    name: "smscope_channel_consumption_limit",
    kind: Kind::Gauge,
    unit: Unit::Count("{credit}"),
    labels: &["source", "channel_id", "channel_name", "period"],
    help: "What a channel may use in a day or month, in the provider's own number.",
    scale: 1_000_000,
};

pub const GAUGES: [&Description; 6] =
    [&ACCOUNT_BALANCE, &ACCOUNT_ACTIVE, &ACCOUNT_CONSUMPTION, &ACCOUNT_LIMIT, &CHANNEL_CONSUMPTION, &CHANNEL_LIMIT];

pub static METRICS: &[&ProcessMetric] = &[&ACCOUNT_POLLS, &ACCOUNT_LAST_SUCCESS];

/// Registers the results of polls at 0, and counts the one that `succeeded` or not.
pub fn count(source: &SourceName, succeeded: Option<bool>) {
    let result = succeeded.map(|succeeded| if succeeded { "success" } else { "failure" });
    count_result(&ACCOUNT_POLLS, &source_label(source.as_str()), ["success", "failure"], result);
    if succeeded == Some(true) {
        set_time(&ACCOUNT_LAST_SUCCESS, source.as_str(), Timestamp::now());
    }
}
