//! Every transport of OTLP to a real Collector.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::metrics::until_pushed;
use crate::support::certificates::Authority;
use crate::support::peers::{Collector, attributes};
use crate::support::provider::{receipt, reply};
use crate::support::{Launch, eventually, free_port, holds};

/// A Collector with a receiver for every transport, and the files that a client needs for them.
struct Transports {
    folder: TempDir,
    collector: Collector,
    ports: [u16; 5],
}

const GRPC: usize = 0;
const TLS_HTTP: usize = 1;
const TLS_GRPC: usize = 2;
const MUTUAL_HTTP: usize = 3;
const MUTUAL_GRPC: usize = 4;

type Environment = Vec<(&'static str, String)>;

impl Transports {
    fn open() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let collector = Collector::new(folder.path())?;
        let authority = Authority::new("smscope tests");
        let (server, client) = (authority.server(), authority.client());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &authority.pem());
        write("server.pem", &server.certificate);
        write("server.key", &server.key);
        write("client.pem", &client.certificate);
        write("client.key", &client.key);
        write("stranger.pem", &Authority::new("stranger").pem());
        let file = |name: &str| path(folder.path(), name);
        let ports = [(); 5].map(|()| free_port());
        let mut environment = vec![
            ("CERTIFICATE_FILE", file("server.pem")),
            ("KEY_FILE", file("server.key")),
            ("CLIENT_AUTHORITY_FILE", file("ca.pem")),
        ];
        let names = ["GRPC_PORT", "TLS_HTTP_PORT", "TLS_GRPC_PORT", "MUTUAL_HTTP_PORT", "MUTUAL_GRPC_PORT"];
        environment.extend(names.into_iter().zip(ports.map(|port| port.to_string())));
        let mut collector = collector.with("transports.yaml", environment);
        collector.restart();
        Some(Self { collector, ports, folder })
    }

    fn file(&self, name: &str) -> String {
        path(self.folder.path(), name)
    }

    fn url(&self, scheme: &str, port: usize) -> String {
        format!("{scheme}://127.0.0.1:{}", self.ports[port])
    }

    /// Each transport by its name, and the variables that choose it.
    fn all(&self) -> Vec<(&'static str, Environment)> {
        const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let grpc = || ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned());
        let gzip = || ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned());
        let ours = || ("OTEL_EXPORTER_OTLP_CERTIFICATE", self.file("ca.pem"));
        let certificate = || ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", self.file("client.pem"));
        let key = || ("OTEL_EXPORTER_OTLP_CLIENT_KEY", self.file("client.key"));
        vec![
            ("http", vec![(ENDPOINT, self.collector.endpoint())]),
            ("http-gzip", vec![(ENDPOINT, self.collector.endpoint()), gzip()]),
            ("https", vec![(ENDPOINT, self.url("https", TLS_HTTP)), ours()]),
            // The authority as one of the system's.
            ("https-system", vec![(ENDPOINT, self.url("https", TLS_HTTP)), ("SSL_CERT_FILE", self.file("ca.pem"))]),
            ("https-mutual", vec![(ENDPOINT, self.url("https", MUTUAL_HTTP)), ours(), certificate(), key()]),
            ("grpc", vec![(ENDPOINT, self.url("http", GRPC)), grpc()]),
            ("grpc-gzip", vec![(ENDPOINT, self.url("http", GRPC)), grpc(), gzip()]),
            ("grpc-tls", vec![(ENDPOINT, self.url("https", TLS_GRPC)), grpc(), ours()]),
            ("grpc-tls-gzip", vec![(ENDPOINT, self.url("https", TLS_GRPC)), grpc(), ours(), gzip()]),
            ("grpc-mutual", vec![(ENDPOINT, self.url("https", MUTUAL_GRPC)), grpc(), ours(), certificate(), key()]),
            (
                "split",
                vec![
                    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", self.url("https", MUTUAL_GRPC)),
                    ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc".to_owned()),
                    ours(),
                    ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", self.file("client.pem")),
                    ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", self.file("client.key")),
                    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", self.url("https", TLS_HTTP) + "/v1/metrics"),
                    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip".to_owned()),
                ],
            ),
        ]
    }

    /// The messages that records of `transport` are about.
    fn messages(&self, transport: &str) -> Vec<String> {
        let prefix = format!("{transport}:");
        let of = |record| attributes(record)["messaging.message.id"].as_str().unwrap().to_owned();
        let mut messages: Vec<_> = self.collector.records().iter().map(|record| of(&record["attributes"])).collect();
        messages.retain(|message| message.starts_with(&prefix));
        messages
    }
}

fn path(folder: &Path, name: &str) -> String {
    PathBuf::from(folder).join(name).to_str().unwrap().to_owned()
}

