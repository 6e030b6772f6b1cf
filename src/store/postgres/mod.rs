//! The store of a fleet: replicas that share a PostgreSQL database. All SQL for it is here.

mod connect;
mod error;
mod keys;
mod schema;
mod session;
