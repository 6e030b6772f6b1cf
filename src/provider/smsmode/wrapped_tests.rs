//! Damaged, mislabeled and wrapped: what is read of it all the same.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{FORM, JSON, at, decoded, one, read, receipt, reply, unrecognized};
use crate::event::{Event, Outcome, Reason};

const RECEIPT: &str =
    r#"{"messageId":"m-1","recipient":{"to":"33612345678"},"status":{"value":"UNDELIVERED"},"body":{"text":"a&b=c"}}"#;
const LEGACY: &str = "numero=33612345678&statut=21&smsID=m-1&refClient=r";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Each event in a few words.
fn told(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::Receipt(receipt) => format!("{} {}", receipt.message_id, receipt.status.outcome.label()),
        Event::Reply(reply) => format!("{} reply", reply.reply_id),
        Event::Unrecognized(unrecognized) => unrecognized.why.to_string(),
    };
    events.iter().map(told).collect()
}

#[test]
fn a_defect_in_a_field_costs_that_field() {
    for (what, body) in [
        ("a lone surrogate", RECEIPT.replace("a&b=c", "\\ud83d")),
        ("a line break", RECEIPT.replace("a&b=c", "a\nb")),
        ("an unknown escape", RECEIPT.replace("a&b=c", "\\'")),
        ("a number that is none", RECEIPT.replace("\"a&b=c\"", "NaN")),
        ("one out of range", RECEIPT.replace("\"a&b=c\"", "1e999")),
        ("a trailing zero", format!("{RECEIPT}\0")),
        ("a trailing comma", RECEIPT.replace("}}", ",},}")),
        ("too deep", RECEIPT.replace("\"a&b=c\"", &format!("{}{}", "[".repeat(500), "]".repeat(500)))),
        ("an end too early", RECEIPT[..RECEIPT.find("b=c").unwrap()].to_owned()),
    ] {
        let read = decoded("", JSON, body.as_bytes());
        assert_eq!((told(&read.events), read.repaired), (vec!["m-1 failed".to_owned()], true), "{what}");
    }
    let whole = decoded("", JSON, RECEIPT.as_bytes());
    assert_eq!((told(&whole.events), whole.repaired), (vec!["m-1 failed".to_owned()], false));
}

