//! Every answer there is. None says anything of what came in.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use crate::meters::WebhookResult;

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Duplicate,
    Unrecognized,
    Probe,
    MethodNotAllowed,
    /// An unknown source, a wrong token or a path that is no callback URL: the same answer, so that nothing can be learnt.
    NotFound,
    AddressForbidden,
    /// The header secret or the basic credentials are missing or wrong.
    Unauthorized {
        basic: bool,
    },
    TooLarge,
    TooSlow,
    ChannelForbidden,
    BrokenBody,
    /// Its Content-Encoding is not known, or not what the bytes are.
    UnsupportedEncoding,
    /// It cannot be kept now: come back.
    Unavailable,
}

impl Answer {
    pub fn result(self) -> WebhookResult {
        match self {
            Answer::Accepted => WebhookResult::Accepted,
            Answer::Duplicate => WebhookResult::Duplicate,
            Answer::Unrecognized => WebhookResult::Unrecognized,
            Answer::Probe => WebhookResult::Probe,
            Answer::MethodNotAllowed | Answer::BrokenBody | Answer::UnsupportedEncoding => WebhookResult::Error,
            Answer::NotFound | Answer::Unauthorized { .. } => WebhookResult::Unauthorized,
            Answer::AddressForbidden | Answer::ChannelForbidden => WebhookResult::Forbidden,
            Answer::TooLarge => WebhookResult::TooLarge,
            Answer::TooSlow => WebhookResult::Timeout,
            Answer::Unavailable => WebhookResult::Overloaded,
        }
    }

    /// Whether it refuses a token or another secret.
    pub fn is_to_a_guess(self) -> bool {
        matches!(self, Answer::NotFound | Answer::Unauthorized { .. })
    }

    pub fn response(self) -> Response<Full<Bytes>> {
        let (status, body) = match self {
            Answer::Accepted => (StatusCode::OK, r#"{"result":"accepted"}"#),
            Answer::Duplicate => (StatusCode::OK, r#"{"result":"duplicate"}"#),
            Answer::Unrecognized => (StatusCode::OK, r#"{"result":"unrecognized"}"#),
            Answer::Probe => (StatusCode::OK, r#"{"result":"probe"}"#),
            Answer::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed, expected GET or POST"}"#)
            }
            Answer::NotFound => (StatusCode::NOT_FOUND, r#"{"error":"not found"}"#),
            Answer::AddressForbidden => (StatusCode::FORBIDDEN, r#"{"error":"address not allowed"}"#),
            Answer::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, r#"{"error":"credentials missing or wrong"}"#),
            Answer::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"body too large, the limit is the setting http.max_body"}"#)
            }
            Answer::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"body did not arrive in time"}"#),
            Answer::ChannelForbidden => (StatusCode::FORBIDDEN, r#"{"error":"channel not allowed"}"#),
            Answer::BrokenBody => (StatusCode::BAD_REQUEST, r#"{"error":"body ended early or is not valid HTTP"}"#),
            Answer::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                r#"{"error":"content-encoding cannot be read, expected gzip, deflate, br, zstd or identity"}"#,
            ),
            Answer::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"cannot keep the event now, send it again later"}"#)
            }
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Answer::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            }
            // RFC 9110, section 15.5.16.
            Answer::UnsupportedEncoding => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
            }
            Answer::Unauthorized { basic: true } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"smscope\""));
            }
            Answer::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // The rest of the body is not going to be read.
            Answer::TooLarge | Answer::TooSlow | Answer::BrokenBody => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
