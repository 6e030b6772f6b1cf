//! The responses to webhooks. None repeats anything of the request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::listener::response;
use crate::process_metrics::WebhookResult;
use crate::provider::{Acknowledgement, Success};

/// Why a request is rejected. Nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    MethodNotAllowed,
    /// An unknown source, a wrong token or a path that is no callback path: one response for all, which tells nothing.
    NotFound,
    AddressForbidden,
    /// The header secret, the basic credentials or the signature are missing or wrong.
    Unauthorized {
        basic: bool,
    },
    TooLarge,
    TooSlow,
    ChannelForbidden,
    BrokenBody,
    /// Its Content-Encoding is not known, or not what the bytes are.
    UnsupportedEncoding,
    /// It cannot be stored now: the provider has to retry.
    Unavailable,
}

/// The response that a provider expects.
pub fn acknowledged(acknowledgement: Acknowledgement) -> Response<Full<Bytes>> {
    response(acknowledgement.status, acknowledgement.content_type, acknowledgement.body)
}

impl From<Success> for WebhookResult {
    fn from(success: Success) -> Self {
        match success {
            Success::Accepted => WebhookResult::Accepted,
            Success::Duplicate => WebhookResult::Duplicate,
            Success::Unrecognized => WebhookResult::Unrecognized,
            Success::Probe => WebhookResult::Probe,
        }
    }
}

impl From<Rejection> for WebhookResult {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::MethodNotAllowed | Rejection::BrokenBody | Rejection::UnsupportedEncoding => {
                WebhookResult::Error
            }
            Rejection::NotFound | Rejection::Unauthorized { .. } => WebhookResult::Unauthorized,
            Rejection::AddressForbidden | Rejection::ChannelForbidden => WebhookResult::Forbidden,
            Rejection::TooLarge => WebhookResult::TooLarge,
            Rejection::TooSlow => WebhookResult::Timeout,
            Rejection::Unavailable => WebhookResult::Overloaded,
        }
    }
}

impl Rejection {
    /// Whether a token or another secret was wrong.
    pub fn is_failed_authentication(self) -> bool {
        matches!(self, Rejection::NotFound | Rejection::Unauthorized { .. })
    }

    pub fn response(self) -> Response<Full<Bytes>> {
        let (status, body) = match self {
            Rejection::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed, expected GET or POST"}"#)
            }
            Rejection::NotFound => (StatusCode::NOT_FOUND, r#"{"error":"not found"}"#),
            Rejection::AddressForbidden => (StatusCode::FORBIDDEN, r#"{"error":"address not allowed"}"#),
            Rejection::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, r#"{"error":"credentials missing or wrong"}"#),
            Rejection::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"body too large, the limit is the setting http.max_body"}"#)
            }
            Rejection::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"body did not arrive in time"}"#),
            Rejection::ChannelForbidden => (StatusCode::FORBIDDEN, r#"{"error":"channel not allowed"}"#),
            Rejection::BrokenBody => (StatusCode::BAD_REQUEST, r#"{"error":"body ended early or is not valid HTTP"}"#),
            Rejection::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                r#"{"error":"content-encoding cannot be read, expected gzip, deflate, br, zstd or identity"}"#,
            ),
            Rejection::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"cannot keep the event now, send it again later"}"#)
            }
        };
        let mut response = response(status, Some("application/json"), body);
        let headers = response.headers_mut();
        match self {
            Rejection::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            }
            // RFC 9110, section 15.5.16.
            Rejection::UnsupportedEncoding => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
            }
            Rejection::Unauthorized { basic: true } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"smscope\""));
            }
            Rejection::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // The rest of the body is not going to be read.
            Rejection::TooLarge | Rejection::TooSlow | Rejection::BrokenBody => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
