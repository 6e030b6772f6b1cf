//! All metrics, a line per part.

use crate::features::{account, probe, reconcile, relay};
use crate::ledger::catalogue::{Description, Metric, gauge};
use crate::process_metrics::{CORE, Declared};
use crate::smsmode_api;
use crate::store;

/// The metrics of the process.
pub static METRICS: Declared = Declared(&[
    CORE,
    store::metrics::METRICS,
    smsmode_api::metrics::METRICS,
    account::metrics::METRICS,
    probe::metrics::METRICS,
    reconcile::metrics::METRICS,
    relay::metrics::METRICS,
]);

/// The durable counters and the gauges of what is stored: all that is the fleet's where there are several replicas.
pub fn durable_metrics() -> impl Iterator<Item = &'static Description> {
    let ledger = Metric::ALL.into_iter().map(Metric::description);
    ledger.chain(gauge::ALL).chain(account::metrics::GAUGES)
}
