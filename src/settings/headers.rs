//! Headers that the operator adds to OTLP requests; over gRPC they are its metadata.
//!
//! Sources: "OpenTelemetry Protocol Exporter", section "Specifying headers via environment variables" (W3C Baggage
//! without its metadata: a semicolon is part of the value); gRPC over HTTP/2, "Custom-Metadata".

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::http::{HeaderName, HeaderValue};

use super::prelude::*;

/// One header and where it was given.
pub(crate) struct Header {
    given: Given,
    pub name: HeaderName,
    /// Marked sensitive.
    pub value: HeaderValue,
}

/// Headers as `key=value,key2=value2`, percent-encoded. Of those with one name the last counts.
pub(crate) fn of_text(given: Given) -> Result<Vec<Header>, ConfigError> {
    const EXPECTED: &str = "key=value,key2=value2, percent-encoded";
    let given = given.secret();
    let mut headers = Vec::new();
    for (name, value) in given.parse(EXPECTED, value::pairs)? {
        let (name, value) = header(&name, &value).ok_or_else(|| given.bad(EXPECTED))?;
        replace(&mut headers, Header { given: given.clone(), name, value });
    }
    Ok(headers)
}

/// Headers as a table of the file.
pub(crate) fn of_table(table: Table) -> Result<Vec<Header>, ConfigError> {
    const EXPECTED: &str = "a header's name and value, of printable characters";
    let mut headers = Vec::new();
    for (name, given) in table.into_entries() {
        let given = given.secret();
        let (name, value) = given.parse(EXPECTED, |value| header(&name, value))?;
        replace(&mut headers, Header { given, name, value });
    }
    Ok(headers)
}

/// Headers of a relay, from a table of its own.
pub(crate) fn of_relay(
    relay: &mut Table,
    setting: &Setting<()>,
) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
    let table = relay.table(setting.name())?;
    let given = table.origin().cloned();
    let headers = of_table(table)?;
    relay.show(setting.name(), shown(&headers), given.as_ref());
    Ok(headers.into_iter().map(|header| (header.name, header.value)).collect())
}

/// For people, without values.
pub(crate) fn shown(headers: &[Header]) -> String {
    let shown: Vec<String> = headers.iter().map(|header| format!("{}: <token>", header.name)).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn replace(headers: &mut Vec<Header>, header: Header) {
    headers.retain(|other| other.name != header.name);
    headers.push(header);
}

/// Base64 of gRPC's metadata: padding is optional, so readers accept both forms.
pub const METADATA_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Headers of HTTP/1 connections, which HTTP/2 forbids.
const OF_CONNECTIONS: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "upgrade"];

impl Header {
    /// An error unless gRPC can carry it as metadata.
    pub fn check_as_metadata(&self) -> Result<(), ConfigError> {
        let (name, value) = (self.name.as_str(), self.value.as_bytes());
        let not_metadata =
            |what: &str, expected| Err(self.given.wrong(format!("{what} cannot be sent over gRPC"), expected));
        if name.starts_with("grpc-") || OF_CONNECTIONS.contains(&name) {
            return not_metadata(&format!("header {name}"), "a name that gRPC does not use itself");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            // Not shown: it may be a secret that was pasted without its name.
            return not_metadata("the name of a header", "a name of a-z 0-9 - _ .");
        }
        if name.ends_with("-bin") && METADATA_BASE64.decode(value).is_err() {
            return not_metadata(&format!("the value of header {name}"), "base64, as the name ends in -bin");
        }
        if !value.iter().all(|b| matches!(b, b' '..=b'~')) {
            return not_metadata(&format!("the value of header {name}"), "printable ASCII");
        }
        Ok(())
    }
}
