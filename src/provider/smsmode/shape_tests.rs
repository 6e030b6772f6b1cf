//! Which of its shapes a webhook has: JSON, an array of it, a form, a query, or none.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{FORM, JSON, at, context, decoded, one, read, receipt, reply, unrecognized};
use super::{content, trimmed};
use crate::event::{Country, Event, Outcome, Price, ReplyKind, hex};

const RECEIPT: &str = r#"{"messageId":"m-1","status":{"value":"DELIVERED"},"body":{"text":"été"}}"#;

#[test]
fn json_is_taken_as_such_whatever_the_content_type_says() {
    for content_type in [JSON, None, FORM, Some("text/plain"), Some("Application/JSON; charset=utf-8")] {
        for body in [RECEIPT.to_owned(), format!("\u{feff}{RECEIPT}"), format!("\r\n \u{feff} {RECEIPT}\n")] {
            assert_eq!(receipt(one("", content_type, body.as_bytes())).text.as_deref(), Some("été"));
        }
    }
    for label in [JSON, Some("application/problem+json")] {
        assert_eq!(receipt(one("", label, b"statut=11&smsID=a")).message_id, "a");
        assert_eq!(unrecognized(one("", label, b"no JSON at all")).why, "broken JSON");
    }
}

#[test]
fn a_body_that_is_one_message_in_valid_json_is_read_in_one_pass() {
    let mut in_one_pass = Vec::new();
    for seed in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/provider")).unwrap() {
        let seed = seed.unwrap();
        let body = std::fs::read(seed.path()).unwrap();
        decoded("", JSON, &body);
        if content::usual(&context(), trimmed(&body)).is_some() {
            in_one_pass.push(seed.file_name().into_string().unwrap());
        }
    }
    in_one_pass.sort_unstable();
    // A location is two floats, whose digits are read with more care.
    assert_eq!(in_one_pass, ["delivered.json", "file.json", "receipt.json", "reply.json", "suggestion.json"]);
}

#[test]
fn json_in_latin_1_is_read() {
    let body: Vec<u8> = RECEIPT.chars().map(|c| c as u8).collect();
    assert_eq!(receipt(one("", JSON, &body)).text.as_deref(), Some("été"));
}

#[test]
fn broken_and_too_deep_json_is_unrecognized() {
    let deep = "[".repeat(100_000);
    for body in ["{", "[", "{}x", "{\"messageId\":", "{,}", &deep, &RECEIPT[..40]] {
        let why = unrecognized(one("", None, body.as_bytes())).why;
        assert_eq!(
            why,
            if body == deep { "not a JSON object" } else { "broken JSON" },
            "{}",
            &body[..body.len().min(40)]
        );
    }
}

#[test]
fn an_array_gives_an_event_an_element_in_order() {
    let body = json!([
        {"messageId": "a", "status": {"value": "DELIVERED"}},
        {"messageId": "", "channel": {"channelId": "ch-1"}},
        {"messageId": "b", "direction": "MO"},
        7,
        7
    ]);
    let mut events = read("", JSON, body.to_string().as_bytes()).into_iter();
    assert_eq!(receipt(events.next().unwrap()).message_id, "a");
    let first = events.next().unwrap();
    assert_eq!(first.channel_id(), Some("ch-1"));
    assert_eq!(reply(events.next().unwrap()).reply_id, "b");
    let digests = [first, events.next().unwrap(), events.next().unwrap()].map(|event| unrecognized(event).digest);
    assert!(digests[0] != digests[1] && digests[1] != digests[2], "the same element twice is two events");
    assert_eq!(events.next(), None);
}

