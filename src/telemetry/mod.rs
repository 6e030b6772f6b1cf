//! Events to log records, counters to metrics, and the OTLP sender.

pub mod ledger_metrics;
pub mod prometheus;
pub mod resource;
