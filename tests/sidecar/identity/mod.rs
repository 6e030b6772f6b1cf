//! One message and one receipt, however they are written; and the stores that earlier versions wrote.

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::smsmode::{API_KEY, SmsmodeApi};
use crate::support::{Client, HOOK, Launch, NUMBER, Smscope, request};

/// A store as the last smscope of schema 6 wrote it. v6.sh made it; it never changes again.
const V6: &str = include_str!("v6.sql");

/// A data directory with the store of schema 6, moved to an hour ago.
pub fn of_schema_6() -> Launch {
    let launch = Launch::new();
    let path = launch.database();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = Connection::open(&path).unwrap();
    store.execute_batch(V6).unwrap();
    let written: i64 =
        store.query_row("SELECT value FROM meta WHERE key = 'created_at'", [], |row| row.get(0)).unwrap();
    let moved = Timestamp::now().as_millisecond() - 3_600_000 - written;
    store
        .execute_batch(&format!(
            "UPDATE meta SET value = value + {moved} WHERE key IN ('created_at', 'seen_at');
             UPDATE events SET received_at = received_at + {moved};
             UPDATE event_keys SET received_at = received_at + {moved};
             UPDATE messages SET accepted_at = accepted_at + {moved}, first_seen = first_seen + {moved},
               pending_since = pending_since + {moved}, last_event = last_event + {moved}, settled_at = settled_at + {moved};"
        ))
        .unwrap();
    launch
}

fn get(client: &mut Client, query: &str) -> String {
    client.ask(request("GET", &format!("{HOOK}?{query}"), &[], "")).result()
}

fn post(client: &mut Client, body: &Value) -> String {
    client.ask(crate::support::post(HOOK, body.to_string())).result()
}

#[test]
fn a_legacy_message_is_one_however_its_recipient_is_written() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    let spellings =
        ["33612345678", "%2B33612345678", "0033612345678", "0612345678", "06+12+34-56.78", "%252B33612345678", ""];
    let codes = ["0", "11", "100", "101", "14", "16", "13"];
    for (first, spelling) in spellings.iter().enumerate() {
        let id = format!("m{first}");
        for (code, numero) in codes.iter().zip(spellings.iter().cycle().skip(first)) {
            let asked = format!("smsID={id}&statut={code}&numero={numero}");
            assert_eq!(get(&mut client, &asked), "accepted", "{asked}, first {spelling:?}");
            assert_eq!(get(&mut client, &asked), "duplicate", "{asked}");
        }
    }
    let count = spellings.len() as f64;
    assert_eq!(smscope.metric("sms_messages_total", &[]), count);
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), count);
    assert_eq!(smscope.metric("sms_messages_pending", &[]), 0.0);
    assert_eq!(
        smscope.stored::<i64>("SELECT count(*) FROM messages WHERE part = '33612345678'"),
        spellings.len() as i64
    );
}

#[test]
fn each_recipient_of_a_legacy_id_is_a_message_and_a_receipt_without_recipient_is_of_the_only_one() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for numero in ["33612345671", "33612345672", "33612345673"] {
        assert_eq!(get(&mut client, &format!("smsID=campaign&statut=0&numero={numero}")), "accepted");
    }
    assert_eq!(smscope.metric("sms_messages_total", &[]), 3.0);
    // Its message is not known: it is none of theirs.
    assert_eq!(get(&mut client, "smsID=campaign&statut=11"), "accepted");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 4.0);
    assert_eq!(get(&mut client, "smsID=campaign&statut=11&numero=33612345674"), "accepted");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 5.0);
    // The first that is named is whom the first receipt was of; the next one is another.
    assert_eq!(get(&mut client, "smsID=late&statut=0"), "accepted");
    assert_eq!(get(&mut client, "smsID=late&statut=11&numero=33612345671"), "accepted");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 6.0);
    assert_eq!(get(&mut client, "smsID=late&statut=11&numero=33612345672"), "accepted");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 7.0);
    // All of that holds after a restart.
    let launch = smscope.stop();
    let smscope = launch.start();
    let mut client = smscope.client();
    for known in [
        "smsID=late&statut=0&numero=33612345671",
        "smsID=late&statut=11&numero=%2B33612345672",
        "smsID=campaign&statut=11",
    ] {
        assert_eq!(get(&mut client, known), "duplicate", "{known}");
    }
    assert_eq!(smscope.metric("sms_messages_total", &[]), 7.0);
}

#[test]
fn a_reply_to_a_legacy_message_finds_it_by_its_id_and_its_recipient() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    get(&mut client, "smsID=campaign&statut=11&numero=%2B33612345678&refClient=order-1");
    get(&mut client, "smsID=campaign&statut=11&numero=%2B33612345679&refClient=order-2");
    get(&mut client, "smsID=campaign&emetteur=0612345679&message=oui&numero=36111&responseID=7");
    let answers = "SELECT event ->> '$.answers.ref_client' FROM events WHERE kind = 'reply.received'";
    assert_eq!(smscope.stored::<String>(answers), "order-2");
}

