//! smscope: a sidecar that accepts an SMS provider's webhooks, stores them durably, and exports them as OpenTelemetry logs and
//! metrics. docs/architecture.md has the map; data flows ingest -> provider -> store (lifecycle) -> telemetry, one way.

pub mod admin;
#[cfg(test)]
#[path = "../tests/support/certificates.rs"]
mod certificates;
pub mod commands;
pub mod config;
pub mod control;
pub mod data_dir;
pub mod diagnostics;
pub mod environment;
pub mod event;
pub mod features;
pub mod health;
pub mod inbound;
pub mod ingest;
pub mod json;
pub mod ledger;
pub mod lifecycle;
pub mod listener;
pub mod number;
pub mod outbound;
pub mod probe_challenge;
pub mod process_metrics;
pub mod provider;
pub mod record;
pub mod route;
pub mod secret;
pub mod serve;
#[cfg(test)]
#[path = "../tests/support/server.rs"]
#[allow(dead_code, reason = "the tests here use a part of it")]
mod server;
pub mod service_manager;
pub mod settings;
#[cfg(test)]
#[path = "../tests/support/smsmode.rs"]
#[allow(dead_code, reason = "the tests here use a part of it")]
mod smsmode;
pub mod smsmode_api;
pub mod store;
pub mod tasks;
pub mod telemetry;
#[cfg(test)]
#[path = "../tests/support/units.rs"]
mod test_support;
