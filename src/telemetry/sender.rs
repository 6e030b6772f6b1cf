//! One OTLP request and its answer, by whichever road the configuration has.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TE, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::{HeaderMap, HeaderValue, Uri};

pub use super::answer::Answer;
use crate::config::{Endpoint, Protocol};
use crate::meters::Signal;
pub use crate::outbound::OUR_USER_AGENT;
use crate::outbound::chain;
use grpc::Grpc;
use http::Http;

mod grpc;
mod http;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod trouble;

/// Bytes of an answer that are read: an OTLP response is a few hundred at most.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Sends one signal to one endpoint. Connections are opened when they are needed, kept, and replaced when they break.
pub struct Sender {
    signal: Signal,
    road: Road,
    url: Uri,
    /// The words of the operator's header values.
    secrets: Vec<String>,
    timeout: Duration,
    gzip: bool,
}

enum Road {
    Http(Http),
    Grpc(Grpc),
}

impl Sender {
    /// Must be used within a tokio runtime. The endpoint's headers win over `user_agent`, never over what frames the body.
    pub fn new(signal: Signal, endpoint: &Endpoint, user_agent: &'static str) -> Self {
        let road = match endpoint.protocol {
            Protocol::HttpProtobuf => Road::Http(Http::new(endpoint, user_agent)),
            Protocol::Grpc => Road::Grpc(Grpc::new(signal, endpoint, user_agent)),
        };
        let values = endpoint.headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let secrets =
            values.flat_map(str::split_whitespace).filter(|word| word.len() >= 4).map(str::to_owned).collect();
        Self { signal, road, url: endpoint.url.clone(), secrets, timeout: endpoint.timeout, gzip: endpoint.gzip }
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Sends `body`, an encoded export request of the sender's signal. Within the endpoint's time-out there is an answer:
    /// where there is no connection, one to [`Answer::Retry`]; a connection that breaks or stays silent is an [`Answer::Fault`].
    pub async fn send(&self, body: Bytes) -> Answer {
        let body = if self.gzip { gzip(&body) } else { body };
        let exchange = async {
            match &self.road {
                Road::Http(http) => http.exchange(self.signal, body, &self.secrets).await,
                Road::Grpc(grpc) => grpc.exchange(self.signal, body, &self.secrets).await,
            }
        };
        if let Ok(answer) = tokio::time::timeout(self.timeout, exchange).await {
            return answer;
        }
        if let Road::Grpc(grpc) = &self.road {
            grpc.reconnect();
        }
        Answer::Fault { after: None, why: format!("no answer within {:?}", self.timeout) }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("signal", &self.signal).field("host", &self.url.host()).finish_non_exhaustive()
    }
}

/// The operator's headers without those that frame a body, and who we are.
fn headers(endpoint: &Endpoint, user_agent: &'static str) -> HeaderMap {
    let mut headers: HeaderMap = endpoint.headers.iter().cloned().collect();
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(user_agent));
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_ENCODING, TE] {
        headers.remove(framing);
    }
    headers
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

/// A request without an answer: nobody was there, or who was there has hung up on it.
fn broken(error: &hyper_util::client::legacy::Error) -> Answer {
    let why = chain(error);
    if error.is_connect() { Answer::Retry { after: None, why } } else { Answer::Fault { after: None, why } }
}
