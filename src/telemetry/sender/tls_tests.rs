//! TLS over HTTP and gRPC, with certificates made here and the files named as an operator would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificates::{Authority, Identity};
use crate::config::{Config, Flags};
use crate::telemetry::collector::{self, Collector};
use crate::telemetry::grpc_collector::{self, GrpcCollector};

/// The certificate that a server shows, and those that it requires.
struct Server<'a> {
    identity: Identity,
    /// Who signs the clients' certificates; `None`: it requires none.
    clients: Option<&'a Authority>,
    versions: &'static [&'static SupportedProtocolVersion],
}

fn server(identity: Identity) -> Server<'static> {
    Server { identity, clients: None, versions: rustls::ALL_VERSIONS }
}

fn acceptor(server: &Server, protocol: Protocol) -> TlsAcceptor {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(ring.clone()).with_protocol_versions(server.versions).unwrap();
    let builder = match server.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), ring).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificate = CertificateDer::from_pem_slice(server.identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    let name: &[u8] = if protocol == Protocol::Grpc { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![name.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Starts it for one protocol and sends it one request; gives its answer, or why there is none.
async fn sent(server: &Server<'_>, protocol: Protocol, host: &str, given: &[(&str, &str)]) -> Result<(), String> {
    let tls = Some(acceptor(server, protocol));
    let address = match protocol {
        Protocol::HttpProtobuf => Collector::start_with(tls, |_, _| collector::ok()).await.address,
        Protocol::Grpc => GrpcCollector::start_with(tls, |_, _| grpc_collector::ok()).await.address,
    };
    answered(address, protocol, host, given).await
}

async fn answered(address: SocketAddr, protocol: Protocol, host: &str, given: &[(&str, &str)]) -> Result<(), String> {
    let url = format!("https://{host}:{}", address.port());
    let mut environment: BTreeMap<&str, &str> = given.iter().copied().collect();
    environment.insert("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &url);
    environment.insert("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol.as_str());
    let endpoint = Config::load(&Flags::default(), &environment).unwrap().config.otlp.logs.unwrap();
    let sender = Sender::new(Signal::Logs, &endpoint);
    match sender.send(Bytes::from_static(b"body")).await {
        ExportOutcome::Accepted => Ok(()),
        ExportOutcome::Retry { after: None, why } | ExportOutcome::Fault { after: None, why } => Err(why),
        other => panic!("{other:?}"),
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

static EACH_VERSION: [&[&SupportedProtocolVersion]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

const BOTH: [Protocol; 2] = [Protocol::HttpProtobuf, Protocol::Grpc];
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

#[tokio::test]
async fn a_server_is_trusted_when_our_authority_vouches_for_its_name_today() {
    let folder = TempDir::new().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let ours = written(folder.path(), "ca.pem", &authority.pem());
    let both = written(folder.path(), "both.pem", &format!("{}{}", stranger.pem(), authority.pem()));
    let of_server = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    for protocol in BOTH {
        for versions in EACH_VERSION {
            for (host, file) in [("localhost", &ours), ("127.0.0.1", &ours), ("localhost", &both)] {
                let server = Server { versions, ..server(authority.server()) };
                let answer = sent(&server, protocol, host, &[(CERTIFICATE, file)]).await;
                assert_eq!(answer, Ok(()), "{protocol:?} {host} {versions:?}");
            }
        }
        let expired = authority.sign(&["localhost"], 2020, of_server.clone());
        let elsewhere = authority.sign(&["collector.example"], 2099, of_server.clone());
        for (identity, problem) in [
            (stranger.server(), "invalid peer certificate: UnknownIssuer"),
            (expired, "invalid peer certificate: certificate expired"),
            (elsewhere, "invalid peer certificate: certificate not valid for name \"localhost\""),
        ] {
            let why = sent(&server(identity), protocol, "localhost", &[(CERTIFICATE, &ours)]).await.unwrap_err();
            assert!(why.contains(problem) && why.lines().count() == 1, "{protocol:?}: {why}");
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_unless_it_is_that_of_an_authority() {
    let folder = TempDir::new().unwrap();
    for (is_ca, trusted) in [
        (rcgen::IsCa::NoCa, Ok(())),
        (rcgen::IsCa::ExplicitNoCa, Ok(())),
        (rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), Err("CaUsedAsEndEntity")),
    ] {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let file = written(folder.path(), "self.pem", &certificate);
        let server = server(Identity { certificate, key: key.serialize_pem() });
        let answer = sent(&server, Protocol::HttpProtobuf, "localhost", &[(CERTIFICATE, &file)]).await;
        match (&answer, trusted) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(problem)) if why.contains(problem) => {}
            _ => panic!("{answer:?}, where {trusted:?} was expected"),
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_to_know_us_is_shown_our_certificate() {
    let folder = TempDir::new().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let ours = written(folder.path(), "ca.pem", &authority.pem());
    let known = authority.client();
    let unknown = stranger.client();
    let file = |name, text| written(folder.path(), name, text);
    let (known, known_key) = (file("known.pem", &known.certificate), file("known.key", &known.key));
    let (unknown, unknown_key) = (file("unknown.pem", &unknown.certificate), file("unknown.key", &unknown.key));
    for protocol in BOTH {
        for versions in EACH_VERSION {
            let server = Server { clients: Some(&authority), versions, ..server(authority.server()) };
            let all = [(CERTIFICATE, ours.as_str()), (CLIENT_CERTIFICATE, &known), (CLIENT_KEY, &known_key)];
            assert_eq!(sent(&server, protocol, "localhost", &all).await, Ok(()), "{protocol:?} {versions:?}");
            assert!(sent(&server, protocol, "localhost", &all[..1]).await.is_err(), "{protocol:?} {versions:?}");
            let all = [(CERTIFICATE, ours.as_str()), (CLIENT_CERTIFICATE, &unknown), (CLIENT_KEY, &unknown_key)];
            assert!(sent(&server, protocol, "localhost", &all).await.is_err(), "{protocol:?} {versions:?}");
        }
    }
}

#[tokio::test]
async fn a_request_to_a_server_without_tls_is_retried() {
    let folder = TempDir::new().unwrap();
    let ours = written(folder.path(), "ca.pem", &Authority::new("ours").pem());
    let plain = [
        Collector::start(|_, _| collector::ok()).await.address,
        GrpcCollector::start(|_, _| grpc_collector::ok()).await.address,
    ];
    for (protocol, address) in BOTH.into_iter().zip(plain) {
        assert!(answered(address, protocol, "localhost", &[(CERTIFICATE, &ours)]).await.is_err(), "{protocol:?}");
    }
}
