//! The URL of a PostgreSQL database, as libpq reads it. Pure.
//!
//! Source: the PostgreSQL manual, "Connection URIs" and "Parameter Key Words" of libpq. An error quotes nothing of the URL: what is
//! out of place in it may be a piece of the password.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::value::percent_decoded;
use crate::secret::Secret;

/// What a URL has to look like.
pub const URL_EXPECTED: &str = "a URL such as postgresql://smscope@db.example.com/smscope";

const DEFAULT_PORT: u16 = 5432;

/// What needs no escape in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A database, and how its server is to be talked to. Displayed, it is a URL without password and parameters.
#[derive(Clone, Debug)]
pub struct Url {
    /// In the order in which they are tried, at least one.
    pub hosts: Vec<Host>,
    pub user: String,
    pub database: String,
    pub password: Option<Secret>,
    pub ssl_mode: Option<SslMode>,
    /// A path, or `system`.
    pub ssl_root_certificate: Option<String>,
    pub ssl_certificate: Option<String>,
    pub ssl_key: Option<String>,
    pub password_file: Option<String>,
    pub application_name: Option<String>,
    pub options: Option<String>,
    pub channel_binding: Option<ChannelBinding>,
    /// Parameters that have no effect here.
    pub unused: Vec<&'static str>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name, an address without brackets, or the folder of a Unix socket.
    pub name: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// TLS if the server has it, with any certificate. libpq's `allow` too, which differs in what is tried first.
    Prefer,
    /// TLS with any certificate.
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// Why a URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    pub problem: String,
    pub expected: String,
}

/// Parameters that smscope reads.
const PARAMETERS: [&str; 13] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "passfile",
    "application_name",
    "options",
    "channel_binding",
];

/// Parameters that smscope sets whatever the URL has: who waits for an answer decides how long a dead server may go unnoticed.
const SET_BY_US: [&str; 8] = [
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "load_balance_hosts",
    "target_session_attrs",
];

impl Url {
    /// # Errors
    /// It is none, or has something that smscope cannot honor.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let rest = ["postgresql://", "postgres://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let Some(rest) = rest else {
            let scheme = text.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| is_word(scheme));
            let problem =
                scheme.map_or("not a URL of PostgreSQL".to_owned(), |scheme| format!("its scheme is {scheme:?}"));
            return Err(error(problem, URL_EXPECTED));
        };
        let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        // One @ at most, before the host: a second one, or one behind it, shows where a password was cut.
        if [credentials, database, parameters].iter().any(|part| part.contains('@')) || text.contains('#') {
            let problem = "an @, /, ? or # in it that is not percent-encoded";
            return Err(error(problem, "%40, %2F, %3F and %23 in user and password"));
        }
        let mut parameters = read_parameters(parameters)?;
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password, "password")?)),
            None => (credentials, None),
        };
        let user = merged(&mut parameters, "user", decoded(user, "user")?)?;
        let password = merged(&mut parameters, "password", password.unwrap_or_default())?;
        let database = merged(&mut parameters, "dbname", decoded(database, "database")?)?;
        if user.is_empty() {
            return Err(error("no user in it", URL_EXPECTED));
        }
        if database.contains('/') {
            return Err(error("more than one / behind the host", URL_EXPECTED));
        }
        let hosts = read_hosts(hosts, &mut parameters)?;
        let word = |parameters: &mut BTreeMap<&str, String>, name| parameters.remove(name);
        Ok(Self {
            hosts,
            // As libpq and the server have it.
            database: if database.is_empty() { user.clone() } else { database },
            user,
            password: (!password.is_empty()).then(|| Secret::new(password)),
            ssl_mode: word(&mut parameters, "sslmode").map(|mode| ssl_mode(&mode)).transpose()?,
            ssl_root_certificate: word(&mut parameters, "sslrootcert"),
            ssl_certificate: word(&mut parameters, "sslcert"),
            ssl_key: word(&mut parameters, "sslkey"),
            password_file: word(&mut parameters, "passfile"),
            application_name: word(&mut parameters, "application_name"),
            options: word(&mut parameters, "options"),
            channel_binding: word(&mut parameters, "channel_binding").map(|word| channel_binding(&word)).transpose()?,
            unused: unused(&parameters),
        })
    }

    /// Whether nobody can listen in or stand in between.
    pub fn is_local(&self) -> bool {
        self.hosts.iter().all(Host::is_local)
    }
}

impl Host {
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether it is this machine's own, by its name.
    pub fn is_local(&self) -> bool {
        let is_loopback = self.name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        self.is_socket() || is_loopback || self.name == "localhost"
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://{}@", utf8_percent_encode(&self.user, ESCAPED))?;
        for (at, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if at == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", utf8_percent_encode(&self.database, ESCAPED))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        match name.contains(':') {
            true => write!(f, "[{name}]:{port}"),
            false => write!(f, "{name}:{port}"),
        }
    }
}

