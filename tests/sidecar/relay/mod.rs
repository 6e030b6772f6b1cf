//! Relays, by the real binary: what arrives at a target that remembers everything and can fail in every way.

mod conversations;
mod crash;
mod deliveries;
mod failures;
mod sdk;
mod trust;
