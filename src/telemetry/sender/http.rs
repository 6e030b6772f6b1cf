//! One OTLP/HTTP request and its answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;

use super::received::{LONGEST_ANSWER, LONGEST_STRICT_ANSWER, Received, receive};
use super::{Answer, Broken, headers};
use crate::config::Endpoint;
use crate::outbound::{Connector, IDLE, chain, connector};
use crate::telemetry::answer::Reader;
use crate::telemetry::answer::http::{Reply, classify};

/// Kept-alive HTTP/1.1 connections to one URL. Redirects are not followed.
pub(super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
}

impl Http {
    pub fn new(endpoint: &Endpoint, user_agent: &'static str) -> Self {
        let mut headers = headers(endpoint, user_agent);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if endpoint.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector(endpoint.tls.as_ref(), endpoint.protocol, endpoint.proxy.as_ref()));
        Self { client, url: endpoint.url.clone(), headers }
    }

    pub async fn exchange(&self, reader: &Reader, body: Bytes) -> Result<Answer, Broken> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.client.request(request).await?;
        Ok(read(reader, response).await)
    }
}

async fn read(reader: &Reader, response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let limit = if reader.strict { LONGEST_STRICT_ANSWER } else { LONGEST_ANSWER };
    let mut received = match receive(body, limit).await {
        Ok(received) => received,
        Err(error) if head.status.is_success() => return Answer::Fault { after: None, why: chain(&error) },
        Err(_) => Received { body: Bytes::new(), trailers: None, is_whole: false },
    };
    let compressed = !reader.strict && received.decompress(&head.headers, limit);
    let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let reply = Reply {
        status: head.status,
        content_type: &text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase(),
        compressed,
        retry_after: text(RETRY_AFTER),
        body: &received.body,
        is_whole: received.is_whole,
    };
    classify(reader, reply, Timestamp::now())
}

#[cfg(test)]
mod tests;
