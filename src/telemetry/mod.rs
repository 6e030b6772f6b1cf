//! Events to log records, counters to metrics, and the OTLP sender.

mod answer;
#[cfg(test)]
mod collector;
pub mod export_logs;
pub mod export_metrics;
pub mod ledger_metrics;
pub mod logs;
mod notice;
pub mod person;
pub mod process;
pub mod prometheus;
pub mod recorder;
pub mod resource;
pub mod sender;
