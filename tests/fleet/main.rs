//! Fleet mode: several replicas of smscope on a real PostgreSQL. tests/support/postgres starts the servers.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod commands;
mod connection;
mod copy;
mod erase;
mod fleet;
mod freezing;
mod jobs;
mod misfortunes;
mod mixed;
mod packed;
mod pooler;
mod pushed;
mod replicas;
mod round_trips;
mod scraped;
mod servers;
mod set_aside;
mod standby;
mod upgrades;
mod versions;
