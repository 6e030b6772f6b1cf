//! The effective configuration: what every other part is given.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::{Account, Admin, Api, ListenerTls, OptOuts, Proxy, Reconcile, Relay, SelfProbe};
use crate::event::{Country, SourceName};
use crate::provider::Provider;
use crate::route::ResendRule;
use crate::secret::{CandidateDigest, Secret};

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Where the provider reaches us, when that is not `{listen}`: scheme, host and optional path, no trailing slash.
    pub public_url: Option<String>,
    /// Messages to one recipient within an hour at which it is counted as flooded.
    pub recipient_flood: usize,
    pub http: Http,
    /// Of the webhook listener; `None`: it speaks plain HTTP.
    pub tls: Option<ListenerTls>,
    pub admin: Admin,
    pub store: Store,
    /// What holds for a source that says nothing else.
    pub privacy: Privacy,
    pub otlp: Otlp,
    pub sources: Vec<Source>,
    pub account: Account,
    pub self_probe: SelfProbe,
    pub reconcile: Reconcile,
    pub relays: Vec<Relay>,
    pub resends: Vec<ResendRule>,
    /// `None`: STOPs are told of and no more.
    pub opt_outs: Option<OptOuts>,
    /// How long a number's last message may be answered without being named; `None`: off.
    pub conversations: Option<Duration>,
}

/// Limits of the webhook listener.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    /// From the opening of a connection, or from the last answer on it, to the end of the next request head; the handshake of
    /// TLS is part of it.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// How long an answer may wait for the client to read it.
    pub write_timeout: Duration,
    /// Bytes of one body, after decompression.
    pub max_body: usize,
    pub max_connections: usize,
    /// How long requests in flight and exporters may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// How long raw events are kept.
    pub retention: Duration,
    /// How long a message may stay pending.
    pub horizon: Duration,
    /// How long events that could not be exported are kept for it.
    pub export_retention: Duration,
    pub size_limit: Option<u64>,
}

/// What may be known of the people whom a source writes to. Little unless the operator asked for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    pub recipient: Recipient,
    pub text: Text,
}

/// How a number leaves smscope; the store has it in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipient {
    /// Masked, and hashed.
    #[default]
    Masked,
    /// Hashed, without any of its digits.
    Hashed,
    /// In full, besides masked and hashed.
    Plain,
}

/// What becomes of message texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// Taken out before anything is written.
    Dropped,
    /// In the store alone.
    #[default]
    Kept,
    /// In the store, and in log records.
    Exported,
}

impl Recipient {
    pub const ALL: [Self; 3] = [Self::Masked, Self::Hashed, Self::Plain];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Hashed => "hashed",
            Self::Plain => "plain",
        }
    }
}

impl Text {
    pub const ALL: [Self; 3] = [Self::Dropped, Self::Kept, Self::Exported];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Kept => "kept",
            Self::Exported => "exported",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Otlp {
    /// `None`: no endpoint is set, or the signal is switched off.
    pub logs: Option<Endpoint>,
    pub metrics: Option<Endpoint>,
    pub metric_interval: Duration,
    /// Whether a success has to be an OTLP response to count as one.
    pub strict_answers: bool,
    pub service_name: String,
    /// Further resource attributes, as the operator gave them.
    pub resource: Vec<(String, String)>,
}

/// Where one signal goes.
#[derive(Clone)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// With a host, without a user. For HTTP the full URL of the signal, path included; for gRPC just the server.
    pub url: Uri,
    /// Each name once; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
    pub gzip: bool,
    /// Whether a success has to be an OTLP response to count as one.
    pub strict_answers: bool,
    /// There if, and only if, the URL's scheme is https.
    pub tls: Option<Tls>,
    /// By way of which the endpoint is reached; `None`: directly.
    pub proxy: Option<Proxy>,
}

/// How requests of the OpenTelemetry protocol are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    HttpProtobuf,
    Grpc,
}

impl Protocol {
    /// As OTEL_EXPORTER_OTLP_PROTOCOL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::HttpProtobuf => "http/protobuf",
            Protocol::Grpc => "grpc",
        }
    }

    /// The port that collectors listen on for it.
    pub fn usual_port(self) -> u16 {
        match self {
            Protocol::HttpProtobuf => 4318,
            Protocol::Grpc => 4317,
        }
    }
}

/// How a TLS server is verified, and who we are to it.
#[derive(Clone)]
pub struct Tls {
    /// Without application protocols: these are the business of whoever connects.
    pub client: Arc<rustls::ClientConfig>,
    /// The file of the authorities that are trusted; `None`: those of the system.
    pub certificate: Option<PathBuf>,
    /// The file of our own certificate, if we show one.
    pub client_certificate: Option<PathBuf>,
}

impl Endpoint {
    /// The URL without its query, which may hold a key: for people to read.
    pub fn shown_url(&self) -> String {
        self.url.to_string().split('?').next().unwrap_or_default().to_owned()
    }

    /// What to ask when the port is the one that collectors have for the other protocol.
    pub fn unusual_port(&self) -> Option<String> {
        let other = match self.protocol {
            Protocol::HttpProtobuf => Protocol::Grpc,
            Protocol::Grpc => Protocol::HttpProtobuf,
        };
        let (port, usual) = (other.usual_port(), self.protocol.usual_port());
        (self.url.port_u16() == Some(port)).then(|| {
            let (protocol, other) = (self.protocol.as_str(), other.as_str());
            format!("port {port} is usually that of {other}, and the protocol is {protocol}: is it port {usual}, or the protocol {other}?")
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Endpoint")
            .field("protocol", &self.protocol)
            .field("url", &self.shown_url())
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .finish()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("client_certificate", &self.client_certificate)
            .finish_non_exhaustive()
    }
}

/// One provider account that calls us.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: SourceName,
    pub provider: Arc<dyn Provider>,
    pub tokens: Tokens,
    /// Empty: any address.
    pub allow: Vec<IpNet>,
    /// Peers whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Empty: any channel.
    pub channel_ids: BTreeSet<String>,
    pub header: Option<(HeaderName, Secret)>,
    pub basic: Option<Basic>,
    /// How the provider is asked, where it may be.
    pub api: Option<Api>,
    /// Zone of timestamps without an offset.
    pub zone: TimeZone,
    /// Country of numbers in national form.
    pub region: Country,
    /// Texts that are an opt-out, upper case without accents.
    pub stop_keywords: Vec<String>,
    /// Texts that take an opt-out back, in the same form.
    pub start_keywords: Vec<String>,
    pub privacy: Privacy,
}

#[derive(Clone, Debug)]
pub enum Tokens {
    /// Made once and kept in the data directory.
    Generated,
    /// Any of these; several at once for rotation.
    Given(Vec<Secret>),
}

#[derive(Clone, Debug)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

impl Basic {
    /// Whether `credentials`, `user:password`, are these, in time that does not depend on them.
    pub fn matches(&self, credentials: &[u8]) -> bool {
        let Some(colon) = credentials.iter().position(|byte| *byte == b':') else { return false };
        let user = Secret::new(self.user.clone()).matches(&CandidateDigest::of(&credentials[..colon]));
        let password = self.password.matches(&CandidateDigest::of(&credentials[colon + 1..]));
        user & password
    }
}
