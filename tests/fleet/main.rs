//! Fleet mode: several replicas of smscope on a real PostgreSQL. tests/support/postgres starts the servers.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod commands;
mod connection;
mod copy;
mod erase;
mod fleet;
mod mixed;
mod replicas;
mod servers;
