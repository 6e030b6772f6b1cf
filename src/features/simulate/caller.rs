//! One webhook over HTTP, and what came of it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::Uri;
use hyper::{Method, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::target::Target;
use super::wire::Request;

/// How long the provider waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer to a webhook, and of a page of metrics, that are read at most.
const LONGEST_ANSWER: usize = 64 << 10;
const LONGEST_PAGE: usize = 64 << 20;

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx: the provider is done.
    Taken(Taken),
    /// Any other status: it comes back, not before `retry_after`.
    Refused { status: StatusCode, retry_after: Duration },
    /// No connection: nothing was sent.
    Unreachable,
    /// Sent, and no answer came: it may have been taken.
    Silent,
}

/// What smscope says of what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Accepted,
    Duplicate,
    Unrecognized,
    /// Another 2xx: a probe's, or not smscope's.
    Other,
}

/// Calls one target over kept-alive connections, as many as there are calls at a time.
#[derive(Clone)]
pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    target: Target,
    /// What pages ask for.
    authorization: Option<HeaderValue>,
}

impl Caller {
    /// Must be used within a tokio runtime. `trust` is for what is secure, `authorization` for pages.
    pub fn new(target: Target, mut trust: ClientConfig, authorization: Option<HeaderValue>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(PATIENCE));
        // It would take nothing but http:// otherwise.
        connector.enforce_http(false);
        trust.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = HttpsConnector::from((connector, trust));
        // Sooner than smscope closes an idle connection, so that no call meets a closing one.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        Self { client, target, authorization }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends one webhook.
    pub async fn call(&self, request: &Request) -> Answer {
        let mut call = hyper::Request::new(Full::new(Bytes::from(request.body.clone().unwrap_or_default())));
        *call.uri_mut() = self.target.uri(request);
        *call.headers_mut() = self.target.headers.clone();
        call.headers_mut().insert(USER_AGENT, HeaderValue::from_static("smscope-simulate"));
        if request.body.is_some() {
            *call.method_mut() = Method::POST;
            call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answered = async {
            let response = match self.client.request(call).await {
                Ok(response) => response,
                Err(error) if error.is_connect() => return Answer::Unreachable,
                Err(_) => return Answer::Silent,
            };
            let (head, body) = response.into_parts();
            let Ok(body) = Limited::new(body, LONGEST_ANSWER).collect().await else { return Answer::Silent };
            if head.status.is_success() {
                return Answer::Taken(taken(&body.to_bytes()));
            }
            let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Answer::Refused { status: head.status, retry_after: Duration::from_secs(seconds.unwrap_or(0)) }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap_or(Answer::Silent)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// In words: there is no answer, or not a good one.
    pub async fn page(&self, url: &Uri) -> Result<String, String> {
        let read = async {
            let mut request = hyper::Request::new(Full::default());
            *request.uri_mut() = url.clone();
            request.headers_mut().extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
            let response = self.client.request(request).await.map_err(|_| "no answer".to_owned())?;
            if !response.status().is_success() {
                return Err(format!("it answers {}", response.status()));
            }
            let body = Limited::new(response.into_body(), LONGEST_PAGE).collect().await;
            let bytes = body.map_err(|_| "its answer breaks off".to_owned())?.to_bytes();
            String::from_utf8(bytes.into()).map_err(|_| "its answer is not text".to_owned())
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

fn taken(body: &[u8]) -> Taken {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match body["result"].as_str() {
        Some("accepted") => Taken::Accepted,
        Some("duplicate") => Taken::Duplicate,
        Some("unrecognized") => Taken::Unrecognized,
        _ => Taken::Other,
    }
}
