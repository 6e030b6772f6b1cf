//! One OTLP request and its answer, by the transport that the configuration has.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::http::Uri;
use hyper::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue, TE};

pub use super::answer::ExportOutcome;
use super::answer::Reader;
use crate::outbound::{Client, Destination, RequestError, chain};
use crate::process_metrics::Signal;
use crate::settings::{Endpoint, Protocol};
use grpc::Grpc;
use http::Http;

mod grpc;
mod http;
#[cfg(test)]
mod proxy_tests;
#[cfg(test)]
mod test_errors;
#[cfg(test)]
mod tls_tests;

/// Bytes of an answer that are read, and made of it by decompression: an OTLP response is a few hundred at most, unless it lists what
/// was rejected.
const MAX_ANSWER: usize = 1 << 20;

/// The same where answers are read strictly.
const MAX_STRICT_ANSWER: usize = 64 << 10;

/// Sends one signal to one endpoint. Connections are opened when they are needed, kept, and replaced when they break.
pub struct Sender {
    client: Client,
    transport: Transport,
    url: Uri,
    reader: Reader,
    gzip: bool,
    /// What may be wrong with the port, for when there is no connection.
    doubt: Option<String>,
}

enum Transport {
    Http(Http),
    Grpc(Grpc),
}

impl Sender {
    /// Must be used within a tokio runtime. The endpoint's headers never win over what frames the body.
    pub fn new(signal: Signal, endpoint: &Endpoint) -> Self {
        let transport = match endpoint.protocol {
            Protocol::HttpProtobuf => Transport::Http(Http::new(endpoint)),
            Protocol::Grpc => Transport::Grpc(Grpc::new(signal, endpoint)),
        };
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
        let reader = Reader::new(signal, secrets(endpoint), endpoint.strict_answers);
        let doubt = endpoint.unusual_port();
        Self { client, transport, url: endpoint.url.clone(), reader, gzip: endpoint.gzip, doubt }
    }

    pub fn signal(&self) -> Signal {
        self.reader.signal
    }

    /// Sends `body`, an encoded export request of the sender's signal. Within the endpoint's time-out there is an answer:
    /// where there is no connection, one to [`ExportOutcome::Retry`]; a connection that breaks or stays silent is an [`ExportOutcome::Fault`].
    pub async fn send(&self, body: Bytes) -> ExportOutcome {
        let body = if self.gzip { gzip(&body) } else { body };
        let exchange = async {
            match &self.transport {
                Transport::Http(http) => http.exchange(&self.client, &self.reader, body).await,
                Transport::Grpc(grpc) => grpc.exchange(&self.client, &self.reader, body).await,
            }
        };
        match self.client.within(exchange).await {
            Ok(Ok(answer)) => answer,
            // Nobody was there.
            Ok(Err(broken)) if broken.is_connect => {
                ExportOutcome::Retry { after: None, why: self.doubtful(broken.why) }
            }
            // What was there has hung up.
            Ok(Err(broken)) => ExportOutcome::Fault { after: None, why: self.doubtful(broken.why) },
            Err(late) => ExportOutcome::Fault { after: None, why: self.doubtful(late) },
        }
    }

    fn doubtful(&self, why: String) -> String {
        match &self.doubt {
            Some(doubt) => format!("{why}; {doubt}"),
            None => why,
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("signal", &self.reader.signal)
            .field("host", &self.url.host())
            .finish_non_exhaustive()
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

/// What an endpoint's words must not repeat: the words of the operator's header values, the password in them, and what a query holds.
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

/// A request without an answer.
struct Broken {
    /// There was no connection to begin with.
    is_connect: bool,
    why: String,
}

impl From<RequestError> for Broken {
    fn from(error: RequestError) -> Self {
        Self { is_connect: error.is_connect(), why: chain(&error) }
    }
}
