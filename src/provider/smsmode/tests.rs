//! What comes in and what it is read as, table by table.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Smsmode, content, trimmed, v1};
use crate::event::{Country, Event, Outcome, Price, Reason, Receipt, Reply, ReplyKind, Unrecognized};
use crate::json::{self, Json};
use crate::provider::{DEFAULT_STOP_KEYWORDS, DecodeContext, Decoded, Events, Provider, Webhook};

pub(super) const JSON: Option<&str> = Some("application/json");
pub(super) const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

pub(super) fn read(query: &str, content_type: Option<&str>, body: &[u8]) -> Events {
    decoded(query, content_type, body).events
}

pub(super) fn decoded(query: &str, content_type: Option<&str>, body: &[u8]) -> Decoded {
    let context = context();
    if let Some(event) = content::usual(&context, trimmed(body)) {
        assert_eq!(Ok(event), read_from_value(&context, trimmed(body)), "{}", String::from_utf8_lossy(body));
    }
    Smsmode.decode(&context, &Webhook { query, content_type, body })
}

pub(super) fn context() -> DecodeContext<'static> {
    static ZONE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Europe/Paris").unwrap());
    static KEYWORDS: LazyLock<Vec<String>> =
        LazyLock::new(|| DEFAULT_STOP_KEYWORDS.iter().map(|word| word.to_string()).collect());
    let region = Country::new("FR").unwrap();
    DecodeContext { zone: &ZONE, region, stop_keywords: &KEYWORDS, start_keywords: &[] }
}

