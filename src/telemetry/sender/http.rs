//! One OTLP/HTTP request and its answer.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;

use super::{Answer, LONGEST_ANSWER, headers};
use crate::config::Endpoint;
use crate::meters::Signal;
use crate::outbound::{Connector, IDLE, chain, connector};
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
            .build(connector(endpoint.tls.as_ref(), endpoint.protocol));
        Self { client, url: endpoint.url.clone(), headers }
    }

    pub async fn exchange(&self, signal: Signal, body: Bytes, secrets: &[String]) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        match self.client.request(request).await {
            Ok(response) => read(signal, response, secrets).await,
            Err(error) => Answer::Retry { after: None, why: chain(&error) },
        }
    }
}

async fn read(signal: Signal, response: Response<Incoming>, secrets: &[String]) -> Answer {
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
        secrets,
    };
    classify(signal, reply, Timestamp::now())
}

#[cfg(test)]
mod tests;
