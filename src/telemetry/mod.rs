//! Events to log records, counters to metrics, and the OTLP sender.

pub mod ledger_metrics;
pub mod logs;
pub mod person;
pub mod prometheus;
pub mod resource;
