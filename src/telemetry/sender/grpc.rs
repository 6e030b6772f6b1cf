//! OTLP/gRPC: the headers and the frame of a request, and the response.
//!
//! A unary call of gRPC is one POST over HTTP/2: five bytes before the message, the status in the trailers. The request is encoded
//! already and one connection is enough, so smscope does that over the client and the time-out of OTLP/HTTP; and the plain HTTP response
//! of a proxy in between is still classified as such.
//!
//! Source: "gRPC over HTTP/2" (PROTOCOL-HTTP2.md of grpc/grpc).

use std::io::Read;

use base64::Engine;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_TYPE, TE};
use hyper::http::response::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::http::{HeaderMap, HeaderValue, Response, Uri};
use percent_encoding::percent_decode_str;

use super::{ExportOutcome, MAX_RESPONSE};
use crate::outbound::{Received, chain, receive, retry_after};
use crate::process_metrics::Signal;
use crate::settings::{Endpoint, METADATA_BASE64};
use crate::telemetry::answer::{Reader, grpc, http};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED_ENCODING: &str = "grpc-accept-encoding";
const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

pub(super) fn headers(endpoint: &Endpoint) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if endpoint.gzip {
        headers.insert(ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(ACCEPTED_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(timeout) = HeaderValue::try_from(format!("{}m", endpoint.timeout.as_millis())) {
        headers.insert(TIMEOUT, timeout);
    }
    headers
}

/// The URL of the method.
pub(super) fn url(endpoint: &Endpoint, signal: Signal) -> Uri {
    let mut url = endpoint.url.clone().into_parts();
    url.path_and_query = Some(PathAndQuery::from_static(match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }));
    Uri::from_parts(url).expect("a URL with another path is a URL")
}

pub(super) async fn read(reader: &Reader, response: Response<Incoming>) -> ExportOutcome {
    let (head, body) = response.into_parts();
    let received = match receive(body, MAX_RESPONSE).await {
        Ok(received) => received,
        Err(error) => return ExportOutcome::Fault { after: None, why: chain(&error) },
    };
    // A failure may have no body, and then has the status in its head.
    let last = received.trailers.as_ref().filter(|trailers| trailers.contains_key(STATUS)).unwrap_or(&head.headers);
    let Some(code) = text(last, STATUS).and_then(|code| code.parse().ok()) else {
        return without_status(reader, &head, received);
    };
    let message = percent_decode_str(text(last, MESSAGE).unwrap_or_default()).decode_utf8_lossy();
    let details = text(last, DETAILS).and_then(|details| METADATA_BASE64.decode(details).ok()).unwrap_or_default();
    let response = unframed(&received.body);
    let reply = grpc::Reply { code, message: &message, details: &details, response: response.as_deref() };
    grpc::classify(reader, reply)
}

/// A response that is not gRPC, ended early, or came through a proxy that drops trailers.
fn without_status(reader: &Reader, head: &Parts, mut received: Received) -> ExportOutcome {
    let content_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    match head.status.as_u16() {
        200..=299 if content_type.starts_with("application/grpc") => {
            let message = Some(&received.body).filter(|body| !body.is_empty()).and_then(|body| unframed(body));
            grpc::without_status(reader, message.as_deref())
        }
        200..=299 => ExportOutcome::Rejected { why: format!("answered {} but not in gRPC", head.status.as_u16()) },
        _ => {
            let compressed = received.decompress(&head.headers, MAX_RESPONSE);
            let reply = http::Reply {
                status: head.status,
                content_type: &content_type,
                compressed,
                retry_after: retry_after(&head.headers),
                body: &received.body,
                is_whole: received.is_whole,
            };
            http::classify(reader, reply)
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// The one message in a response, or an empty one. A server that receives gzip may send it too.
fn unframed(body: &[u8]) -> Option<Vec<u8>> {
    let Some((compressed, rest)) = body.split_first() else { return Some(Vec::new()) };
    let (length, message) = rest.split_first_chunk()?;
    (u32::from_be_bytes(*length) as usize == message.len()).then_some(())?;
    match compressed {
        0 => Some(message.to_vec()),
        1 => {
            let mut plain = Vec::new();
            GzDecoder::new(message).take(MAX_RESPONSE as u64).read_to_end(&mut plain).ok()?;
            Some(plain)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
