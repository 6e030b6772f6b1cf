//! The log records, as a real Collector writes them down.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Collector, attributes};
use crate::support::provider::{TEXT, receipt, reply};
use crate::support::{HOOK, Launch, Smscope, TOKEN, eventually, holds, request};

const INFO: u64 = 9;
const WARN: u64 = 13;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// One webhook and the log record that it makes.
struct Case {
    query: &'static str,
    /// `None`: a GET.
    body: Option<Value>,
    answer: &'static str,
    event: &'static str,
    severity: u64,
    /// Seconds since 1970, by the provider; `None` where the provider says none, so that the arrival stands in.
    at: Option<u64>,
    line: &'static str,
    attributes: Value,
}

/// 2025-04-01T16:00:10 in Paris.
const DELIVERED_AT: u64 = 1_743_516_010;

fn case(body: Value, event: &'static str, severity: u64, at: Option<u64>, line: &'static str, own: Value) -> Case {
    Case { query: "", body: Some(body), answer: "accepted", event, severity, at, line, attributes: own }
}

/// What every full receipt of [`receipt`] says, with `own` over it; null removes a field.
fn of_receipt(id: &str, status: &str, own: Value) -> Value {
    let mut all = json!({
        "sms.source": "smsmode",
        "sms.channel": "SMS",
        "sms.flow": "TRANSACTIONAL",
        "messaging.message.id": id,
        "messaging.message.conversation_id": "order-7",
        "sms.status.value": status,
        "sms.recipient.masked": "+336•••••678",
        "sms.country": "FR",
        "sms.network.mccmnc": "20801",
        "sms.network.name": "Orange F",
        "sms.campaign.id": "spring",
        "sms.parts": 2,
        "sms.cost": 0.045,
        "sms.currency": "EUR",
    });
    let fields = all.as_object_mut().unwrap();
    fields.extend(own.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    all
}

fn of_reply(id: &str, channel: &str) -> Value {
    json!({
        "sms.source": "smsmode",
        "sms.channel": channel,
        "sms.flow": "TRANSACTIONAL",
        "messaging.message.id": id,
        "messaging.message.conversation_id": "order-7",
        "sms.recipient.masked": "+336•••••678",
        "sms.country": "FR",
        "sms.campaign.id": "spring",
    })
}

fn cases() -> Vec<Case> {
    let spam = json!({"sms.status.detail": "SPAM", "error.type": "spam_filtered"});
    let rcs = json!({"channel": {"type": "RCS", "flow": "TRANSACTIONAL"}});
    let unknown_place = json!({"recipient": null, "status": {"value": "TELEPORTED"}});
    let placeless = json!({
        "sms.recipient.masked": null, "sms.country": null, "sms.network.mccmnc": null, "sms.network.name": null
    });
    let mut cases = vec![
        case(
            receipt("scheduled", "SCHEDULED", json!({"sentDate": "2099-01-01T00:00:00"})),
            "sms.message.scheduled",
            INFO,
            Some(DELIVERED_AT),
            "message scheduled to +336•••••678 scheduled, FR, SMS",
            of_receipt("scheduled", "SCHEDULED", json!({})),
        ),
        case(
            receipt("life", "ENROUTE", json!({"status": {"value": "ENROUTE"}, "sentDate": "2099-01-01T00:00:00"})),
            "sms.message.enroute",
            INFO,
            // The time at which it is sent.
            Some(4_070_905_200),
            "message life to +336•••••678 enroute, FR, SMS",
            of_receipt("life", "ENROUTE", json!({"sms.network.mccmnc": null, "sms.network.name": null})),
        ),
        case(
            receipt("life", "DELIVERED", json!({})),
            "sms.message.delivered",
            INFO,
            Some(DELIVERED_AT),
            "message life to +336•••••678 delivered in 10 s, FR, SMS",
            of_receipt("life", "DELIVERED", json!({"sms.delivery.duration": 10.0})),
        ),
        case(
            receipt("life", "READ", json!({})),
            "sms.message.read",
            INFO,
            Some(DELIVERED_AT),
            "message life to +336•••••678 read, FR, SMS",
            of_receipt("life", "READ", json!({})),
        ),
        case(
            receipt("5d3a4bb0-9c1e-4d0e-8a55-0d5ad2b2a001", "UNDELIVERED SPAM", json!({})),
            "sms.message.failed",
            WARN,
            Some(DELIVERED_AT),
            "message 5d3a4bb0… to +336•••••678 failed: spam_filtered (SPAM), FR, SMS",
            of_receipt("5d3a4bb0-9c1e-4d0e-8a55-0d5ad2b2a001", "UNDELIVERED", spam),
        ),
        case(
            receipt("odd", "TELEPORTED", unknown_place),
            "sms.message.unknown",
            WARN,
            None,
            "message odd has a status that is not known (TELEPORTED), SMS",
            of_receipt("odd", "TELEPORTED", placeless),
        ),
        case(
            reply("reply", "life", "Thank you, neighbour", json!({})),
            "sms.reply.received",
            INFO,
            // 2025-04-01T17:00:00 in Paris.
            Some(1_743_519_600),
            "reply reply from +336•••••678 received, FR, SMS",
            of_reply("reply", "SMS"),
        ),
        case(
            reply("stop", "life", "Désabonnement", rcs),
            "sms.reply.stop",
            INFO,
            Some(1_743_519_600),
            "reply stop from +336•••••678 is an opt-out (STOP), FR, RCS",
            of_reply("stop", "RCS"),
        ),
        case(
            json!({"to": "33612345678", "surprise": TEXT}),
            "sms.webhook.unrecognized",
            WARN,
            None,
            "webhook of smsmode not recognized: no messageId",
            json!({"sms.source": "smsmode", "sms.unrecognized.reason": "no messageId"}),
        ),
    ];
    cases.last_mut().unwrap().answer = "unrecognized";
    cases.push(Case {
        query: "smsID=legacy&numero=0612345678&statut=3502&date_reception=2025-04-01+16:00:10&cost=1.5&refClient=order-8",
        body: None,
        answer: "accepted",
        event: "sms.message.failed",
        severity: WARN,
        at: Some(DELIVERED_AT),
        line: "message legacy to +336•••••678 failed: handset_absent (3502), FR, SMS",
        attributes: json!({
            "sms.source": "smsmode",
            "sms.channel": "SMS",
            "sms.flow": "unknown",
            "messaging.message.id": "legacy",
            "messaging.message.conversation_id": "order-8",
            "sms.status.value": "3502",
            "error.type": "handset_absent",
            "sms.recipient.masked": "+336•••••678",
            "sms.country": "FR",
            "sms.cost": 1.5,
            "sms.currency": "credits",
        }),
    });
    cases
}

fn launch(collector: &Collector, file: &str) -> Launch {
    Launch::new().among_peers().file(file).env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
}

fn send(smscope: &Smscope, case: &Case) {
    let response = match &case.body {
        Some(body) => smscope.post(HOOK, body.to_string()),
        None => smscope.get(case.query),
    };
    assert_eq!(response.result(), case.answer);
}

/// Waits for this many records, and gives them.
fn records(collector: &Collector, count: usize) -> Vec<Value> {
    eventually("the log records", || {
        let records = collector.records();
        holds(records.len() >= count, || format!("{} of {count}", records.len())).map(|()| records)
    })
}

fn uid(record: &Value) -> String {
    attributes(&record["attributes"])["log.record.uid"].as_str().unwrap().to_owned()
}

#[test]
fn each_stored_event_is_one_record_and_a_duplicate_is_none() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "").start();
    let cases = cases();
    for case in &cases {
        send(&smscope, case);
        if case.answer == "accepted" {
            send(&smscope, &Case { answer: "duplicate", attributes: Value::Null, body: case.body.clone(), ..*case });
        }
    }
    smscope.until_exported();
    let records = records(&collector, cases.len());
    assert_eq!(records.len(), cases.len());
    let mut uids = BTreeSet::new();
    let mut hashes = BTreeSet::new();
    for (case, record) in cases.iter().zip(&records) {
        let event = case.event;
        assert_eq!(record["eventName"], event);
        assert_eq!(record["severityNumber"], case.severity, "{event}");
        assert_eq!(record["severityText"], if case.severity == WARN { "WARN" } else { "INFO" }, "{event}");
        assert_eq!(record["body"]["stringValue"], case.line);
        let nanos = |field: &str| record[field].as_str().unwrap().parse::<u64>().unwrap();
        let arrival = nanos("observedTimeUnixNano");
        assert!(arrival > 1_760_000_000_000_000_000, "{event}: {arrival}");
        assert_eq!(nanos("timeUnixNano"), arrival, "{event}");

        let mut attributes = attributes(&record["attributes"]);
        let fields = attributes.as_object_mut().unwrap();
        let happened = fields.remove("sms.status.time").map(|time| time.as_str().unwrap().parse().unwrap());
        assert_eq!(happened.map(|time: jiff::Timestamp| time.as_second() as u64), case.at, "{event}");
        let uid = fields.remove("log.record.uid").unwrap();
        assert_eq!(uid.as_str().unwrap().len(), 36, "{event}");
        assert!(uids.insert(uid.to_string()), "{event}: {uid} is there twice");
        let hash = fields.remove("sms.recipient.hash");
        assert_eq!(hash.is_some(), fields.contains_key("sms.recipient.masked"), "{event}");
        hashes.extend(hash.map(|hash| hash.as_str().unwrap().to_owned()));
        assert_eq!(attributes, case.attributes, "{event}");
        assert!(record["traceId"].as_str().unwrap_or_default().is_empty(), "{event}");
    }
    // They are all of one person.
    assert_eq!(hashes.len(), 1, "{hashes:?}");
    assert_eq!(hashes.first().unwrap().len(), 32);
}

