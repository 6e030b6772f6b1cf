//! The real binary among real peers: an OpenTelemetry Collector and a Prometheus on loopback ports.
//!
//! One test binary for all of it: one link, and helpers that every test shares.

mod crash;
mod logs;
mod metrics;
mod outage;
mod peers;
mod prometheus;
mod provider;
