//! The connection: name, TCP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::metrics::ProbeResult;
use super::{Failed, Step, Target};
use crate::outbound::within;
use crate::settings::{Tls, Validity};

pub(super) async fn resolve(target: &Target, steps: &mut Vec<Step>) -> Result<Vec<SocketAddr>, Failed> {
    let host = target.host.as_str();
    if let Ok(address) = host.parse::<IpAddr>() {
        steps.push(Step::ok("dns", format!("not needed: {address} is an address{}", note([&address]))));
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let advice = format!("expected an A or AAAA record of {host} that the internet can see");
    let failed = |why: String| (ProbeResult::Dns, Step::failed("dns", why, advice.clone()));
    let found = match within(target.timeout, tokio::net::lookup_host((host, target.port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(failed(format!("{host} is not found: {error}"))),
        Err(late) => return Err(failed(late)),
    };
    if found.is_empty() {
        return Err(failed(format!("{host} has no address")));
    }
    let mut addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    let ips: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
    steps.push(Step::ok("dns", format!("{host} is {}{}", addresses.join(", "), note(&ips))));
    Ok(found)
}

/// A note if the provider cannot reach any of these addresses.
fn note<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> &'static str {
    let is_inside = |address: &IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    match addresses.into_iter().all(is_inside) {
        true => " (not a public address: smsmode cannot reach it)",
        false => "",
    }
}

/// Connects to the first address that accepts.
pub(super) async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    steps: &mut Vec<Step>,
) -> Result<TcpStream, Failed> {
    let mut errors = Vec::new();
    for address in addresses {
        let error = match within(target.timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _best_effort = stream.set_nodelay(true);
                let others = if errors.is_empty() { String::new() } else { format!("; not {}", errors.join(", ")) };
                steps.push(Step::ok("connect", format!("{address}{others}")));
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(late) => io::Error::new(io::ErrorKind::TimedOut, late),
        };
        errors.push(format!("{address}: {error}"));
    }
    let advice = "expected a proxy or smscope to listen there, and a firewall that lets the internet in";
    Err((ProbeResult::Connect, Step::failed("connect", errors.join(", "), advice)))
}

pub(super) async fn secure(target: &Target, tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failed> {
    let mut client = (*tls.client).clone();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let failed = |why: String, advice: &str| (ProbeResult::Tls, Step::failed("tls", why, advice));
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| failed(error.to_string(), "expected a name that a certificate can have"))?;
    let handshake = TlsConnector::from(Arc::new(client)).connect(name, stream);
    let stream = match within(target.timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error.to_string(), advice(&error))),
        Err(late) => return Err(failed(late, NOT_TLS)),
    };
    Ok(stream)
}

/// The earliest end of the server's certificates.
pub(super) fn expires(stream: &TlsStream<TcpStream>) -> Option<Timestamp> {
    let shown = stream.get_ref().1.peer_certificates()?;
    shown.iter().filter_map(|certificate| Validity::of(certificate)).map(|validity| validity.not_after).min()
}

pub(super) const NOT_TLS: &str = "expected TLS 1.2 or 1.3 on this port";

fn advice(error: &io::Error) -> &'static str {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else { return NOT_TLS };
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "expected a certificate that has not expired: renew it, and have the proxy load it"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "expected a public authority, and the whole chain in what the server shows (fullchain.pem, not cert.pem); a private \
             authority is trusted here with SSL_CERT_FILE, but not by smsmode"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "expected a certificate with this name",
        _ => NOT_TLS,
    }
}
