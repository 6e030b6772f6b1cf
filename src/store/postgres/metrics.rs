//! The metrics of a replica. Without a fleet none of them has a sample.

use jiff::Timestamp;

use crate::ledger::catalogue::Unit;
use crate::process_metrics::{ProcessMetric, counter, gauge};

const LEADER: ProcessMetric =
    gauge("smscope_fleet_leader", Unit::Count("{replica}"), "1 while this replica leads the fleet, else 0.");
const INBOX: ProcessMetric = gauge(
    "smscope_inbox_events",
    Unit::Count("{request}"),
    "Requests that are stored and that the leader has not processed yet, 100,000 at most.",
);
const INBOX_OLDEST: ProcessMetric = gauge(
    "smscope_inbox_oldest_timestamp_seconds",
    Unit::Seconds,
    "Arrival of the oldest of these requests, as a Unix time; the present time where there is none.",
);
const INBOX_STUCK: ProcessMetric =
    counter("smscope_inbox_stuck_total", "{request}", "Requests that the leader could not process and has set aside.");

const SYNCHRONOUS: ProcessMetric = gauge(
    "smscope_store_synchronous",
    Unit::Count("{store}"),
    "1 if a failover of the database loses nothing that was acknowledged, else 0.",
);

pub static METRICS: &[&ProcessMetric] = &[&LEADER, &INBOX, &INBOX_OLDEST, &INBOX_STUCK, &SYNCHRONOUS];

/// Sets whether this replica leads.
pub fn leader(leads: bool) {
    metrics::gauge!(LEADER.name).set(if leads { 1.0 } else { 0.0 });
}

/// Sets what waits in the inbox.
pub fn inbox(requests: i64, oldest: Option<Timestamp>) {
    metrics::gauge!(INBOX.name).set(requests as f64);
    let oldest = oldest.unwrap_or_else(Timestamp::now);
    metrics::gauge!(INBOX_OLDEST.name).set(oldest.as_millisecond() as f64 / 1_000.0);
}

/// Sets whether a failover loses nothing that was acknowledged.
pub fn synchronous(is_synchronous: bool) {
    metrics::gauge!(SYNCHRONOUS.name).set(if is_synchronous { 1.0 } else { 0.0 });
}

/// The counter of requests that were set aside, at 0 from here on.
pub fn inbox_stuck() -> metrics::Counter {
    metrics::counter!(INBOX_STUCK.name)
}
