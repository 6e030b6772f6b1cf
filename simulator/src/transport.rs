//! The transport of webhooks, which the caller brings, and what comes of one attempt.

use std::time::Duration;

use http::StatusCode;

use crate::wire::Request;

/// Sends webhooks to one target.
pub trait Transport: Clone + Send + 'static {
    /// Sends one webhook.
    fn call(&self, request: &Request) -> impl Future<Output = AttemptOutcome> + Send;
}

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// 2xx: the provider is done.
    Acknowledged(Acknowledgement),
    /// Any other status: the provider retries, not before `retry_after`.
    Rejected { status: StatusCode, retry_after: Duration },
    /// No connection: nothing was sent.
    Unreachable,
    /// Sent, but without a response: the event may have been stored.
    Unanswered,
}

/// The `result` in the response of smscope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acknowledgement {
    Accepted,
    Duplicate,
    Unrecognized,
    /// Another 2xx: that of a probe, or not of smscope.
    Other,
}