#[test]
fn a_receipt_is_one_however_its_words_and_its_time_are_written() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    let receipt = |value: &str, detail: &str, time: &str| {
        json!({"messageId": "67c15045-96e8-4e5a-9c3b-0123456789ab", "type": "SMS", "channel": {"flow": "OTP"}, "recipient": {"to": NUMBER},
            "status": {"value": value, "detail": detail, "deliveryDate": time}})
    };
    assert_eq!(post(&mut client, &receipt("UNDELIVERED", "BLACKLISTED", "2026-11-26T20:00:05")), "accepted");
    for time in [
        "2026-11-26T20:00:05.000",
        "2026-11-26T20:00:05+01:00",
        "2026-11-26T19:00:05Z",
        "2026-11-26 19:00:05.0000 +00",
        "26112026-200005",
        "1795719605",
        "1795719605000",
    ] {
        for (value, detail) in [("UNDELIVERED", "BLACKLISTED"), ("Undelivered", "blacklisted")] {
            assert_eq!(post(&mut client, &receipt(value, detail, time)), "duplicate", "{value} {time}");
        }
    }
    let mut shouted = receipt("undelivered", "Blacklisted", "2026-11-26T20:00:05");
    shouted["messageId"] = json!("67C15045-96E8-4E5A-9C3B-0123456789AB");
    (shouted["type"], shouted["channel"]["flow"]) = (json!("sms"), json!("otp"));
    assert_eq!(post(&mut client, &shouted), "duplicate");
    shouted["messageId"] = json!("another");
    assert_eq!(post(&mut client, &shouted), "accepted");
    let labels = [("channel", "SMS"), ("status", "UNDELIVERED"), ("outcome", "failed")];
    assert_eq!(smscope.metric("sms_receipts_total", &labels), 2.0);
    let failed = [("channel", "SMS"), ("flow", "OTP"), ("reason", "blacklisted")];
    assert_eq!(smscope.metric("sms_messages_failed_total", &failed), 2.0);

    for another in ["2026-11-26T20:00:05.500", "2026-11-26T20:00:06", "2026-11-26T20:00:05Z", "soon"] {
        let another = receipt("UNDELIVERED", "BLACKLISTED", another);
        assert_eq!(post(&mut client, &another), "accepted", "{another}");
        assert_eq!(post(&mut client, &another), "duplicate", "{another}");
    }
    assert_eq!(smscope.metric("sms_receipts_total", &labels), 6.0);
}

#[test]
fn the_provider_s_list_writes_a_receipt_otherwise_and_it_is_the_same() {
    let stand_in = SmsmodeApi::start();
    let toml =
        format!("[[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"{API_KEY}\"\nurl = \"{}\"\n", stand_in.url());
    let smscope = Smscope::with(&toml);
    let mut client = smscope.client();
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let item = |id: &str, value: &str, end: &str| {
        json!({"messageId": id, "acceptedAt": format!("{now}Z"), "recipient": {"to": NUMBER},
            "status": {"value": value, "deliveryDate": format!("{now}{end}")}})
    };
    let id = "67c15045-96e8-4e5a-9c3b-0123456789ab";
    assert_eq!(post(&mut client, &item(id, "DELIVERED", "Z")), "accepted");
    stand_in.set_messages(vec![item(&id.to_uppercase(), "delivered", ".000+00:00")]);
    let ended = smscope.launch.clone().args(&["reconcile", "--since", "1h"]).run();
    assert_eq!(ended.stdout, "smsmode: 0 were missing, of 1 in the period; 1 read\n", "{ended:?}");
    assert_eq!(smscope.metric("sms_receipts_total", &[]), 1.0);
}

#[test]
fn a_query_that_the_provider_appends_with_a_second_question_mark_is_read() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (query, id) in [
        (format!("traceparent={trace}?numero={NUMBER}&smsID=a&statut=11"), "a"),
        (format!("from=shop?traceparent={trace}&numero={NUMBER}&smsID=b&statut=11"), "b"),
        (format!("traceparent={trace}&amp;numero={NUMBER}&amp;smsID=c&amp;statut=11"), "c"),
    ] {
        assert_eq!(get(&mut client, &query), "accepted", "{query}");
        let newest = smscope.newest_event();
        assert_eq!((&newest["message_id"], &newest["trace"]), (&json!(id), &json!(trace)), "{query}");
    }
    assert_eq!(get(&mut client, &format!("from=shop?numero={NUMBER}&smsID=d&statut=3999")), "accepted");
    assert_eq!(smscope.metric("sms_messages_failed_total", &[("reason", "blacklisted")]), 1.0);
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), 3.0);
}

