//! What the black-box tests share: the real binary on ports of its own, a client that writes raw bytes, and a reader of `/metrics`.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

use std::time::{Duration, Instant};

mod client;
mod collector;
pub mod exposition;
mod metrics;
mod smscope;
pub mod smsmode;
pub mod target;
mod terminal;
pub mod tools;
mod traces;

pub use client::{Answer, Client, Stream, gzip, post, request};
pub use collector::Collector;
pub use metrics::Metrics;
pub use smscope::{Ended, Launch, Smscope};
pub use terminal::{OnATerminal, on_a_terminal};
pub use tools::{on_path, require_tool, run_with_input};
pub use traces::{bytes_under, forms, traces};

/// How long anything may take before a test gives up on it. Never a measure of speed: only of what does not end.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The token of the default source in these tests.
pub const TOKEN: &str = "t0ken-of-the-tests";

/// The callback path of the default source.
pub const HOOK: &str = "/hooks/smsmode/t0ken-of-the-tests";

/// The recipient of every message in these tests.
pub const NUMBER: &str = "33612345678";

/// A receipt of smsmode's REST v1 with nothing but what it must have.
pub fn receipt(message_id: &str, status: &str) -> String {
    format!(
        r#"{{"messageId":"{message_id}","type":"SMS","direction":"MT","recipient":{{"to":"{NUMBER}"}},"status":{{"value":"{status}"}}}}"#
    )
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < given_up, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
