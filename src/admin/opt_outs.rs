//! The list of opt-outs, for the service that sends: it checks a number before it sends, or follows the changes. It has full numbers,
//! so it needs a token of its own.
//!
//! - `GET /v1/opt-outs/{number}`: what is known of one number.
//! - `GET /v1/opt-outs?after=0&limit=1000&wait=30`: changes after a position as JSON lines, oldest first. With `wait` the response
//!   comes when there is a change, or empty after so many seconds.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::listener::credentials::bearer_matches;
use crate::listener::{response, text};
use crate::secret::Secret;

/// The path of the changes.
pub const PATH: &str = "/v1/opt-outs";

/// The path of a number begins with this.
pub const OF_NUMBER: &str = "/v1/opt-outs/";

/// Changes of one response, at most and by default.
const MAX_LIMIT: usize = 1_000;

/// Seconds that a request may wait, at most.
const MAX_WAIT: u64 = 60;

const LINES_TYPE: &str = "application/x-ndjson";
const JSON_TYPE: &str = "application/json";

/// The result of a lookup: a document, `None` for what is no number, or why the store cannot be read.
type Found = Result<Option<String>, String>;
type Lines = Result<String, String>;
type Soon<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The list, as this listener reads it.
pub struct OptOuts {
    pub token: Secret,
    /// The JSON document of one number, as the client wrote it.
    pub of_number: Box<dyn Fn(String) -> Soon<Found> + Send + Sync>,
    /// JSON lines of the changes after a position, so many at most.
    pub after: Box<dyn Fn(i64, usize) -> Soon<Lines> + Send + Sync>,
    /// Resolves once there is a change after a position.
    pub changed: Box<dyn Fn(i64) -> Soon<()> + Send + Sync>,
}

/// The parameters of a query.
#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    after: i64,
    limit: usize,
    wait: Duration,
}

impl OptOuts {
    pub async fn answer(&self, request: &Parts) -> Response<Full<Bytes>> {
        if !self.is_authorized(request) {
            let mut response = text(StatusCode::UNAUTHORIZED, "expected the token of opt_outs as a bearer\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        match request.uri.path().strip_prefix(OF_NUMBER) {
            Some(number) => match percent_decode_str(number).decode_utf8() {
                Ok(number) => document((self.of_number)(number.into_owned()).await),
                Err(_) => no_number(),
            },
            None => match parameters(request.uri.query().unwrap_or_default()) {
                Some(parameters) => self.changes(parameters).await,
                None => text(StatusCode::BAD_REQUEST, "expected after=0&limit=1000&wait=30, each a number\n"),
            },
        }
    }

    fn is_authorized(&self, request: &Parts) -> bool {
        bearer_matches(&self.token, &request.headers)
    }

    async fn changes(&self, parameters: Parameters) -> Response<Full<Bytes>> {
        if !parameters.wait.is_zero() {
            // Without a change the response is empty.
            let _in_vain = tokio::time::timeout(parameters.wait, (self.changed)(parameters.after)).await;
        }
        match (self.after)(parameters.after, parameters.limit).await {
            Ok(lines) => response(StatusCode::OK, Some(LINES_TYPE), lines),
            Err(error) => unreadable(&error),
        }
    }
}

fn parameters(query: &str) -> Option<Parameters> {
    let mut parameters = Parameters { after: 0, limit: MAX_LIMIT, wait: Duration::ZERO };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        match name {
            "after" => parameters.after = value.parse().ok()?,
            "limit" => parameters.limit = value.parse::<usize>().ok()?.clamp(1, MAX_LIMIT),
            "wait" => parameters.wait = Duration::from_secs(value.parse::<u64>().ok()?.min(MAX_WAIT)),
            _ => return None,
        }
    }
    Some(parameters)
}

fn document(found: Found) -> Response<Full<Bytes>> {
    match found {
        Ok(Some(document)) => response(StatusCode::OK, Some(JSON_TYPE), document),
        Ok(None) => no_number(),
        Err(error) => unreadable(&error),
    }
}

fn no_number() -> Response<Full<Bytes>> {
    text(StatusCode::BAD_REQUEST, "expected a phone number such as +33612345678\n")
}

fn unreadable(error: &str) -> Response<Full<Bytes>> {
    tracing::warn!(error, "the list of opt-outs cannot be read");
    // A sender that checks before it sends must not read this as a no.
    text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_a_position_a_limit_and_a_wait() {
        let of = |after, limit, wait| Some(Parameters { after, limit, wait: Duration::from_secs(wait) });
        for (query, expected) in [
            ("", of(0, 1_000, 0)),
            ("after=7", of(7, 1_000, 0)),
            ("after=7&limit=2&wait=30", of(7, 2, 30)),
            ("limit=0&wait=9999", of(0, 1, 60)),
            ("limit=99999", of(0, 1_000, 0)),
            ("after=x", None),
            ("wait=-1", None),
            ("since=7", None),
            ("after", None),
        ] {
            assert_eq!(parameters(query), expected, "{query}");
        }
    }
}
