//! What the crate's own unit tests share with the tests around it.
#![allow(dead_code, unused_imports, reason = "unit tests use a part of it")]

mod ports;
pub mod postgres;
mod tools;
