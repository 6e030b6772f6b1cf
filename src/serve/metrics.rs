//! All metrics of the process, a line per part.

use crate::features::{account, probe, reconcile, relay};
use crate::process_metrics::{CORE, Declared};
use crate::smsmode_api;
use crate::store;

pub static METRICS: Declared = Declared(&[
    CORE,
    store::metrics::METRICS,
    smsmode_api::metrics::METRICS,
    account::metrics::METRICS,
    probe::metrics::METRICS,
    reconcile::metrics::METRICS,
    relay::metrics::METRICS,
]);