/// A smscope that exports by `transport`.
fn launch(name: &str, transport: Environment) -> Launch {
    Launch::new().among_peers().env("OTEL_SERVICE_NAME", name).envs(transport)
}

const MESSAGES: usize = 40;

#[test]
fn every_transport_exports_all_records_and_the_values_of_the_scrape() {
    let Some(transports) = Transports::open() else { return };
    for (transport, environment) in transports.all() {
        let smscope = launch(transport, environment).start();
        let mut expected = BTreeSet::new();
        for number in 0..MESSAGES {
            let id = format!("{transport}:{number}");
            let status = ["DELIVERED", "ENROUTE", "UNDELIVERED SPAM", "READ"][number % 4];
            smscope.accept(&receipt(&id, status, json!({})));
            expected.insert(id);
        }
        let id = format!("{transport}:reply");
        smscope.accept(&reply(&id, &format!("{transport}:0"), "STOP", json!({})));
        expected.insert(id);

        eventually(transport, || {
            let arrived = transports.messages(transport);
            holds(arrived.len() >= expected.len(), || format!("{} of {}", arrived.len(), expected.len()))
        });
        let arrived = transports.messages(transport);
        assert_eq!(arrived.len(), expected.len(), "{transport}");
        assert_eq!(BTreeSet::from_iter(arrived), expected, "{transport}");
        let metrics = until_pushed(&smscope, || transports.collector.metrics_of(transport));
        assert_eq!(metrics.sum("sms_messages_total", &[]), MESSAGES as f64, "{transport}");
        assert_eq!(metrics.sum("smscope_export_failures_total", &[]), 0.0, "{transport}");
        assert_eq!(metrics.sum("smscope_export_dropped_records_total", &[]), 0.0, "{transport}");
        smscope.stop();
    }
}

#[test]
fn a_batch_over_the_limit_of_a_grpc_server_is_sent_in_parts() {
    const TEXTS: usize = 40;
    let Some(transports) = Transports::open() else { return };
    // Not reachable at first, so that all of them wait and make one batch: 8 MB, where the Collector accepts 4.
    let transport = vec![
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", transports.url("http", GRPC)),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc".to_owned()),
    ];
    let mut transports = transports;
    transports.collector.terminate();
    let smscope = launch("large", transport).file("[privacy]\ntext = 'exported'").start();
    for number in 0..TEXTS {
        let body = json!({"text": "x".repeat(200_000), "messagePartCount": 1});
        smscope.accept(&receipt(&format!("large:{number}"), "DELIVERED", json!({"body": body})));
    }
    transports.collector.restart();
    eventually("all of them", || {
        let arrived = transports.messages("large").len();
        holds(arrived >= TEXTS, || format!("{arrived} of {TEXTS}"))
    });
    let arrived: BTreeSet<String> = transports.messages("large").into_iter().collect();
    assert_eq!(arrived.len(), TEXTS);
    smscope.until_exported();
    let metrics = smscope.metrics();
    assert_eq!(metrics.sum("smscope_export_records_total", &[("signal", "logs")]), TEXTS as f64);
    assert_eq!(metrics.sum("smscope_export_dropped_records_total", &[]), 0.0);
}

#[test]
fn a_server_that_is_not_trusted_gets_nothing_until_it_is() {
    let Some(transports) = Transports::open() else { return };
    for (name, port, protocol) in [("wary-http", TLS_HTTP, "http/protobuf"), ("wary-grpc", TLS_GRPC, "grpc")] {
        let transport = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", transports.url("https", port)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", transports.file("stranger.pem")),
        ];
        let smscope = launch(name, transport).start();
        smscope.accept(&receipt(&format!("{name}:1"), "DELIVERED", json!({})));
        eventually("the reason in the diagnostics", || {
            let said = smscope.stderr();
            holds(said.contains("invalid peer certificate: UnknownIssuer"), || said)
        });
        assert_eq!(smscope.metrics().sum("smscope_export_backlog_records", &[]), 1.0);
        assert!(transports.messages(name).is_empty());
        let smscope = smscope.stop().env("OTEL_EXPORTER_OTLP_CERTIFICATE", &transports.file("ca.pem")).start();
        smscope.until_exported();
        eventually(name, || holds(transports.messages(name).len() == 1, || "not there".to_owned()));
    }
}

#[test]
fn without_any_authority_a_tls_endpoint_is_rejected_at_the_start() {
    let launch = Launch::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example");
    let ended = launch.clone().env("SSL_CERT_FILE", "none.pem").run();
    let said = ended.stderr;
    assert_eq!(ended.code, Some(78), "{said}");
    assert!(said.starts_with("smscope: OTEL_EXPORTER_OTLP_ENDPOINT = \"https://collector.example\": "), "{said}");
    assert!(said.contains("no certificate authorities"), "{said}");
    assert!(!launch.data_dir().exists());
}
