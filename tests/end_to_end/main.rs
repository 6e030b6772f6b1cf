//! The real binary among real peers: an OpenTelemetry Collector and a Prometheus on loopback ports.
//!
//! One test binary for all of it: it links once, and every test uses all of `peers`.

#[path = "../dashboards/board.rs"]
#[allow(dead_code, reason = "what only tests/dashboards asks of them")]
mod board;

mod alerting;
mod crash;
mod dashboards;
#[path = "../support/exposition.rs"]
mod exposition;
#[allow(dead_code, reason = "a part of it is for tests/reliability")]
mod load;
mod logs;
mod metrics;
mod outage;
mod peers;
mod prometheus;
mod provider;
mod queries;
mod roads;
#[path = "../support/smsmode.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod smsmode;
#[path = "../support/tools.rs"]
mod tools;
