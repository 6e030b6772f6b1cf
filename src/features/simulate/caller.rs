//! One webhook over HTTP, and its outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::http::Uri;
use rustls::ClientConfig;
use smscope_simulator::transport::{Acknowledgement, AttemptOutcome, Transport};
use smscope_simulator::wire::Request;

use super::target::Target;
use crate::outbound::{Client, Destination, receive, retry_after};
use crate::settings::{Protocol, Tls};

/// How long the provider waits for a response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read of the response to a webhook, and of a page of metrics.
const MAX_RESPONSE: usize = 64 << 10;
const MAX_PAGE: usize = 64 << 20;

/// Sends webhooks to one target over keep-alive connections, one per concurrent request.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    target: Target,
    /// The credentials for pages.
    authorization: Option<HeaderValue>,
}

impl Caller {
    /// Must be used within a tokio runtime. `trust` is for https URLs, `authorization` for pages.
    pub fn new(target: Target, trust: ClientConfig, authorization: Option<HeaderValue>) -> Self {
        let client = Client::new(&Destination {
            url: &target.uri(&Request::default()),
            protocol: Protocol::HttpProtobuf,
            tls: Some(&Tls { client: Arc::new(trust), certificate: None, client_certificate: None }),
            proxy: None,
            timeout: TIMEOUT,
            headers: &[(USER_AGENT, HeaderValue::from_static("smscope-simulate"))],
        });
        Self { client, target, authorization }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reads a page.
    ///
    /// # Errors
    /// In words: there is no response, or not a good one.
    pub async fn page(&self, url: &Uri) -> Result<String, String> {
        let mut request = hyper::Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        request.headers_mut().extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let exchange = async {
            let response = self.client.request(request).await.map_err(|_| "no answer")?;
            if !response.status().is_success() {
                return Err(format!("it answers {}", response.status()));
            }
            let received = receive(response.into_body(), MAX_PAGE).await.ok().filter(|received| received.is_whole);
            let body = received.ok_or("its answer breaks off")?.body;
            Ok(String::from_utf8(body.into()).map_err(|_| "its answer is not text")?)
        };
        self.client.within(exchange).await.unwrap_or_else(Err)
    }
}

impl Transport for Caller {
    async fn call(&self, request: &Request) -> AttemptOutcome {
        let mut call = hyper::Request::new(Bytes::from(request.body.clone().unwrap_or_default()));
        *call.uri_mut() = self.target.uri(request);
        *call.headers_mut() = self.target.headers.clone();
        if request.body.is_some() {
            *call.method_mut() = Method::POST;
            call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let exchange = async {
            let (head, body) = match self.client.request(call).await {
                Ok(response) => response.into_parts(),
                Err(error) if error.is_connect() => return AttemptOutcome::Unreachable,
                Err(_) => return AttemptOutcome::Unanswered,
            };
            match receive(body, MAX_RESPONSE).await {
                Err(_) => AttemptOutcome::Unanswered,
                Ok(received) if head.status.is_success() => {
                    AttemptOutcome::Acknowledged(acknowledgement(&received.body))
                }
                Ok(_) => {
                    let retry_after = retry_after(&head.headers).unwrap_or_default();
                    AttemptOutcome::Rejected { status: head.status, retry_after }
                }
            }
        };
        self.client.within(exchange).await.unwrap_or(AttemptOutcome::Unanswered)
    }
}

fn acknowledgement(body: &[u8]) -> Acknowledgement {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match body["result"].as_str() {
        Some("accepted") => Acknowledgement::Accepted,
        Some("duplicate") => Acknowledgement::Duplicate,
        Some("unrecognized") => Acknowledgement::Unrecognized,
        _ => Acknowledgement::Other,
    }
}
