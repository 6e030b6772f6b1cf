//! One suite of behavior for every store: what it does is the rules', so a store passes when it keeps and finds what it was given.
//!
//! A store joins by a [`Harness`] and a line in `on_every_store!`.

mod actions;
mod behaviors;
mod memory;
mod model;
mod on_memory;
mod reads;

pub use actions::{Action, Dump, Reaction};
pub use model::{event, everything};

use super::Settings;

/// A store to be tested.
pub trait Harness {
    /// An empty store.
    fn new(settings: Settings) -> Self;

    /// Runs an action in a transaction, which commits or is dropped.
    fn run(&mut self, action: &Action, commits: bool) -> Reaction;

    /// Ends and starts again.
    fn restart(&mut self);

    /// All that is stored.
    fn dump(&self) -> Dump;

    fn settings(&self) -> &Settings;
}
