//! The programs that a smscope works with, each on ports of its own, ended with the test.

mod alertmanager;
mod collector;
mod prometheus;

pub use alertmanager::{Alertmanager, Notification};
pub use collector::{Collector, array, attributes};
pub use prometheus::{Prometheus, promtool};
