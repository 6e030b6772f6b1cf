//! TLS to an OTLP endpoint: certificates and keys in PEM, as the OpenTelemetry variables and `[otlp]` name them. And what its
//! files have in common with those of the listener.
//!
//! The files are read once, when the configuration is loaded, so that one that cannot be used is an error of the start.
//! Cryptography is ring's, versions are TLS 1.2 and 1.3.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use super::ConfigError;
use super::given::Given;

pub(crate) const AUTHORITIES: &str = "a PEM file with certificates of authorities";
pub(crate) const CERTIFICATES: &str = "a PEM file with a certificate, then those that lead to its authority";
pub(crate) const KEY: &str = "a PEM file with an unencrypted private key";

/// How a TLS server is verified, and the client certificate that it is shown.
#[derive(Clone)]
pub struct Tls {
    /// Without application protocols: the connector sets them.
    pub client: Arc<ClientConfig>,
    /// The file of the authorities that are trusted; `None`: those of the system.
    pub certificate: Option<PathBuf>,
    /// The file of the client certificate, if there is one.
    pub client_certificate: Option<PathBuf>,
}

/// The files that are given for one server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Files<'a> {
    pub certificate: Option<&'a Given>,
    pub client_certificate: Option<&'a Given>,
    pub client_key: Option<&'a Given>,
}

/// The authorities of the system, loaded when the first endpoint needs them.
#[derive(Default)]
pub(crate) struct SystemRoots(OnceCell<Arc<RootCertStore>>);

/// Reads the files for the endpoint that `endpoint` names.
///
/// Without a certificate of an authority the system's are trusted (SSL_CERT_FILE and SSL_CERT_DIR are honored): smscope
/// has none built in, for they would grow old with it.
pub(crate) fn read(given: Files, endpoint: &Given, system: &SystemRoots) -> Result<Tls, ConfigError> {
    let roots = match given.certificate {
        Some(setting) => Arc::new(roots(setting, &contents(setting, AUTHORITIES)?)?),
        None => system.get(endpoint)?,
    };
    let builder = Tls::builder().with_root_certificates(roots);
    let client = match pair(given.client_certificate, given.client_key)? {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate, &contents(certificate, CERTIFICATES)?, CERTIFICATES)?;
            let private = private_key(key, &contents(key, KEY)?)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| unusable(&error, certificate, key))?
        }
    };
    let path = |setting: &Given| setting.text("a path").map(PathBuf::from);
    Ok(Tls {
        client: Arc::new(client),
        certificate: given.certificate.map(path).transpose()?,
        client_certificate: given.client_certificate.map(path).transpose()?,
    })
}

/// A certificate and its key, if both are given; an error if only one is.
pub(crate) fn pair<G: Borrow<Given>>(certificate: Option<G>, key: Option<G>) -> Result<Option<(G, G)>, ConfigError> {
    let alone = |given: &Given, problem, own: &str, other: &str| {
        let other = given.key.replace(&own.to_uppercase(), &other.to_uppercase()).replace(own, other);
        Err(given.wrong(problem, format_args!("{other} as well")).beside_others())
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (Some(certificate), None) => alone(certificate.borrow(), "a certificate without a key", "certificate", "key"),
        (None, Some(key)) => alone(key.borrow(), "a key without a certificate", "key", "certificate"),
        (None, None) => Ok(None),
    }
}

/// Trusts the authorities of the system, on behalf of the setting `named`.
pub(crate) fn trusting_the_system(named: &Given) -> Result<Tls, ConfigError> {
    read(Files::default(), named, &SystemRoots::default())
}

impl Tls {
    /// Which authorities are trusted, for people.
    pub(crate) fn shown_authorities(&self) -> String {
        self.certificate.as_ref().map_or("the system's".to_owned(), |file| file.display().to_string())
    }

    /// The beginning of every TLS client here.
    pub fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        builder.with_safe_default_protocol_versions().expect("ring has the ciphers of TLS 1.2 and 1.3")
    }
}

impl SystemRoots {
    fn get(&self, endpoint: &Given) -> Result<Arc<RootCertStore>, ConfigError> {
        if let Some(roots) = self.0.get() {
            return Ok(roots.clone());
        }
        let expected = "the package ca-certificates, or OTEL_EXPORTER_OTLP_CERTIFICATE";
        let roots = system_roots().map_err(|problem| endpoint.wrong(problem, expected))?;
        Ok(self.0.get_or_init(|| Arc::new(roots)).clone())
    }
}

/// The authorities that the file of a flag has, or those of the system.
pub fn authorities(flag: &str, file: Option<&Path>) -> Result<RootCertStore, ConfigError> {
    match file {
        Some(file) => {
            let setting = Given::of_flag(flag, &file.to_string_lossy());
            roots(&setting, &contents(&setting, AUTHORITIES)?)
        }
        None => system_roots().map_err(|problem| {
            ConfigError::general(format!("{problem}; expected the package ca-certificates, or {flag}"))
        }),
    }
}

pub(crate) fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(format!("this system has no certificate authorities{why}"));
    }
    Ok(roots)
}

/// The authorities in a file, of which `setting` has the name and `text` the contents.
pub(crate) fn roots(setting: &Given, text: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, text, AUTHORITIES)? {
        roots.add(certificate).map_err(|error| setting.wrong(format_args!("cannot be used: {error}"), AUTHORITIES))?;
    }
    Ok(roots)
}

pub(crate) fn certificates(
    setting: &Given,
    text: &[u8],
    expected: &str,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(setting.wrong("no certificate in it", expected)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(not_pem(setting, &error, expected)),
    }
}

pub(crate) fn private_key(setting: &Given, text: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => setting.wrong("no private key in it that can be read", KEY),
        error => not_pem(setting, &error, KEY),
    })
}

/// Why a certificate and a key, each of them readable, cannot be used together.
pub(crate) fn unusable(error: &rustls::Error, certificate: &Given, key: &Given) -> ConfigError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            key.wrong(format_args!("does not belong to {}", certificate.key), "the certificate's own key")
        }
        error => certificate.wrong(format_args!("cannot be used: {error}"), CERTIFICATES),
    }
}

pub(crate) fn contents(setting: &Given, expected: &str) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(setting.text("a path")?)
        .map_err(|error| setting.wrong(format_args!("cannot be read: {error}"), expected))
}

/// The error's own words may quote the file, and that may hold a key.
fn not_pem(setting: &Given, error: &pem::Error, expected: &str) -> ConfigError {
    let problem = match error {
        pem::Error::MissingSectionEnd { .. } => "breaks off",
        pem::Error::Base64Decode(_) => "is not base64",
        _ => "is not PEM",
    };
    setting.wrong(problem, expected)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("client_certificate", &self.client_certificate)
            .finish_non_exhaustive()
    }
}
