//! The durable counters.

pub mod catalogue;
pub mod snapshot;