fn error(problem: impl Into<String>, expected: impl Into<String>) -> UrlError {
    UrlError { problem: problem.into(), expected: expected.into() }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn decoded(text: &str, part: &str) -> Result<String, UrlError> {
    let decoded = percent_decoded(text).filter(|text| !text.contains(char::is_control));
    let printable = "printable UTF-8, percent-encoded where it is not A-Z a-z 0-9 - . _ ~";
    decoded.ok_or_else(|| error(format!("the {part} in it cannot be read"), printable))
}

/// The parameters by their names.
fn read_parameters(text: &str) -> Result<BTreeMap<&'static str, String>, UrlError> {
    let mut parameters = BTreeMap::new();
    let expected = || format!("one of {}", PARAMETERS.join(", "));
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_name(name)) else {
            return Err(error("a parameter in it cannot be read", expected()));
        };
        let Some(known) = PARAMETERS.into_iter().chain(SET_BY_US).find(|known| *known == name) else {
            return Err(error(format!("the parameter {name} is not supported"), expected()));
        };
        let value = decoded(value, known)?;
        if parameters.insert(known, value).is_some() {
            return Err(error(format!("the parameter {known} is given twice"), "it once"));
        }
    }
    parameters.retain(|_, value| !value.is_empty());
    Ok(parameters)
}

/// A part of the address, which may be a parameter instead.
fn merged(parameters: &mut BTreeMap<&str, String>, name: &str, part: String) -> Result<String, UrlError> {
    match parameters.remove(name) {
        Some(_) if !part.is_empty() => Err(error(format!("the parameter {name} is in the address too"), "it once")),
        Some(parameter) => Ok(parameter),
        None => Ok(part),
    }
}

fn read_hosts(address: &str, parameters: &mut BTreeMap<&str, String>) -> Result<Vec<Host>, UrlError> {
    let given = parameters.remove("host");
    let ports = parameters.remove("port");
    let mut hosts = Vec::new();
    let in_address = if address.is_empty() { Vec::new() } else { address.split(',').collect() };
    for host in in_address {
        let (name, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((name, rest))) => {
                let bracketed = name.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6);
                bracketed.ok_or_else(|| error("an address in brackets that is none of IPv6", URL_EXPECTED))?;
                (name, rest)
            }
            Some(None) => return Err(error("a [ without its ]", URL_EXPECTED)),
            None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
        };
        let port = match port {
            "" => DEFAULT_PORT,
            port => read_port(port.strip_prefix(':').unwrap_or_default())?,
        };
        hosts.push(Host { name: decoded(name, "host")?, port });
    }
    match given {
        Some(_) if !hosts.is_empty() => {
            return Err(error("the parameter host is in the address too", "it once"));
        }
        Some(given) => hosts.extend(given.split(',').map(|name| Host { name: name.to_owned(), port: DEFAULT_PORT })),
        None => {}
    }
    if hosts.iter().any(|host| host.name.is_empty() || host.name.contains(char::is_whitespace)) || hosts.is_empty() {
        return Err(error("no host in it", URL_EXPECTED));
    }
    if let Some(ports) = ports {
        let ports = ports.split(',').map(read_port).collect::<Result<Vec<_>, _>>()?;
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(error("not as many ports as hosts", "one port, or one per host"));
        }
        let of_each = ports.iter().cycle();
        hosts.iter_mut().zip(of_each).for_each(|(host, port)| host.port = *port);
    }
    Ok(hosts)
}

fn read_port(text: &str) -> Result<u16, UrlError> {
    let port = text.parse().ok().filter(|port| *port > 0);
    // A password with an / in it ends up here.
    port.ok_or_else(|| error("a port in it cannot be read", "a number from 1 to 65535; / in a password is %2F"))
}

fn ssl_mode(text: &str) -> Result<SslMode, UrlError> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(error("an sslmode that is none", "verify-full, verify-ca, require, prefer, allow or disable")),
    }
}

fn channel_binding(text: &str) -> Result<ChannelBinding, UrlError> {
    match text {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(error("a channel_binding that is none", "require, prefer or disable")),
    }
}

/// What is left of the parameters, without a wish that smscope has as well.
fn unused(parameters: &BTreeMap<&'static str, String>) -> Vec<&'static str> {
    let is_ours =
        |name: &str, value: &str| name == "target_session_attrs" && ["read-write", "primary"].contains(&value);
    parameters.iter().filter(|(name, value)| !is_ours(name, value)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests;
