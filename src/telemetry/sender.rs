//! One OTLP/HTTP request and its answer.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;

pub use super::answer::Answer;
use super::answer::{Reply, classify};
use crate::config::Endpoint;
use crate::meters::Signal;

/// Bytes of an answer that are read: an OTLP response is a few hundred at most.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Collectors close idle connections after a minute or more; ours go first.
const IDLE: Duration = Duration::from_secs(30);

/// How we name ourselves to collectors unless the operator's headers say otherwise.
pub const OUR_USER_AGENT: &str = concat!("smscope/", env!("CARGO_PKG_VERSION"));

/// Sends one signal to one endpoint over kept-alive HTTP/1.1 connections. Redirects are not followed.
#[derive(Clone)]
pub struct Sender {
    signal: Signal,
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    /// The words of the operator's header values.
    secrets: Vec<String>,
    timeout: Duration,
    gzip: bool,
}

impl Sender {
    /// Must be used within a tokio runtime. The endpoint's headers win over `user_agent`, never over what frames the body.
    pub fn new(signal: Signal, endpoint: &Endpoint, user_agent: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            headers.append(name, value.clone());
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(user_agent));
        for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_ENCODING] {
            headers.remove(framing);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if endpoint.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let values = endpoint.headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let secrets =
            values.flat_map(str::split_whitespace).filter(|word| word.len() >= 4).map(str::to_owned).collect();
        Self {
            signal,
            client,
            url: endpoint.url.clone(),
            headers,
            secrets,
            timeout: endpoint.timeout,
            gzip: endpoint.gzip,
        }
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Sends `body`, an encoded export request of the sender's signal. Within the endpoint's time-out there is an answer:
    /// a connection that fails, breaks or stays silent is one to [`Answer::Retry`].
    pub async fn send(&self, body: Bytes) -> Answer {
        let body = if self.gzip { gzip(&body) } else { body };
        match tokio::time::timeout(self.timeout, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Retry { after: None, why: format!("no answer within {:?}", self.timeout) },
        }
    }

    async fn exchange(&self, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::Retry { after: None, why: chain(&error) },
        };
        self.read(response).await
    }

    async fn read(&self, response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, LONGEST_ANSWER).collect().await {
            Ok(body) => Some(body.to_bytes()),
            Err(error) if head.status.is_success() && error.is::<hyper::Error>() => {
                return Answer::Retry { after: None, why: chain(&*error) };
            }
            Err(_) => None,
        };
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let reply = Reply {
            status: head.status,
            content_type: &text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase(),
            retry_after: text(RETRY_AFTER),
            body: body.as_deref(),
            secrets: &self.secrets,
        };
        classify(self.signal, reply, Timestamp::now())
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("signal", &self.signal).field("host", &self.url.host()).finish_non_exhaustive()
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

/// The error and its causes on one line: "client error (Connect): tcp connect error: Connection refused".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
