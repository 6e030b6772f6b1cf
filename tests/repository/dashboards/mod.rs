//! The dashboards are what the generator writes, ask for what exists, and keep to the rules of Grafana's own linter.

pub mod board;
mod contents;
mod generator;
mod linter;
mod readable;
