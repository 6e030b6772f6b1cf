//! `smscope reprocess`: stored requests that an earlier version did not understand.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::json;

use crate::identity::of_schema_6;
use crate::support::{Ended, HOOK, Launch, NUMBER, Smscope, eventually, request};

/// A request as a version stored it that did not read a second `?`.
fn query(id: &str, code: &str) -> String {
    format!("from=shop?smsID={id}&statut={code}&numero={NUMBER}")
}

/// Stores requests as unrecognized, as they were when they came two days ago.
fn store_unrecognized(launch: &Launch, requests: &[(&str, Option<&str>, Option<&str>)]) {
    let store = Connection::open(launch.database()).unwrap();
    let arrived = arrival().as_millisecond();
    for (at, (method, query, body)) in requests.iter().enumerate() {
        let record = json!({"kind": "webhook.unrecognized", "source": "smsmode", "why": "no smsID"}).to_string();
        let insert = "INSERT INTO events (received_at, source, kind, event, method, query, body) \
                      VALUES (?1, 'smsmode', 'webhook.unrecognized', ?2, ?3, ?4, ?5)";
        let body = body.map(str::as_bytes);
        store.execute(insert, params![arrived + at as i64, record, method, query, body]).unwrap();
    }
}

fn arrival() -> Timestamp {
    Timestamp::now() - jiff::SignedDuration::from_hours(48)
}

/// A data directory in which a smscope has run, with this configuration.
fn once_run(toml: &str) -> Launch {
    let smscope = Launch::new().file(toml).start();
    smscope.stop()
}

fn reprocess(launch: &Launch, more: &[&str]) -> Ended {
    launch.clone().args(&[&["reprocess"], more].concat()).run()
}

/// The rows of the table that is printed.
fn rows(ended: &Ended) -> Vec<(String, u64)> {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let row = |line: &str| {
        let line = line.strip_prefix("smsmode")?.trim();
        let (result, count) = line.rsplit_once(' ')?;
        Some((result.trim().to_owned(), count.parse().unwrap()))
    };
    ended.stdout.lines().filter_map(row).collect()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(result, count)| ((*result).to_owned(), *count)).collect()
}

#[test]
fn a_request_that_is_recognized_by_now_is_counted_once_whether_or_not_a_smscope_runs() {
    for runs in [true, false] {
        let launch = once_run("");
        let array = json!([
            {"messageId": "a1", "status": {"value": "DELIVERED"}},
            {"messageId": "a2", "status": {"value": "UNDELIVERED"}},
            {"click": 1}
        ])
        .to_string();
        let reply = format!("from=shop?emetteur={NUMBER}&message=oui&numero=36111&responseID=r1");
        store_unrecognized(
            &launch,
            &[
                ("GET", Some(&query("q1", "11")), Some("")),
                ("GET", Some(&query("q2", "3999")), Some("")),
                ("POST", Some(""), Some(r#"{"click":"https://example.com/"}"#)),
                ("POST", None, None),
                ("POST", Some(""), Some(&array)),
                ("GET", Some(&reply), Some("")),
            ],
        );
        let smscope = launch.start();
        let said =
            smscope.ask(request("GET", &format!("{HOOK}?smsID=q2&statut=3999&numero={NUMBER}"), &[], "")).result();
        assert_eq!(said, "accepted", "it has come by another way");
        let before = smscope.metric("smscope_webhook_requests_total", &[]);
        let smscope = if runs {
            Some(smscope)
        } else {
            smscope.stop();
            None
        };
        let read = ("unrecognized events read", 6);
        let dry = reprocess(&launch, &["--dry-run"]);
        assert_eq!(
            rows(&dry),
            expected(&[
                read,
                ("understood: delivered", 2),
                ("understood: failed", 2),
                ("understood: reply", 1),
                ("still unrecognized", 2),
                ("request erased", 1),
            ])
        );
        assert!(dry.stdout.contains("dry run: nothing is stored"), "{}", dry.stdout);
        assert_eq!(rows(&reprocess(&launch, &["--since", "1h"])), []);
        let once = rows(&reprocess(&launch, &[]));
        assert_eq!(
            once,
            expected(&[
                read,
                ("understood: delivered", 2),
                ("understood: failed", 1),
                ("understood: reply", 1),
                ("known by another way", 1),
                ("still unrecognized", 2),
                ("request erased", 1),
            ]),
            "runs: {runs}"
        );
        let again = rows(&reprocess(&launch, &[]));
        // The element that is not understood is an event of its own now.
        assert_eq!(
            again,
            expected(&[("unrecognized events read", 3), ("still unrecognized", 2), ("request erased", 1)])
        );

        let smscope = smscope.unwrap_or_else(|| launch.start());
        for (name, labels, count) in [
            ("sms_messages_total", &[][..], 4.0),
            ("sms_messages_delivered_total", &[], 2.0),
            ("sms_messages_failed_total", &[], 2.0),
            ("sms_receipts_total", &[], 4.0),
            ("sms_replies_total", &[], 1.0),
        ] {
            assert_eq!(smscope.metric(name, labels), count, "{name}, runs: {runs}");
        }
        if runs {
            assert_eq!(smscope.metric("smscope_webhook_requests_total", &[]), before, "none of them is a webhook");
        }
        // The provider sends one of them again.
        let again = format!("{HOOK}?{}", query("q1", "11"));
        assert_eq!(smscope.ask(request("GET", &again, &[], "")).result(), "duplicate");
        assert_eq!(smscope.post(HOOK, &array).result(), "duplicate");
        let arrived: i64 = smscope.stored("SELECT first_seen FROM messages WHERE message_id = 'q1'");
        assert!((arrived - arrival().as_millisecond()).abs() < 3_600_000, "when the request arrived: {arrived}");
        let events = smscope.exported("events");
        let event = events.iter().find(|event| event["message_id"] == "q1").unwrap();
        assert_eq!(event["reprocessed"], true);
        assert!(event["arrived_at"].as_str().unwrap() < &Timestamp::now().to_string()[..10], "{event}");
        let request = "SELECT query FROM events WHERE id = (SELECT request FROM event_log JOIN events USING (id) \
                       WHERE message_id = 'q1')";
        assert_eq!(smscope.stored::<String>(request), query("q1", "11"));
    }
}

#[test]
fn a_receipt_that_the_last_version_of_schema_6_did_not_recognize_is_reprocessed() {
    let launch = of_schema_6();
    let cut = r#"{"messageId":"surrogate","status":{"value":"DELIVERED"},"recipient":{"to":"33612345678"},"refClient":"cut \ud83d"}"#;
    assert_eq!(
        rows(&reprocess(&launch, &[])),
        expected(&[("unrecognized events read", 2), ("understood: delivered", 1), ("still unrecognized", 1)])
    );
    let smscope = launch.start();
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), 4.0);
    assert_eq!(smscope.post(HOOK, cut).result(), "duplicate");
    let events = smscope.exported("events");
    let event = events.iter().find(|event| event["message_id"] == "surrogate").unwrap();
    assert_eq!((&event["repaired"], &event["reprocessed"]), (&true.into(), &true.into()));
}

