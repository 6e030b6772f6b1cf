//! Errors of the provider's API.

use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};

use super::Operation;

/// The class of an error: the `result` label, `ok` aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Failure {
    /// 401 or 403: the key.
    Unauthorized,
    RateLimited,
    /// Any other 4xx, and redirects.
    Rejected,
    ServerError,
    Timeout,
    /// No connection, or no trusted certificate: nothing was sent.
    Unreachable,
    /// The connection broke before the end of the response.
    Broken,
    /// A complete response of another form than documented.
    Invalid,
}

/// One line, without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("smsmode's API ({operation}): {why}", operation = .operation.into_str())]
pub struct ApiError {
    pub operation: Operation,
    pub failure: Failure,
    /// The pause that the provider requests, at most an hour.
    pub retry_after: Option<Duration>,
    why: String,
}

impl ApiError {
    pub(super) fn new(operation: Operation, failure: Failure, why: impl Into<String>) -> Self {
        Self { operation, failure, retry_after: None, why: why.into() }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        !matches!(self.failure, Failure::Unauthorized | Failure::Rejected)
    }

    /// Whether the provider may have done what was requested all the same.
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self.failure, Failure::ServerError | Failure::Timeout | Failure::Broken | Failure::Invalid)
    }
}
