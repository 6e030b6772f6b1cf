//! `smscope events` and `smscope hash`: what support asks the journal, beside a running smscope and without one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Ended, HOOK, Launch, NUMBER, Smscope, eventually};

fn post(smscope: &Smscope, body: &Value) {
    assert_eq!(smscope.post(HOOK, body.to_string()).status, 200, "{body}");
}

fn receipt(id: &str, number: &str, status: &Value) -> Value {
    json!({"messageId": id, "channel": {"type": "SMS", "flow": "OTP"}, "recipient": {"to": number}, "status": status,
        "refClient": format!("order-{id}"), "body": {"text": "Your code is 4711"}})
}

fn filled(smscope: &Smscope) {
    let orange = json!({"mccMnc": "20801", "network": "ORANGE"});
    let sfr = json!({"mccMnc": "20810"});
    for body in [
        receipt("a", NUMBER, &json!({"value": "ENROUTE"})),
        receipt("a", NUMBER, &json!({"value": "DELIVERED", "lookup": orange})),
        receipt("b", "33698765432", &json!({"value": "UNDELIVERABLE", "detail": "SPAM", "lookup": sfr})),
        receipt("c", "32470123456", &json!({"value": "UNDELIVERABLE", "detail": "INSUFFICIENT_CREDIT"})),
        json!({"messageId": "r", "direction": "MO", "from": NUMBER, "recipient": {"to": "36111"}, "body": {"text": "Merci"},
            "originMessageId": "a"}),
        json!({"nobody": "knows"}),
    ] {
        post(smscope, &body);
    }
}

fn run(launch: &Launch, arguments: &[&str]) -> Ended {
    launch.clone().args(arguments).run()
}

/// The members `kind` and `message_id` of what is found.
#[track_caller]
fn found(launch: &Launch, arguments: &[&str]) -> Vec<String> {
    let ended = run(launch, &[&["events", "--json"][..], arguments].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    let word = |event: &Value, name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let events = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| format!("{} {}", word(&event, "kind"), word(&event, "message_id"))).collect()
}

#[test]
fn events_are_found_by_what_is_known_of_them() {
    let smscope = Smscope::start();
    filled(&smscope);
    let (enroute, delivered, spam, credit, reply, junk) = (
        "message.enroute a",
        "message.delivered a",
        "message.failed b",
        "message.failed c",
        "reply.received r",
        "webhook.unrecognized -",
    );
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[enroute, delivered, spam, credit, reply, junk]),
        (&["-n", "2"], &[reply, junk]),
        (&["--kind", "failed"], &[spam, credit]),
        (&["--kind", "failed,stop,reply", "--country", "fr"], &[spam, reply]),
        (&["--reason", "credit"], &[credit]),
        (&["--network", "SFR"], &[spam]),
        (&["--network", "20801"], &[delivered]),
        (&["--network", "orange"], &[delivered]),
        (&["--message-id", "a"], &[enroute, delivered, reply]),
        (&["--message-id", "a", "--limit", "1"], &[reply]),
        (&["--ref-client", "order-b"], &[spam]),
        (&["--recipient", "+33612345678"], &[enroute, delivered, reply]),
        (&["--recipient", "06 98 76 54 32"], &[spam]),
        (&["--source", "smsmode", "--since", "1h", "--kind", "delivered"], &[delivered]),
        (&["--source", "other"], &[]),
        (&["--until", "2026-01-01"], &[]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(found(&smscope.launch, arguments), *expected, "{arguments:?}");
    }
    let launch = smscope.stop();
    assert_eq!(found(&launch, &["--message-id", "b"]), [spam], "without a running smscope");
}

