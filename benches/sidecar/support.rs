//! PostgreSQL servers, as the tests start them.
#![allow(dead_code, unused_imports, reason = "the tests use the rest")]

#[path = "../../tests/support/ports.rs"]
mod ports;
#[path = "../../tests/support/postgres/mod.rs"]
pub mod postgres;
#[path = "../../tests/support/tools.rs"]
mod tools;
