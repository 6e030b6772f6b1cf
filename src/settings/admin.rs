//! `[admin]`: TLS and authentication of the admin listener.

use std::path::PathBuf;

use super::credentials::{self, Basic};
use super::listener_tls::{self, ClientCertificates, ListenerTls};
use super::prelude::*;

/// By default plain HTTP without authentication.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    pub tls: Option<ListenerTls>,
    pub basic: Option<Basic>,
    pub bearer_token: Option<Secret>,
}

impl Admin {
    /// Whether a client has to authenticate.
    pub fn asks_for_credentials(&self) -> bool {
        self.basic.is_some() || self.bearer_token.is_some()
    }
}

settings! {
    CERTIFICATE: PathBuf = file("admin.tls.certificate",
        "with it the admin listener speaks TLS and nothing else; the four of `[admin.tls]` mean what those of \
         `[http.tls]` do").absent("none").example(r#""/etc/smscope/tls.pem""#).wrong(r#""/nonexistent/tls.pem""#)
        .beside(r#"key = "/etc/smscope/tls.key""#);
    KEY: PathBuf = file("admin.tls.key", "its key, not encrypted: a PEM file").example(r#""/etc/smscope/tls.key""#)
        .wrong(r#""/etc/smscope/client.key""#).beside(r#"certificate = "/etc/smscope/tls.pem""#);
    CLIENT_AUTHORITIES: PathBuf = file("admin.tls.client_authorities",
        "the authorities that clients' certificates are verified with; clients are asked for one: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#).wrong(r#""/nonexistent/ca.pem""#)
        .beside(listener_tls::CERTIFICATE_AND_KEY);
    CLIENT_CERTIFICATES: ClientCertificates = listener_tls::client_certificates("admin.tls.client_certificates",
        "`required` or `optional`").example(r#""optional""#).wrong(r#""maybe""#).beside(listener_tls::WITH_AUTHORITIES);
    USER: String = setting("admin.basic.user", "text", credentials::user, String::clone,
        "HTTP basic that everything on the admin listener but `/livez` and `/readyz` requires, in `[admin.basic]`")
        .secret().example(r#""prometheus""#).wrong(r#""prometheus:s3cret""#).beside(r#"password = "s3cret""#);
    PASSWORD: Secret = secret("admin.basic.password", "secret", credentials::password, "its password")
        .example(r#""s3cret""#).wrong(r#""""#).beside(r#"user = "prometheus""#);
    PASSWORD_FILE: Secret = secret_file("admin.basic.password_file", credentials::password_file, "the same from a file")
        .example(r#""/etc/smscope/password""#).wrong(r#""/nonexistent/password""#).beside(r#"user = "prometheus""#);
    BEARER_TOKEN: Secret = secret("admin.bearer_token", "token", credentials::token,
        "the same as a bearer token; where both are given, either is accepted").absent("none")
        .example(r#""0123456789abcdef0123456789abcdef""#).wrong(r#""s3cret""#);
    BEARER_TOKEN_FILE: Secret = secret_file("admin.bearer_token_file", credentials::token_file, "the same from a file")
        .absent("none").example(r#""/etc/smscope/token""#).wrong(r#""/nonexistent""#);
}

pub(crate) fn read(mut table: Table) -> Result<Admin, ConfigError> {
    let tls = table.table("tls")?;
    let tls = listener_tls::read(tls, [&CERTIFICATE, &KEY, &CLIENT_AUTHORITIES], &CLIENT_CERTIFICATES)?;
    let basic = credentials::basic(&mut table, &USER, [&PASSWORD, &PASSWORD_FILE])?;
    let bearer_token = table.find_either(&BEARER_TOKEN, &BEARER_TOKEN_FILE)?;
    table.finish()?;
    Ok(Admin { tls, basic, bearer_token })
}
