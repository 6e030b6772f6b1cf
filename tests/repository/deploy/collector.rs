//! deploy/collector.yaml at work: a real Collector between the real binary and what stands in for Loki.
//!
//! The stand-in accepts OTLP at Loki's path and responds with Loki's codes. That Loki itself accepts it is not shown here.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::peers::Collector;
use crate::support::root;
use crate::support::{HOOK, Launch, Process, Reaction, Sink, Smscope, eventually, free_port, get, receipt};

fn start(binary: &Path, port: u16, loki: &Sink) -> Process {
    let mut command = Command::new(binary);
    command
        .arg("--config")
        .arg(root().join("deploy/collector.yaml"))
        .env("COLLECTOR_LISTEN", format!("127.0.0.1:{port}"))
        .env("LOKI_OTLP", format!("http://{}/otlp", loki.address));
    let process = Process::start("the Collector", &mut command);
    process.until_ready(|| get(&format!("http://127.0.0.1:{port}/")).map(drop));
    process
}

fn send(smscope: &Smscope, ids: &[&str]) {
    for id in ids {
        assert_eq!(smscope.post(HOOK, receipt(id, "DELIVERED")).result(), "accepted");
    }
}

#[test]
fn records_that_loki_rejects_stay_in_smscope_though_the_collector_is_killed_and_arrive_later() {
    let Some(binary) = Collector::program() else { return };
    // 204 while it is up, else 503.
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    let loki = Sink::start(move |_, _| Reaction::Status(if is_up.load(Ordering::SeqCst) { 204 } else { 503 }, &[]));
    let port = free_port();
    let collector = start(&binary, port, &loki);
    let smscope = Launch::new()
        .among_peers()
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("http://127.0.0.1:{port}/v1/logs"))
        .env("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip")
        .start();

    send(&smscope, &["a", "b", "c"]);
    eventually("a rejection", || smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) >= 1.0);
    assert_eq!(smscope.metrics().sum("smscope_export_backlog_records", &[]), 3.0, "the Collector must not have them");
    collector.kill();
    assert_eq!(loki.accepted(), [""; 0]);

    up.store(true, Ordering::SeqCst);
    let _collector = start(&binary, port, &loki);
    send(&smscope, &["d"]);
    smscope.until_exported();
    let mut arrived = loki.accepted();
    arrived.sort();
    assert_eq!(arrived, ["a", "b", "c", "d"]);
    for request in loki.requests() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/otlp/v1/logs"));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
    }
    assert_eq!(smscope.metrics().sum("smscope_export_dropped_records_total", &[]), 0.0);
}