#[test]
fn a_channel_id_is_allowed_however_it_is_written() {
    let id = "0A0F1A28-2E33-4E1D-8D8D-0123456789AB";
    let smscope = Smscope::with(&format!("[[source]]\nname = \"smsmode\"\nchannel_ids = [\"{id}\"]\n"));
    let mut client = smscope.client();
    let of = |channel: &str| json!({"messageId": channel, "channel": {"channelId": channel}, "status": {"value": "DELIVERED"}});
    assert_eq!(post(&mut client, &of(id)), "accepted");
    assert_eq!(post(&mut client, &of(&id.to_lowercase())), "duplicate");
    assert_eq!(client.ask(crate::support::post(HOOK, of("another").to_string())).status, 403);
}

#[test]
fn a_store_of_schema_6_knows_its_messages_however_they_are_written_now() {
    let smscope = of_schema_6().start();
    let counts = || {
        ["sms_messages_total", "sms_messages_delivered_total", "sms_receipts_total", "sms_replies_total"]
            .map(|name| smscope.metric(name, &[]))
    };
    let before = counts();
    assert_eq!(before, [9.0, 3.0, 9.0, 2.0]);
    let mut client = smscope.client();
    // What the provider sends again, as it did or as it may do now.
    for query in [
        "smsID=plus&statut=0&numero=%2B33612345678",
        "smsID=plus&statut=00&numero=0612345678",
        "smsID=plus&statut=0",
        "smsID=national&statut=11&numero=0612345678&date_reception=2026-11-26%2020:00:05",
        "smsID=national&statut=11&numero=33612345678&date_reception=2026-11-26T19:00:05.000Z",
        "smsID=no-plan&statut=0&numero=%2B999+12345678",
        "smsID=no-plan&statut=0&numero=99912345678",
        "smsID=bare&statut=0",
        "smsID=bare&statut=0&numero=33612345678",
        "smsID=twin&statut=0&numero=33612345678",
        "smsID=twin&statut=011&numero=%2B33612345678",
        "smsID=erased&statut=0&numero=%2B33698765432",
        "smsID=erased&statut=0&numero=33698765432",
        "emetteur=0612345678&message=oui&numero=36111&date_reception=01012026-122233",
    ] {
        assert_eq!(get(&mut client, query), "duplicate", "{query}");
    }
    let upper = "67C15045-96E8-4E5A-9C3B-0123456789AB";
    for id in [upper.to_owned(), upper.to_lowercase()] {
        let enroute = json!({"messageId": id, "status": {"value": "ENROUTE"}, "recipient": {"to": NUMBER}});
        assert_eq!(post(&mut client, &enroute), "duplicate", "{id}");
    }
    for time in ["2026-11-26T20:00:05", "2026-11-26T20:00:05.000", "2026-11-26T20:00:05+01:00"] {
        for value in ["Delivered", "DELIVERED"] {
            let again = json!({"messageId": "time", "status": {"value": value, "deliveryDate": time}});
            assert_eq!(post(&mut client, &again), "duplicate", "{value} {time}");
        }
    }
    for id in ["0A0F1A28-2E33-4E1D-8D8D-0123456789AB", "0a0f1a28-2e33-4e1d-8d8d-0123456789ab"] {
        let reply = json!({"messageId": id, "direction": "MO", "from": NUMBER, "body": {"text": "oui"}});
        assert_eq!(post(&mut client, &reply), "duplicate", "{id}");
    }
    assert_eq!(counts(), before);

    // What is new of them is of the message that was there.
    for query in [
        "smsID=plus&statut=11&numero=33612345678",
        "smsID=no-plan&statut=11&numero=0099912345678",
        "smsID=bare&statut=11&numero=33612345678",
        "smsID=erased&statut=11&numero=0033698765432",
    ] {
        assert_eq!(get(&mut client, query), "accepted", "{query}");
    }
    let delivered =
        json!({"messageId": upper.to_lowercase(), "status": {"value": "DELIVERED"}, "recipient": {"to": NUMBER}});
    assert_eq!(post(&mut client, &delivered), "accepted");
    assert_eq!(counts()[..3], [9.0, 8.0, 14.0]);
    // One of the twins was delivered, and what comes late is of that one.
    assert_eq!(get(&mut client, "smsID=twin&statut=100&numero=0612345678"), "accepted");
    assert_eq!(counts()[0], 9.0);
    assert_eq!(smscope.metric("sms_messages_read_total", &[]), 1.0);
    for table in ["events", "requests"] {
        let stored = smscope.exported(table).iter().map(Value::to_string).collect::<String>();
        assert!(!stored.contains("98765432"), "an erased person is not brought back: {stored}");
    }
    assert_eq!(smscope.stored::<String>("PRAGMA integrity_check"), "ok");
    let launch = smscope.stop();
    let smscope = launch.start();
    assert_eq!(get(&mut smscope.client(), "smsID=plus&statut=11&numero=%2B33612345678"), "duplicate", "and again");
}