#[test]
fn a_message_without_a_final_receipt_leaves_a_record_when_it_expires() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "store.horizon = '1s'").start();
    smscope.accept(&receipt("lost", "ENROUTE", json!({})));
    let records = records(&collector, 2);
    let (enroute, expired) = (&records[0], &records[1]);
    assert_eq!(expired["eventName"], "sms.message.expired");
    assert_eq!(expired["severityNumber"], WARN);
    assert_eq!(
        expired["body"]["stringValue"],
        "message lost to +336•••••678 expired: no final receipt in time, FR, SMS"
    );
    let nanos = |record: &Value, field: &str| record[field].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(nanos(expired, "timeUnixNano"), nanos(expired, "observedTimeUnixNano"));
    assert!(nanos(expired, "timeUnixNano") >= nanos(enroute, "timeUnixNano") + 1_000_000_000);
    let mut attributes = attributes(&expired["attributes"]);
    let fields = attributes.as_object_mut().unwrap();
    fields.retain(|key, _| key != "log.record.uid" && key != "sms.recipient.hash");
    let expected = json!({
        "sms.source": "smsmode",
        "sms.channel": "SMS",
        "sms.flow": "TRANSACTIONAL",
        "messaging.message.id": "lost",
        "messaging.message.conversation_id": "order-7",
        "sms.recipient.masked": "+336•••••678",
        "sms.country": "FR",
        "sms.network.mccmnc": "20801",
        "sms.network.name": "Orange",
        "sms.campaign.id": "spring",
    });
    assert_eq!(attributes, expected);
}

