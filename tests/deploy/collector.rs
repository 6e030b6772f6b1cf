//! deploy/collector.yaml at work: a real Collector between the real binary and what stands in for Loki.
//!
//! The stand-in takes OTLP at the path at which Loki does and answers with Loki's codes. That Loki itself takes it is not shown here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::json;
use tempfile::TempDir;

use crate::peers::process::Process;
use crate::peers::{Collector, Http, Smscope, eventually, free_port, holds};
use crate::root;

/// What stands in for Loki: 204 while it is up, else 503.
struct Loki {
    port: u16,
    up: Arc<AtomicBool>,
    /// How often each message was told of, by its id.
    messages: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Loki {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self { port: listener.local_addr().unwrap().port(), up: Arc::default(), messages: Arc::default() };
        let (up, messages) = (Arc::clone(&this.up), Arc::clone(&this.messages));
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (up, messages) = (Arc::clone(&up), Arc::clone(&messages));
                std::thread::spawn(move || serve(connection, &up, &messages));
            }
        });
        this
    }

    fn messages(&self) -> BTreeMap<String, usize> {
        self.messages.lock().unwrap().clone()
    }
}

/// Answers the requests of one connection until it is closed.
fn serve(connection: TcpStream, up: &AtomicBool, messages: &Mutex<BTreeMap<String, usize>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    loop {
        let mut head = Vec::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            head.push(std::mem::take(&mut line).trim_end().to_ascii_lowercase());
        }
        let Some(request) = head.first() else { return };
        let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length = field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(request, "post /otlp/v1/logs http/1.1");
        assert_eq!(field("content-encoding"), Some("gzip"));
        let is_up = up.load(Ordering::SeqCst);
        if is_up {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            for id in message_ids(&plain) {
                *messages.lock().unwrap().entry(id).or_default() += 1;
            }
        }
        let answer = if is_up { "204 No Content" } else { "503 Service Unavailable\r\nContent-Length: 0" };
        if write!(writer, "HTTP/1.1 {answer}\r\n\r\n").is_err() {
            return;
        }
    }
}

fn message_ids(body: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let attributes = scopes.flat_map(|scope| scope.log_records).flat_map(|record| record.attributes);
    attributes
        .filter(|attribute| attribute.key == "messaging.message.id")
        .map(|attribute| match attribute.value.and_then(|value| value.value) {
            Some(Any::StringValue(id)) => id,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn start(binary: &Path, folder: &Path, port: u16, loki: &Loki) -> Process {
    let mut command = Command::new(binary);
    command
        .arg("--config")
        .arg(root().join("deploy/collector.yaml"))
        .env("COLLECTOR_LISTEN", format!("127.0.0.1:{port}"))
        .env("LOKI_OTLP", format!("http://127.0.0.1:{}/otlp", loki.port));
    let mut process = Process::start("the Collector", &mut command, &folder.join("collector.log"));
    let http = Http::new();
    process.until_ready(|| http.get(&format!("http://127.0.0.1:{port}/")).map(drop));
    process
}

fn send(smscope: &Smscope, ids: &[&str]) {
    for id in ids {
        let receipt = json!({
            "messageId": id, "type": "SMS", "recipient": {"to": "33612345678"}, "status": {"value": "DELIVERED"}
        });
        smscope.post("smsmode", &receipt, "accepted");
    }
}

#[test]
fn what_loki_does_not_take_stays_with_smscope_even_when_the_collector_is_killed_and_arrives_later() {
    let Some(binary) = Collector::program() else { return };
    let folder = TempDir::new().unwrap();
    let (loki, port) = (Loki::start(), free_port());
    let collector = start(&binary, folder.path(), port, &loki);
    let smscope = Smscope::new(folder.path())
        .with("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", format!("http://127.0.0.1:{port}/v1/logs"))
        .with("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip")
        .start();

    send(&smscope, &["a", "b", "c"]);
    eventually("a refusal", || {
        let failures = smscope.metrics().sum("smscope_export_failures_total", &[("signal", "logs")]);
        holds(failures >= 1.0, || "no request has failed".to_owned())
    });
    assert_eq!(smscope.metrics().sum("smscope_export_backlog_records", &[]), 3.0, "the Collector must not have them");
    collector.kill();
    assert_eq!(loki.messages(), BTreeMap::new());

    loki.up.store(true, Ordering::SeqCst);
    let _collector = start(&binary, folder.path(), port, &loki);
    send(&smscope, &["d"]);
    smscope.until_exported();
    let once = ["a", "b", "c", "d"].map(|id| (id.to_owned(), 1));
    assert_eq!(loki.messages(), BTreeMap::from(once));
    assert_eq!(smscope.metrics().sum("smscope_export_dropped_records_total", &[]), 0.0);
}
