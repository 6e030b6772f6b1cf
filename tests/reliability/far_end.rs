//! The collector is down, slow, broken or hostile: records wait and are exported in order, and nothing else is affected.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::shim::{Control, Shim};
use crate::support::load::soak;
use crate::support::{HOOK, Launch, PATIENCE, Smscope, eventually, post, receipt};
use crate::support::{Reaction, Sink};

/// `make soak` asks for a million.
const WAITING: u64 = 12_000;
/// Receipts of one request: a JSON array.
const LIST: u64 = 400;
const RSS_LIMIT_KB: u64 = 64 * 1024;

fn list(first: u64, count: u64) -> String {
    let receipts: Vec<String> = (first..first + count).map(|n| receipt(&n.to_string(), "DELIVERED")).collect();
    format!("[{}]", receipts.join(","))
}

fn numbers(ids: &[String]) -> Vec<u64> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn after_a_day_without_a_collector_the_backlog_is_exported_in_order_while_webhooks_are_accepted() {
    let waiting = soak("BACKLOG").unwrap_or(WAITING);
    let started = Instant::now();
    // An address at which nothing listens yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let launch = Launch::new()
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("http://{address}/v1/logs"))
        .env("OTEL_METRICS_EXPORTER", "none");
    let (launch, shim) = Shim::under(launch);
    let smscope = launch.start();
    let mut client = smscope.client();
    let lists = waiting / LIST;
    for number in 0..lists {
        // The day passes.
        shim.set(Control::Ahead, (86_400 * number / lists) as i64);
        let answer = client.ask(post(HOOK, list(number * LIST, LIST)));
        assert_eq!(answer.result(), "accepted");
    }
    let backlog = smscope.metric("smscope_export_backlog_records", &[("signal", "logs")]);
    assert_eq!(backlog, (lists * LIST) as f64);
    let (full_at, rss_before) = (started.elapsed(), smscope.status_kb("VmRSS:"));

    let sink = Sink::start_at(address, |_, _| Reaction::Accept);
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    let given_up = Instant::now() + PATIENCE + Duration::from_secs(waiting / 1000);
    while (sink.count() as u64) < lists * LIST {
        assert!(Instant::now() < given_up, "{} of {} arrived", sink.count(), lists * LIST);
        let at = Instant::now();
        assert_eq!(
            client.ask(post(HOOK, receipt(&format!("{}", 10_000_000 + asked), "DELIVERED"))).result(),
            "accepted"
        );
        smscope.metrics();
        slowest = slowest.max(at.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    smscope.until_exported();
    let peak = smscope.peak_rss_kb();
    println!(
        "{waiting} waited (kept in {full_at:?}), gone {:?} later; RSS {rss_before} kB before, {peak} kB at most; {asked} \
         answers and scrapes meanwhile, the slowest {slowest:?}",
        started.elapsed() - full_at
    );
    let taken = numbers(&sink.accepted());
    assert!(taken.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once");
    assert_eq!(taken.len() as u64, lists * LIST + asked);
    assert_eq!(smscope.metric("smscope_export_dropped_records_total", &[("signal", "logs")]), 0.0);
    assert!(peak < RSS_LIMIT_KB, "{peak} kB");
}

/// Starts smscope before a sink that follows a script, sends it so many receipts, and waits until none of them waits.
fn run(count: u64, script: impl Fn(usize, &[String]) -> Reaction + Send + Sync + 'static) -> (Smscope, Sink) {
    let sink = Sink::start(script);
    let smscope = Launch::new()
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &sink.endpoint())
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
        .start();
    assert_eq!(smscope.post(HOOK, list(0, count)).result(), "accepted");
    smscope.until_exported();
    (smscope, sink)
}

fn dropped(smscope: &Smscope) -> f64 {
    smscope.metric("smscope_export_dropped_records_total", &[("signal", "logs")])
}

#[test]
fn a_collector_that_hangs_up_is_silent_sends_retry_after_or_drips_gets_all_in_order() {
    let (smscope, sink) = run(300, |number, _| match number {
        0 => Reaction::HangUp,
        1 => Reaction::Silence,
        2 => Reaction::Status(503, &["retry-after: 1"]),
        3 => Reaction::Status(500, &[]),
        _ => Reaction::Drip,
    });
    assert_eq!(numbers(&sink.accepted()), (0..300).collect::<Vec<_>>());
    assert_eq!(dropped(&smscope), 0.0);
    assert!(smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) >= 4.0);
}

#[test]
fn a_flapping_collector_gets_all_in_order() {
    let (smscope, sink) =
        run(600, |number, _| if number % 2 == 0 { Reaction::Status(502, &[]) } else { Reaction::Accept });
    assert_eq!(numbers(&sink.accepted()), (0..600).collect::<Vec<_>>());
    assert_eq!(dropped(&smscope), 0.0);
}

#[test]
fn a_collector_with_a_limit_gets_smaller_requests_and_a_record_that_it_rejects_blocks_no_other() {
    let (smscope, sink) = run(400, |_, ids| match ids {
        _ if ids.len() > 100 => Reaction::Status(413, &[]),
        _ if ids.iter().any(|id| id == "77") => Reaction::Status(400, &[]),
        _ => Reaction::Accept,
    });
    let expected: Vec<u64> = (0..400).filter(|&number| number != 77).collect();
    assert_eq!(numbers(&sink.accepted()), expected);
    assert_eq!(dropped(&smscope), 1.0);
    eventually("the line about it", || smscope.stderr().contains("log records dropped: 1, "));
}

#[test]
fn records_of_a_partial_rejection_are_counted() {
    let (smscope, sink) = run(100, |_, _| Reaction::Reject(3));
    assert_eq!(sink.count(), 100);
    assert_eq!(dropped(&smscope), 3.0);
}

#[test]
fn a_collector_that_rejects_all_is_a_web_page_or_is_absent_loses_nothing() {
    let wrong_port = Sink::start(|_, _| Reaction::Status(400, &[]));
    let wrong_token = Sink::start(|_, _| Reaction::Status(401, &[]));
    let login_page = Sink::start(|_, _| Reaction::Html);
    for (what, endpoint, line) in [
        ("400 to everything", wrong_port.endpoint(), "accepts none of them"),
        ("a wrong token", wrong_token.endpoint(), "rejects every request: answered 401"),
        ("a login page", login_page.endpoint(), "but with a web page"),
        ("no such name", "http://collector.invalid:4318/v1/logs".to_owned(), "dns error"),
        ("no such port", "http://127.0.0.1:1/v1/logs".to_owned(), "Connection refused"),
    ] {
        let smscope = Launch::new()
            .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
            .start();
        for message in 0..20 {
            assert_eq!(smscope.post(HOOK, receipt(&message.to_string(), "DELIVERED")).result(), "accepted", "{what}");
        }
        eventually(what, || smscope.stderr().contains(line));
        assert_eq!(smscope.ask_admin("GET", "/readyz", &[]).status, 200, "{what}");
        assert_eq!(smscope.metric("smscope_export_backlog_records", &[]), 20.0, "{what}");
        assert_eq!(dropped(&smscope), 0.0, "{what}");
        let said = smscope.stderr().lines().filter(|said| said.contains(line)).count();
        assert!(said <= 2, "{what}: {}", smscope.stderr());
        assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), 20.0, "{what}");
    }
}