/// The event of a message that is valid JSON, by its [`Value`].
fn read_from_value(context: &DecodeContext<'_>, body: &[u8]) -> Result<Event, &'static str> {
    let documents = json::read(body).unwrap();
    assert!(!documents.repaired && documents.documents.len() == 1 && documents.documents[0].value.is_object());
    v1::event(context, &Json::from(&documents.documents[0].value))
}

#[track_caller]
pub(super) fn one(query: &str, content_type: Option<&str>, body: &[u8]) -> Event {
    let mut events = read(query, content_type, body);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[track_caller]
pub(super) fn receipt(event: Event) -> Receipt {
    match event {
        Event::Receipt(receipt) => *receipt,
        other => panic!("not a receipt: {other:?}"),
    }
}

#[track_caller]
pub(super) fn reply(event: Event) -> Reply {
    match event {
        Event::Reply(reply) => *reply,
        other => panic!("not a reply: {other:?}"),
    }
}

#[track_caller]
pub(super) fn unrecognized(event: Event) -> Unrecognized {
    match event {
        Event::Unrecognized(unrecognized) => unrecognized,
        other => panic!("recognized: {other:?}"),
    }
}

#[track_caller]
fn json_event(message: &Value) -> Event {
    one("", JSON, message.to_string().as_bytes())
}

pub(super) fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn full_receipt() -> Value {
    json!({
        "messageId": "m-1", "acceptedAt": "2025-04-01T16:00:08", "sentDate": "2025-04-01T16:00:09",
        "channel": {"channelId": "ch-1", "name": "Shop", "type": "SMS", "flow": "TRANSACTIONAL"},
        "type": "SMS", "direction": "MT", "recipient": {"to": "33612345678"}, "from": "BOUTIQUE",
        "body": {"text": " Bonjour ", "encoding": "GSM7", "messagePartCount": 2, "length": 9, "stop": true},
        "price": {"amount": 0.045, "currency": "EUR"},
        "status": {"deliveryDate": "2025-04-01T16:00:12", "value": "DELIVERED",
                   "lookup": {"mccMnc": "20801", "country": "France", "network": "Orange"}},
        "refClient": "order-1", "campaignId": "c-1", "originMessageId": "o-1", "href": "https://example.org/m-1",
        "somethingNew": {"a": [1, 2]}
    })
}

fn full_reply() -> Value {
    json!({
        "messageId": "r-1", "acceptedAt": "2025-04-01T16:00:08", "sentDate": "2025-04-01T16:00:09", "direction": "MO",
        "channel": {"channelId": "ch-1", "type": "SMS", "flow": "MARKETING"}, "type": "SMS",
        "recipient": {"to": "36111"}, "from": "33612345678", "body": {"type": "TEXT", "text": "oui merci"},
        "originMessageId": "m-1", "refClient": "order-1", "campaignId": "c-1"
    })
}

/// `message` with the field at `path` (`status.value`) set, or removed where `value` is `None`.
fn with(mut message: Value, path: &str, value: Option<Value>) -> Value {
    let (parents, field) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parents.split('.').filter(|p| !p.is_empty()).fold(&mut message, |at, key| &mut at[key]);
    match value {
        Some(value) => parent[field] = value,
        None => drop(parent.as_object_mut().unwrap().remove(field)),
    }
    message
}

#[test]
fn a_full_receipt_is_read_field_by_field() {
    let r = receipt(json_event(&full_receipt()));
    assert_eq!((r.message_id.as_str(), r.message_part.as_str()), ("m-1", ""));
    assert_eq!(r.channel.as_deref(), Some("SMS"));
    assert_eq!(r.channel_id.as_deref(), Some("ch-1"));
    assert_eq!(r.flow.as_deref(), Some("TRANSACTIONAL"));
    assert_eq!(r.number.as_deref(), Some("33612345678"));
    assert_eq!(r.country, Country::new("FR"));
    assert_eq!(r.originator.as_deref(), Some("BOUTIQUE"));
    assert_eq!(r.status.value, "DELIVERED");
    assert_eq!((r.status.outcome, r.status.detail), (Outcome::Delivered, None));
    assert_eq!(r.status.time, at("2025-04-01T14:00:12Z"));
    assert_eq!(r.status.time_text, "2025-04-01T16:00:12");
    assert_eq!(r.accepted_at, at("2025-04-01T14:00:08Z"));
    assert_eq!(r.sent_at, at("2025-04-01T14:00:09Z"));
    assert_eq!((r.network.mccmnc.as_deref(), r.network.name.as_deref()), (Some("20801"), Some("Orange")));
    assert_eq!(r.price, Some(Price { micros: 45_000, currency: Some("EUR".into()) }));
    assert_eq!(r.parts, Some(2));
    assert_eq!(r.ref_client.as_deref(), Some("order-1"));
    assert_eq!(r.campaign_id.as_deref(), Some("c-1"));
    assert_eq!(r.origin_message_id.as_deref(), Some("o-1"));
    assert_eq!(r.text.as_deref(), Some(" Bonjour "));
}

#[test]
fn the_least_receipt_is_an_id_and_a_status() {
    let r = receipt(json_event(&json!({"messageId": " 7 ", "status": {"value": "ENROUTE"}})));
    assert_eq!((r.message_id.as_str(), r.status.outcome), ("7", Outcome::Enroute));
    assert_eq!((r.channel, r.number, r.country, r.price, r.parts), (None, None, None, None, None));
    assert_eq!((r.status.time, r.status.time_text.as_str()), (None, ""));
}

#[test]
fn every_status_has_its_outcome_whatever_its_case() {
    for (value, outcome) in [
        ("SCHEDULED", Outcome::Scheduled),
        ("ENROUTE", Outcome::Enroute),
        ("DELIVERED", Outcome::Delivered),
        ("UNDELIVERED", Outcome::Failed(Reason::Unknown)),
        ("UNDELIVERABLE", Outcome::Failed(Reason::Unknown)),
        ("READ", Outcome::Read),
        ("EXPLODED", Outcome::Unknown),
    ] {
        for written in [value.to_owned(), value.to_lowercase(), format!(" {value} ")] {
            let r = receipt(json_event(&with(full_receipt(), "status.value", Some(json!(written)))));
            assert_eq!((r.status.outcome, r.status.value.as_str()), (outcome, value), "{written}");
            assert_eq!(r.status.value_text.as_deref(), Some(written.trim()).filter(|written| *written != value));
        }
    }
}

#[test]
fn every_detail_of_a_failure_has_its_reason() {
    for (detail, reason) in [
        ("INSUFFICIENT_CREDIT", Reason::Credit),
        ("ORGANISATION_MONTHLY_LIMIT_EXCEEDED", Reason::Limit),
        ("DAILY_LIMIT_EXCEEDED", Reason::Limit),
        ("SPAM", Reason::SpamFiltered),
        ("INVALID_PHONE_NUMBER", Reason::InvalidNumber),
        ("BLACKLISTED", Reason::Blacklisted),
        ("IN_PROGRESS", Reason::Unknown),
        ("DELIVERED_TO_NETWORK", Reason::Unknown),
        ("ROUTE_NOT_AVAILABLE", Reason::Routing),
        ("PHONE_NOT_SUITABLE", Reason::NotSupported),
        ("NETWORK_NOT_SUITABLE", Reason::NotSupported),
        ("MEDIA_INVALID", Reason::Content),
        ("EXPIRED", Reason::Expired),
        ("CANCELLED", Reason::Cancelled),
        ("INTERNAL_ERROR", Reason::ProviderError),
        ("SOMETHING_NEW", Reason::Unknown),
        (" blacklisted ", Reason::Blacklisted),
    ] {
        let failed = with(full_receipt(), "status.detail", Some(json!(detail)));
        for value in ["UNDELIVERED", "UNDELIVERABLE"] {
            let r = receipt(json_event(&with(failed.clone(), "status.value", Some(json!(value)))));
            assert_eq!(r.status.outcome, Outcome::Failed(reason), "{detail}");
            assert_eq!(r.status.detail.as_deref(), Some(detail.trim()));
        }
        // On any other status it says nothing of the outcome.
        assert_eq!(receipt(json_event(&failed)).status.outcome, Outcome::Delivered);
    }
}

#[test]
fn every_legacy_code_has_its_outcome() {
    let failed = |reason| Outcome::Failed(reason);
    for (codes, outcome) in [
        (&[0, 1, 10, 12, 13, 15][..], Outcome::Enroute),
        (&[11, 14, 16, 101], Outcome::Delivered),
        (&[100], Outcome::Read),
        (&[2, 31], failed(Reason::ProviderError)),
        (&[21, 22, 39, 50, 3599, 999], failed(Reason::Unknown)),
        (&[33], failed(Reason::Credit)),
        (&[34, 3560], failed(Reason::Routing)),
        (&[35, 3503, 3523], failed(Reason::HandsetError)),
        (&[36, 38, 40, 3525], failed(Reason::Content)),
        (&[37], failed(Reason::Expired)),
        (&[3501, 3521], failed(Reason::Network)),
        (&[3502, 3522], failed(Reason::HandsetAbsent)),
        (&[3504, 3526], failed(Reason::Portability)),
        (&[3524], failed(Reason::SpamFiltered)),
        (&[3527], failed(Reason::Roaming)),
        (&[3998], failed(Reason::InvalidNumber)),
        (&[3999], failed(Reason::Blacklisted)),
        (&[3, 20, 32, 102, 3500, 4000, 65535], Outcome::Unknown),
    ] {
        for code in codes {
            let r = receipt(one(&format!("smsID=a&statut={code}"), None, b""));
            assert_eq!((r.status.outcome, r.status.value), (outcome, code.to_string()), "{code}");
        }
    }
    for (written, value) in [("011", "11"), ("00", "0"), ("+11+", "11"), ("3999", "3999"), ("-1", "-1"), ("1x", "1x")] {
        assert_eq!(receipt(one(&format!("smsID=a&statut={written}"), None, b"")).status.value, value, "{written}");
    }
    for odd in ["DELIVERED", "-1", "99999999999", "1.5"] {
        assert_eq!(receipt(one(&format!("smsID=a&statut={odd}"), None, b"")).status.outcome, Outcome::Unknown, "{odd}");
    }
}

#[test]
fn a_price_is_read_from_a_text_or_a_number_and_a_senseless_one_is_none() {
    for (amount, micros) in [
        (json!(0.045), Some(45_000)),
        (json!("0.045"), Some(45_000)),
        (json!(" 0,045 "), Some(45_000)),
        (json!(1), Some(1_000_000)),
        (json!(0), Some(0)),
        (json!("0.0000005"), Some(1)),
        (json!(1e9), Some(1_000_000_000_000_000)),
        (json!(1.1e9), None),
        (json!(-0.045), None),
        (json!("NaN"), None),
        (json!("inf"), None),
        (json!("free"), None),
        (json!("1.234,5"), None),
        (json!(true), None),
        (json!(null), None),
        (json!({}), None),
    ] {
        let r = receipt(json_event(&with(full_receipt(), "price.amount", Some(amount.clone()))));
        assert_eq!(r.price.map(|price| price.micros), micros, "{amount}");
    }
    for currency in [None, Some(json!("")), Some(json!(["EUR"]))] {
        let r = receipt(json_event(&with(full_receipt(), "price.currency", currency)));
        assert_eq!(r.price, Some(Price { micros: 45_000, currency: None }));
    }
}

#[test]
fn an_optional_field_of_the_wrong_type_is_absent_and_the_receipt_is_kept() {
    let optional = [
        "acceptedAt",
        "sentDate",
        "channel",
        "type",
        "direction",
        "recipient",
        "from",
        "body",
        "price",
        "refClient",
        "campaignId",
        "originMessageId",
        "href",
        "status.deliveryDate",
        "status.detail",
        "status.lookup",
        "status.lookup.mccMnc",
        "recipient.to",
        "status.lookup.network",
        "body.messagePartCount",
        "body.text",
        "price.amount",
        "channel.type",
        "channel.channelId",
    ];
    for path in optional {
        let without = receipt(json_event(&with(full_receipt(), path, None)));
        for wrong in [json!(null), json!(true), json!([]), json!(["x"]), json!({}), json!({"x": {"y": 1}}), json!("  ")]
        {
            let r = receipt(json_event(&with(full_receipt(), path, Some(wrong.clone()))));
            assert_eq!(r, without, "{path}: {wrong}");
        }
    }
}

#[test]
fn numbers_are_taken_for_texts_and_texts_for_numbers() {
    let r = receipt(json_event(&json!({
        "messageId": 123456789012_u64, "status": {"value": "DELIVERED", "deliveryDate": 1743516010123_u64, "lookup": {"mccMnc": 20801}},
        "recipient": {"to": 33612345678_u64}, "refClient": 42, "campaignId": 7, "body": {"messagePartCount": " 3 "}
    })));
    assert_eq!(r.message_id, "123456789012");
    assert_eq!((r.ref_client.as_deref(), r.campaign_id.as_deref(), r.parts), (Some("42"), Some("7"), Some(3)));
    assert_eq!((r.number.as_deref(), r.network.mccmnc.as_deref()), (Some("33612345678"), Some("20801")));
    assert_eq!((r.status.time, r.status.time_text.as_str()), (at("2025-04-01T14:00:10.123Z"), "1743516010123"));
    for parts in [json!(-1), json!(1.5), json!(256), json!("many"), json!(1e300)] {
        assert_eq!(receipt(json_event(&with(full_receipt(), "body.messagePartCount", Some(parts)))).parts, None);
    }
}

#[test]
fn a_status_time_that_cannot_be_read_is_kept_as_text() {
    let r = receipt(json_event(&with(full_receipt(), "status.deliveryDate", Some(json!(" soon ")))));
    assert_eq!((r.status.time, r.status.time_text.as_str()), (None, "soon"));
}

#[test]
fn the_channel_is_its_own_type_else_that_of_the_message() {
    let r = receipt(json_event(&with(with(full_receipt(), "channel.type", None), "type", Some(json!("RCS")))));
    assert_eq!(r.channel.as_deref(), Some("RCS"));
    let r = receipt(json_event(&with(with(full_receipt(), "channel", None), "type", None)));
    assert_eq!(r.channel, None);
}

#[test]
fn a_label_and_an_id_have_one_spelling() {
    let mut message = full_receipt();
    for (path, written) in [
        ("messageId", "67C15045-96E8-4E5A-9C3B-0123456789AB"),
        ("channel.channelId", "0A0F1A28-2E33-4E1D-8D8D-0123456789AB"),
        ("campaignId", "0A0F1A28-2E33-4E1D-8D8D-0123456789AC"),
        ("originMessageId", "0A0F1A28-2E33-4E1D-8D8D-0123456789AD"),
        ("channel.type", " sms "),
        ("channel.flow", "Marketing"),
        ("price.currency", "eur"),
        ("refClient", "Order-A"),
    ] {
        message = with(message, path, Some(json!(written)));
    }
    let r = receipt(json_event(&message));
    assert_eq!(r.message_id, "67c15045-96e8-4e5a-9c3b-0123456789ab");
    assert_eq!(r.channel_id.as_deref(), Some("0a0f1a28-2e33-4e1d-8d8d-0123456789ab"));
    assert_eq!(r.campaign_id.as_deref(), Some("0a0f1a28-2e33-4e1d-8d8d-0123456789ac"));
    assert_eq!(r.origin_message_id.as_deref(), Some("0a0f1a28-2e33-4e1d-8d8d-0123456789ad"));
    assert_eq!((r.channel.as_deref(), r.flow.as_deref()), (Some("SMS"), Some("MARKETING")));
    assert_eq!(r.price.and_then(|price| price.currency).as_deref(), Some("EUR"));
    assert_eq!(r.ref_client.as_deref(), Some("Order-A"), "what the sender has chosen stays");
    let message = with(full_reply(), "messageId", Some(json!("67C15045-96E8-4E5A-9C3B-0123456789AB")));
    let r = reply(json_event(&message));
    assert_eq!(r.reply_id, "67c15045-96e8-4e5a-9c3b-0123456789ab");
}

#[test]
fn the_country_is_that_of_the_number_else_that_of_the_network() {
    for (to, mccmnc, country, kept) in [
        ("0612345678", "20601", Some("FR"), Some("20601")),
        ("+12025550123", "20801", Some("US"), Some("20801")),
        ("unknown", "208-01", Some("FR"), Some("20801")),
        ("unknown", "310 260", Some("US"), Some("310260")),
        ("unknown", "208", None, None),
        ("unknown", "20801x", None, None),
        ("unknown", "2080123", None, None),
        ("unknown", "90128", None, Some("90128")),
        ("33000", "", None, None),
    ] {
        let message = with(full_receipt(), "recipient.to", Some(json!(to)));
        let r = receipt(json_event(&with(message, "status.lookup.mccMnc", Some(json!(mccmnc)))));
        assert_eq!(r.country.as_ref().map(Country::as_str), country, "{to} {mccmnc}");
        assert_eq!(r.network.mccmnc.as_deref(), kept, "{mccmnc}");
    }
}

#[test]
fn a_full_reply_is_read_field_by_field() {
    let r = reply(json_event(&full_reply()));
    assert_eq!((r.reply_id.as_str(), r.kind), ("r-1", ReplyKind::Reply));
    assert_eq!((r.channel.as_deref(), r.channel_id.as_deref()), (Some("SMS"), Some("ch-1")));
    assert_eq!(r.flow.as_deref(), Some("MARKETING"));
    assert_eq!((r.number.as_deref(), r.country), (Some("33612345678"), Country::new("FR")));
    assert_eq!(r.originator.as_deref(), Some("36111"));
    assert_eq!(r.time, at("2025-04-01T14:00:09Z"));
    assert_eq!((r.ref_client.as_deref(), r.campaign_id.as_deref()), (Some("order-1"), Some("c-1")));
    assert_eq!(r.origin_message_id.as_deref(), Some("m-1"));
    assert_eq!(r.text.as_deref(), Some("oui merci"));
    let r = reply(json_event(&with(full_reply(), "sentDate", Some(json!("?")))));
    assert_eq!(r.time, at("2025-04-01T14:00:08Z"));
}

#[test]
fn the_contact_of_a_reply_is_the_full_number_on_whichever_side() {
    for (from, to, number, originator) in [
        (Some("33612345678"), Some("36111"), Some("33612345678"), Some("36111")),
        (Some("36111"), Some("+33 6 12 34 56 78"), Some("33612345678"), Some("36111")),
        (Some("BOUTIQUE"), Some("33612345678"), Some("33612345678"), Some("BOUTIQUE")),
        (Some("33612345678"), Some("33787654321"), Some("33612345678"), Some("33787654321")),
        (Some("36111"), Some("BOUTIQUE"), Some("36111"), Some("BOUTIQUE")),
        (Some("33612345678"), None, Some("33612345678"), None),
        (None, Some("33612345678"), Some("33612345678"), None),
        (None, Some("36111"), None, Some("36111")),
        (None, None, None, None),
    ] {
        let message = with(full_reply(), "from", from.map(|text| json!(text)));
        let r = reply(json_event(&with(message, "recipient.to", to.map(|text| json!(text)))));
        assert_eq!((r.number.as_deref(), r.originator.as_deref()), (number, originator), "{from:?} {to:?}");
    }
}

#[test]
fn a_stop_is_what_the_provider_says_or_a_keyword() {
    for (body, kind) in [
        (json!({"text": "oui", "stop": true}), ReplyKind::Stop),
        (json!({"text": "oui", "stop": "True"}), ReplyKind::Stop),
        (json!({"text": "oui", "stop": 1}), ReplyKind::Stop),
        (json!({"text": "oui", "stop": false}), ReplyKind::Reply),
        (json!({"text": "oui", "stop": "no"}), ReplyKind::Reply),
        (json!({"text": " Arrêt. "}), ReplyKind::Stop),
        (json!({"text": "stop 36111", "stop": false}), ReplyKind::Stop),
        (json!({"text": "stop the bus"}), ReplyKind::Reply),
        (json!({"type": "SUGGESTION", "postbackData": "STOP"}), ReplyKind::Stop),
        (json!({}), ReplyKind::Reply),
    ] {
        assert_eq!(reply(json_event(&with(full_reply(), "body", Some(body.clone())))).kind, kind, "{body}");
    }
}

#[test]
fn the_text_of_a_reply_follows_the_type_of_its_body() {
    for (body, text) in [
        (json!({"text": "no type"}), Some("no type")),
        (json!({"type": "SUGGESTION", "text": "Yes", "postbackData": "yes-1"}), Some("Yes")),
        (json!({"type": "suggestion", "postbackData": "yes-1"}), Some("yes-1")),
        (json!({"type": "LOCATION", "latitude": 48.85, "longitude": "2.35"}), Some("48.85,2.35")),
        (json!({"type": "LOCATION", "latitude": 48.85}), None),
        (json!({"type": "FILE", "fileUrl": "https://example.org/x", "filename": "a.jpg"}), Some("a.jpg")),
        (json!({"type": "FILE", "fileUrl": "https://example.org/x"}), None),
        (json!({"type": "NEW", "postbackData": "x"}), None),
        (json!({"text": ""}), None),
        (json!({"text": 1}), Some("1")),
        (json!("text"), None),
    ] {
        assert_eq!(reply(json_event(&with(full_reply(), "body", Some(body.clone())))).text.as_deref(), text, "{body}");
    }
}

#[test]
fn receipts_and_replies_are_told_apart_by_shape() {
    let kind = |message: &Value| match json_event(message) {
        Event::Receipt(_) => "receipt".into(),
        Event::Reply(_) => "reply".into(),
        Event::Unrecognized(unrecognized) => unrecognized.why,
    };
    for (message, expected) in [
        (json!({"messageId": "a", "status": {"value": "NEW"}}), "receipt"),
        (json!({"messageId": "a", "status": {"value": "NEW"}, "direction": "XX"}), "receipt"),
        (json!({"messageId": "a", "status": {"value": "DELIVERED"}, "direction": "mo"}), "reply"),
        (json!({"messageId": "a", "direction": "MO"}), "reply"),
        (json!({"messageId": "a", "body": {"text": "hi"}, "from": "33612345678"}), "reply"),
        (json!({"messageId": "a", "body": {}, "originMessageId": "m"}), "reply"),
        (json!({"messageId": "a", "body": {"text": "hi"}}), "neither a receipt nor a reply"),
        (json!({"messageId": "a", "body": "hi", "from": "33612345678"}), "neither a receipt nor a reply"),
        (json!({"messageId": "a", "status": {"value": " "}}), "neither a receipt nor a reply"),
        (json!({"messageId": "a", "status": "DELIVERED", "direction": "MT", "body": {}, "from": "x"}), "receipt"),
        (json!({"messageId": "a", "status": "delivered", "body": {}, "from": "x"}), "receipt"),
        (json!({"messageId": "a", "status": "NEW"}), "receipt"),
        (json!({"messageId": "a", "status": "RECEIVED", "body": {"text": "hi"}, "from": "33612345678"}), "reply"),
        (json!({"messageId": "a", "status": "DELIVERED", "direction": "MO"}), "reply"),
        (json!({"messageId": "a", "status": " ", "direction": "MT"}), "no status"),
        (json!({"messageId": "a", "status": 11, "direction": "MT"}), "no status"),
        (json!({"messageId": " ", "status": {"value": "DELIVERED"}}), "no messageId"),
        (json!({"status": {"value": "DELIVERED"}}), "no messageId"),
        (json!({"messageId": true, "direction": "MO"}), "no messageId"),
        (json!({}), "no messageId"),
        (json!(3), "not a JSON object"),
        (json!(null), "not a JSON object"),
        (json!([[]]), "empty array"),
    ] {
        assert_eq!(kind(&message), expected, "{message}");
    }
}
