//! Plays the provider against a running smscope: traffic as life has it, planned from a seed, sent as smsmode sends it.
//!
//! [`plan`] says what will be told of which message and when (pure), [`wire`] writes that as webhooks (pure), [`sender`] sends them
//! and comes back on the provider's ladder, and [`verify`] compares what the sidecar counts with what it was told.
//! Nothing here uses the sidecar's own decoder, life cycle or ledger: it is to be a check on them.

pub mod clock;
mod content;
mod dice;
mod market;
pub mod message;
pub mod plan;
pub mod scenario;
mod status;
mod story;
pub mod verify;
pub mod wire;

#[cfg(test)]
mod tests;
