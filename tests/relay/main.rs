//! Relays, by the real binary: what arrives at a target that remembers everything and can fail in every way.

#[path = "../support/mod.rs"]
mod support;

#[path = "../end_to_end/peers/certificates.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod certificates;
mod conversations;
mod crash;
mod deliveries;
mod failures;
mod sdk;
mod trust;

use support::target;
