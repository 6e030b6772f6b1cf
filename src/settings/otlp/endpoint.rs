//! The endpoint of one signal, from the variables and tables that configure it.

use std::fmt;
use std::time::Duration;

use hyper::http::{HeaderName, HeaderValue, Uri};

use super::*;
use crate::settings::headers::{self, Header};
use crate::settings::prelude::*;

/// Where one signal is sent.
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

impl Endpoint {
    /// The URL without its query, which may hold a key: for people to read.
    pub fn shown_url(&self) -> String {
        self.url.to_string().split('?').next().unwrap_or_default().to_owned()
    }

    /// A question to the operator if the port is the usual one of the other protocol.
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

/// A value and its origin.
pub(crate) type Found<T> = Option<(Given, T)>;

/// The settings of endpoints from one origin: the general variables, a signal's variables, or a table of the file.
#[derive(Default)]
pub(crate) struct Group {
    endpoint: Found<Uri>,
    /// An error counts only if there is an endpoint to send them to.
    headers: Found<Result<Vec<Header>, ConfigError>>,
    timeout: Found<Duration>,
    gzip: Found<bool>,
    protocol: Found<Protocol>,
    certificate: Option<Given>,
    client_certificate: Option<Given>,
    client_key: Option<Given>,
    /// Whether `endpoint` is a signal's own URL, rather than a base that the signal's path is added to.
    is_own: bool,
}

impl Group {
    /// The variables of `signal`, or the general ones if it is empty.
    pub fn of_env(inputs: &Inputs, signal: &str) -> Result<Self, ConfigError> {
        let is_own = !signal.is_empty();
        let endpoint = inputs.variable_of(own(is_own, &SIGNAL_ENDPOINT, &ENDPOINT), signal);
        let headers = inputs.variable_of(own(is_own, &SIGNAL_HEADERS, &HEADERS), signal);
        let timeout = inputs.variable_of(own(is_own, &SIGNAL_TIMEOUT, &TIMEOUT), signal);
        let gzip = inputs.variable_of(own(is_own, &SIGNAL_COMPRESSION, &COMPRESSION), signal);
        let protocol_given = inputs.variable_of(own(is_own, &SIGNAL_PROTOCOL, &PROTOCOL), signal);
        let client_certificate = own(is_own, &SIGNAL_CLIENT_CERTIFICATE, &CLIENT_CERTIFICATE);
        Ok(Self {
            endpoint: endpoint.map(|given| url(&given).map(|url| (given, url))).transpose()?,
            headers: headers.map(|given| (given.clone(), headers::of_text(given))),
            timeout: timeout.and_then(|given| leniently(inputs, given, |given| given.millis(MILLISECOND..=HOUR))),
            gzip: gzip.and_then(|given| leniently(inputs, given, compression)),
            protocol: protocol_given.and_then(|given| leniently(inputs, given, protocol)),
            certificate: inputs.variable_of(own(is_own, &SIGNAL_CERTIFICATE, &CERTIFICATE), signal),
            client_certificate: inputs.variable_of(client_certificate, signal),
            client_key: inputs.variable_of(own(is_own, &SIGNAL_CLIENT_KEY, &CLIENT_KEY), signal),
            is_own,
        })
    }

    /// The keys of `[otlp]`, or of a signal's own table.
    pub fn of_file(table: &mut Table, is_own: bool) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoint: table.found(own(is_own, &SIGNAL_ENDPOINT, &ENDPOINT))?,
            headers: match table.optional_table(HEADERS.name())? {
                Some(headers) => headers.origin().cloned().zip(Some(Ok(headers::of_table(headers)?))),
                None => None,
            },
            timeout: table.found(own(is_own, &SIGNAL_TIMEOUT, &TIMEOUT))?,
            gzip: table.found(own(is_own, &SIGNAL_COMPRESSION, &COMPRESSION))?,
            protocol: table.found(own(is_own, &SIGNAL_PROTOCOL, &PROTOCOL))?,
            certificate: table.take(own(is_own, &SIGNAL_CERTIFICATE, &CERTIFICATE)),
            client_certificate: table.take(own(is_own, &SIGNAL_CLIENT_CERTIFICATE, &CLIENT_CERTIFICATE)),
            client_key: table.take(own(is_own, &SIGNAL_CLIENT_KEY, &CLIENT_KEY)),
            is_own,
        })
    }
}

/// The setting of one signal, or of both.
fn own<T>(is_own: bool, signal: &'static Setting<T>, both: &'static Setting<T>) -> &'static Setting<T> {
    if is_own { signal } else { both }
}

const URL: &str = "a URL such as http://collector:4318";
const URL_OF_GRPC: &str = "a URL without a path, such as http://collector:4317";

pub(crate) fn url(given: &Given) -> Result<Uri, ConfigError> {
    given.parse(URL, value::web_url)
}

pub(crate) fn compression(given: &Given) -> Result<bool, ConfigError> {
    given.parse("gzip or none", |text| match text.to_ascii_lowercase().as_str() {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    })
}