#[test]
fn a_kill_in_the_middle_leaves_the_rest_to_the_next_run() {
    const COUNT: u64 = 400;
    let launch = once_run("");
    let queries: Vec<String> = (0..COUNT).map(|n| query(&format!("m{n}"), "11")).collect();
    let requests: Vec<_> = queries.iter().map(|query| ("GET", Some(query.as_str()), Some(""))).collect();
    store_unrecognized(&launch, &requests);
    let store = Connection::open(launch.database()).unwrap();
    let stored = || store.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    let running = launch.clone().args(&["reprocess"]).spawn();
    eventually("some are read", || stored() > 10);
    running.kill();
    let first = stored();
    assert!(first < COUNT, "killed too late to show anything");
    drop(store);
    let rest = rows(&reprocess(&launch, &[]));
    assert_eq!(
        rest,
        expected(&[("unrecognized events read", COUNT - first), ("understood: delivered", COUNT - first)])
    );
    let smscope = launch.start();
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), COUNT as f64);
    assert_eq!(smscope.metric("sms_receipts_total", &[]), COUNT as f64);
}

#[test]
fn a_source_that_drops_texts_drops_those_of_reprocessed_requests() {
    let launch = once_run("[[source]]\nname = \"smsmode\"\ntext = \"dropped\"\n");
    let reply = format!("from=shop?emetteur={NUMBER}&message=secret&numero=36111&responseID=r1");
    store_unrecognized(&launch, &[("GET", Some(&reply), Some(""))]);
    assert_eq!(rows(&reprocess(&launch, &[])).len(), 2);
    let smscope = launch.start();
    assert_eq!(smscope.metric("sms_replies_total", &[]), 1.0);
    let left = "SELECT count(*) FROM events WHERE event LIKE '%secret%' OR query LIKE '%secret%'";
    assert_eq!(smscope.stored::<i64>(left), 0);
}

#[test]
fn a_reprocessing_that_is_impossible_is_one_line_and_an_exit_code() {
    let nothing = reprocess(&Launch::new(), &[]);
    assert_ne!(nothing.code, Some(0), "{nothing:?}");
    let smscope = Smscope::start();
    let none = reprocess(&smscope.launch, &[]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(0), "nothing to read again: no stored request is unrecognized\n")
    );
    let unknown = reprocess(&smscope.launch, &["--source", "shop"]);
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (Some(78), "smscope: --source = \"shop\": expected one of smsmode\n")
    );
}
