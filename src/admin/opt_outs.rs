//! The list of opt-outs, for the service that sends: it asks before it sends, or follows the changes. Full numbers are in it, so it
//! asks for a token, which everything else on this listener does not.
//!
//! - `GET /v1/opt-outs/{number}`: what is known of one number.
//! - `GET /v1/opt-outs?after=0&limit=1000&wait=30`: changes after a place as JSON lines, oldest first. With `wait` it answers when
//!   there is one, after so many seconds at the latest, then with nothing.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::{access, text};
use crate::secret::Secret;

/// Where the changes are.
pub const PATH: &str = "/v1/opt-outs";

/// What a number stands behind.
pub const OF_NUMBER: &str = "/v1/opt-outs/";

/// Changes of one answer, unless asked for fewer.
const MOST: usize = 1_000;

/// Seconds that an answer may be waited for.
const LONGEST_WAIT: u64 = 60;

const LINES_TYPE: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");

/// What a look-up gives: a document, `None` where what was asked for is no number, or why it cannot be had.
type Found = Result<Option<String>, String>;
type Lines = Result<String, String>;
type Soon<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The list, as it is shown here.
pub struct OptOuts {
    pub token: Secret,
    /// A JSON document of one number, as it was written.
    pub of_number: Box<dyn Fn(String) -> Soon<Found> + Send + Sync>,
    /// JSON lines of the changes after a place, so many at most.
    pub after: Box<dyn Fn(i64, usize) -> Soon<Lines> + Send + Sync>,
    /// Resolves once there is a change after a place.
    pub changed: Box<dyn Fn(i64) -> Soon<()> + Send + Sync>,
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
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
            None => match asked(request.uri.query().unwrap_or_default()) {
                Some(asked) => self.changes(asked).await,
                None => text(StatusCode::BAD_REQUEST, "expected after=0&limit=1000&wait=30, each a number\n"),
            },
        }
    }

    fn is_authorized(&self, request: &Parts) -> bool {
        access::bearer_matches(&self.token, &request.headers)
    }

    async fn changes(&self, asked: Asked) -> Response<Full<Bytes>> {
        if !asked.wait.is_zero() {
            // Without one the answer is empty.
            let _in_vain = tokio::time::timeout(asked.wait, (self.changed)(asked.after)).await;
        }
        match (self.after)(asked.after, asked.limit).await {
            Ok(lines) => answer(lines, LINES_TYPE),
            Err(error) => unreadable(&error),
        }
    }
}

fn asked(query: &str) -> Option<Asked> {
    let mut asked = Asked { after: 0, limit: MOST, wait: Duration::ZERO };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        match name {
            "after" => asked.after = value.parse().ok()?,
            "limit" => asked.limit = value.parse::<usize>().ok()?.clamp(1, MOST),
            "wait" => asked.wait = Duration::from_secs(value.parse::<u64>().ok()?.min(LONGEST_WAIT)),
            _ => return None,
        }
    }
    Some(asked)
}

fn document(found: Found) -> Response<Full<Bytes>> {
    match found {
        Ok(Some(document)) => answer(document, JSON_TYPE),
        Ok(None) => no_number(),
        Err(error) => unreadable(&error),
    }
}

fn no_number() -> Response<Full<Bytes>> {
    text(StatusCode::BAD_REQUEST, "expected a phone number such as +33612345678\n")
}

fn unreadable(error: &str) -> Response<Full<Bytes>> {
    tracing::warn!(error, "the list of opt-outs cannot be read");
    // Who asks before sending must not take this for a no.
    text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n")
}

fn answer(body: String, content_type: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_so_much_and_waits_for_so_long() {
        let of = |after, limit, wait| Some(Asked { after, limit, wait: Duration::from_secs(wait) });
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
            assert_eq!(asked(query), expected, "{query}");
        }
    }
}
