//! The outcome for servers that do not respond: the same over HTTP and gRPC.

use std::time::Duration;

use super::*;
use crate::telemetry::answer::class;

pub(super) fn sender(endpoint: &Endpoint) -> Sender {
    Sender::new(Signal::Logs, endpoint)
}

/// A request to each of these servers (what it does, the expected class) is to be retried after a backoff, and the outcome has a reason.
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
