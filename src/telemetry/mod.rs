//! Events to log records, counters to metrics, and the OTLP sender.

#[cfg(not(fuzzing))]
mod answer;
#[cfg(fuzzing)]
pub mod answer;
#[cfg(test)]
mod collector;
pub mod export_logs;
pub mod export_metrics;
#[cfg(test)]
mod grpc_collector;
pub mod ledger_metrics;
pub mod logs;
pub mod metric_requests;
pub mod openmetrics;
pub mod process;
pub mod process_push;
pub mod prometheus;
pub mod recorder;
pub mod redaction;
pub mod resource;
pub mod sender;
pub mod values;
