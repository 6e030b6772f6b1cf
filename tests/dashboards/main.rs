//! The dashboards are what the generator writes, ask for what exists, and keep to the rules of Grafana's own linter.

mod board;
mod contents;
mod generator;
mod linter;
mod readable;
#[path = "../support/tools.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod tools;
