//! `[http]`: limits of the webhook listener, and its TLS.

use std::path::PathBuf;
use std::time::Duration;

use super::listener_tls::{self, ClientCertificates, ListenerTls};
use super::prelude::*;

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

settings! {
    HEADER_TIMEOUT: Duration = duration("http.header_timeout", |given| given.duration(MILLISECOND..=HOUR),
        "from the opening of a connection, or the last answer on it, to the end of the next request's head; the \
         handshake of TLS is part of it").default("15s").example(r#""5s""#).wrong("15");
    BODY_TIMEOUT: Duration = duration("http.body_timeout", |given| given.duration(MILLISECOND..=HOUR),
        "from there to the end of the body").default("10s").example(r#""30s""#).wrong(r#""2h""#);
    WRITE_TIMEOUT: Duration = duration("http.write_timeout", |given| given.duration(MILLISECOND..=HOUR),
        "how long an answer may wait for the client to read it").default("10s").example(r#""5s""#).wrong(r#""0s""#);
    SHUTDOWN_TIMEOUT: Duration = duration("http.shutdown_timeout", |given| given.duration(MILLISECOND..=HOUR),
        "what requests in flight get after SIGTERM; exporters get half of it after that").default("10s")
        .example(r#""25s""#).wrong(r#""soon""#);
    MAX_BODY: u64 = size("http.max_body", |given| given.size(1 << 10..=16 << 20),
        "one body, before and after decompression; all bodies that are being read may hold 64 MiB together, past which \
         the answer is 503").default("2MiB").example(r#""4MiB""#).wrong(r#""1GiB""#);
    MAX_CONNECTIONS: usize = number("http.max_connections", |given| given.number(1..=65_536),
        "past them the connection that has waited longest for its request is closed; others wait in the kernel's \
                  queue").default("1024").example("256").wrong("0");
    CERTIFICATE: PathBuf = file("http.tls.certificate",
        "with it the listener speaks TLS and nothing else: a PEM file with the certificate, then those that lead to \
         its authority").absent("none").example(r#""/etc/smscope/tls.pem""#).wrong(r#""/nonexistent/tls.pem""#)
        .beside(r#"key = "/etc/smscope/tls.key""#);
    KEY: PathBuf = file("http.tls.key", "its key, not encrypted: a PEM file").example(r#""/etc/smscope/tls.key""#)
        .wrong(r#""/etc/smscope/client.key""#).beside(r#"certificate = "/etc/smscope/tls.pem""#);
    CLIENT_AUTHORITIES: PathBuf = file("http.tls.client_authorities",
        "the authorities that clients' certificates are verified with; clients are asked for one: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#).wrong(r#""/nonexistent/ca.pem""#)
        .beside(listener_tls::CERTIFICATE_AND_KEY);
    CLIENT_CERTIFICATES: ClientCertificates = listener_tls::client_certificates("http.tls.client_certificates",
        "`required`, which is the default where there are `client_authorities`, or `optional`: one that is shown has \
         to be good").example(r#""optional""#).wrong(r#""maybe""#).beside(listener_tls::WITH_AUTHORITIES);
}

/// # Errors
/// A setting cannot be used.
pub(crate) fn read(mut table: Table) -> Result<(Http, Option<ListenerTls>), ConfigError> {
    let http = Http {
        header_timeout: table.get(&HEADER_TIMEOUT)?,
        body_timeout: table.get(&BODY_TIMEOUT)?,
        write_timeout: table.get(&WRITE_TIMEOUT)?,
        shutdown_timeout: table.get(&SHUTDOWN_TIMEOUT)?,
        max_body: table.get(&MAX_BODY)? as usize,
        max_connections: table.get(&MAX_CONNECTIONS)?,
    };
    let tls = table.table("tls")?;
    table.finish()?;
    Ok((http, listener_tls::read(tls, [&CERTIFICATE, &KEY, &CLIENT_AUTHORITIES], &CLIENT_CERTIFICATES)?))
}
