//! OTLP/HTTP: the headers of a request, and the response.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::{HeaderMap, HeaderValue, Response};

use super::{ExportOutcome, MAX_RESPONSE, MAX_STRICT_RESPONSE};
use crate::outbound::{Received, chain, receive, retry_after};
use crate::telemetry::answer::Reader;
use crate::telemetry::answer::http::{Reply, classify};

pub(super) fn headers(gzip: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}

pub(super) async fn read(reader: &Reader, response: Response<Incoming>) -> ExportOutcome {
    let (head, body) = response.into_parts();
    let limit = if reader.strict { MAX_STRICT_RESPONSE } else { MAX_RESPONSE };
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
