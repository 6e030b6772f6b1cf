//! The real binary among real peers: an OpenTelemetry Collector and a Prometheus on loopback ports.
//!
//! One test binary for all of it: it links once, and every test uses all of `peers`.

mod alerting;
mod crash;
mod logs;
mod metrics;
mod outage;
mod peers;
mod prometheus;
mod provider;
mod roads;
