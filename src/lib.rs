//! smscope: a sidecar that takes an SMS provider's webhooks, keeps them durably, and tells of them in OpenTelemetry logs and
//! metrics. docs/architecture.md has the map; data flows ingest -> provider -> store (lifecycle) -> telemetry, one way.

pub mod config;
pub mod event;
pub mod ledger;
pub mod meters;
pub mod provider;
pub mod record;
pub mod secret;
pub mod telemetry;
