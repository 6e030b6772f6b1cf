//! What ends and begins again: versions, the process, the whole pod.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::shim::{Control, Shim};
use crate::support::load::{Dice, Progress, start_clients};
use crate::support::peers::Collector;
use crate::support::{HOOK, Launch, eventually, receipt};
use crate::support::{Reaction, Sink};

/// A store as smscope 0.1.0 wrote it, with schema 1. v1.sh made it; it never changes again.
const V1: &str = include_str!("v1.sql");

/// Method, query and body of each stored request.
fn requests_in(store: &Connection) -> Vec<(String, String, Vec<u8>)> {
    let mut rows =
        store.prepare("SELECT method, query, body FROM events WHERE method IS NOT NULL ORDER BY id").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_store_of_schema_1_is_opened_migrated_and_counted_on() {
    let sink = Sink::start(|_, _| Reaction::Accept);
    let launch = Launch::new().env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &sink.endpoint());
    let path = launch.database();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = Connection::open(&path).unwrap();
    store.execute_batch(V1).unwrap();
    let written: i64 =
        store.query_row("SELECT value FROM meta WHERE key = 'created_at'", [], |row| row.get(0)).unwrap();
    let requests = requests_in(&store);
    drop(store);
    // An hour after it was written, whenever the test runs.
    let (launch, shim) = Shim::under(launch);
    shim.set(Control::Ahead, written / 1000 + 3600 - Timestamp::now().as_second());

    let smscope = launch.start();
    let counts = |delivered: f64, pending: f64| {
        for (name, labels, expected) in [
            ("sms_messages_total", &[][..], 6.0),
            ("sms_messages_delivered_total", &[], delivered),
            ("sms_messages_failed_total", &[("reason", "blacklisted")], 1.0),
            ("sms_messages_pending", &[("state", "enroute")], pending),
            ("sms_messages_read_total", &[], 2.0),
            ("sms_replies_total", &[("kind", "reply")], 1.0),
            ("sms_replies_total", &[("kind", "stop")], 1.0),
            ("sms_message_cost_total", &[("currency", "EUR")], 0.045),
            ("sms_message_parts_total", &[], 2.0),
        ] {
            assert_eq!(smscope.metric(name, labels), expected, "{name} {labels:?}");
        }
    };
    counts(4.0, 1.0);
    assert_eq!(requests.len(), 9);
    for (method, query, body) in &requests {
        let target = if query.is_empty() { HOOK.to_owned() } else { format!("{HOOK}?{query}") };
        let headers: &[&str] = if body.is_empty() { &[] } else { &["content-type: application/json"] };
        let answer = smscope.ask(crate::support::request(method, &target, headers, body));
        assert_eq!(answer.result(), "duplicate", "{method} {query} {}", String::from_utf8_lossy(body));
    }
    counts(4.0, 1.0);
    assert_eq!(smscope.post(HOOK, receipt("pending", "DELIVERED")).result(), "accepted");
    counts(5.0, 0.0);
    // One of the eleven records, of what was not recognized, has no message.
    eventually("all is exported, the old as well", || sink.count() == 10);
    assert_eq!(smscope.stored::<String>("PRAGMA integrity_check"), "ok");
    assert!(smscope.stored::<i64>("PRAGMA user_version") >= 1);
    assert_eq!(smscope.restarted().metric("sms_messages_delivered_total", &[]), 5.0, "and again");
}

#[test]
fn every_sigterm_under_load_ends_it_soon_and_loses_nothing() {
    const ENDS: u64 = 5;
    let launch = Launch::new().among_peers();
    let Some(mut collector) = Collector::start(launch.home.path()) else { return };
    let launch = launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let smscope = launch.start();
    let (addresses, progress) = ([launch.webhooks()], Progress::default());
    let mut slowest = Duration::ZERO;
    let (truth, smscope) = std::thread::scope(|scope| {
        let mut smscope = smscope;
        let clients = start_clients(scope, &progress, &addresses, 2);
        for _ in 0..ENDS {
            clients.until_acknowledged(50);
            let at = Instant::now();
            smscope.stop();
            slowest = slowest.max(at.elapsed());
            smscope = launch.start();
        }
        (clients.finish(), smscope)
    });
    println!("{ENDS} times SIGTERM, {progress}; the slowest end took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    truth.is_kept_in(&launch.database());
    truth.is_told_by(smscope, &mut collector);
}

#[test]
fn each_record_arrives_though_the_whole_pod_is_killed_at_once() {
    const ENDS: u64 = 5;
    let pod_is_up = Arc::new(AtomicBool::new(true));
    let up = pod_is_up.clone();
    let sink = Sink::start(move |_, _| if up.load(Ordering::SeqCst) { Reaction::Accept } else { Reaction::HangUp });
    let launch = Launch::new()
        .on_fixed_ports()
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &sink.endpoint())
        .env("OTEL_METRICS_EXPORTER", "none");
    let smscope = launch.start();
    let (addresses, progress) = ([launch.webhooks()], Progress::default());
    let mut dice = Dice::of(3);
    let (truth, smscope) = std::thread::scope(|scope| {
        let mut smscope = smscope;
        let clients = start_clients(scope, &progress, &addresses, 3);
        for _ in 0..ENDS {
            clients.until_acknowledged(50);
            std::thread::sleep(Duration::from_millis(dice.below(1500)));
            pod_is_up.store(false, Ordering::SeqCst);
            smscope.kill();
            smscope = launch.start();
            std::thread::sleep(Duration::from_millis(300));
            pod_is_up.store(true, Ordering::SeqCst);
        }
        (clients.finish(), smscope)
    });
    truth.is_kept_in(&launch.database());
    truth.is_scraped(&smscope.metrics());
    smscope.until_exported();
    let mut arrived = sink.accepted();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, truth.messages().into_iter().collect::<Vec<_>>());
    println!("{ENDS} times all at once, {progress}");
}
