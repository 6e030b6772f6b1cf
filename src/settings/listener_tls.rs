//! TLS on a listener: `[http.tls]` for webhooks, `[admin.tls]`.
//!
//! The files are read when the configuration is loaded, so that one that cannot be used is an error of the start, and again
//! while smscope runs ([`ListenerTls::files`], then [`Files::identity`]), so that a renewed certificate needs no restart.
//! Cryptography is ring's, versions are TLS 1.2 and 1.3, the protocol inside is HTTP/1.1 alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use strum::IntoStaticStr;

use super::certificate::Validity;
use super::prelude::*;
use super::tls::{AUTHORITIES, CERTIFICATES, KEY};

/// What each of the other files needs beside it, for the documentation.
pub(crate) const CERTIFICATE_AND_KEY: &str = "certificate = \"/etc/smscope/tls.pem\"\nkey = \"/etc/smscope/tls.key\"";
pub(crate) const WITH_AUTHORITIES: &str = "certificate = \"/etc/smscope/tls.pem\"\nkey = \"/etc/smscope/tls.key\"\n\
    client_authorities = \"/etc/smscope/ca.pem\"";

/// How long before its end a certificate is warned about: renewal is due 30 days before it where it is automatic.
const RENEWAL_WARNING: Duration = DAY.saturating_mul(14);

/// Which certificates clients have to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum ClientCertificates {
    #[strum(serialize = "not asked for")]
    NotAskedFor,
    /// A certificate that is shown has to be valid; a client without one authenticates by the token alone.
    Optional,
    Required,
}

/// The TLS of a listener.
#[derive(Clone)]
pub struct ListenerTls {
    named: Named,
    /// Of the files as they were when the configuration was loaded.
    pub identity: Identity,
}

/// The files as the operator names them.
#[derive(Clone)]
struct Named {
    certificate: Given,
    key: Given,
    authorities: Option<Given>,
    client_certificates: ClientCertificates,
}

/// The files as they were at one time.
pub struct Files<'a> {
    named: &'a Named,
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// The listener's certificate, and how clients are verified.
#[derive(Clone)]
pub struct Identity {
    pub server: Arc<ServerConfig>,
    pub certificate: CertificateDer<'static>,
    /// When all certificates of the chain are valid.
    pub validity: Validity,
    /// Of the files that it is made from.
    pub digest: [u8; 32],
}

/// Declares `client_certificates` of such a table.
pub(crate) const fn client_certificates(key: &'static str, meaning: &'static str) -> Setting<ClientCertificates> {
    let read = |given: &Given| given.word(&[ClientCertificates::Required, ClientCertificates::Optional]);
    setting(key, "word", read, |asked| asked.into_str().to_owned(), meaning)
}

/// Reads such a table; `None` when it is empty. The files are those of the certificate, its key and the authorities of clients.
pub(crate) fn read(
    mut table: Table,
    files: [&Setting<PathBuf>; 3],
    clients: &Setting<ClientCertificates>,
) -> Result<Option<ListenerTls>, ConfigError> {
    let [certificate, key, authorities] = files.map(|file| table.take(file));
    let asked = table.take(clients);
    table.finish()?;
    let Some((certificate, key)) = tls::pair(certificate, key)? else {
        let Some(alone) = authorities.or(asked) else {
            table.show("certificate", "none", None);
            return Ok(None);
        };
        let table = table_of(&alone);
        let expected = format!("{table}.certificate and {table}.key as well");
        return Err(alone.wrong("not used without TLS", expected).beside_others());
    };
    let client_certificates = match (&asked, &authorities) {
        (None, None) => ClientCertificates::NotAskedFor,
        (None, Some(_)) => ClientCertificates::Required,
        (Some(asked), None) => {
            let expected = format!("{}.client_authorities as well", table_of(asked));
            return Err(asked.wrong("no authorities for clients", expected).beside_others());
        }
        (Some(asked), Some(_)) => clients.read(asked)?,
    };
    let named = Named { certificate, key, authorities, client_certificates };
    let identity = named.files()?.identity()?;
    let tls = ListenerTls { named, identity };
    let (file, until) = (tls.certificate_file().display(), tls.identity.validity.not_after);
    table.show("certificate", format_args!("{file}, valid until {until}"), Some(&tls.named.certificate));
    table.show("key", "given", Some(&tls.named.key));
    if let Some(file) = tls.authorities_file() {
        table.show("client_authorities", file.display(), tls.named.authorities.as_ref());
    }
    table.show("client_certificates", client_certificates.into_str(), asked.as_ref());
    Ok(Some(tls))
}

