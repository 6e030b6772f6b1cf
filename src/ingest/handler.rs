//! One request, from its head to its response.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use jiff::Timestamp;

use super::auth::{Authenticator, Callback};
use super::auth_throttle::AuthThrottle;
use super::body::{Body, BodyReader};
use super::health::{self, Route};
use super::response::{Rejection, acknowledged};
use crate::event::TraceParent;
use crate::health::Health;
use crate::inbound::{InboundRequest, Origin, is_recognized};
use crate::listener::Service;
use crate::probe_challenge::{self, ChallengeKey};
use crate::provider::{Acknowledgement, SignedRequest, Success};
use crate::settings::Http;
use crate::store::{IngestOutcome, Store};
use crate::tasks::Task;

/// How long a response may wait for the disk before it is a 503. The retry is a duplicate, if the event was stored
/// after all.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// One in so many connections may be held for a delayed response to a failed authentication.
const DELAYED_SHARE: usize = 8;

pub struct Handler {
    authenticator: Authenticator,
    throttle: AuthThrottle,
    store: Store,
    bodies: BodyReader,
    challenge_key: ChallengeKey,
    health: Health,
}

impl Handler {
    pub fn new(
        authenticator: Authenticator,
        store: Store,
        limits: Http,
        challenge_key: ChallengeKey,
        health: Health,
    ) -> Self {
        let throttle = AuthThrottle::new(limits.max_connections.div_ceil(DELAYED_SHARE));
        let bodies = BodyReader::new(limits.max_body, limits.body_timeout);
        Self { authenticator, throttle, store, bodies, challenge_key, health }
    }

    fn challenge_response(&self, head: &Parts) -> Option<HeaderValue> {
        let nonce = head.headers.get(&probe_challenge::HEADER)?;
        HeaderValue::from_str(&self.challenge_key.response(nonce.to_str().ok()?)?).ok()
    }

    /// The checks in their order; then the events, stored.
    async fn ingest(
        &self,
        head: &Parts,
        body: Incoming,
        callback: &Callback<'_>,
        peer: SocketAddr,
    ) -> Result<(Success, Acknowledgement), Rejection> {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
            return Err(Rejection::MethodNotAllowed);
        }
        let authenticated = callback.authenticate()?;
        authenticated.check(&head.headers, peer.ip())?;
        let (source, metrics) = (&authenticated.source, &authenticated.metrics);
        let acknowledged = |success| Ok((success, source.provider.acknowledge(success)));

        // Whatever stands behind the `?`: HEAD changes nothing, so it carries no event.
        if head.method == Method::HEAD {
            return acknowledged(Success::Probe);
        }

        let arrived_at = Timestamp::now();
        let Body { bytes: body, _reservation } =
            self.bodies.read(&head.headers, body).await.inspect_err(|_has_content| metrics.arrived(arrived_at))?;
        let signed = SignedRequest {
            method: &head.method,
            path_and_query: head.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers: &head.headers,
            body: &body,
            received_at: arrived_at,
        };
        source.provider.verify(&signed).map_err(|_| authenticated.unauthorized())?;

        let (query, query_trace) = split_trace(head.uri.query().unwrap_or_default());
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let decoded = InboundRequest { method: head.method.as_str(), query, content_type, body }.decode(source);
        if decoded.events.is_empty() {
            let challenge = source.provider.challenge(&decoded.webhook()).map(|response| (Success::Probe, response));
            return challenge.map_or_else(|| acknowledged(Success::Probe), Ok);
        }
        // A GET that is no event of the provider's may come from a monitor.
        if head.method == Method::POST || decoded.events.iter().any(is_recognized) {
            metrics.arrived(arrived_at);
        }
        if !decoded.is_of_allowed_channels() {
            return Err(Rejection::ChannelForbidden);
        }
        if decoded.repaired {
            metrics.repaired.increment(1);
        }
        let has_unread_receipt = decoded.has_unread_receipt;
        let submission = decoded.into_submission(arrived_at, query_trace.or(callback.trace()), Origin::Webhook);
        let Ok(Ok(outcome)) = tokio::time::timeout(COMMIT_TIMEOUT, self.store.commit(submission)).await else {
            return Err(Rejection::Unavailable);
        };
        // A duplicate adds nothing to the first one.
        if has_unread_receipt && outcome != IngestOutcome::Duplicate {
            metrics.unread_receipts.increment(1);
        }
        acknowledged(match outcome {
            IngestOutcome::Accepted => Success::Accepted,
            IngestOutcome::Duplicate => Success::Duplicate,
            IngestOutcome::Unrecognized => Success::Unrecognized,
        })
    }
}

