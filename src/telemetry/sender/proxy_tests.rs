//! By way of a proxy, as the environment names it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificates::Authority;
use crate::config::{Config, Flags};
use crate::outbound::proxy_stand_in::ProxyStandIn;
use crate::telemetry::collector::{self, Collector};
use crate::telemetry::grpc_collector::{self, GrpcCollector};

/// Of `user:p@ss`.
const AUTHORIZATION: &str = "Basic dXNlcjpwQHNz";

fn sender(env: &[(&str, &str)]) -> Sender {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    let endpoint = Config::load(&Flags::default(), &env).unwrap().config.otlp.logs.unwrap();
    Sender::new(Signal::Logs, &endpoint)
}

/// A collector for one protocol, which nobody but a proxy can reach under the name collector.example.
async fn collector(protocol: &str, tls: Option<TlsAcceptor>) -> SocketAddr {
    match protocol {
        "grpc" => GrpcCollector::start_with(tls, |_, _| grpc_collector::ok()).await.address,
        _ => Collector::start_with(tls, |_, _| collector::ok()).await.address,
    }
}

fn acceptor(authority: &Authority, protocol: &str) -> TlsAcceptor {
    let usage = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    let identity = authority.sign(&["collector.example"], 2099, usage);
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![if protocol == "grpc" { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn the_proxy_forwards_plain_http_and_all_else_uses_a_tunnel() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new("ours");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    for (scheme, protocol, variable, first) in [
        ("http", "http/protobuf", "HTTP_PROXY", "post http://collector.example:4318/ http/1.1"),
        ("http", "grpc", "http_proxy", "connect collector.example:4318 http/1.1"),
        ("https", "http/protobuf", "https_proxy", "connect collector.example:4318 http/1.1"),
        ("https", "grpc", "HTTPS_PROXY", "connect collector.example:4318 http/1.1"),
    ] {
        let tls = (scheme == "https").then(|| acceptor(&authority, protocol));
        let target = collector(protocol, tls).await;
        for (user, expected) in [("", None), ("user:p%40ss@", Some(AUTHORIZATION))] {
            let proxy = ProxyStandIn::start(target, expected).await;
            let url = format!("{scheme}://collector.example:4318/");
            let by = format!("http://{user}{}", proxy.address);
            let mut env = vec![
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", url.as_str()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=s3cret"),
                (variable, &by),
            ];
            env.extend((scheme == "https").then(|| ("OTEL_EXPORTER_OTLP_CERTIFICATE", file.to_str().unwrap())));
            let sender = sender(&env);
            for _ in 0..2 {
                assert_eq!(sender.send(Bytes::from_static(b"body")).await, ExportOutcome::Accepted, "{variable} {url}");
            }
            let heads = proxy.heads();
            assert_eq!(
                heads.iter().map(|head| head.lines().next().unwrap()).collect::<Vec<_>>(),
                [first],
                "{variable}"
            );
            assert_eq!(heads[0].contains("proxy-authorization"), expected.is_some(), "{variable}");
            // What is for the collector is not for the proxy, where it need not read the request.
            assert_eq!(heads[0].contains("s3cret"), first.starts_with("post"), "{variable}");
        }
    }
}

#[tokio::test]
async fn the_response_of_a_proxy_that_rejects_us_is_shown_and_no_password() {
    let target = collector("http/protobuf", None).await;
    for (protocol, expected) in [("http/protobuf", "407"), ("grpc", "proxy authorization required")] {
        let proxy = ProxyStandIn::start(target, Some(AUTHORIZATION)).await;
        let by = format!("http://user:hidden@{}", proxy.address);
        let env = [
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector.example"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("HTTP_PROXY", &by),
        ];
        let answer = format!("{:?}", sender(&env).send(Bytes::new()).await);
        assert!(answer.contains(expected) && !answer.contains("hidden"), "{answer}");
    }
}

#[tokio::test]
async fn a_host_in_no_proxy_is_reached_directly() {
    let target = collector("http/protobuf", None).await;
    let proxy = ProxyStandIn::start(target, None).await;
    let (by, url) = (format!("http://{}", proxy.address), format!("http://{target}/"));
    // This machine needs no entry.
    let env = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", url.as_str()), ("HTTP_PROXY", &by)];
    assert_eq!(sender(&env).send(Bytes::new()).await, ExportOutcome::Accepted);
    let env = [
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector.invalid:1/"),
        ("HTTP_PROXY", &by),
        ("NO_PROXY", ".invalid"),
    ];
    assert!(matches!(sender(&env).send(Bytes::new()).await, ExportOutcome::Retry { .. }));
    assert_eq!(proxy.heads(), [""; 0]);
}
