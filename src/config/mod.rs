//! What can be set: file, environment, flags, and the errors.

mod model;

pub use model::*;
