//! Events to log records, counters to metrics, and the OTLP sender.

mod answer;
#[cfg(test)]
mod collector;
pub mod ledger_metrics;
pub mod logs;
pub mod person;
pub mod prometheus;
pub mod resource;
pub mod sender;
