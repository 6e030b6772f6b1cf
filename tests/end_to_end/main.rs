//! The real binary among real peers: an OpenTelemetry Collector and a Prometheus on loopback ports.

#[path = "../repository/dashboards/board.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod board;
#[path = "../support/mod.rs"]
mod support;

mod alerting;
mod crash;
mod dashboards;
mod logs;
mod metrics;
mod outage;
mod prometheus;
mod queries;
mod transports;
