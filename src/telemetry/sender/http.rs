//! One OTLP/HTTP request and its answer.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};

use super::{Broken, ExportOutcome, MAX_ANSWER, MAX_STRICT_ANSWER};
use crate::outbound::{Client, Received, chain, receive, retry_after};
use crate::settings::Endpoint;
use crate::telemetry::answer::Reader;
use crate::telemetry::answer::http::{Reply, classify};

/// Requests to one URL.
pub(super) struct Http {
    url: Uri,
    headers: HeaderMap,
}

impl Http {
    pub fn new(endpoint: &Endpoint) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if endpoint.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self { url: endpoint.url.clone(), headers }
    }

    pub async fn exchange(&self, client: &Client, reader: &Reader, body: Bytes) -> Result<ExportOutcome, Broken> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let response = client.request(request).await?;
        Ok(read(reader, response).await)
    }
}

async fn read(reader: &Reader, response: Response<Incoming>) -> ExportOutcome {
    let (head, body) = response.into_parts();
    let limit = if reader.strict { MAX_STRICT_ANSWER } else { MAX_ANSWER };
    let mut received = match receive(body, limit).await {
        Ok(received) => received,
        Err(error) if head.status.is_success() => return ExportOutcome::Fault { after: None, why: chain(&error) },
        Err(_) => Received { body: Bytes::new(), trailers: None, is_whole: false },
    };
    let compressed = !reader.strict && received.decompress(&head.headers, limit);
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let reply = Reply {
        status: head.status,
        content_type: &content_type.unwrap_or_default().to_ascii_lowercase(),
        compressed,
        retry_after: retry_after(&head.headers),
        body: &received.body,
        is_whole: received.is_whole,
    };
    classify(reader, reply)
}

#[cfg(test)]
mod tests;
