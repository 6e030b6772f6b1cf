//! smscope: a sidecar that takes an SMS provider's webhooks, keeps them durably, and tells of them in OpenTelemetry logs and
//! metrics. docs/architecture.md has the map; data flows ingest -> provider -> store (lifecycle) -> telemetry, one way.

pub mod account;
pub mod admin;
#[cfg(test)]
#[path = "../tests/support/certificates.rs"]
mod certificates;
pub mod commands;
pub mod config;
pub mod connect;
pub mod control;
pub mod data_dir;
pub mod diagnostics;
pub mod environment;
pub mod event;
pub mod health;
pub mod inbound;
pub mod ingest;
pub mod json;
pub mod ledger;
pub mod lifecycle;
pub mod listener;
pub mod number;
pub mod outbound;
pub mod probe;
pub mod probe_challenge;
pub mod process_metrics;
pub mod provider;
pub mod reconcile;
pub mod record;
pub mod relay;
pub mod reprocess;
pub mod resend;
pub mod route;
pub mod secret;
pub mod serve;
pub mod service_manager;
pub mod simulate;
#[cfg(test)]
#[path = "../tests/support/smsmode.rs"]
#[allow(dead_code, reason = "the tests here use a part of it")]
mod smsmode;
pub mod smsmode_api;
pub mod store;
pub mod tasks;
pub mod telemetry;
