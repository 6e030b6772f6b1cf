//! One OTLP request and its response, over HTTP or gRPC.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue, TE};
use hyper::http::{HeaderMap, Method, Request, Uri};

pub use super::answer::ExportOutcome;
use super::answer::Reader;
use crate::outbound::{Client, Destination, RequestError, chain};
use crate::process_metrics::Signal;
use crate::settings::{Endpoint, Protocol};

mod grpc;
mod http;
#[cfg(test)]
mod proxy_tests;
#[cfg(test)]
mod test_errors;
#[cfg(test)]
mod tls_tests;

/// Bytes of a response that are read, before and after decompression: an OTLP response is a few hundred at most, unless it lists what
/// was rejected.
const MAX_RESPONSE: usize = 1 << 20;

/// The same with `otlp.strict_answers`.
const MAX_STRICT_RESPONSE: usize = 64 << 10;

/// Sends one signal to one endpoint. Connections are opened when they are needed, reused, and replaced when they break.
pub struct Sender {
    client: Client,
    protocol: Protocol,
    /// With gRPC, that of the method.
    url: Uri,
    headers: HeaderMap,
    gzip: bool,
    reader: Reader,
    /// A remark about an unusual port, for requests without a response.
    port_remark: Option<String>,
}

impl Sender {
    /// Must be used within a tokio runtime. The endpoint's headers never replace those that frame the body.
    pub fn new(signal: Signal, endpoint: &Endpoint) -> Self {
        let framing = |(name, _): &&(HeaderName, HeaderValue)| *name == CONTENT_ENCODING || *name == TE;
        let headers: Vec<_> = endpoint.headers.iter().filter(|header| !framing(header)).cloned().collect();
        let client = Client::new(&Destination {
            url: &endpoint.url,
            protocol: endpoint.protocol,
            tls: endpoint.tls.as_ref(),
            proxy: endpoint.proxy.as_ref(),
            timeout: endpoint.timeout,
            headers: &headers,
        });
        let (url, headers) = match endpoint.protocol {
            Protocol::HttpProtobuf => (endpoint.url.clone(), http::headers(endpoint.gzip)),
            Protocol::Grpc => (grpc::url(endpoint, signal), grpc::headers(endpoint)),
        };
        Self {
            client,
            protocol: endpoint.protocol,
            url,
            headers,
            gzip: endpoint.gzip,
            reader: Reader::new(signal, secrets(endpoint), endpoint.strict_answers),
            port_remark: endpoint.unusual_port(),
        }
    }

    pub fn signal(&self) -> Signal {
        self.reader.signal
    }

    /// Sends `body`, an encoded export request of the sender's signal. Returns within the endpoint's time-out: [`ExportOutcome::Retry`]
    /// if there is no connection, [`ExportOutcome::Fault`] if it breaks or there is no response.
    pub async fn send(&self, body: Bytes) -> ExportOutcome {
        let body = if self.gzip { gzip(&body) } else { body };
        let mut request = Request::new(match self.protocol {
            Protocol::HttpProtobuf => body,
            Protocol::Grpc => grpc::framed(&body, self.gzip),
        });
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let response = self.client.request(request).await?;
            Ok::<_, RequestError>(match self.protocol {
                Protocol::HttpProtobuf => http::read(&self.reader, response).await,
                Protocol::Grpc => grpc::read(&self.reader, response).await,
            })
        };
        let (is_connect, why) = match self.client.within(exchange).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => (error.is_connect(), chain(&error)),
            Err(late) => (false, late),
        };
        let why = match &self.port_remark {
            Some(remark) => format!("{why}; {remark}"),
            None => why,
        };
        if is_connect { ExportOutcome::Retry { after: None, why } } else { ExportOutcome::Fault { after: None, why } }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("host", &self.url.host()).finish_non_exhaustive()
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

/// What an endpoint's words must not repeat: the words of the operator's header values, the password in them, and the values of a query.
fn secrets(endpoint: &Endpoint) -> Vec<String> {
    let of_proxy = endpoint.proxy.as_ref().and_then(|proxy| proxy.authorization.as_ref());
    let values =
        endpoint.headers.iter().map(|(_, value)| value).chain(of_proxy).filter_map(|value| value.to_str().ok());
    let mut words: Vec<String> = values.flat_map(str::split_whitespace).map(str::to_owned).collect();
    let decoded = words.iter().filter_map(|word| String::from_utf8(BASE64_STANDARD.decode(word).ok()?).ok());
    let passwords: Vec<String> = decoded.filter_map(|pair| Some(pair.split_once(':')?.1.to_owned())).collect();
    let query = endpoint.url.query().unwrap_or_default();
    words.extend(passwords);
    words.extend(query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    words.retain(|word| word.len() >= 4);
    // A longer one may contain a shorter one.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}
