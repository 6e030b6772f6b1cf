//! One OTLP request and its answer, by whichever road the configuration has.

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::{HeaderMap, HeaderValue, Uri};

pub use super::answer::Answer;
use super::answer::Reader;
use crate::config::{Endpoint, Protocol};
use crate::meters::Signal;
pub use crate::outbound::OUR_USER_AGENT;
use crate::outbound::{chain, proxy_authorization};
use grpc::Grpc;
use http::Http;

mod grpc;
mod http;
#[cfg(test)]
mod proxy_tests;
mod received;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod trouble;

/// Sends one signal to one endpoint. Connections are opened when they are needed, kept, and replaced when they break.
pub struct Sender {
    road: Road,
    url: Uri,
    reader: Reader,
    timeout: Duration,
    gzip: bool,
    /// What may be wrong with the port, for when there is no connection.
    doubt: Option<String>,
}

enum Road {
    Http(Box<Http>),
    Grpc(Box<Grpc>),
}

impl Sender {
    /// Must be used within a tokio runtime. The endpoint's headers win over `user_agent`, never over what frames the body.
    pub fn new(signal: Signal, endpoint: &Endpoint, user_agent: &'static str) -> Self {
        let road = match endpoint.protocol {
            Protocol::HttpProtobuf => Road::Http(Box::new(Http::new(endpoint, user_agent))),
            Protocol::Grpc => Road::Grpc(Box::new(Grpc::new(signal, endpoint, user_agent))),
        };
        let reader = Reader::new(signal, secrets(endpoint), endpoint.strict_answers);
        let doubt = endpoint.unusual_port();
        Self { road, url: endpoint.url.clone(), reader, timeout: endpoint.timeout, gzip: endpoint.gzip, doubt }
    }

    pub fn signal(&self) -> Signal {
        self.reader.signal
    }

    /// Sends `body`, an encoded export request of the sender's signal. Within the endpoint's time-out there is an answer:
    /// where there is no connection, one to [`Answer::Retry`]; a connection that breaks or stays silent is an [`Answer::Fault`].
    pub async fn send(&self, body: Bytes) -> Answer {
        let body = if self.gzip { gzip(&body) } else { body };
        let exchange = async {
            match &self.road {
                Road::Http(http) => http.exchange(&self.reader, body).await,
                Road::Grpc(grpc) => grpc.exchange(&self.reader, body).await,
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(answer)) => answer,
            // Nobody was there.
            Ok(Err(broken)) if broken.is_connect => Answer::Retry { after: None, why: self.doubtful(broken.why) },
            // What was there has hung up.
            Ok(Err(broken)) => Answer::Fault { after: None, why: self.doubtful(broken.why) },
            Err(_) => {
                if let Road::Grpc(grpc) = &self.road {
                    grpc.reconnect();
                }
                Answer::Fault { after: None, why: self.doubtful(format!("no answer within {:?}", self.timeout)) }
            }
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

/// The operator's headers without those that frame a body, and who we are.
fn headers(endpoint: &Endpoint, user_agent: &'static str) -> HeaderMap {
    let mut headers: HeaderMap = endpoint.headers.iter().cloned().collect();
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(user_agent));
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_ENCODING, TE] {
        headers.remove(framing);
    }
    if let Some(authorization) = proxy_authorization(&endpoint.url, endpoint.protocol, endpoint.proxy.as_ref()) {
        headers.insert(PROXY_AUTHORIZATION, authorization);
    }
    headers
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

impl From<hyper_util::client::legacy::Error> for Broken {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        Self { is_connect: error.is_connect(), why: chain(&error) }
    }
}
