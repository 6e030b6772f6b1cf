//! Relays, by the real binary: what arrives at a target that remembers everything and can fail in every way.

#[path = "../support/mod.rs"]
mod support;

mod conversations;
mod crash;
mod deliveries;
mod failures;
mod sdk;

use support::target;
