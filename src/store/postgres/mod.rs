//! The store of a fleet: replicas that share a PostgreSQL database. All SQL for it is here.

mod connect;
mod conversations;
mod decoded;
mod dedup;
mod error;
#[cfg(test)]
pub mod harness;
mod journal;
mod keys;
mod ledger;
mod messages;
mod meta;
mod outbox;
mod prefetch;
mod resends;
mod schema;
mod session;
mod texts;
mod transaction;
mod values;
