//! Plays the provider: realistic traffic, planned from a seed, sent as smsmode sends it.
//!
//! [`plan`] draws the messages and their webhooks (pure), [`wire`] writes the webhooks (pure), [`sender`] sends them with the provider's
//! retries over a [`transport`] that it is handed, and [`verify`] compares the counters of the sidecar with what was acknowledged.
//! This crate depends on nothing of smscope, so it shares no code with the decoder, the life cycle and the ledger: it is a check on
//! them.

pub mod clock;
pub mod content;
pub mod dice;
mod ladder;
pub mod market;
pub mod message;
pub mod plan;
pub mod progress;
pub mod scenario;
pub mod sender;
pub mod status;
mod story;
pub mod summary;
pub mod tally;
pub mod transport;
pub mod verify;
pub mod wire;

#[cfg(test)]
mod tests;
