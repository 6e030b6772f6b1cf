//! The responses to webhooks. None repeats anything of the request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::listener::response;
use crate::process_metrics::WebhookResult;
use crate::provider::{Acknowledgement, Success};

/// Why a request is rejected. Nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    MethodNotAllowed,
    /// An unknown source, a wrong token or a path that is no callback path: one response for all, which reveals nothing.
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
        // The rest of the body is not going to be read.
        const CLOSE: Option<(HeaderName, &str)> = Some((CONNECTION, "close"));
        let (status, error, header) = match self {
            Rejection::MethodNotAllowed => {
                (405, "method not allowed, expected GET or POST", Some((ALLOW, "GET, HEAD, POST")))
            }
            Rejection::NotFound => (404, "not found", None),
            Rejection::AddressForbidden => (403, "address not allowed", None),
            Rejection::Unauthorized { basic } => {
                let scheme = (WWW_AUTHENTICATE, "Basic realm=\"smscope\"");
                (401, "credentials missing or wrong", basic.then_some(scheme))
            }
            Rejection::TooLarge => (413, "body too large, the limit is the setting http.max_body", CLOSE),
            Rejection::TooSlow => (408, "body did not arrive in time", CLOSE),
            Rejection::ChannelForbidden => (403, "channel not allowed", None),
            Rejection::BrokenBody => (400, "body ended early or is not valid HTTP", CLOSE),
            // RFC 9110, section 15.5.16.
            Rejection::UnsupportedEncoding => (
                415,
                "content-encoding cannot be read, expected gzip, deflate, br, zstd or identity",
                Some((ACCEPT_ENCODING, "gzip, deflate, br, zstd")),
            ),
            Rejection::Unavailable => (503, "cannot store the event now, retry later", Some((RETRY_AFTER, "5"))),
        };
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        let mut response = response(status, Some("application/json"), format!("{{\"error\":\"{error}\"}}"));
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}
