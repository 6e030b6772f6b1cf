//! One request, from its head to its answer.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use jiff::Timestamp;

use super::answer::Answer;
use super::body::{Bodies, Body};
use super::gate::{self, Address, Gate};
use super::guesses::Guesses;
use super::health::{self, Route};
use crate::config::{Http, Text};
use crate::event::{Event, TraceParent};
use crate::health::Health;
use crate::proof::{self, ProofKey};
use crate::provider::{Decoded, Reading, Webhook, smsmode};
use crate::store::{Raw, Store, Submission, Verdict};

/// How long an answer may wait for the disk before the provider is asked to come back. It then finds a duplicate, if the event was
/// kept after all.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// One in so many connections may be held for a late answer to a guess.
const LATE: usize = 8;

pub struct Handler {
    gate: Gate,
    guesses: Guesses,
    store: Store,
    bodies: Bodies,
    proof: ProofKey,
    health: Health,
}

impl Handler {
    pub fn new(gate: Gate, store: Store, limits: Http, proof: ProofKey, health: Health) -> Self {
        let guesses = Guesses::new(limits.max_connections.div_ceil(LATE));
        let bodies = Bodies::new(limits.max_body, limits.body_timeout);
        Self { gate, guesses, store, bodies, proof, health }
    }

    /// Counts what came instead of a request: hyper has answered it.
    pub fn count_malformed(&self) {
        self.gate.unknown().refused_unread(Answer::BrokenBody.result());
    }

    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        match Route::of(request.uri()) {
            Route::Hooks => {}
            route => {
                return health::answer(route, request.method(), &self.health)
                    .unwrap_or_else(|| Answer::NotFound.response());
            }
        }
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let address = gate::address(&path);
        let proof = request.headers().get(proof::HEADER).and_then(|nonce| self.proof.of(nonce.to_str().ok()?));
        let suspect = self.gate.suspect(peer.ip(), request.headers());
        let answer = match self.take(request, address.as_ref(), peer).await {
            Ok(answer) | Err(answer) => answer,
        };
        self.gate.meters(address.as_ref()).answered(answer.result(), started.elapsed());
        let mut response = answer.response();
        // Who has the token may know which smscope this is.
        if answer == Answer::Probe
            && let Some(proof) = proof.and_then(|proof| HeaderValue::from_str(&proof).ok())
        {
            response.headers_mut().insert(proof::HEADER, proof);
        }
        if answer.is_to_a_guess() && self.guesses.failed(suspect).await {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The refusals in their order; then the event, kept.
    async fn take(
        &self,
        request: Request<Incoming>,
        address: Option<&Address<'_>>,
        peer: SocketAddr,
    ) -> Result<Answer, Answer> {
        let method = request.method().clone();
        if ![Method::GET, Method::HEAD, Method::POST].contains(&method) {
            return Err(Answer::MethodNotAllowed);
        }
        let entrance = self.gate.admit(address)?;
        entrance.check(request.headers(), peer.ip())?;

        // Whatever stands behind the `?`: HEAD changes nothing, so it carries no event.
        if method == Method::HEAD {
            return Ok(Answer::Probe);
        }

        let arrived_at = Timestamp::now();
        let (head, body) = request.into_parts();
        let (query, query_trace) = split_trace(head.uri.query().unwrap_or_default());
        let Body { bytes: body, _room } = self
            .bodies
            .read(&head.headers, body)
            .await
            .inspect_err(|_has_content| entrance.meters.arrived(arrived_at))?;
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());

        let source = &entrance.source;
        let reading = Reading {
            zone: &source.zone,
            region: source.region,
            stop_keywords: &source.stop_keywords,
            start_keywords: &source.start_keywords,
        };
        let webhook = Webhook { query: &query, content_type, body: &body };
        // Read whole, whatever is kept of it: duplicates and opt-outs are told by what came.
        let Decoded { mut events, repaired, has_unread_receipt } = smsmode::decode(&reading, &webhook);
        if events.is_empty() {
            return Ok(Answer::Probe);
        }
        // A GET that is no event of the provider's is a monitor's, as far as anyone can say.
        let is_recognized = |event: &Event| !matches!(event, Event::Unrecognized(_));
        if method == Method::POST || events.iter().any(is_recognized) {
            entrance.meters.arrived(arrived_at);
        }
        if !events.iter().all(|event| entrance.knows_channel(event.channel_id())) {
            return Err(Answer::ChannelForbidden);
        }
        if repaired {
            entrance.meters.repaired.increment(1);
        }

        let (query, body) = match source.privacy.text {
            Text::Dropped => {
                let (query, body) = smsmode::drop_text(&mut events, &webhook);
                (query.into_owned(), Bytes::from(body.into_owned()))
            }
            Text::Kept | Text::Exported => (query.into_owned(), body),
        };
        let raw =
            Raw { method: head.method.as_str().to_owned(), content_type: content_type.map(str::to_owned), query, body };
        let trace = query_trace.or(address.and_then(|address| address.trace));
        let submission = Submission {
            source: source.name.clone(),
            arrived_at,
            trace,
            reconciled: false,
            repaired,
            reprocessed: None,
            raw,
            events,
        };
        let Ok(Ok(verdict)) = tokio::time::timeout(COMMIT_TIMEOUT, self.store.commit(submission)).await else {
            return Err(Answer::Unavailable);
        };
        // A repetition says nothing that the first one has not.
        if has_unread_receipt && verdict != Verdict::Duplicate {
            entrance.meters.unread_receipts.increment(1);
        }
        Ok(match verdict {
            Verdict::Accepted => Answer::Accepted,
            Verdict::Duplicate => Answer::Duplicate,
            Verdict::Unrecognized => Answer::Unrecognized,
        })
    }
}

/// Takes our own `traceparent` parameter out of a query; a malformed one is taken out too, and ignored. A provider that appends its
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
            let (kept, trace) = split_trace(&query);
            assert_eq!((&*kept, trace.is_some()), (rest, found), "{query}");
        }
    }
}
