//! Errors of the provider's API.

use std::time::Duration;

use super::Operation;

/// The class of an error: the `result` label, `ok` aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// 401 or 403: the key.
    Unauthorized,
    RateLimited,
    /// Any other 4xx, and redirects.
    Refused,
    ServerError,
    Timeout,
    /// No connection, or no trusted certificate: nothing was sent.
    Unreachable,
    /// The connection broke before the end of the response.
    Broken,
    /// A whole response that is not what it should be.
    Invalid,
}

impl Failure {
    /// The label value, for example `rate_limited`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Unauthorized => "unauthorized",
            Failure::RateLimited => "rate_limited",
            Failure::Refused => "refused",
            Failure::ServerError => "server_error",
            Failure::Timeout => "timeout",
            Failure::Unreachable => "unreachable",
            Failure::Broken => "broken",
            Failure::Invalid => "invalid",
        }
    }
}

/// One line, without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("smsmode's API ({operation}): {why}", operation = .operation.as_str())]
pub struct ApiError {
    pub operation: Operation,
    pub failure: Failure,
    /// How long the provider asks to wait, at most an hour.
    pub retry_after: Option<Duration>,
    why: String,
}

impl ApiError {
    pub(super) fn new(operation: Operation, failure: Failure, why: impl Into<String>) -> Self {
        Self { operation, failure, retry_after: None, why: why.into() }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        !matches!(self.failure, Failure::Unauthorized | Failure::Refused)
    }

    /// Whether the provider may have done what was requested all the same.
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self.failure, Failure::ServerError | Failure::Timeout | Failure::Broken | Failure::Invalid)
    }
}