pub(crate) fn compression_name(gzip: bool) -> String {
    if gzip { "gzip" } else { "none" }.to_owned()
}

pub(crate) fn protocol(given: &Given) -> Result<Protocol, ConfigError> {
    let all = [Protocol::HttpProtobuf, Protocol::Grpc];
    given.parse("http/protobuf or grpc", |text| {
        all.into_iter().find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()))
    })
}

/// All settings of one signal.
pub(crate) struct Groups<'a> {
    /// The signal's variables, the general variables, the signal's table, `[otlp]`: the first that has a setting counts.
    pub groups: [&'a Group; 4],
    pub signal: &'a str,
    /// `[otlp]`.
    pub table: &'a Table<'a>,
}

impl<'a> Groups<'a> {
    fn first<T>(&self, of: impl Fn(&'a Group) -> Option<T>) -> Option<T> {
        self.groups.iter().find_map(|group| of(group))
    }

    /// The first value of a setting and its origin, or its default.
    fn effective<T: Copy>(
        &self,
        setting: &Setting<T>,
        of: impl Fn(&'a Group) -> &'a Found<T>,
    ) -> Result<(T, Option<&'a Given>), ConfigError> {
        match self.first(|group| of(group).as_ref()) {
            Some((given, value)) => Ok((*value, Some(given))),
            None => Ok((setting.of_default()?, None)),
        }
    }

    /// The signal's endpoint; `None` when no group has one.
    pub fn endpoint(&self, system: &SystemRoots, proxies: &Proxies) -> Result<Option<Endpoint>, ConfigError> {
        let show = |name: &str, value: &dyn fmt::Display, given: Option<&Given>| {
            self.table.show(&format!("{}.{name}", self.signal), value, given);
        };
        let found = |group: &'a Group| group.endpoint.as_ref().map(|(given, url)| (group, given, url));
        let Some((group, given, url)) = self.first(found) else {
            show("endpoint", &"off", None);
            return Ok(None);
        };
        let (protocol, protocol_given) = self.effective(&PROTOCOL, |group| &group.protocol)?;
        let url = match protocol {
            // The services of gRPC have paths of their own.
            Protocol::Grpc if url.path() == "/" && url.query().is_none() => url.clone(),
            Protocol::Grpc => return Err(given.wrong("the protocol is grpc", URL_OF_GRPC)),
            Protocol::HttpProtobuf if group.is_own => url.clone(),
            Protocol::HttpProtobuf => appended(url, &format!("v1/{}", self.signal)).ok_or_else(|| given.bad(URL))?,
        };
        let (headers_given, headers) = match self.first(|group| group.headers.as_ref()) {
            Some((given, headers)) => (Some(given), headers.as_deref().map_err(Clone::clone)?),
            None => (None, &[][..]),
        };
        if protocol == Protocol::Grpc {
            headers.iter().try_for_each(Header::check_as_metadata)?;
        }
        let files = tls::Files {
            certificate: self.first(|group| group.certificate.as_ref()),
            client_certificate: self.first(|group| group.client_certificate.as_ref()),
            client_key: self.first(|group| group.client_key.as_ref()),
        };
        let tls = match url.scheme_str() {
            Some("https") => Some(tls::read(files, given, system)?),
            _ => {
                let unused = files.certificate.or(files.client_certificate).or(files.client_key);
                if let Some(unused) = unused {
                    let url = value::show_url(&url.to_string());
                    self.table.warn(format!("{}: not used with {url}, which is not https", unused.key));
                }
                None
            }
        };
        let (timeout, timeout_given) = self.effective(&TIMEOUT, |group| &group.timeout)?;
        let (gzip, gzip_given) = self.effective(&COMPRESSION, |group| &group.gzip)?;
        let endpoint = Endpoint {
            protocol,
            proxy: proxies.of(&url),
            url,
            headers: headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            timeout,
            gzip,
            strict_answers: false,
            tls,
        };
        if let Some(question) = endpoint.unusual_port() {
            self.table.warn(given.remark(question));
        }
        show("endpoint", &by_way_of(endpoint.shown_url(), endpoint.proxy.as_ref()), Some(given));
        show("headers", &headers::shown(headers), headers_given);
        show("timeout", &TIMEOUT.show(&timeout), timeout_given);
        show("compression", &COMPRESSION.show(&gzip), gzip_given);
        show("protocol", &PROTOCOL.show(&protocol), protocol_given);
        if let Some(tls) = &endpoint.tls {
            show("certificate", &tls.shown_authorities(), files.certificate);
            if let Some(file) = &tls.client_certificate {
                show("client_certificate", &file.display(), files.client_certificate);
                show("client_key", &"given", files.client_key);
            }
        }
        Ok(Some(endpoint))
    }
}

/// `base` with `path` added to its own path.
fn appended(base: &Uri, path: &str) -> Option<Uri> {
    let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}/{path}{query}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}