#[test]
fn the_digest_is_that_of_query_and_body() {
    let u = unrecognized(one("a=b", None, br#"{"channel":{"channelId":" ch-1 "}}"#));
    // printf 'a=b\0{"channel":{"channelId":" ch-1 "}}' | sha256sum
    assert_eq!(hex(&u.digest), "7634adcdfff5c54124e0066c864d8175c6998b80766e2da839d71bf4c4056f85");
    assert_eq!((u.channel_id.as_deref(), &*u.why), (Some("ch-1"), "no messageId"));
    assert_ne!(unrecognized(one("a", None, b"x")).digest, unrecognized(one("", None, b"ax")).digest);
}

#[test]
fn only_nothing_gives_no_event() {
    for body in ["", " ", "\r\n\t ", "\u{feff}", "[]", " [ \n] ", "\u{feff}[]"] {
        assert_eq!(read("", JSON, body.as_bytes()), vec![]);
    }
    for (query, body) in
        [("a", ""), ("&", ""), ("", "x"), ("", "\0"), ("a=b", " "), ("a=b", "[]"), ("", "["), ("", "[[]]"), ("", "{}")]
    {
        assert!(matches!(one(query, None, body.as_bytes()), Event::Unrecognized(_)), "{query} {body}");
    }
}

#[test]
fn a_legacy_receipt_is_read_from_a_query_or_a_form() {
    let parameters = "numero=0612345678&date_reception=2010-03-25+09%3A52%3A17&statut=11&smsID=kTy%2Fh\
                      &refClient=order-1&mcc_mnc=20801&cost=1,5";
    let shouted = parameters.replace("statut", "STATUT").replace("smsID", "smsid");
    for event in [
        one(parameters, None, b""),
        one(parameters, Some("application/json"), b" "),
        one("", FORM, parameters.as_bytes()),
        one("", None, parameters.as_bytes()),
        one("", Some("text/plain"), shouted.as_bytes()),
    ] {
        let r = receipt(event);
        assert_eq!((r.message_id.as_str(), r.message_part.as_str()), ("kTy/h", "33612345678"));
        assert_eq!(r.part_text.as_deref(), Some("0612345678"));
        assert_eq!((r.number.as_deref(), r.country), (Some("33612345678"), Country::new("FR")));
        assert_eq!((r.channel.as_deref(), r.flow), (Some("SMS"), None));
        assert_eq!((r.status.value.as_str(), r.status.outcome), ("11", Outcome::Delivered));
        assert_eq!(r.status.time, at("2010-03-25T08:52:17Z"));
        assert_eq!(r.status.time_text, "2010-03-25 09:52:17");
        assert_eq!(r.network.mccmnc.as_deref(), Some("20801"));
        assert_eq!(r.price, Some(Price { micros: 1_500_000, currency: Some("credits".into()) }));
        assert_eq!(r.ref_client.as_deref(), Some("order-1"));
    }
    let least = receipt(one("statut=1&smsID=a", None, b""));
    assert_eq!((least.message_part.as_str(), least.number, least.price), ("", None, None));
    assert_eq!(unrecognized(one("statut=11&smsID=+", None, b"")).why, "no smsID");
}

#[test]
fn a_legacy_recipient_is_the_same_however_it_is_written() {
    for numero in [
        "33612345678",
        "%2B33612345678",
        "+33612345678",
        "0033612345678",
        "0612345678",
        "06+12+34+56+78",
        "06.12.34.56.78",
        "(%2B33)+6-12-34-56-78",
        "%252B33612345678",
        "%25252B33612345678",
        "%252B33%2B6%2B12%2B34%2B56%2B78",
        "%2533%25336%2531%2532345678",
    ] {
        let r = receipt(one(&format!("statut=11&smsID=a&numero={numero}"), None, b""));
        assert_eq!((r.message_part.as_str(), r.number.as_deref()), ("33612345678", Some("33612345678")), "{numero}");
    }
    for numero in ["99912345678", "%2B999+12345678", "0099912345678", "%252B99912345678"] {
        let r = receipt(one(&format!("statut=11&smsID=a&numero={numero}"), None, b""));
        assert_eq!(r.message_part, "99912345678", "{numero}, which no plan knows");
    }
}

#[test]
fn a_request_whose_values_were_encoded_twice_is_read_as_if_once() {
    let twice = "numero=%252B33612345678&date_reception=2010-03-25%2B09%253A52%253A17&statut=11&smsID=kTy%252Fh&refClient=a%252Bb";
    let r = receipt(one(twice, None, b""));
    assert_eq!((r.message_id.as_str(), r.ref_client.as_deref()), ("kTy/h", Some("a+b")));
    assert_eq!(r.status.time, at("2010-03-25T08:52:17Z"));
    let r = receipt(one("", FORM, twice.as_bytes()));
    assert_eq!((r.message_id.as_str(), r.message_part.as_str()), ("kTy/h", "33612345678"));
    let once = receipt(one("numero=33612345678&statut=11&smsID=kTy%252Fh&refClient=100%2525", None, b""));
    assert_eq!((once.message_id.as_str(), once.ref_client.as_deref()), ("kTy%2Fh", Some("100%25")), "nothing shows it");
    let said = reply(one("emetteur=%252B33612345678&message=%25C3%25A9t%25C3%25A9", None, b""));
    assert_eq!(said.text.as_deref(), Some("été"));
    let whole = receipt(one("numero%3D33612345678%26smsID%3Da%26statut%3D11", None, b""));
    assert_eq!((whole.message_id.as_str(), whole.message_part.as_str()), ("a", "33612345678"));
}

#[test]
fn a_query_that_is_appended_with_a_second_question_mark_is_read() {
    for query in [
        "a=1?smsID=a&statut=11&numero=33612345678",
        "?smsID=a&statut=11&numero=33612345678",
        "a=1&b?smsID=a?statut=11?numero=33612345678",
        "a=1&amp;smsID=a&amp;statut=11&amp;numero=33612345678",
        "a=1?&smsID=a&statut=11&numero=33612345678",
    ] {
        let r = receipt(one(query, None, b""));
        assert_eq!((r.message_id.as_str(), r.message_part.as_str()), ("a", "33612345678"), "{query}");
    }
    let said = reply(one("emetteur=33612345678&message=who?+me?a=1&numero=36111", None, b""));
    assert_eq!(said.text.as_deref(), Some("who? me?a=1"));
}

#[test]
fn a_legacy_reply_without_an_id_is_the_same_however_it_is_written() {
    let of = |query| reply(one(query, None, b""));
    let first = of("emetteur=33612345678&message=oui&numero=36111&date_reception=01012013-122233");
    for other in [
        "emetteur=%2B33612345678&message=oui&numero=36111&date_reception=01012013-122233",
        "emetteur=0612345678&message=oui&numero=36111&date_reception=2013-01-01+12:22:33",
        "emetteur=33612345678&message=oui&numero=36111&date_reception=2013-01-01T11:22:33.000Z",
    ] {
        assert_eq!(of(other).reply_id, first.reply_id, "{other}");
    }
    assert_eq!(first.former_id.as_ref().map(String::len), Some(64), "what earlier versions called it");
}

#[test]
fn a_form_goes_before_the_query_and_adds_to_it() {
    let r = receipt(one("statut=11&smsID=query", FORM, b"smsID=form&numero=+33612345678"));
    assert_eq!((r.message_id.as_str(), r.message_part.as_str()), ("form", "33612345678"));
    let r = receipt(one("statut=11&smsID=query", Some("text/xml"), b"<smsID>body</smsID>"));
    assert_eq!(r.message_id, "query");
}

#[test]
fn in_a_legacy_reply_the_contact_is_the_emetteur() {
    let query = "numero=36111&message=Arr%C3%AAt&emetteur=33612345678&date_reception=01012013-122233&smsID=a&refClient=r&responseID=77";
    let r = reply(one(query, None, b""));
    assert_eq!((r.reply_id.as_str(), r.kind), ("77", ReplyKind::Stop));
    assert_eq!((r.number.as_deref(), r.originator.as_deref()), (Some("33612345678"), Some("36111")));
    assert_eq!((r.country, r.time), (Country::new("FR"), at("2013-01-01T11:22:33Z")));
    assert_eq!((r.origin_message_id.as_deref(), r.ref_client.as_deref()), (Some("a"), Some("r")));
    assert_eq!((r.channel.as_deref(), r.text.as_deref()), (Some("SMS"), Some("Arrêt")));
}

#[test]
fn a_legacy_reply_without_an_id_is_known_by_all_its_parameters() {
    let id = |query| reply(one(query, None, b"")).reply_id;
    let first = id("emetteur=33612345678&message=oui&numero=36111");
    assert_eq!(first.len(), 64);
    assert_eq!(first, id("numero=36111&message=oui&emetteur=33612345678"));
    assert_ne!(first, id("emetteur=33612345678&message=non&numero=36111"));
    assert_eq!(reply(one("emetteur=33612345678&message=", None, b"")).text, None);
    for query in ["message=oui", "emetteur=33612345678", "numero=33612345678&smsID=a&url=x"] {
        assert_eq!(unrecognized(one(query, None, b"")).why, "neither a receipt nor a reply");
    }
}

#[test]
fn values_are_utf_8_or_else_windows_1252() {
    for (message, text) in [
        ("%C3%A9t%C3%A9+2013", "été 2013"),
        ("%E9t%E9", "été"),
        ("10+%80", "10 €"),
        ("a%2Bb%26c", "a+b&c"),
        ("100%", "100%"),
        ("%zz%2", "%zz%2"),
        ("a=b", "a=b"),
    ] {
        let query = format!("emetteur=33612345678&message={message}");
        assert_eq!(reply(one(&query, None, b"")).text.as_deref(), Some(text), "{message}");
    }
    let r = reply(one("", FORM, b"emetteur=33612345678&message=\xe9t\xe9"));
    assert_eq!(r.text.as_deref(), Some("été"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        query in "\\PC{0,60}",
        content_type in prop::option::of("\\PC{0,20}"),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let events = read(&query, content_type.as_deref(), &body);
        let written: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        prop_assert_eq!(events.is_empty(), query.is_empty() && matches!(&written[..], b"" | b"[]"));
    }

    #[test]
    fn no_message_like_text_makes_it_panic(
        values in prop::collection::vec("\\PC{0,12}|[0-9+,.: -]{0,20}", 8),
        cut in 0..200_usize,
    ) {
        let [a, b, c, d, e, f, g, h] = values.try_into().unwrap();
        let body = json!({
            "messageId": a, "status": {"value": b, "detail": c, "deliveryDate": d, "lookup": {"mccMnc": e}},
            "recipient": {"to": f}, "price": {"amount": g}, "body": {"text": h}, "direction": h,
        })
        .to_string();
        read("", JSON, body.as_bytes());
        read("", JSON, &body.as_bytes()[..cut.min(body.len())]);
        let form = format!("statut={b}&smsID={a}&numero={f}&date_reception={d}&cost={g}&mcc_mnc={e}&message={h}&emetteur={f}");
        read(&form, FORM, form.as_bytes());
    }
}
