//! One attempt: the request, signed, and what its answer means. Redirects are not followed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::StatusCode;
use hyper::http::header::{CONTENT_LENGTH, PROXY_AUTHORIZATION, RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use uuid::Uuid;

use super::address::{Guarded, is_forbidden};
use super::envelope;
use super::signature::Signer;
use crate::config::{Protocol, Relay};
use crate::meters::RelayMeters;
use crate::outbound::{Connector, IDLE, OUR_USER_AGENT, chain, connector_by, proxy_authorization, wait};
use crate::route::Format;
use crate::store::relays::{AttemptResult, Delivery};

/// Bytes of an answer that are read, so that its connection can be used again.
const LONGEST_ANSWER: usize = 64 * 1024;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Where one relay delivers.
pub struct Target {
    client: Client<Connector<Guarded>, Full<Bytes>>,
    url: Uri,
    format: Format,
    instance: Uuid,
    headers: HeaderMap,
    signer: Option<Signer>,
    timeout: Duration,
    meters: RelayMeters,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub result: AttemptResult,
    /// In one line, without secrets; empty when it was delivered.
    pub why: String,
    /// How long the target asks not to be asked again.
    pub after: Option<Duration>,
}

impl Target {
    /// Must be used within a tokio runtime.
    pub fn new(relay: &Relay, instance: Uuid) -> Self {
        let guarded = Guarded::new(&relay.networks);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector_by(guarded, relay.tls.as_ref(), Protocol::HttpProtobuf, relay.proxy.as_ref()));
        let mut headers: HeaderMap = relay.headers.iter().cloned().collect();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OUR_USER_AGENT));
        for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(framing);
        }
        if let Some(authorization) = proxy_authorization(&relay.url, Protocol::HttpProtobuf, relay.proxy.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        Self {
            client,
            url: relay.url.clone(),
            format: relay.route.format,
            instance,
            headers,
            signer: relay.secret.as_ref().and_then(|secret| Signer::new(secret.reveal())),
            timeout: relay.timeout,
            meters: RelayMeters::new(relay.route.relay.as_str()),
        }
    }

    /// Tries to deliver, within the time-out.
    pub async fn deliver(&self, delivery: &Delivery) -> Answer {
        #[cfg(test)]
        crate::tasks::fault::point(crate::tasks::Task::RelayAttempt);
        let Some(request) = self.request(delivery) else {
            return failed(AttemptResult::Erased, "nothing is left to send: the person has been erased");
        };
        let started = Instant::now();
        let answer = match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => failed(AttemptResult::Timeout, format!("no answer within {:?}", self.timeout)),
        };
        self.meters.attempted(started.elapsed());
        answer
    }

    fn request(&self, delivery: &Delivery) -> Option<Request<Full<Bytes>>> {
        let mut request = envelope::request(delivery, self.format, &self.url, self.instance)?;
        let id = envelope::id(self.instance, delivery.entry.position);
        let timestamp = Timestamp::now().as_second();
        let signature = self.signer.as_ref().map(|signer| signer.sign(&id, timestamp, request.body()));
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        headers.insert(ID, HeaderValue::from_str(&id).ok()?);
        headers.insert(TIMESTAMP, timestamp.into());
        if let Some(signature) = signature {
            headers.insert(SIGNATURE, HeaderValue::from_str(&signature).ok()?);
        }
        Some(request.map(Full::new))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if is_forbidden(&error) => return failed(AttemptResult::Forbidden, chain(&error)),
            Err(error) => return failed(AttemptResult::Unreachable, chain(&error)),
        };
        let (head, body) = response.into_parts();
        let status = head.status;
        if status.is_success() {
            // The head has said so; what the body is like changes nothing.
            let _read_for_the_connection = Limited::new(body, LONGEST_ANSWER).collect().await;
            return Answer { result: AttemptResult::Delivered, why: String::new(), after: None };
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let (result, note) = match status {
            StatusCode::TOO_MANY_REQUESTS => (AttemptResult::Throttled, ""),
            _ if status.is_server_error() => (AttemptResult::Failed, ""),
            _ if status.is_redirection() => (AttemptResult::Refused, "; redirects are not followed"),
            _ => (AttemptResult::Refused, ""),
        };
        Answer {
            after: wait(retry_after, Timestamp::now()),
            ..failed(result, format!("answered {}{note}", status.as_u16()))
        }
    }
}

pub(super) fn failed(result: AttemptResult, why: impl Into<String>) -> Answer {
    Answer { result, why: why.into(), after: None }
}
