//! What is made of servers that give no answer: the same by both roads.

use std::time::Duration;

use super::*;
use crate::telemetry::answer::class;

pub(super) fn sender(endpoint: &Endpoint) -> Sender {
    Sender::new(Signal::Logs, endpoint)
}

/// What is sent to each of these (what it does, the class that is expected) is to be tried again after a wait of our own choice, and
/// there is a reason.
pub(super) async fn are_tried_again(timeout: Duration, servers: [(&str, &str, Endpoint); 6]) {
    for (what, expected, endpoint) in servers {
        let endpoint = Endpoint { timeout, ..endpoint };
        let answer = sender(&endpoint).send(Bytes::from_static(b"body")).await;
        let (ExportOutcome::Retry { after: None, why } | ExportOutcome::Fault { after: None, why }) = &answer else {
            panic!("{what}: {answer:?}")
        };
        assert_eq!((class(&answer), why.is_empty()), (expected, false), "{what}");
    }
}