#[test]
fn a_traceparent_in_the_callback_url_ties_the_record_to_its_trace() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "").start();
    let legacy = |id: &str| format!("smsID={id}&numero=33612345678&statut=11");
    assert_eq!(smscope.get(&format!("traceparent={TRACE}&{}", legacy("query"))).result(), "accepted");
    let path = format!("{HOOK}/{TRACE}?{}", legacy("path"));
    assert_eq!(smscope.ask(request("GET", &path, &[], "")).result(), "accepted");
    assert_eq!(smscope.get(&format!("traceparent=nonsense&{}", legacy("malformed"))).result(), "accepted");
    let records = records(&collector, 3);
    for (record, traced) in records.iter().zip([true, true, false]) {
        let id = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
        let (trace, span) = if traced { ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7") } else { ("", "") };
        assert_eq!((id("traceId").as_str(), id("spanId").as_str()), (trace, span), "{record}");
    }
}

#[test]
fn no_number_text_or_token_leaves_in_clear_by_any_way_out() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "").env("RUST_LOG", "debug").start();
    let cases = cases();
    cases.iter().for_each(|case| send(&smscope, case));
    records(&collector, cases.len());
    eventually("the messages pushed", || {
        let pushed = collector.metrics()?.sum("sms_messages_total", &[]);
        holds(pushed == 5.0, || pushed.to_string())
    });
    for (way, said) in [
        ("logs", collector.logs_text()),
        ("metrics", collector.pushes().iter().map(Value::to_string).collect()),
        ("scrape", smscope.metrics().text),
        ("diagnostics", smscope.stderr()),
    ] {
        assert!(said.len() > 100, "{way}: {said}");
        for secret in ["612345678", "parcel", "neighbour", "Désabonnement", TOKEN] {
            assert!(!said.contains(secret), "{way} says {secret}");
        }
    }
}

#[test]
fn text_and_number_are_in_the_record_when_that_is_configured() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "[privacy]\nrecipient = \"plain\"\ntext = \"exported\"").start();
    smscope.accept(&receipt("a", "DELIVERED", json!({})));
    smscope.accept(&reply("b", "a", "Thank you, neighbour", json!({})));
    for (record, text) in records(&collector, 2).iter().zip([TEXT, "Thank you, neighbour"]) {
        let attributes = attributes(&record["attributes"]);
        assert_eq!(attributes["sms.text"], text);
        assert_eq!(attributes["sms.recipient.number"], "+33612345678");
        assert_eq!(attributes["sms.recipient.masked"], "+336•••••678");
    }
}

#[test]
fn a_resent_record_is_the_same_under_the_same_uid() {
    let folder = TempDir::new().unwrap();
    let Some(collector) = Collector::start(folder.path()) else { return };
    let smscope = launch(&collector, "").start();
    let cases = cases();
    cases.iter().for_each(|case| send(&smscope, case));
    smscope.until_exported();
    let launch = smscope.stop();
    // As if the Collector had accepted all and no response had ever arrived.
    let store = rusqlite::Connection::open(launch.database()).unwrap();
    store.execute("UPDATE cursors SET position = 0", []).unwrap();
    drop(store);
    let _smscope = launch.start();

    let records = records(&collector, cases.len() * 2);
    let by_uid = |records: &[Value]| -> BTreeMap<String, Value> {
        records.iter().map(|record| (uid(record), record.clone())).collect()
    };
    let (first, second) = records.split_at(cases.len());
    assert_eq!(by_uid(first).len(), cases.len());
    assert_eq!(by_uid(first), by_uid(second));
}
