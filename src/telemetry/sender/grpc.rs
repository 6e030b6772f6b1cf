//! One OTLP/gRPC request and its answer.
//!
//! A unary call of gRPC is one POST over HTTP/2: five bytes before the message, the status in the trailers. The request
//! is encoded already and one connection is enough, so that is done here over the same client, connector and time-out
//! as OTLP/HTTP; and what a proxy in between answers in plain HTTP is still seen as what it is.
//!
//! Source: "gRPC over HTTP/2" (PROTOCOL-HTTP2.md of grpc/grpc).

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::header::{CONTENT_TYPE, RETRY_AFTER, TE};
use hyper::http::response::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::received::{LONGEST_ANSWER, Received, receive};
use super::{Answer, Broken, headers};
use crate::config::{Endpoint, METADATA_BASE64};
use crate::meters::Signal;
use crate::outbound::{Connector, IDLE, chain, connector};
use crate::telemetry::answer::{Reader, grpc, http};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED_ENCODING: &str = "grpc-accept-encoding";
const TIMEOUT: &str = "grpc-timeout";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

/// One HTTP/2 connection to one server, opened when it is needed.
pub(super) struct Grpc {
    connector: Connector,
    client: Mutex<Client<Connector, Full<Bytes>>>,
    /// The server and the method.
    url: Uri,
    headers: HeaderMap,
    gzip: bool,
}

impl Grpc {
    pub fn new(signal: Signal, endpoint: &Endpoint, user_agent: &'static str) -> Self {
        let mut headers = headers(endpoint, user_agent);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if endpoint.gzip {
            headers.insert(ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(ACCEPTED_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Ok(timeout) = HeaderValue::try_from(format!("{}m", endpoint.timeout.as_millis())) {
            headers.insert(TIMEOUT, timeout);
        }
        let mut url = endpoint.url.clone().into_parts();
        url.path_and_query = Some(method(signal));
        let url = Uri::from_parts(url).expect("a URL with another path is a URL");
        let connector = connector(endpoint.tls.as_ref(), endpoint.protocol, endpoint.proxy.as_ref());
        let client = Mutex::new(client(&connector));
        Self { connector, client, url, headers, gzip: endpoint.gzip }
    }

    /// Sends `message`, which is compressed if the endpoint asks for that.
    pub async fn exchange(&self, reader: &Reader, message: Bytes) -> Result<Answer, Broken> {
        let mut request = Request::new(Full::new(framed(&message, self.gzip)));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = client.request(request).await?;
        Ok(read(reader, response).await)
    }

    /// Makes the next request open a connection. All requests share one, and one that has gone silent would stay so until
    /// TCP gives it up, which takes a quarter of an hour.
    pub fn reconnect(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client(&self.connector);
    }
}

fn client(connector: &Connector) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_only(true)
        .build(connector.clone())
}

fn method(signal: Signal) -> PathAndQuery {
    PathAndQuery::from_static(match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    })
}

async fn read(reader: &Reader, response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let received = match receive(body, LONGEST_ANSWER).await {
        Ok(received) => received,
        Err(error) => return Answer::Fault { after: None, why: chain(&error) },
    };
    // A failure may come without a body, and then has the status in its head.
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

/// What does not speak gRPC, stopped in the middle of it, or came through a proxy that drops trailers.
fn without_status(reader: &Reader, head: &Parts, mut received: Received) -> Answer {
    let content_type = text(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    match head.status.as_u16() {
        200..=299 if content_type.starts_with("application/grpc") => {
            let message = Some(&received.body).filter(|body| !body.is_empty()).and_then(|body| unframed(body));
            grpc::without_status(reader, message.as_deref())
        }
        200..=299 => Answer::Refused { why: format!("answered {} but not in gRPC", head.status.as_u16()) },
        _ => {
            let compressed = received.decompress(&head.headers, LONGEST_ANSWER);
            let reply = http::Reply {
                status: head.status,
                content_type: &content_type,
                compressed,
                retry_after: text(&head.headers, RETRY_AFTER.as_str()),
                body: &received.body,
                is_whole: received.is_whole,
            };
            http::classify(reader, reply, Timestamp::now())
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// The one message in an answer, and an empty one where there is none. A server that is sent gzip may send it too.
fn unframed(body: &[u8]) -> Option<Vec<u8>> {
    let Some((compressed, rest)) = body.split_first() else { return Some(Vec::new()) };
    let (length, message) = rest.split_first_chunk()?;
    (u32::from_be_bytes(*length) as usize == message.len()).then_some(())?;
    match compressed {
        0 => Some(message.to_vec()),
        1 => {
            let mut plain = Vec::new();
            GzDecoder::new(message).take(LONGEST_ANSWER as u64).read_to_end(&mut plain).ok()?;
            Some(plain)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
