//! What all tests share: the real binary and its peers as processes, an HTTP client, servers that stand in for others, and a
//! reader of `/metrics`.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

use std::time::{Duration, Instant};

pub mod certificates;
mod client;
mod exposition;
pub mod load;
mod mounted;
mod otlp_stub;
pub mod peers;
mod ports;
pub mod postgres;
mod process;
pub mod provider;
pub mod server;
mod sink;
mod smscope;
pub mod smsmode;
pub mod target;
mod terminal;
mod tools;
mod traces;

pub use client::{Client, Response, Stream, get, gzip, post, post_json, request};
pub use exposition::Exposition;
pub use mounted::Mounted;
pub use otlp_stub::OtlpStub;
pub use ports::{free_address, free_port};
pub use process::{Ended, Process};
pub use sink::{Reaction, Sink};
pub use smscope::{Launch, Smscope};
pub use terminal::{OnATerminal, on_a_terminal};
pub use tools::{built, on_path, package, program, read, require_tool, root, run_with_input, succeeded};
pub use traces::{bytes_under, forms, traces};

/// How long anything may take before a test gives up on it. Never a measure of speed: only of what does not end.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The token of the default source in these tests.
pub const TOKEN: &str = "t0ken-of-the-tests";

/// The callback path of the default source.
pub const HOOK: &str = "/hooks/smsmode/t0ken-of-the-tests";

/// The callback path of another source with the same token.
pub fn hook(source: &str) -> String {
    format!("/hooks/{source}/{TOKEN}")
}

/// The recipient of every message in these tests.
pub const NUMBER: &str = "33612345678";

/// A receipt of smsmode's REST v1 with nothing but what it must have.
pub fn receipt(message_id: &str, status: &str) -> String {
    format!(
        r#"{{"messageId":"{message_id}","type":"SMS","direction":"MT","recipient":{{"to":"{NUMBER}"}},"status":{{"value":"{status}"}}}}"#
    )
}

/// What an attempt gives: a condition, or a value or the reason why there is none.
pub trait Attempt {
    type Value;

    fn result(self) -> Result<Self::Value, String>;
}

impl Attempt for bool {
    type Value = ();

    fn result(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".to_owned()) }
    }
}

impl<T> Attempt for Result<T, String> {
    type Value = T;

    fn result(self) -> Self {
        self
    }
}

/// Tries until an attempt succeeds; panics with its last error after [`PATIENCE`].
#[track_caller]
pub fn eventually<A: Attempt>(what: &str, mut attempt: impl FnMut() -> A) -> A::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().result() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("not within {PATIENCE:?}: {what}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// `Ok` if the condition holds, to be used with [`eventually`].
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}
