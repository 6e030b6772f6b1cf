//! Webhooks, the responses to them, and what is stored and counted of them.

use std::collections::HashSet;

use crate::support::{HOOK, NUMBER, Smscope, TOKEN, gzip, post, receipt, request};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn form(body: &str) -> Vec<u8> {
    request("POST", HOOK, &["content-type: application/x-www-form-urlencoded"], body)
}

fn get(query: &str) -> Vec<u8> {
    request("GET", &format!("{HOOK}?{query}"), &[], "")
}

/// The kind of the newest event in the store.
fn newest_kind(smscope: &Smscope) -> String {
    smscope.stored("SELECT kind FROM events ORDER BY id DESC")
}

#[test]
fn each_kind_of_webhook_has_its_response_and_is_stored_as_that_kind() {
    let smscope = Smscope::start();
    let reply = |id: &str, text: &str, more: &str| {
        format!(
            r#"{{"messageId":"{id}","direction":"MO","from":"{NUMBER}","recipient":{{"to":"36180"}},"body":{{"text":"{text}"{more}}}}}"#
        )
    };
    let legacy = |id: &str, code: &str| format!("smsID={id}&numero={NUMBER}&statut={code}&refClient=r");
    for (what, request, told, kind) in [
        ("scheduled", post(HOOK, receipt("m1", "SCHEDULED")), "accepted", "message.scheduled"),
        ("on its way", post(HOOK, receipt("m1", "ENROUTE")), "accepted", "message.enroute"),
        ("delivered", post(HOOK, receipt("m1", "DELIVERED")), "accepted", "message.delivered"),
        ("read", post(HOOK, receipt("m1", "READ")), "accepted", "message.read"),
        ("failed", post(HOOK, receipt("m2", "UNDELIVERABLE")), "accepted", "message.failed"),
        ("no known status", post(HOOK, receipt("m3", "TELEPORTED")), "accepted", "message.unknown"),
        ("the same again", post(HOOK, receipt("m1", "DELIVERED")), "duplicate", "message.unknown"),
        ("a reply", post(HOOK, reply("r1", "hello", "")), "accepted", "reply.received"),
        ("STOP by its text", post(HOOK, reply("r2", " stop. ", "")), "accepted", "reply.stop"),
        ("STOP by its mark", post(HOOK, reply("r3", "hello", r#","stop":true"#)), "accepted", "reply.stop"),
        ("a reply again", post(HOOK, reply("r1", "hello", "")), "duplicate", "reply.stop"),
        ("a legacy receipt", get(&legacy("7", "11")), "accepted", "message.delivered"),
        ("the same as a form", form(&legacy("7", "11")), "duplicate", "message.delivered"),
        ("a legacy failure as a form", form(&legacy("8", "3502")), "accepted", "message.failed"),
        (
            "a legacy reply",
            get(&format!("numero=36180&emetteur={NUMBER}&message=hello&responseID=1")),
            "accepted",
            "reply.received",
        ),
        (
            "a legacy STOP",
            get(&format!("numero=36180&emetteur={NUMBER}&message=ARR%CAT&responseID=2")),
            "accepted",
            "reply.stop",
        ),
        (
            "no webhook of smsmode's",
            post(HOOK, r#"{"click":"https://example.com"}"#),
            "unrecognized",
            "webhook.unrecognized",
        ),
        ("the same again", post(HOOK, r#"{"click":"https://example.com"}"#), "duplicate", "webhook.unrecognized"),
        ("broken JSON", post(HOOK, r#"{"messageId":"#), "unrecognized", "webhook.unrecognized"),
        ("deep JSON", post(HOOK, "[".repeat(100_000)), "unrecognized", "webhook.unrecognized"),
        ("a number", post(HOOK, "42"), "unrecognized", "webhook.unrecognized"),
        ("bytes", request("POST", HOOK, &[], [0xff, 0x00, 0xfe]), "unrecognized", "webhook.unrecognized"),
        ("any parameters", get("hello=world"), "unrecognized", "webhook.unrecognized"),
    ] {
        let answer = smscope.ask(request);
        assert_eq!((answer.status, &*answer.result()), (200, told), "{what}");
        assert_eq!(newest_kind(&smscope), kind, "{what}");
    }
    for (metric, count) in [
        ("sms_messages_total", 5.0),
        ("sms_messages_delivered_total", 2.0),
        ("sms_messages_failed_total", 2.0),
        ("sms_messages_read_total", 1.0),
        ("sms_messages_pending", 1.0),
        ("sms_receipts_total", 8.0),
        ("sms_replies_total", 5.0),
        ("smscope_store_events", 19.0),
    ] {
        assert_eq!(smscope.metric(metric, &[]), count, "{metric}");
    }
    assert_eq!(smscope.metric("sms_replies_total", &[("kind", "stop")]), 3.0);
    for (result, count) in [("accepted", 13.0), ("duplicate", 4.0), ("unrecognized", 6.0)] {
        assert_eq!(smscope.requests(result), count, "{result}");
    }
    assert!(smscope.metric("smscope_last_webhook_timestamp_seconds", &[("source", "smsmode")]) > 1.7e9);
}

#[test]
fn a_request_without_content_is_a_probe_and_leaves_nothing() {
    let smscope = Smscope::start();
    for (what, request) in [
        ("GET", request("GET", HOOK, &[], "")),
        ("GET with an empty query", request("GET", &format!("{HOOK}?"), &[], "")),
        ("GET with a trace only", request("GET", &format!("{HOOK}?traceparent={TRACE}"), &[], "")),
        ("GET with a trace in the path", request("GET", &format!("{HOOK}/{TRACE}"), &[], "")),
        ("GET with a slash behind", request("GET", &format!("{HOOK}/"), &[], "")),
        ("POST of nothing", request("POST", HOOK, &["content-length: 0"], "")),
        ("POST of white space", post(HOOK, " \r\n")),
        ("POST of nothing, gzip'd", request("POST", HOOK, &["content-encoding: gzip"], gzip(b""))),
        ("POST without a length", request("POST", HOOK, &[], "")),
        ("POST of a byte order mark", post(HOOK, "\u{feff}\n")),
        ("POST of an empty array", post(HOOK, "[]")),
        ("POST of an empty array with blanks", post(HOOK, "\n [ \t] ")),
        ("POST of an empty array as text", request("POST", HOOK, &["content-type: text/plain"], "[]")),
    ] {
        let answer = smscope.ask(request);
        assert_eq!((answer.status, &*answer.result()), (200, "probe"), "{what}");
    }
    assert_eq!(smscope.requests("probe"), 13.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
}

#[test]
fn only_what_the_provider_may_have_sent_moves_the_time_of_the_last_webhook() {
    const LAST: &str = "smscope_last_webhook_timestamp_seconds";
    let smscope = Smscope::start();
    let last = || smscope.metrics().value(LAST, &[]);
    let with_receipt = format!("{HOOK}?smsID=7&statut=11&numero={NUMBER}");
    let mut client = smscope.client();
    assert_eq!(client.ask(request("GET", HOOK, &[], "")).result(), "probe");
    assert_eq!(client.ask(post(HOOK, "[]")).result(), "probe");
    assert_eq!(client.ask(request("GET", &format!("{HOOK}?nocache=1"), &[], "")).result(), "unrecognized");
    for path in [HOOK, &with_receipt] {
        client.send(request("HEAD", path, &[], ""));
        let answer = client.head();
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("18")), "{path}");
    }
    assert_eq!(client.ask(post("/hooks/smsmode/wrong", "x")).status, 404);
    assert_eq!(client.ask(request("GET", "/", &[], "")).status, 200);
    assert_eq!(last(), None);
    assert_eq!(smscope.requests("probe"), 4.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 1.0, "that of the GET which is no receipt");

    assert_eq!(client.ask(request("GET", &with_receipt, &[], "")).result(), "accepted");
    let after_the_receipt = last().unwrap();
    assert!(after_the_receipt > 1.7e9);
    assert_eq!(client.ask(request("GET", HOOK, &[], "")).result(), "probe");
    assert_eq!(last(), Some(after_the_receipt));
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(client.ask(post(HOOK, "junk")).result(), "unrecognized");
    assert!(last().unwrap() > after_the_receipt, "somebody sends something, if not what is expected");
}

#[test]
fn a_json_array_is_one_transaction_and_one_answer() {
    let smscope = Smscope::start();
    let array = |elements: &[String]| format!("[{}]", elements.join(","));
    let (one, two, three) = (receipt("1", "DELIVERED"), receipt("2", "DELIVERED"), receipt("3", "ENROUTE"));
    let junk = |n: u32| format!(r#"{{"junk":{n}}}"#);
    for (what, body, told, events) in [
        ("two new", array(&[one.clone(), two.clone()]), "accepted", 2.0),
        ("both known", array(&[one.clone(), two.clone()]), "duplicate", 2.0),
        ("one known, one new", array(&[one.clone(), three.clone()]), "accepted", 3.0),
        ("one known, one unrecognized", array(&[one.clone(), junk(1)]), "unrecognized", 4.0),
        ("a new one twice", array(&[receipt("4", "READ"), receipt("4", "READ")]), "accepted", 5.0),
        ("unrecognized ones", array(&[junk(2), junk(3)]), "unrecognized", 7.0),
        ("a new one among unrecognized ones", array(&[junk(4), receipt("5", "READ"), junk(5)]), "accepted", 10.0),
        ("no elements", array(&[]), "probe", 10.0),
        ("too many elements", array(&vec!["1".to_owned(); 10_000]), "unrecognized", 11.0),
    ] {
        assert_eq!(smscope.post(HOOK, body).result(), told, "{what}");
        assert_eq!(smscope.metric("smscope_store_events", &[]), events, "{what}");
    }
    assert_eq!(smscope.metric("sms_messages_total", &[]), 5.0);
}

#[test]
fn a_trace_parent_is_stored_with_the_event_from_any_place_in_the_url_and_a_malformed_one_is_not() {
    let smscope = Smscope::start();
    for (at, (place, target, expected)) in [
        ("nowhere", HOOK.to_owned(), None),
        ("as parameter", format!("{HOOK}?traceparent={TRACE}"), Some(TRACE)),
        ("as path segment", format!("{HOOK}/{TRACE}"), Some(TRACE)),
        ("malformed, as parameter", format!("{HOOK}?traceparent=00-1-2-3"), None),
        ("malformed, as path segment", format!("{HOOK}/00-1-2-3"), None),
        ("all zeros", format!("{HOOK}?traceparent=00-{:032}-{:016}-01", 0, 0), None),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(smscope.post(&target, receipt(&at.to_string(), "DELIVERED")).result(), "accepted", "{place}");
        assert_eq!(smscope.newest_event()["trace"].as_str(), expected, "{place}");
        let request = smscope.exported("requests").pop().unwrap();
        assert_eq!(request["query"], "", "it is no part of what the provider sent: {place}");
    }
    let legacy = format!("{HOOK}?smsID=1&traceparent={TRACE}&statut=11&numero={NUMBER}");
    assert_eq!(smscope.ask(request("GET", &legacy, &[], "")).result(), "accepted");
    assert_eq!(smscope.newest_event()["trace"], TRACE);
}

#[test]
fn a_retransmission_with_another_trace_is_a_duplicate() {
    let smscope = Smscope::start();
    let junk = r#"{"no":"receipt"}"#;
    assert_eq!(smscope.post(HOOK, junk).result(), "unrecognized");
    assert_eq!(smscope.post(&format!("{HOOK}?traceparent={TRACE}"), junk).result(), "duplicate");
    assert_eq!(smscope.post(&format!("{HOOK}/{TRACE}"), junk).result(), "duplicate");
}

#[test]
fn an_unrecognized_request_is_stored_as_it_arrived() {
    let smscope = Smscope::start();
    let body = b"\xef\xbb\xbf{\"click\": \"\xe9\"}\r\n";
    let target = format!("{HOOK}?a=%20b&c");
    let sent = request("POST", &target, &["content-type: Application/JSON; charset=x"], body);
    assert_eq!(smscope.ask(sent).result(), "unrecognized");
    let database = smscope.database();
    let stored: (String, String, String, Vec<u8>) = database
        .query_row("SELECT method, query, content_type, body FROM events", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    let expected = ("POST".into(), "a=%20b&c".into(), "Application/JSON; charset=x".into(), body.to_vec());
    assert_eq!(stored, expected);
}

#[test]
fn an_acknowledged_event_is_already_in_the_store() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for n in 1..=50 {
        assert_eq!(client.ask(post(HOOK, receipt(&format!("m{n}"), "DELIVERED"))).result(), "accepted");
        assert_eq!(smscope.stored::<i64>("SELECT count(*) FROM messages WHERE state = 'delivered'"), n);
    }
}

#[test]
fn the_same_event_sent_many_times_at_once_is_accepted_once() {
    let smscope = Smscope::start();
    for round in 0..10 {
        let body = receipt(&format!("round {round}"), "DELIVERED");
        let mut clients: Vec<_> = (0..8).map(|_| smscope.client()).collect();
        clients.iter_mut().for_each(|client| client.send(post(HOOK, &body)));
        let mut told: Vec<String> = clients.iter_mut().map(|client| client.response().result()).collect();
        told.sort();
        assert_eq!(told[..2], ["accepted", "duplicate"], "round {round}");
        assert_eq!(told[7], "duplicate", "round {round}");
    }
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), 10.0);
}

#[test]
fn a_restart_forgets_nothing_and_counts_nothing_twice() {
    let first = Smscope::start();
    let sent = [receipt("a", "DELIVERED"), receipt("b", "ENROUTE"), "{}".to_owned()];
    for body in &sent {
        first.post(HOOK, body).result();
    }
    let launch = first.stop();
    let second = launch.start();
    for body in &sent {
        assert_eq!(second.post(HOOK, body).result(), "duplicate");
    }
    assert_eq!(second.metric("sms_messages_total", &[]), 2.0);
    assert_eq!(second.metric("sms_messages_delivered_total", &[]), 1.0);
    assert_eq!(second.requests("accepted"), 0.0, "what is of the process starts at 0 with it");
}

#[test]
fn requests_are_counted_from_0_for_each_configured_source_and_never_under_what_a_caller_wrote() {
    let smscope = Smscope::start();
    for source in ["smsmode", "unknown"] {
        for result in [
            "accepted",
            "duplicate",
            "unrecognized",
            "probe",
            "unauthorized",
            "forbidden",
            "too_large",
            "timeout",
            "overloaded",
            "error",
        ] {
            let labels = [("source", source), ("result", result)];
            assert_eq!(smscope.metric("smscope_webhook_requests_total", &labels), 0.0, "{labels:?}");
        }
    }
    for kind in ["reply", "stop"] {
        assert_eq!(smscope.metric("sms_replies_total", &[("source", "smsmode"), ("kind", kind)]), 0.0);
    }
    for path in
        ["/hooks/evil/x", "/hooks/evil%22%0Aname/x", "/hooks/SMSMODE/x", "/hooks/unknown/x", "/hooks", "/hooks//"]
    {
        assert_eq!(smscope.post(path, "{}").status, 404, "{path}");
    }
    assert_eq!(
        smscope.metric("smscope_webhook_requests_total", &[("source", "unknown"), ("result", "unauthorized")]),
        6.0
    );
    assert_eq!(smscope.post("/hooks/smsmode/wrong", "{}").status, 404);
    assert_eq!(smscope.requests("unauthorized"), 1.0);
    let metrics = smscope.metrics();
    assert!(!metrics.text.contains("evil") && !metrics.text.contains("SMSMODE"), "{}", metrics.text);
}

#[test]
fn values_from_outside_past_the_cap_of_their_label_become_other_and_are_counted() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    let statuses: Vec<String> = (0..60).map(|n| format!("MADE_UP_{n}")).collect();
    for status in &statuses {
        assert_eq!(client.ask(post(HOOK, receipt(status, status))).result(), "accepted");
    }
    let metrics = smscope.metrics();
    let shown = metrics.values_of("sms_receipts_total", "status");
    let known = shown.iter().filter(|shown| statuses.iter().any(|status| status == *shown)).count();
    assert!((1..=50).contains(&known), "{shown:?}");
    assert_eq!(shown.len(), known + 1, "those and other: {shown:?}");
    let other = 60.0 - known as f64;
    assert_eq!(metrics.value("sms_receipts_total", &[("status", "other"), ("outcome", "unknown")]), Some(other));
    assert_eq!(metrics.value("sms_receipts_total", &[]), Some(60.0));
    assert_eq!(metrics.value("smscope_labels_capped_total", &[("label", "status")]), Some(other));
    // What the provider documents has its own value all the same.
    assert_eq!(client.ask(post(HOOK, receipt("m", "DELIVERED"))).result(), "accepted");
    assert_eq!(smscope.metric("sms_receipts_total", &[("status", "DELIVERED")]), 1.0);
}

#[test]
fn countries_have_no_cap() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    // Mobile country codes, which tell the country of a message whose recipient does not.
    let codes = [
        202, 204, 206, 208, 212, 213, 214, 216, 218, 219, 220, 222, 226, 228, 230, 231, 232, 234, 238, 240, 242, 244,
        246, 247, 248, 250, 255, 257, 259, 260, 262, 266, 268, 270, 272, 274, 276, 278, 280, 282, 283, 284, 286, 288,
        290, 292, 293, 294, 295, 297, 302, 310, 334, 338, 344, 346, 350, 352, 354, 356,
    ];
    for code in codes {
        let body =
            format!(r#"{{"messageId":"{code}","status":{{"value":"ENROUTE","lookup":{{"mccMnc":"{code}01"}}}}}}"#);
        assert_eq!(client.ask(post(HOOK, body)).result(), "accepted");
    }
    let metrics = smscope.metrics();
    let countries: HashSet<String> = metrics.values_of("sms_messages_total", "country").into_iter().collect();
    assert_eq!(countries.len(), codes.len(), "{countries:?}");
    assert!(!countries.contains("other") && !countries.contains("unknown"), "{countries:?}");
}

#[test]
fn no_metric_shows_a_number_a_text_an_id_or_the_token() {
    let smscope = Smscope::start();
    let reply = format!(
        r#"{{"messageId":"id-of-a-reply","direction":"MO","from":"{NUMBER}","recipient":{{"to":"36180"}},"body":{{"text":"words of a person"}}}}"#
    );
    assert_eq!(smscope.post(HOOK, reply).result(), "accepted");
    assert_eq!(smscope.post(HOOK, receipt("id-of-a-message", "DELIVERED")).result(), "accepted");
    let shown = smscope.metrics().text + smscope.ask_admin("GET", "/", &[]).text() + &smscope.stderr();
    for personal in [NUMBER, "612345678", "words", "id-of", TOKEN] {
        assert!(!shown.contains(personal), "{personal} in {shown}");
    }
}
