//! The clock is wrong, or the provider's is: nothing is deleted early, nothing is counted twice, and every event is accepted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::shim::{Control, Shim};
use crate::support::provider::receipt as full_receipt;
use crate::support::{HOOK, Launch, Smscope, eventually, post, receipt};

const YEAR: i64 = 365 * 86_400;
/// Long enough for the maintenance, which runs every half second.
const CHORES: Duration = Duration::from_millis(1100);

fn shimmed(toml: &str) -> (Launch, Shim) {
    Shim::under(Launch::new().file(toml))
}

/// One of each kind of thing that has a retention.
const KEPT: [(&str, &str); 3] = [("pending", "ENROUTE"), ("delivered", "DELIVERED"), ("failed", "UNDELIVERED")];

fn fill(smscope: &Smscope) {
    for (id, status) in KEPT {
        assert_eq!(smscope.post(HOOK, receipt(id, status)).result(), "accepted");
    }
    assert_eq!(smscope.post(HOOK, "junk").result(), "unrecognized");
}

fn all_is_there(smscope: &Smscope, when: &str) {
    std::thread::sleep(CHORES);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 4.0, "{when}");
    assert_eq!(smscope.metric("sms_messages_pending", &[("state", "enroute")]), 1.0, "{when}");
    assert_eq!(smscope.metric("sms_messages_expired_total", &[]), 0.0, "{when}");
    for (id, status) in KEPT {
        assert_eq!(smscope.post(HOOK, receipt(id, status)).result(), "duplicate", "{id} {when}");
    }
    assert_eq!(smscope.post(HOOK, "junk").result(), "duplicate", "{when}");
}

#[test]
fn a_clock_that_jumps_throws_nothing_away() {
    let (launch, shim) = shimmed("");
    let smscope = launch.start();
    fill(&smscope);
    for (ahead, when) in [
        (0, "as it is"),
        (5 * YEAR, "in five years"),
        (0, "back"),
        (-5 * YEAR, "five years ago"),
        (0, "and back again"),
    ] {
        shim.set(Control::Ahead, ahead);
        all_is_there(&smscope, when);
    }
    assert!(smscope.stderr().contains("the clock is ahead by"), "{}", smscope.stderr());
    smscope.stop();
    // A machine that starts before its clock is set.
    for ahead in [5 * YEAR, -5 * YEAR, 0] {
        shim.set(Control::Ahead, ahead);
        let smscope = launch.start();
        all_is_there(&smscope, &format!("started at {ahead} s"));
        smscope.stop();
    }
}

#[test]
fn messages_expire_and_events_are_deleted_as_time_passes() {
    let (launch, shim) = shimmed("[store]\nhorizon = \"2h\"\nretention = \"5h\"");
    let smscope = launch.start();
    fill(&smscope);
    let mut ahead = 0;
    let mut pass = |hours: i64| {
        for _ in 0..2 * hours {
            ahead += 1800;
            shim.set(Control::Ahead, ahead);
            std::thread::sleep(Duration::from_millis(700));
        }
    };
    pass(3);
    eventually("it has expired", || smscope.metric("sms_messages_expired_total", &[]) == 1.0);
    pass(3);
    // The newest stays, so that no position in the journal is used twice.
    eventually("events have gone", || smscope.metric("smscope_store_events", &[]) == 1.0);
    assert_eq!(smscope.post(HOOK, receipt("pending", "DELIVERED")).result(), "accepted");
    assert_eq!(smscope.metric("sms_messages_corrected_total", &[("from", "expired")]), 1.0);
    assert!(!smscope.stderr().contains("the clock is ahead"), "{}", smscope.stderr());
}

#[test]
fn a_receipt_with_any_time_is_stored_and_counted_with_that_time() {
    let smscope = Smscope::start();
    // In the zone of the source, Europe/Paris, where none is given.
    let times: [(&str, Value); 15] = [
        ("2025-04-01T16:00:10", json!("2025-04-01T14:00:10Z")),
        ("2025-10-26T02:30:00", json!("2025-10-26T00:30:00Z")),
        ("2025-10-26T02:30:00+01:00", json!("2025-10-26T01:30:00Z")),
        ("2025-10-26T03:00:00", json!("2025-10-26T02:00:00Z")),
        ("2025-03-30T01:59:59", json!("2025-03-30T00:59:59Z")),
        ("2025-03-30T02:30:00", json!("2025-03-30T01:30:00Z")),
        ("2024-02-29T12:00:00", json!("2024-02-29T11:00:00Z")),
        ("2025-02-29T12:00:00", Value::Null),
        ("1970-01-01T02:00:00", json!("1970-01-01T01:00:00Z")),
        ("2038-01-19T04:14:08", json!("2038-01-19T03:14:08Z")),
        ("2222-12-31T23:59:59", json!("2222-12-31T22:59:59Z")),
        ("2999-12-31T23:59:59", Value::Null),
        ("0000-00-00T00:00:00", Value::Null),
        ("99999-01-01T00:00:00", Value::Null),
        ("2016-12-31T23:59:60Z", Value::Null),
    ];
    for (number, (text, expected)) in times.iter().enumerate() {
        let id = format!("t{number}");
        let body = full_receipt(
            &id,
            "DELIVERED",
            json!({
                "sentDate": text, "acceptedAt": text,
                "status": {"value": "DELIVERED", "deliveryDate": text},
            }),
        );
        assert_eq!(smscope.post(HOOK, body.to_string()).result(), "accepted", "{text}");
        assert_eq!(smscope.post(HOOK, body.to_string()).result(), "duplicate", "{text}");
        let kept: Option<String> = smscope
            .database()
            .query_row("SELECT occurred FROM event_log WHERE message_id = ?1", [&id], |row| row.get(0))
            .unwrap();
        assert_eq!(kept.map_or(Value::Null, Value::from), *expected, "{text}");
    }
    let count = times.len() as f64;
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), count);
    assert_eq!(smscope.metric("sms_messages_pending", &[]), 0.0);
    assert!(!smscope.stderr().contains("panicked"));
}

#[test]
fn receipts_that_come_late_in_any_order_count_as_if_they_had_come_in_time() {
    let (launch, shim) = shimmed("");
    let smscope = launch.start();
    let mut client = smscope.client();
    let mut send = |status: &str| client.ask(post(HOOK, receipt("late", status))).result();
    assert_eq!(send("ENROUTE"), "accepted");
    // The last but one of the provider's retries comes six hours later, the last one thirty.
    shim.set(Control::Ahead, 30 * 3600);
    assert_eq!(send("READ"), "accepted");
    assert_eq!(send("DELIVERED"), "accepted");
    assert_eq!(send("ENROUTE"), "duplicate");
    for (name, expected) in [
        ("sms_messages_total", 1.0),
        ("sms_messages_delivered_total", 1.0),
        ("sms_messages_read_total", 1.0),
        ("sms_messages_expired_total", 0.0),
        ("sms_messages_pending", 0.0),
    ] {
        assert_eq!(smscope.metric(name, &[]), expected, "{name}");
    }
}
