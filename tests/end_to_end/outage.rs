//! Collectors come and go; what was acknowledged reaches one at least once.

use std::collections::BTreeSet;

use serde_json::json;
use tempfile::TempDir;

use crate::support::peers::{Collector, attributes};
use crate::support::provider::receipt;
use crate::support::{Launch, Smscope, eventually, holds};

const WAVE: usize = 200;

fn send_wave(smscope: &Smscope, wave: usize) {
    for number in 0..WAVE {
        smscope.accept(&receipt(&format!("{wave}-{number}"), "DELIVERED", json!({})));
    }
}

/// Waits until the Collector has a record of each message of the first waves, each under one uid.
fn until_all_arrived(collector: &Collector, waves: usize) {
    let expected: BTreeSet<String> =
        (1..=waves).flat_map(|wave| (0..WAVE).map(move |number| format!("{wave}-{number}"))).collect();
    eventually("all records", || {
        let records = collector.records();
        let of = |key: &str| -> BTreeSet<String> {
            let value = |record| attributes(record)[key].as_str().unwrap().to_owned();
            records.iter().map(|record| value(&record["attributes"])).collect()
        };
        let (messages, uids) = (of("messaging.message.id"), of("log.record.uid"));
        assert!(messages.is_subset(&expected), "not sent: {:?}", messages.difference(&expected));
        holds(messages == expected, || format!("{} of {}", messages.len(), expected.len()))?;
        assert_eq!(uids.len(), expected.len());
        Ok(())
    });
}

#[test]
fn every_record_arrives_though_the_collector_starts_late_is_killed_and_is_replaced_and_smscope_restarts() {
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::new(folder.path()) else { return };
    let smscope = Launch::new()
        .among_peers()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .start();
    // Nobody there yet.
    send_wave(&smscope, 1);
    eventually("the backlog to show", || {
        let waiting = smscope.metrics().sum("smscope_export_backlog_records", &[]);
        holds(waiting == WAVE as f64, || waiting.to_string())
    });
    collector.restart();
    until_all_arrived(&collector, 1);

    // Killed. What it had accepted is in its file by now, so nothing is its fault.
    collector.kill();
    send_wave(&smscope, 2);
    let smscope = smscope.kill().start();
    send_wave(&smscope, 3);
    collector.restart();
    until_all_arrived(&collector, 3);

    // Replaced in good order while records are on their way.
    std::thread::scope(|scope| {
        let collector = &mut collector;
        scope.spawn(move || {
            for _ in 0..3 {
                collector.terminate();
                collector.restart();
            }
        });
        send_wave(&smscope, 4);
    });
    // smscope ends with records that were not exported: they wait for its next start.
    collector.terminate();
    send_wave(&smscope, 5);
    let launch = smscope.stop();
    collector.restart();
    let smscope = launch.start();
    until_all_arrived(&collector, 5);

    smscope.until_exported();
    let metrics = smscope.metrics();
    assert_eq!(metrics.sum("sms_messages_delivered_total", &[]), (5 * WAVE) as f64);
    assert_eq!(metrics.sum("smscope_export_dropped_records_total", &[]), 0.0);
    eventually("the counts pushed", || {
        let pushed = collector.metrics()?.sum("sms_messages_delivered_total", &[]);
        holds(pushed == (5 * WAVE) as f64, || pushed.to_string())
    });
}