/// The table of a setting, such as `http.tls`.
fn table_of(setting: &Given) -> &str {
    setting.key.rsplit_once('.').map_or("", |(table, _)| table)
}

impl ListenerTls {
    /// The path of the certificate's file.
    pub fn certificate_file(&self) -> &Path {
        Path::new(self.named.certificate.text("").unwrap_or_default())
    }

    /// The path of the file with the authorities of clients, if there is one.
    pub fn authorities_file(&self) -> Option<&Path> {
        self.named.authorities.as_ref().and_then(|setting| setting.text("").ok()).map(Path::new)
    }

    pub fn client_certificates(&self) -> ClientCertificates {
        self.named.client_certificates
    }

    /// Reads the files as they are now.
    pub fn files(&self) -> Result<Files<'_>, ConfigError> {
        self.named.files()
    }

    /// A warning about the certificate at `now`, in one line.
    pub fn warning(&self, identity: &Identity, now: Timestamp) -> Option<String> {
        let Validity { not_before, not_after } = identity.validity;
        let problem = if now >= not_after {
            format!("expired at {not_after}")
        } else if now < not_before {
            format!("not valid before {not_before}")
        } else if not_after.duration_since(now).unsigned_abs() < RENEWAL_WARNING {
            format!("expires at {not_after}")
        } else {
            return None;
        };
        let expected = format!("one that is valid for {} more", show_duration(RENEWAL_WARNING));
        Some(self.named.certificate.wrong(problem, expected).to_string())
    }
}

impl Named {
    fn files(&self) -> Result<Files<'_>, ConfigError> {
        let authorities = self.authorities.as_ref().map(|setting| tls::contents(setting, AUTHORITIES));
        Ok(Files {
            named: self,
            certificate: tls::contents(&self.certificate, CERTIFICATES)?,
            key: tls::contents(&self.key, KEY)?,
            authorities: authorities.transpose()?,
        })
    }
}

impl Files<'_> {
    /// Tells whether two readings found the same.
    pub fn digest(&self) -> [u8; 32] {
        let parts = [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()];
        let mut digest = Sha256::new();
        for part in parts.into_iter().flatten() {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// # Errors
    /// They cannot be used, each for itself or together.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        let Named { certificate, key, authorities, client_certificates } = self.named;
        let chain = tls::certificates(certificate, &self.certificate, CERTIFICATES)?;
        let private = tls::private_key(key, &self.key)?;
        let validity = chain.iter().map(|one| Validity::of(one)).reduce(|all, one| Some(all?.and(one?))).flatten();
        let (Some(own), Some(validity)) = (chain.first().cloned(), validity) else {
            return Err(certificate.wrong("not an X.509 certificate", CERTIFICATES));
        };

        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(ring.clone());
        let builder = builder.with_safe_default_protocol_versions().expect("ring has the ciphers of TLS 1.2 and 1.3");
        let builder = match (authorities, &self.authorities) {
            (Some(setting), Some(text)) => {
                let roots = Arc::new(tls::roots(setting, text)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, ring);
                let verifier = match client_certificates {
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                    ClientCertificates::Required | ClientCertificates::NotAskedFor => verifier,
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| setting.wrong(format_args!("cannot be used: {error}"), AUTHORITIES))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server =
            builder.with_single_cert(chain, private).map_err(|error| tls::unusable(&error, certificate, key))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity { server: Arc::new(server), certificate: own, validity, digest: self.digest() })
    }
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls")
            .field("certificate", &self.certificate_file())
            .field("authorities", &self.authorities_file())
            .field("client_certificates", &self.client_certificates())
            .finish_non_exhaustive()
    }
}
