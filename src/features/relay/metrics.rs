//! The metrics of the attempts; those of the outbox are durable, and in the ledger.

use std::time::Duration;

use crate::process_metrics::{ProcessMetric, seconds};
use crate::route::RelayName;

pub const RELAY_DURATION: ProcessMetric = seconds(
    "sms_relay_duration_seconds",
    "Time of one attempt to deliver by a relay, from the request to the end of its response.",
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
);

pub static METRICS: &[&ProcessMetric] = &[&RELAY_DURATION];

/// Observes one attempt.
pub fn attempted(relay: &RelayName, took: Duration) {
    metrics::histogram!(RELAY_DURATION.name, "relay" => relay.to_string()).record(took);
}