#[test]
fn a_recipient_is_shown_according_to_the_privacy_settings() {
    let smscope = Smscope::start();
    filled(&smscope);
    let hash = run(&smscope.launch, &["hash", "+33612345678"]).stdout;
    let hash = hash.trim();
    assert!(hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");

    let masked = run(&smscope.launch, &["events", "--message-id", "a", "--kind", "delivered"]).stdout;
    assert!(masked.contains("+336•••••678  FR Orange (20801)  a  ref order-a"), "{masked}");
    for arguments in [&["events"][..], &["events", "--json"]] {
        let said = run(&smscope.launch, arguments).stdout;
        assert!(!said.contains(NUMBER) && !said.contains("4711") && !said.contains("Merci"), "{said}");
    }

    let hashed = smscope.launch.clone().file("[privacy]\nrecipient = \"hashed\"\n");
    for arguments in [&["events", "--message-id", "a"][..], &["events", "--message-id", "a", "--json"]] {
        let said = run(&hashed, arguments).stdout;
        assert!(said.contains(hash) && !said.contains('•') && !said.contains("612345"), "{said}");
    }
    let open = smscope.launch.clone().file("[privacy]\nrecipient = \"plain\"\ntext = \"exported\"\n");
    let said = run(&open, &["events", "--message-id", "a"]).stdout;
    assert!(said.contains("+33612345678") && said.contains("Your code is 4711") && said.contains("Merci"), "{said}");
}

#[test]
fn follow_prints_events_as_they_arrive() {
    let smscope = Smscope::start();
    filled(&smscope);
    let follow = ["events", "--follow", "--json", "--kind", "failed", "--limit", "1"];
    let following = smscope.launch.clone().args(&follow).spawn();
    let ids = || -> Vec<String> {
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["message_id"].as_str().unwrap().to_owned();
        following.stdout().lines().map(id).collect()
    };
    eventually("the newest that there is", || ids() == ["c"]);
    post(&smscope, &receipt("d", NUMBER, &json!({"value": "DELIVERED"})));
    post(&smscope, &receipt("e", NUMBER, &json!({"value": "UNDELIVERED"})));
    eventually("the one that arrives", || ids() == ["c", "e"]);
    following.signal("INT");
    assert_eq!(following.end().code, Some(0));
}

#[test]
fn the_newest_of_a_long_history_are_there_at_once() {
    let smscope = Smscope::start();
    filled(&smscope);
    let launch = smscope.stop();
    let path = launch.database();
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000) \
             INSERT INTO events (received_at, source, kind, event) \
             SELECT 1800000000000 + n, 'smsmode', 'message.delivered', json_object('kind', 'message.delivered', 'source', 'smsmode', \
             'message_id', 'm' || n) FROM n",
        )
        .unwrap();
    drop(database);
    let timed = |arguments: &[&str]| {
        let start = Instant::now();
        (found(&launch, arguments), start.elapsed())
    };
    let (newest, took) = timed(&["-n", "3"]);
    assert_eq!(newest, ["message.delivered m299998", "message.delivered m299999", "message.delivered m300000"]);
    let (first, whole) = timed(&["--kind", "enroute"]);
    assert_eq!(first, ["message.enroute a"], "the whole history is searched where that is needed");
    assert!(took < whole / 4 + Duration::from_millis(100), "{took:?} against {whole:?}");
}

#[test]
fn bad_input_gets_one_line() {
    let smscope = Smscope::start();
    for (arguments, code, said) in [
        (&["events", "--kind", "lost"][..], 64, "expected one of scheduled, enroute"),
        (&["events", "--reason", "lost"], 64, "expected one of credit"),
        (&["events", "--recipient", "nobody"], 64, "is no phone number"),
        (&["events", "--follow", "--until", "1h"], 64, "cannot be used with"),
        (&["hash", "nobody"], 64, "is no phone number"),
        (&["hash"], 64, "<NUMBER>"),
        (&["report", "--timezone", "Mars/Base"], 64, "expected the name of a time zone"),
    ] {
        let ended = run(&smscope.launch, arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
    let nothing = Launch::new();
    let ended = run(&nothing, &["hash", "+33612345678"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("there is no hash key in"), "{ended:?}");
    assert!(!nothing.data_dir().exists(), "it makes nothing");
}

#[test]
fn a_report_is_by_campaign_network_and_day_and_ends_with_the_present() {
    let smscope = Smscope::start();
    filled(&smscope);
    let csv = run(&smscope.launch, &["report", "--by", "network,campaign", "--format", "csv"]).stdout;
    assert!(csv.starts_with("network,campaign,accepted,"), "{csv}");
    assert!(csv.contains("\nOrange,,1,1,0,") && csv.contains("\nSFR,,1,0,1,") && csv.contains("\n,,1,0,1,"), "{csv}");
    let table = run(&smscope.launch, &["report", "--per", "day", "--by", "reason", "--timezone", "Asia/Tokyo"]).stdout;
    assert!(table.starts_with("day ") && table.contains("spam_filtered"), "{table}");
    assert!(table.contains("last hour: 3 accepted, 1 delivered, 2 failed (66.7 %)"), "{table}");
}
