//! One attempt: the signed request, and the meaning of its response. Redirects are not followed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::http::{HeaderName, HeaderValue, Request, Uri};
use jiff::Timestamp;
use uuid::Uuid;

use super::address::{Guarded, is_forbidden};
use super::signature::Signer;
use super::{Relay, envelope, metrics};
use crate::outbound::{Client, Destination, chain, receive, retry_after};
use crate::route::{Format, RelayName};
use crate::settings::Protocol;
use crate::store::relays::{AttemptResult, Delivery};

/// Bytes of a response that are read, so that its connection can be reused.
const MAX_RESPONSE: usize = 64 * 1024;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The target of one relay.
pub struct Target {
    client: Client,
    url: Uri,
    format: Format,
    instance: Uuid,
    signer: Option<Signer>,
    relay: RelayName,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryOutcome {
    pub result: AttemptResult,
    /// In one line, without secrets; empty when it was delivered.
    pub why: String,
    /// The pause that the target requests.
    pub after: Option<Duration>,
}

impl Target {
    /// Must be used within a tokio runtime.
    pub fn new(relay: &Relay, instance: Uuid) -> Self {
        let destination = Destination {
            url: &relay.url,
            protocol: Protocol::HttpProtobuf,
            tls: relay.tls.as_ref(),
            proxy: relay.proxy.as_ref(),
            timeout: relay.timeout,
            headers: &relay.headers,
        };
        Self {
            client: Client::resolving_by(Guarded::new(&relay.networks), &destination),
            url: relay.url.clone(),
            format: relay.route.format,
            instance,
            signer: relay.secret.as_ref().and_then(|secret| Signer::new(secret.reveal())),
            relay: relay.route.relay.clone(),
        }
    }

    /// Makes an attempt, within the time-out.
    pub async fn deliver(&self, delivery: &Delivery) -> DeliveryOutcome {
        #[cfg(test)]
        crate::tasks::fault::point(crate::tasks::Task::RelayAttempt);
        let Some(request) = self.request(delivery) else {
            return failed(AttemptResult::Erased, "nothing is left to send: the person has been erased");
        };
        let started = Instant::now();
        let answered = self.client.within(self.exchange(request)).await;
        let outcome = answered.unwrap_or_else(|late| failed(AttemptResult::Timeout, late));
        metrics::attempted(&self.relay, started.elapsed());
        outcome
    }

    fn request(&self, delivery: &Delivery) -> Option<Request<Bytes>> {
        let mut request = envelope::request(delivery, self.format, &self.url, self.instance)?;
        let id = envelope::id(self.instance, delivery.entry.position);
        let timestamp = Timestamp::now().as_second();
        let signature = self.signer.as_ref().map(|signer| signer.sign(&id, timestamp, request.body()));
        let headers = request.headers_mut();
        headers.insert(ID, HeaderValue::from_str(&id).ok()?);
        headers.insert(TIMESTAMP, timestamp.into());
        if let Some(signature) = signature {
            headers.insert(SIGNATURE, HeaderValue::from_str(&signature).ok()?);
        }
        Some(request)
    }

    async fn exchange(&self, request: Request<Bytes>) -> DeliveryOutcome {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if is_forbidden(&error) => return failed(AttemptResult::Forbidden, chain(&error)),
            Err(error) => return failed(AttemptResult::Unreachable, chain(&error)),
        };
        let (head, body) = response.into_parts();
        let status = head.status;
        if status.is_success() {
            // The status decides; the body does not matter.
            let _read_for_the_connection = receive(body, MAX_RESPONSE).await;
            return DeliveryOutcome { result: AttemptResult::Delivered, why: String::new(), after: None };
        }
        let (result, note) = match status {
            StatusCode::TOO_MANY_REQUESTS => (AttemptResult::Throttled, ""),
            _ if status.is_server_error() => (AttemptResult::Failed, ""),
            _ if status.is_redirection() => (AttemptResult::Rejected, "; redirects are not followed"),
            _ => (AttemptResult::Rejected, ""),
        };
        DeliveryOutcome {
            after: retry_after(&head.headers),
            ..failed(result, format!("answered {}{note}", status.as_u16()))
        }
    }
}

pub(super) fn failed(result: AttemptResult, why: impl Into<String>) -> DeliveryOutcome {
    DeliveryOutcome { result, why: why.into(), after: None }
}