#[test]
fn an_id_keeps_its_digits() {
    for id in ["12345678901234567890123", "18446744073709551616", "1.10", "123456789012"] {
        let body =
            format!(r#"{{"messageId":{id},"refClient":{id},"status":{{"value":"READ"}},"price":{{"amount":0.0450}}}}"#);
        let read = decoded("", JSON, body.as_bytes());
        let r = receipt(read.events[0].clone());
        assert_eq!((r.message_id.as_str(), r.ref_client.as_deref(), read.repaired), (id, Some(id), false));
        assert_eq!(r.price.unwrap().micros, 45_000);
    }
}

#[test]
fn one_bad_element_costs_only_itself() {
    let bad = RECEIPT.replace("\"value\"", "\"was\"");
    for body in [
        format!("[{RECEIPT},{bad},{}]", RECEIPT.replace("m-1", "\\ud83d")),
        format!("{RECEIPT}\n{bad}\r\n\n{}\n", RECEIPT.replace("m-1", "\\ud83d")),
        format!("{RECEIPT}{bad}{}", RECEIPT.replace("m-1", "\\ud83d")),
        format!(r#"{{"items":[{RECEIPT},{bad},{}]}}"#, RECEIPT.replace("m-1", "\\ud83d")),
    ] {
        let read = decoded("", JSON, body.as_bytes());
        assert_eq!(told(&read.events), ["m-1 failed", "neither a receipt nor a reply", "\u{fffd} failed"], "{body}");
        assert!(read.repaired, "{body}");
    }
    let lines = format!("{RECEIPT}\noops\n{}", RECEIPT.replace("m-1", "m-2"));
    assert_eq!(told(&read("", JSON, lines.as_bytes())), ["m-1 failed", "not a JSON object", "m-2 failed"]);
}

#[test]
fn what_ends_early_is_a_receipt_if_its_id_and_status_are_whole_and_never_a_reply() {
    let reply = r#"{"messageId":"r-1","direction":"MO","from":"33612345678","body":{"text":"STOP"},"x":"yyy"}"#;
    for end in 1..reply.len() {
        let read = decoded("", JSON, &reply.as_bytes()[..end]);
        assert!(matches!(read.events[..], [Event::Unrecognized(_)]), "{}", &reply[..end]);
    }
    let status = RECEIPT.find("\"body\"").unwrap();
    for end in 1..RECEIPT.len() {
        let events = read("", JSON, &RECEIPT.as_bytes()[..end]);
        let expected = if end < status - 2 { "broken JSON" } else { "m-1 failed" };
        assert_eq!(told(&events), [expected], "{}", &RECEIPT[..end]);
    }
}

#[test]
fn a_label_is_not_believed() {
    let multipart =
        |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let fields: Vec<String> =
        LEGACY.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(n, v)| multipart(n, v)).collect();
    let labels = [JSON, FORM, None, Some("text/plain"), Some("multipart/form-data; boundary=x")];
    for label in labels {
        for body in [
            RECEIPT.to_owned(),
            LEGACY.to_owned(),
            format!("{}--x--\r\n", fields.concat()),
            format!("{}--x--\r\n", multipart("payload", RECEIPT)),
            quoted(RECEIPT),
            quoted(&quoted(RECEIPT)),
            quoted(LEGACY),
            encoded(RECEIPT),
            format!("{}=", encoded(RECEIPT)),
        ] {
            let read = decoded("", label, body.as_bytes());
            assert_eq!((told(&read.events), read.repaired), (vec!["m-1 failed".to_owned()], false), "{label:?} {body}");
        }
    }
}

#[test]
fn json_in_a_parameter_is_read_encoded_or_not() {
    for name in ["payload", "data", "json", "anything", "body"] {
        for body in [
            format!("{name}={}", encoded(RECEIPT)),
            format!("{name}={RECEIPT}"),
            format!("{name}={RECEIPT}&more=1"),
            format!("more=1&{name}={}", encoded(RECEIPT)),
            format!("{name}={}", encoded(&quoted(RECEIPT))),
            format!("{name}={}", encoded(LEGACY)),
        ] {
            assert_eq!(told(&read("", FORM, body.as_bytes())), ["m-1 failed"], "{body}");
        }
        assert_eq!(told(&read(&format!("{name}={}", encoded(RECEIPT)), None, b"")), ["m-1 failed"]);
    }
    assert_eq!(unrecognized(one("", FORM, b"payload=%7B%22a%22%3A1%7D")).why, "neither a receipt nor a reply");
}

#[test]
fn a_wrapper_is_opened_whatever_it_holds_and_only_where_the_object_is_no_message() {
    for name in ["body", "data", "payload", "items", "messages", "message", "events"] {
        for inner in [
            RECEIPT.to_owned(),
            format!("[{RECEIPT}]"),
            quoted(RECEIPT),
            quoted(LEGACY),
            format!("[{}]", quoted(RECEIPT)),
        ] {
            for body in [
                format!(r#"{{"{name}":{inner}}}"#),
                format!(r#"{{"id":"evt_1","{name}":{inner},"other":{{}}}}"#),
                format!(r#"[{{"{name}":{inner}}}]"#),
                format!(r#"{{"data":{{"{name}":{inner}}}}}"#),
            ] {
                assert_eq!(told(&read("", JSON, body.as_bytes())), ["m-1 failed"], "{body}");
            }
        }
        // A reply's own body holds what a person wrote.
        let message = json!({"messageId": "r", "direction": "MO", "from": "33612345678", name: {"text": RECEIPT}});
        assert_eq!(told(&read("", JSON, message.to_string().as_bytes())), ["r reply"], "{name}");
        let nothing = format!(r#"{{"{name}":{{"a":"{{x"}}}}"#);
        let read = decoded("", JSON, nothing.as_bytes());
        assert_eq!((told(&read.events), read.repaired), (vec!["no messageId".to_owned()], false), "{name}");
    }
    let legacy = json!({"numero": "33612345678", "statut": 21, "smsID": "m-1"});
    assert_eq!(told(&read("", JSON, legacy.to_string().as_bytes())), ["m-1 failed"]);
    let deep = (0..20).fold(RECEIPT.to_owned(), |inner, _| format!(r#"{{"data":{inner}}}"#));
    assert_eq!(told(&read("", JSON, deep.as_bytes())), ["no messageId"]);
}

#[test]
fn a_status_may_be_a_plain_text() {
    let r = receipt(one("", JSON, br#"{"messageId":"m","status":" undelivered ","recipient":{"to":"33612345678"}}"#));
    assert_eq!((r.status.value.as_str(), r.status.outcome), ("UNDELIVERED", Outcome::Failed(Reason::Unknown)));
}

#[test]
fn the_answer_of_a_batch_is_read_up_to_a_thousand_messages() {
    let many = |count: usize| vec![RECEIPT; count].join(",");
    assert_eq!(read("", JSON, format!("[{}]", many(1_000)).as_bytes()).len(), 1_000);
    assert_eq!(read("", JSON, format!(r#"{{"items":[{}]}}"#, many(1_000)).as_bytes()).len(), 1_000);
    for body in [format!("[{}]", many(1_001)), format!(r#"{{"items":[{}]}}"#, many(1_001)), many(1_001)] {
        assert_eq!(told(&read("", JSON, body.as_bytes())), ["array too long"]);
    }
}

#[test]
fn the_answer_of_a_campaign_is_read_where_its_messages_have_ids() {
    let campaign = |recipients: Value| {
        json!({
            "campaignId": "c-1", "status": "ENROUTE", "acceptedAt": "2025-04-01T16:00:08", "from": "SHOP",
            "channel": {"channelId": "ch-1", "type": "SMS", "flow": "MARKETING"}, "recipients": recipients,
        })
        .to_string()
    };
    let body = campaign(
        json!([{"to": "33612345678", "refClient": "r-1", "messageId": "m-1"}, {"to": "33612345679", "messageId": "m-2"}]),
    );
    let mut events = read("", JSON, body.as_bytes());
    assert_eq!(told(&events), ["m-1 pending", "m-2 pending"]);
    let r = receipt(events.remove(0));
    assert_eq!(
        (r.number.as_deref(), r.campaign_id.as_deref(), r.flow.as_deref()),
        (Some("33612345678"), Some("c-1"), Some("MARKETING"))
    );
    assert_eq!((r.accepted_at, r.ref_client.as_deref()), (at("2025-04-01T14:00:08Z"), Some("r-1")));
    // As smsmode answers it, as far as that is known: no ids, so nothing that a receipt could be joined to.
    assert_eq!(told(&read("", JSON, campaign(json!([{"to": "33612345678"}])).as_bytes())), ["no messageId"]);
}

#[test]
fn a_receipt_that_is_not_read_is_seen_to_be_one() {
    for (body, is_one) in [
        (r#"{"message_id":"a","status":"DELIVERED"}"#, true),
        (r#"{"data":{"id":"a","deliveryStatus":{"x":1}}}"#, true),
        ("msgid=a&state=2", true),
        ("payload=%7B%22msg_id%22%3A1%2C%22dlr%22%3A2%7D", true),
        ("<r><messageId>a</messageId><status>2</status></r>", true),
        (r#"{"messageId":"a","status":{"value":"DELI"#, true),
        (r#"{"event":"ping"}"#, false),
        (r#"{"messageId":"a","clicked":true}"#, false),
        ("hello", false),
    ] {
        assert_eq!(decoded("", JSON, body.as_bytes()).has_unread_receipt, is_one, "{body}");
    }
    assert!(decoded("id=a&status=b", None, b"").has_unread_receipt);
    assert!(!decoded("", JSON, RECEIPT.as_bytes()).has_unread_receipt);
    // Of a list, the elements that were not read count.
    assert!(!decoded("", JSON, format!("[{RECEIPT},{{}}]").as_bytes()).has_unread_receipt);
    assert!(decoded("", JSON, format!(r#"[{RECEIPT},{{"id":1,"status":2}}]"#).as_bytes()).has_unread_receipt);
}

#[test]
fn a_repetition_has_the_same_identity_however_it_is_wrapped() {
    let reply_id = |body: &str, label| reply(one("", label, body.as_bytes())).reply_id;
    let form = "emetteur=33612345678&message=oui&numero=36111";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"numero\"\r\n\r\n36111\r\n\
                     --x\r\nContent-Disposition: form-data; name=\"emetteur\"\r\n\r\n33612345678\r\n\
                     --x\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\noui\r\n--x--";
    assert_eq!(reply_id(form, FORM), reply_id(multipart, None));
    assert_eq!(reply_id(form, FORM), reply_id(r#"{"emetteur":"33612345678","message":"oui","numero":"36111"}"#, JSON));
}

proptest! {
    #[test]
    fn wrapping_over_and_over_makes_nothing_panic(steps in prop::collection::vec(0..6_usize, 0..12), cut in any::<prop::sample::Index>()) {
        let mut body = RECEIPT.to_owned();
        for step in steps {
            body = match step {
                0 => quoted(&body),
                1 => encoded(&body),
                2 => format!("payload={body}"),
                3 => format!(r#"{{"body":{body}}}"#),
                4 => format!("[{body},{body}]"),
                _ => format!("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{body}\r\n--x--"),
            };
            if body.len() > 20_000 {
                break;
            }
        }
        prop_assert!(!read("", None, body.as_bytes()).is_empty());
        let end = cut.index(body.len());
        prop_assert!(end == 0 || !read("", JSON, &body.as_bytes()[..end]).is_empty());
    }
}
