//! TLS to a PostgreSQL server: how it is verified, by the modes of libpq, and the certificate that it is shown.
//!
//! The files are read when the configuration is loaded, so that one that cannot be used is an error of the start, and for each
//! connection, so that a renewed certificate needs no restart.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::super::prelude::*;
use super::super::tls::{AUTHORITIES, CERTIFICATES, KEY};
use super::url::{SslMode, Url};

/// How a connection to a PostgreSQL server is encrypted.
#[derive(Clone)]
pub(crate) struct PostgresTls {
    verification: Verification,
    /// Whether a server without TLS is rejected.
    pub is_required: bool,
    /// The certificate and its key.
    client: Option<(Given, Given)>,
}

#[derive(Clone)]
enum Verification {
    /// Any certificate is accepted.
    None,
    /// The file of the authorities; a certificate under any name.
    Authority(Given),
    /// The name in the URL has to be in the certificate.
    Full(Roots),
}

#[derive(Clone)]
enum Roots {
    System(Arc<RootCertStore>),
    File(Given),
}

/// Reads what `url`, which was given as `given`, has of TLS; `None`: the connection is not encrypted.
///
/// # Errors
/// A file cannot be used; or the server would not be verified, which `accepts_any` permits.
pub(crate) fn read(url: &Url, given: &Given, accepts_any: bool) -> Result<Option<PostgresTls>, ConfigError> {
    let part = |name: &str, value: &Option<String>| value.as_ref().map(|path| super::part(given, name, path));
    let authorities = part("sslrootcert", &url.ssl_root_certificate);
    let client = match (part("sslcert", &url.ssl_certificate), part("sslkey", &url.ssl_key)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(given.wrong("sslcert without sslkey", "sslkey as well")),
        (None, Some(_)) => return Err(given.wrong("sslkey without sslcert", "sslcert as well")),
    };
    let has_files = client.is_some() || authorities.is_some();
    let mode = url.ssl_mode.unwrap_or(match url.is_local() && !has_files {
        true => SslMode::Disable,
        false => SslMode::VerifyFull,
    });
    if matches!(mode, SslMode::Prefer | SslMode::Require) && !url.is_local() && !accepts_any {
        let expected = format!(
            "sslmode=verify-full, with sslrootcert=FILE if the server's authority is not a public one, or {}",
            super::ACCEPT_ANY_CERTIFICATE.declaration.key
        );
        return Err(given.wrong("an sslmode that accepts any certificate", expected));
    }
    let is_system = url.ssl_root_certificate.as_deref() == Some("system");
    let verification = match (mode, authorities.filter(|_| !is_system)) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Prefer | SslMode::Require, _) => Verification::None,
        (SslMode::VerifyCa, Some(file)) => Verification::Authority(file),
        (SslMode::VerifyCa, None) => {
            let problem = "sslmode=verify-ca would accept any certificate of a public authority";
            return Err(given.wrong(problem, "sslmode=verify-full, or sslrootcert=FILE"));
        }
        (SslMode::VerifyFull, Some(file)) => Verification::Full(Roots::File(file)),
        (SslMode::VerifyFull, None) => {
            let expected = "the package ca-certificates, or sslrootcert=FILE";
            let roots = tls::system_roots().map_err(|problem| given.wrong(problem, expected))?;
            Verification::Full(Roots::System(Arc::new(roots)))
        }
    };
    let tls = PostgresTls { verification, is_required: mode != SslMode::Prefer, client };
    tls.client().map_err(|error| error.within(&given.key))?;
    Ok(Some(tls))
}

impl PostgresTls {
    /// By the files as they are now.
    ///
    /// # Errors
    /// One cannot be used.
    pub fn client(&self) -> Result<ClientConfig, ConfigError> {
        let of_file = |file: &Given| tls::roots(file, &tls::contents(file, AUTHORITIES)?);
        let builder = Tls::builder();
        let builder = match &self.verification {
            Verification::Full(Roots::System(roots)) => builder.with_root_certificates(roots.clone()),
            Verification::Full(Roots::File(file)) => builder.with_root_certificates(of_file(file)?),
            Verification::Authority(file) => {
                let verifier = AnyName { authorities: Some(of_file(file)?), provider: ring::default_provider() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Verification::None => {
                let verifier = AnyName { authorities: None, provider: ring::default_provider() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let Some((certificate, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = tls::certificates(certificate, &tls::contents(certificate, CERTIFICATES)?, CERTIFICATES)?;
        let private = tls::private_key(key, &tls::contents(key, KEY)?)?;
        builder.with_client_auth_cert(chain, private).map_err(|error| tls::unusable(&error, certificate, key))
    }
}

impl fmt::Display for PostgresTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |file: &Given| file.text("").map(str::to_owned).unwrap_or_default();
        match &self.verification {
            Verification::None if self.is_required => f.write_str("with any certificate")?,
            Verification::None => f.write_str("if the server has it, with any certificate")?,
            Verification::Authority(authorities) => write!(f, "under any name, authorities of {}", file(authorities))?,
            Verification::Full(Roots::File(authorities)) => {
                write!(f, "verified, authorities of {}", file(authorities))?
            }
            Verification::Full(Roots::System(_)) => f.write_str("verified, authorities of the system")?,
        }
        match &self.client {
            Some((certificate, _)) => write!(f, ", client certificate {}", file(certificate)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Accepts certificates under any name.
#[derive(Debug)]
struct AnyName {
    /// `None`: any issuer.
    authorities: Option<RootCertStore>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(shown)?,
                authorities,
                chain,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