impl Service for Handler {
    const CONNECTION: Task = Task::Connection;

    async fn respond(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let route = Route::of(request.uri());
        if route != Route::Hooks {
            return health::response(route, request.method(), &self.health)
                .unwrap_or_else(|| Rejection::NotFound.response());
        }
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let callback = self.authenticator.resolve(head.uri.path());
        let outcome = self.ingest(&head, body, &callback, peer).await;
        let result = outcome.as_ref().map_or_else(|rejection| (*rejection).into(), |(success, _)| (*success).into());
        callback.metrics().answered(result, started.elapsed());
        match outcome {
            Ok((success, acknowledgement)) => {
                let mut response = acknowledged(acknowledgement);
                // A client that has the token may know which smscope this is.
                if success == Success::Probe {
                    response
                        .headers_mut()
                        .extend(self.challenge_response(&head).map(|response| (probe_challenge::HEADER, response)));
                }
                response
            }
            Err(rejection) => {
                let mut response = rejection.response();
                if rejection.is_failed_authentication()
                    && self.throttle.failed(self.authenticator.client_ip(peer.ip(), &head.headers)).await
                {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }

    fn malformed(&self) {
        self.authenticator.unknown().rejected_unread(Rejection::BrokenBody.into());
    }
}

/// Removes our own `traceparent` parameter from a query; a malformed one is removed too, and ignored. A provider that appends its
/// own query with a second `?` begins it there.
fn split_trace(query: &str) -> (Cow<'_, str>, Option<TraceParent>) {
    const PARAMETER: &str = "traceparent=";
    if !query.contains(PARAMETER) {
        return (Cow::Borrowed(query), None);
    }
    let mut trace = None;
    let mut theirs = Vec::new();
    for part in query.split('&') {
        let ours = part.find(PARAMETER).filter(|at| matches!(&part[..*at], "" | "amp;") || part[..*at].ends_with('?'));
        let Some(at) = ours else {
            theirs.push(part);
            continue;
        };
        let (before, value) = (&part[..at], &part[at + PARAMETER.len()..]);
        let (value, after) = value.split_once('?').unwrap_or((value, ""));
        trace = trace.or_else(|| TraceParent::parse(value));
        theirs.extend([before.trim_end_matches('?'), after].into_iter().filter(|rest| !matches!(*rest, "" | "amp;")));
    }
    (Cow::Owned(theirs.join("&")), trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_parameter_is_ours_and_the_rest_of_the_query_is_the_providers() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (query, rest, found) in [
            (String::new(), "", false),
            ("smsID=1&statut=11".to_owned(), "smsID=1&statut=11", false),
            (format!("traceparent={trace}"), "", true),
            (format!("smsID=1&traceparent={trace}&statut=11"), "smsID=1&statut=11", true),
            ("traceparent=00-nonsense&statut=11".to_owned(), "statut=11", false),
            ("xtraceparent=1".to_owned(), "xtraceparent=1", false),
            (format!("traceparent={trace}?smsID=1&statut=11"), "smsID=1&statut=11", true),
            (format!("a=b?traceparent={trace}?smsID=1"), "a=b&smsID=1", true),
            (format!("a=b&traceparent={trace}?smsID=1&statut=11"), "a=b&smsID=1&statut=11", true),
            (format!("?traceparent={trace}&smsID=1"), "smsID=1", true),
            (format!("a=b&amp;traceparent={trace}&amp;smsID=1"), "a=b&amp;smsID=1", true),
            ("traceparent=?statut=11".to_owned(), "statut=11", false),
            ("message=what?xtraceparent=1".to_owned(), "message=what?xtraceparent=1", false),
        ] {
            let (theirs, trace) = split_trace(&query);
            assert_eq!((&*theirs, trace.is_some()), (rest, found), "{query}");
        }
    }
}
