//! Webhooks as real senders write them: damaged, mislabeled, wrapped, encoded; what is read of them, and that it is seen.

use std::fs;
use std::io::Write;
use std::process::Command;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::support::smsmode::{API_KEY, Fault, SmsmodeApi};
use crate::support::{HOOK, Launch, NUMBER, Smscope, bytes_under, eventually, gzip, post, program, receipt, request};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn sent_as(content_type: &str, body: &str) -> Vec<u8> {
    request("POST", HOOK, &[&format!("content-type: {content_type}")], body)
}

fn part(name: &str, value: &str) -> String {
    format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn damaged_json_is_read_and_is_seen_to_be_damaged() {
    let smscope = Smscope::start();
    let repaired = || smscope.metric("smscope_webhook_repaired_total", &[("source", "smsmode")]);
    assert_eq!(repaired(), 0.0, "it is there from the start");
    let of = |id: &str, reference: &str| {
        receipt(id, "UNDELIVERED").replace("\"type\"", &format!("\"refClient\":\"{reference}\",\"type\""))
    };
    let bodies = [
        of("m1", "order \\ud83d"),
        of("m2", "a\nb\tc"),
        of("m3", "\\x \\'"),
        receipt("m4", "UNDELIVERED").replace("\"type\"", "\"price\":{\"amount\":-Infinity},\"type\""),
        format!("{}\0", receipt("m5", "UNDELIVERED")),
        format!("[{},{}]", of("m6", "\\ude00"), receipt("m7", "UNDELIVERED")),
        format!("{}\r\n\r\n{}\r\n", of("m8", "\\ude00"), receipt("m9", "UNDELIVERED")),
    ];
    for (at, body) in bodies.iter().enumerate() {
        assert_eq!(smscope.post(HOOK, body).result(), "accepted", "{body:?}");
        assert_eq!(repaired(), at as f64 + 1.0, "{body:?}");
    }
    assert_eq!(smscope.metric("sms_messages_failed_total", &[("reason", "unknown")]), 9.0);
    let marked = || smscope.exported("events").iter().filter(|event| event["repaired"] == true).count();
    assert_eq!(marked(), 9);
    assert_eq!(smscope.post(HOOK, receipt("whole", "UNDELIVERED")).result(), "accepted");
    assert_eq!(repaired(), bodies.len() as f64);
    assert_eq!((smscope.exported("events").len(), marked()), (10, 9));
}

#[test]
fn an_id_of_many_digits_is_one_id_as_a_number_and_as_a_text() {
    let smscope = Smscope::start();
    let as_text = receipt("12345678901234567890123", "DELIVERED");
    let as_number = as_text.replace("\"12345678901234567890123\"", "12345678901234567890123");
    assert_eq!(smscope.post(HOOK, as_number).result(), "accepted");
    assert_eq!(smscope.post(HOOK, as_text).result(), "duplicate");
    assert_eq!(smscope.post(HOOK, receipt("12345678901234567890124", "DELIVERED")).result(), "accepted");
}

#[test]
fn a_receipt_that_is_not_read_is_counted_once() {
    let smscope = Smscope::start();
    let unread = || smscope.metric("smscope_webhook_unread_receipts_total", &[("source", "smsmode")]);
    assert_eq!(unread(), 0.0, "it is there from the start");
    for (body, count) in [
        (r#"{"click":"https://example.com"}"#, 0.0),
        (r#"{"msg_id":"a","state":"delivered"}"#, 1.0),
        (r#"{"msg_id":"a","state":"delivered"}"#, 1.0),
        ("<dlr><messageId>a</messageId><status>1</status></dlr>", 2.0),
        ("id=a&status=b", 3.0),
    ] {
        smscope.post(HOOK, body);
        assert_eq!(unread(), count, "{body}");
    }
}

/// Makes a request of a receipt, or of a legacy one.
type Make = fn(&str, &str) -> Vec<u8>;

#[test]
fn labels_are_not_believed_and_wrappers_are_opened() {
    let smscope = Smscope::start();
    let legacy = |id: &str| format!("numero={NUMBER}&statut=11&smsID={id}");
    let quoted = |text: &str| Value::from(text).to_string();
    let requests: [(&str, Make); 12] = [
        ("a form labeled as JSON", |_, legacy| sent_as("application/json", legacy)),
        ("JSON labeled as a form", |receipt, _| sent_as("application/x-www-form-urlencoded", receipt)),
        ("a multipart form", |_, legacy| {
            let parts: String =
                legacy.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(n, v)| part(n, v)).collect();
            sent_as("multipart/form-data; boundary=x", &format!("{parts}--x--\r\n"))
        }),
        ("a parameter", |receipt, _| {
            sent_as("application/x-www-form-urlencoded", &format!("payload={}", encoded(receipt)))
        }),
        ("a parameter as it is", |receipt, _| sent_as("application/x-www-form-urlencoded", &format!("json={receipt}"))),
        ("a query", |receipt, _| request("GET", &format!("{HOOK}?data={}", encoded(receipt)), &[], "")),
        ("a part", |receipt, _| {
            sent_as("multipart/form-data; boundary=x", &format!("{}--x--", part("payload", receipt)))
        }),
        ("body", |receipt, _| post(HOOK, format!(r#"{{"body":{receipt}}}"#))),
        ("items", |receipt, _| post(HOOK, format!(r#"{{"items":[{receipt}]}}"#))),
        ("data as a text", |receipt, _| post(HOOK, json!({"data": receipt}).to_string())),
        ("payload as a form", |_, legacy| post(HOOK, json!({"payload": legacy}).to_string())),
        ("a plain status", |receipt, _| post(HOOK, receipt.replace(r#"{"value":"DELIVERED"}"#, r#""DELIVERED""#))),
    ];
    for (at, (what, request)) in requests.into_iter().enumerate() {
        let (receipt, legacy) = (receipt(&format!("m{at}"), "DELIVERED"), legacy(&format!("m{at}")));
        assert_eq!(smscope.ask(request(&receipt, &legacy)).result(), "accepted", "{what}");
        assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), at as f64 + 1.0, "{what}");
    }
    let twice = quoted(&quoted(&receipt("twice", "DELIVERED")));
    assert_eq!(smscope.post(HOOK, twice).result(), "accepted");
    assert_eq!(smscope.metric("smscope_webhook_repaired_total", &[]), 0.0, "nothing of it was damaged");
}

#[test]
fn each_encoding_is_read_and_what_cannot_be_is_415() {
    let smscope = Smscope::start();
    let body = |id: &str| receipt(id, "DELIVERED").into_bytes();
    let zlib = |body: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
    };
    let deflate = |body: &[u8]| {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
    };
    let encode = |headers: &[&str], body: &[u8]| smscope.ask(request("POST", HOOK, headers, body));
    for (at, (headers, packed)) in [
        (&["content-encoding: deflate"][..], zlib(&body("e0"))),
        (&["content-encoding: deflate"], deflate(&body("e1"))),
        (&["content-encoding: gzip, identity"], gzip(&body("e2"))),
        (&["content-encoding: deflate", "content-encoding: gzip"], gzip(&zlib(&body("e3")))),
        (&["content-encoding: gzip"], body("e4")),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(encode(headers, &packed).result(), "accepted", "{headers:?}");
        assert_eq!(smscope.newest_body().as_bytes(), body(&format!("e{at}")), "{headers:?}");
    }
    for (coding, packed) in [("compress", body("no")), ("gzip", zlib(&body("no"))), ("br", gzip(&body("no")))] {
        let answer = encode(&[&format!("content-encoding: {coding}")], &packed);
        assert_eq!(
            (answer.status, answer.header("accept-encoding")),
            (415, Some("gzip, deflate, br, zstd")),
            "{coding}"
        );
        assert!(answer.result().contains("expected gzip, deflate, br, zstd or identity"), "{coding}");
    }
    assert_eq!(smscope.requests("error"), 3.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 5.0);
}

/// The answer to a batch of a thousand, as smsmode writes it.
fn batch(first: usize) -> String {
    let message = |at: usize| {
        json!({
            "messageId": format!("67c15045-1067-4588-ba3c-{at:012}"), "acceptedAt": "2026-11-26T20:00:00", "sentDate": "2026-11-26T20:00:00",
            "channel": {"channelId": "da0e501d-4449-40b1-b1f9-3cd1e94031bd", "name": "shop", "type": "SMS", "flow": "MARKETING"},
            "type": "SMS", "direction": "MT", "recipient": {"to": format!("336{at:08}")}, "from": "SHOP",
            "body": {"text": format!("Your order {at} is on its way, follow it at https://shop.example/{at}. STOP to 36111"), "encoding": "GSM7", "messagePartCount": 1, "length": 84, "stop": true},
            "price": {"amount": 0.045, "currency": "EUR"}, "status": {"deliveryDate": "2026-11-26T20:00:00", "value": "ENROUTE"},
            "refClient": format!("order-{at}"), "href": format!("https://rest.example/sms/v1/messages/67c15045-1067-4588-ba3c-{at:012}"),
            "callbackUrlStatus": "https://sms.example.com/hooks/smsmode/0123456789abcdef0123456789abcdef"
        })
    };
    Value::from((first..first + 1_000).map(message).collect::<Vec<_>>()).to_string()
}

#[test]
fn the_answer_of_a_batch_of_a_thousand_is_registered_within_bounded_memory() {
    let smscope = Smscope::start();
    assert!(batch(0).len() > 600_000);
    assert_eq!(smscope.post(HOOK, batch(0)).result(), "accepted");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 1_000.0);
    assert_eq!(smscope.post(HOOK, batch(0)).result(), "duplicate");
    let over = smscope.post(HOOK, " ".repeat((2 << 20) + 1));
    assert_eq!((over.status, over.result().contains("http.max_body")), (413, true));
    // Bodies of 2 MiB at once, each with nearly all the objects that are read at all.
    let heavy = format!("[{}0]{}", "{},".repeat(45_000), " ".repeat((2 << 20) - 140_000));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let answer = smscope.post(HOOK, &heavy);
                assert!([200, 408, 503].contains(&answer.status), "{}", answer.status);
            });
        }
    });
    let peak = smscope.peak_rss_kb() >> 10;
    println!("{peak} MiB resident at most");
    assert!(peak < 400, "{peak} MiB");
    assert_eq!(smscope.post(HOOK, batch(1_000)).result(), "accepted");
}

/// How often it stands in the files of the data directory.
fn found(launch: &Launch, wanted: &str) -> usize {
    let files = bytes_under(&launch.data_dir());
    files
        .iter()
        .map(|(_, bytes)| bytes.windows(wanted.len()).filter(|window| *window == wanted.as_bytes()).count())
        .sum()
}

/// A marked text of a marked person, in each form in which webhooks are read.
fn of_a_person(id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let message = |at: usize| {
        json!({"messageId": format!("{id}-{at}"), "recipient": {"to": "33698765432"}, "body": {"text": "marked-text"},
               "refClient": "marked-reference", "status": {"value": "DELIVERED"}})
        .to_string()
    };
    let other = receipt(&format!("{id}-other"), "DELIVERED");
    let quoted = |text: &str| Value::from(text).to_string();
    let reply = "numero=36111&emetteur=0698765432&message=marked-text&responseID=";
    vec![
        ("damaged", post(HOOK, message(0).replace("marked-text", "marked-text\\ud83d"))),
        ("lines", post(HOOK, format!("{other}\n{}", message(1)))),
        ("a JSON string", post(HOOK, quoted(&message(2)))),
        ("a wrapper", post(HOOK, format!(r#"{{"body":{}}}"#, message(3)))),
        ("a list in a wrapper", post(HOOK, format!(r#"{{"items":[{other},{}]}}"#, message(4)))),
        ("a text in a wrapper", post(HOOK, format!(r#"{{"data":{}}}"#, quoted(&message(5))))),
        ("a parameter", sent_as("application/x-www-form-urlencoded", &format!("payload={}", encoded(&message(6))))),
        ("a query", request("GET", &format!("{HOOK}?payload={}", encoded(&message(7))), &[], "")),
        ("a part", sent_as("multipart/form-data; boundary=x", &format!("{}--x--", part("payload", &message(8))))),
        (
            "a multipart form",
            sent_as(
                "multipart/form-data; boundary=x",
                &format!(
                    "{}{}{}--x--",
                    part("emetteur", "0698765432"),
                    part("message", "marked-text"),
                    part("responseID", id)
                ),
            ),
        ),
        ("a form in a wrapper", post(HOOK, json!({"payload": format!("{reply}{id}-2")}).to_string())),
        (
            "legacy names in JSON",
            post(
                HOOK,
                json!({"emetteur": "0698765432", "message": "marked-text", "responseID": format!("{id}-3")})
                    .to_string(),
            ),
        ),
        (
            "cut short",
            post(
                HOOK,
                message(9).replace(r#","refClient""#, r#","x":"marked-text"#).split(r#"","status"#).next().unwrap(),
            ),
        ),
    ]
}

#[test]
fn a_text_that_is_dropped_is_in_none_of_these_forms() {
    let smscope = Smscope::with("[privacy]\ntext = \"dropped\"");
    for (what, request) in of_a_person("m") {
        if what != "cut short" {
            assert_eq!(smscope.ask(request).result(), "accepted", "{what}");
        }
    }
    let launch = smscope.stop();
    assert_eq!(found(&launch, "marked-text"), 0);
    assert!(found(&launch, "marked-reference") > 0, "what is no text is there");
}

#[test]
fn a_person_is_erased_from_each_of_these_forms() {
    let smscope = Smscope::start();
    for (what, request) in of_a_person("m") {
        assert_eq!(smscope.ask(request).status, 200, "{what}");
    }
    let counted = smscope.metric("sms_messages_total", &[]);
    let erased = smscope.launch.clone().args(&["erase", "--yes", "--recipient", "+33698765432"]).run();
    assert_eq!(erased.code, Some(0), "{}", erased.stderr);
    for (what, request) in of_a_person("m") {
        assert_eq!(smscope.ask(request).status, 200, "{what}");
    }
    assert_eq!(smscope.metric("sms_messages_total", &[]), counted);
    let launch = smscope.stop();
    for mark in ["marked-text", "marked-reference", "33698765432", "0698765432", &encoded("marked-text")] {
        assert_eq!(found(&launch, mark), 0, "{mark}");
    }
}

#[test]
fn one_damaged_message_of_the_providers_list_costs_only_itself() {
    let stand_in = SmsmodeApi::start();
    let source =
        format!("[[source]]\nname = \"smsmode\"\napi = {{ key = \"{API_KEY}\", url = \"{}\" }}\n", stand_in.url());
    let smscope = Smscope::with(&format!("[reconcile]\nenabled = true\nafter = \"1s\"\ninterval = \"1s\"\n{source}"));
    let item = |id: &str, reference: &str| {
        json!({"messageId": id, "refClient": reference, "recipient": {"to": NUMBER}, "acceptedAt": "2026-01-01T12:00:00",
               "status": {"value": "DELIVERED", "deliveryDate": "2026-01-01T12:00:05"}})
    };
    stand_in.set_messages(vec![item("a", "r"), json!(17), item("b", "DAMAGE"), item("c", "r")]);
    stand_in.always_fail(Fault::Damaged("DAMAGE", "\\ud83d \n"));
    for id in ["a", "b", "c"] {
        assert_eq!(smscope.post(HOOK, receipt(id, "ENROUTE")).result(), "accepted");
    }
    eventually("all are delivered", || smscope.metric("sms_messages_delivered_total", &[]) == 3.0);
    assert_eq!(smscope.metrics().value("smscope_reconcile_rounds_total", &[("result", "failed")]), Some(0.0));
}

#[test]
fn the_pipe_of_the_readme_registers_a_message_and_shows_a_failure() {
    let Some(_) = program("curl", "curl") else { return };
    let readme = fs::read_to_string("README.md").unwrap();
    let block = readme.split("### Register messages as pending").nth(1).unwrap();
    let block = block.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let stand_in = SmsmodeApi::start();
    let smscope = Launch::new().start();
    let script = block
        .replace("https://rest.smsmode.com", &stand_in.url())
        .replace("$(target/release/smscope url)", &format!("http://{}{HOOK}", smscope.webhooks));
    let run = |key: &str| {
        let ended = Command::new("bash").args(["-c", &script]).env("SMSMODE_API_KEY", key).output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let (success, told, _) = run(API_KEY);
    assert!(success && told.contains("accepted"), "{told}");
    assert_eq!(smscope.metric("sms_messages_pending", &[("state", "enroute")]), 1.0);
    let (success, told, error) = run("wr0ng-key");
    assert!(!success && error.contains("401"), "{told}{error}");
    assert_eq!(smscope.metric("smscope_store_events", &[]), 1.0, "an error is not registered");
    smscope.stop();
    let (success, _, error) = run(API_KEY);
    assert!(!success && !error.is_empty(), "{error}");
}
