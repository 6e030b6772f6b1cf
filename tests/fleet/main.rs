//! Fleet mode: several replicas of smscope on a real PostgreSQL. tests/support/postgres starts the servers.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod commands;
mod copy;
mod erase;
mod fleet;
mod replicas;
mod servers;
