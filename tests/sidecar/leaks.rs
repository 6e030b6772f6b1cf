//! Numbers, texts and tokens leave only where the operator asked for it: marked ones are sent through everything, and everything
//! that comes out is searched for them, in every form that they may have.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Client, Launch, OtlpStub, Smscope, bytes_under, eventually, request, traces};
use serde_json::{Value, json};

const TOKEN: &str = "marked-token-0123456789abcdef";
const WRONG_TOKEN: &str = "marked-wrong-token-0123456789";
const COLLECTOR_TOKEN: &str = "marked-collector-token";
const NUMBER: &str = "33698765432";
const LEGACY_NUMBER: &str = "33687654321";
const REPLY_NUMBER: &str = "33676543210";
const UNRECOGNIZED_NUMBER: &str = "33665432109";
const DROPPED_NUMBER: &str = "33654321098";

const NUMBERS: [&str; 5] = [NUMBER, LEGACY_NUMBER, REPLY_NUMBER, UNRECOGNIZED_NUMBER, DROPPED_NUMBER];
const TEXTS: [&str; 4] = ["marked-text", "marked-reply", "marked-legacy-reply", "marked-unrecognized"];
const TOKENS: [&str; 3] = [TOKEN, WRONG_TOKEN, COLLECTOR_TOKEN];

fn hook(path: &str) -> String {
    format!("/hooks/smsmode/{path}")
}

fn receipt(id: &str, number: &str, status: &str) -> Value {
    json!({"messageId": id, "type": "SMS", "direction": "MT", "recipient": {"to": number}, "from": "ACME",
        "body": {"text": "marked-text for you", "messagePartCount": 1}, "refClient": "order-1",
        "status": {"value": status, "detail": format!("to {number}"), "lookup": {"network": format!("net {number}")}}})
}

/// Everything that can be sent, through every way in, good and bad.
fn send_everything(smscope: &Smscope) {
    let json = &["content-type: application/json"][..];
    let good = hook(TOKEN);
    let reply = json!({"messageId": "reply", "direction": "MO", "from": format!("+{REPLY_NUMBER}"), "recipient": {"to": "36111"},
        "body": {"text": "marked-reply of mine"}});
    let legacy = format!("{good}?smsID=l&numero={LEGACY_NUMBER}&statut=35&mcc_mnc=20801");
    let legacy_reply = format!("{good}?numero=36111&emetteur={REPLY_NUMBER}&message=marked-legacy-reply&responseID=2");
    for (method, target, headers, body) in [
        ("POST", &good, json, receipt("v1", NUMBER, "DELIVERED").to_string()),
        ("POST", &good, json, receipt("v1", NUMBER, "DELIVERED").to_string()),
        ("POST", &good, json, receipt("unknown", NUMBER, &format!("FOR {NUMBER}")).to_string()),
        (
            "POST",
            &good,
            json,
            json!([receipt("a", NUMBER, "ENROUTE"), receipt("b", NUMBER, "UNDELIVERED"), 17]).to_string(),
        ),
        ("POST", &good, json, reply.to_string()),
        ("POST", &good, json, json!({"who": UNRECOGNIZED_NUMBER, "what": "marked-unrecognized"}).to_string()),
        ("POST", &good, json, format!("{{\"messageId\":\"broken\",\"marked-unrecognized\":\"{UNRECOGNIZED_NUMBER}")),
        ("POST", &good, &[], format!("marked-unrecognized {UNRECOGNIZED_NUMBER}\u{0}")),
        ("GET", &legacy, &[], String::new()),
        ("GET", &legacy_reply, &[], String::new()),
        ("POST", &hook(WRONG_TOKEN), json, receipt("v1", NUMBER, "DELIVERED").to_string()),
        ("GET", &format!("/hooks/{NUMBER}/{TOKEN}"), &[], String::new()),
        ("PUT", &good, json, receipt("put", NUMBER, "DELIVERED").to_string()),
        ("POST", &good, &["content-encoding: gzip"], format!("marked-text {NUMBER}")),
        ("POST", &good, json, format!("\"marked-text {NUMBER} {}\"", "x".repeat(300_000))),
    ] {
        let answer = smscope.ask(request(method, target, headers, &body));
        clean("an answer", &[&answer.body, format!("{:?}", answer.headers).as_bytes()].concat());
    }
    for broken in [
        format!("POST {good} HTTP/1.1\r\nx-marked: marked-text {NUMBER}\r\ncontent-length: x\r\n\r\n"),
        format!("GET {good}?numero={NUMBER}&{} HTTP/1.1\r\n\r\n", "x".repeat(90_000)),
        format!("POST {good} HTTP/1.1\r\nhost: h\r\nmarked: {}{NUMBER}\r\n\r\n", "x".repeat(90_000)),
        format!("{NUMBER} marked-text {TOKEN}\r\n\r\n"),
        format!("POST {good} HTTP/1.1\r\nhost: h\r\ncontent-length: 99\r\n\r\nmarked-text {NUMBER}"),
    ] {
        let mut client = smscope.client();
        let _cut_off = client.try_send(broken);
        clean("an answer", &client.rest());
    }
}

/// The page as it is shown to who sits at the machine: with the last events.
fn page(smscope: &Smscope) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", smscope.admin);
    Client::connect(smscope.admin).ask(request).text().to_owned()
}

/// Whether anything that is marked is in it, in any form.
fn leaks(bytes: &[u8]) -> Vec<String> {
    NUMBERS.iter().chain(&TEXTS).chain(&TOKENS).flat_map(|secret| traces(bytes, secret)).collect()
}

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let found = leaks(bytes);
    assert!(found.is_empty(), "{what} has {found:?}: {}", String::from_utf8_lossy(bytes));
}

fn launch(collector: &OtlpStub) -> Launch {
    Launch::without_token()
        .env("SMSCOPE_TOKEN", TOKEN)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-key={COLLECTOR_TOKEN}"))
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("RUST_LOG", "trace,hyper=trace,hyper_util=trace,h2=trace,opentelemetry=trace")
}

/// What the process shows to others on the machine: its command line; its environment is the operator's own.
fn command_line(smscope: &Smscope) -> Vec<u8> {
    fs::read(format!("/proc/{}/cmdline", smscope.id())).unwrap()
}

#[test]
fn nothing_personal_and_no_token_leaves_in_any_form_by_any_way() {
    let collector = OtlpStub::answering(500);
    let launch = launch(&collector).on_a_disk_that_may_fill_up();
    clean("check", launch.clone().args(&["check"]).run().stdout.as_bytes());
    let smscope = launch.start();
    send_everything(&smscope);
    // A collector that fails, one that rejects, one that cannot read it, and a disk that is full: each causes an error line.
    eventually("a push fails", || smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) > 0.0);
    smscope.fill_disk();
    smscope.ask(request(
        "POST",
        &hook(TOKEN),
        &["content-type: application/json"],
        receipt("full", NUMBER, "READ").to_string(),
    ));
    smscope.free_disk();
    eventually("it writes again", || smscope.ask_admin("GET", "/readyz", &[]).status == 200);
    collector.answer(200);
    smscope.until_exported();

    let otlp = collector.bodies();
    assert!(otlp.len() > 5_000 && String::from_utf8_lossy(&otlp).contains("sms.recipient.hash"));
    clean("what is exported", &otlp);
    for path in ["/metrics", "/", "/livez", "/readyz", &format!("/{TOKEN}/{NUMBER}")] {
        let answer = smscope.ask_admin("GET", path, &[]);
        clean(path, &answer.body);
    }
    let page = page(&smscope);
    assert!(page.contains("+336•••••432"), "the page shows the last events: {page}");
    clean("the page", page.as_bytes());
    clean("the list of processes", &command_line(&smscope));
    for arguments in [&["report"][..], &["report", "--format", "json"], &["show", "v1"], &["show", "nothing-there"]] {
        let ended = launch.clone().args(arguments).run();
        clean(&format!("{arguments:?}"), format!("{ended:?}").as_bytes());
    }
    let ended = smscope.process.terminate();
    assert!(ended.stderr.contains("\"level\":\"TRACE\""), "{}", ended.stderr);
    clean("standard output", ended.stdout.as_bytes());
    clean("the diagnostics", ended.stderr.as_bytes());
    for (path, bytes) in bytes_under(launch.home.path()) {
        let is_private = path.starts_with(launch.data_dir().join("private"));
        assert!(is_private || leaks(&bytes).is_empty(), "{}", path.display());
    }
}

/// That the search finds what is there.
#[test]
fn text_and_number_are_found_where_a_setting_exports_them() {
    let collector = OtlpStub::answering(200);
    let toml = "[privacy]\nrecipient = \"plain\"\ntext = \"exported\"\n";
    let smscope = launch(&collector).file(toml).start();
    send_everything(&smscope);
    smscope.until_exported();
    let otlp = collector.bodies();
    for asked in [NUMBER, LEGACY_NUMBER, REPLY_NUMBER, "marked-text", "marked-reply", "marked-legacy-reply"] {
        assert!(!traces(&otlp, asked).is_empty(), "{asked}");
    }
    for never in TOKENS.iter().chain(&[UNRECOGNIZED_NUMBER, "marked-unrecognized"]) {
        assert!(traces(&otlp, never).is_empty(), "{never}");
    }
    clean("/metrics", smscope.metrics().text.as_bytes());
    clean("the page", page(&smscope).as_bytes());
    // The store has everything but tokens.
    let store: Vec<u8> = bytes_under(&smscope.launch.data_dir()).into_iter().flat_map(|(_, bytes)| bytes).collect();
    for kept in NUMBERS[..4].iter().chain(&TEXTS) {
        assert!(!traces(&store, kept).is_empty(), "{kept}");
    }
    for never in TOKENS {
        assert!(traces(&store, never).is_empty(), "{never}");
    }
}

#[test]
fn each_source_has_a_privacy_of_its_own() {
    let collector = OtlpStub::answering(200);
    let source = |name: &str, rest: &str| format!("[[source]]\nname = \"{name}\"\ntokens = [\"{TOKEN}\"]\n{rest}\n");
    let toml = source("silent", "recipient = \"hashed\"\ntext = \"dropped\"")
        + &source("smsmode", "")
        + &source("open", "recipient = \"plain\"\ntext = \"exported\"");
    let smscope = Launch::without_token()
        .file(&toml)
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("{}/v1/logs", collector.url()))
        .start();
    let numbers = BTreeMap::from([("silent", DROPPED_NUMBER), ("smsmode", NUMBER), ("open", LEGACY_NUMBER)]);
    for (source, number) in &numbers {
        let mut receipt = receipt(source, number, "DELIVERED");
        receipt["body"]["text"] = format!("marked-text of {source}").into();
        assert_eq!(smscope.post(&format!("/hooks/{source}/{TOKEN}"), receipt.to_string()).result(), "accepted");
        assert_eq!(smscope.post(&format!("/hooks/{source}/{TOKEN}"), receipt.to_string()).result(), "duplicate");
        let reply = format!("numero=36111&emetteur={number}&message=marked-reply+of+{source}&responseID=1");
        assert_eq!(
            smscope.ask(request("GET", &format!("/hooks/{source}/{TOKEN}?{reply}"), &[], "")).result(),
            "accepted"
        );
        assert_eq!(
            smscope.ask(request("GET", &format!("/hooks/{source}/{TOKEN}?{reply}"), &[], "")).result(),
            "duplicate"
        );
    }
    smscope.until_exported();
    let otlp = collector.bodies();
    let text = String::from_utf8_lossy(&otlp);
    assert!(traces(&otlp, DROPPED_NUMBER).is_empty() && !text.contains("+336•••••098"), "hashed: no digit of it");
    assert!(traces(&otlp, NUMBER).is_empty() && text.contains("+336•••••432"), "masked");
    assert!(text.contains(&format!("+{LEGACY_NUMBER}")), "plain");
    for (kept, exported, source) in [(false, false, "silent"), (true, false, "smsmode"), (true, true, "open")] {
        let store: Vec<u8> = bytes_under(&smscope.launch.data_dir()).into_iter().flat_map(|(_, bytes)| bytes).collect();
        let compressed = ["events", "requests"].map(|table| json!(smscope.exported(table)).to_string()).concat();
        let store = String::from_utf8_lossy(&store) + &*compressed;
        for said in ["marked-text of ", "marked-reply of "] {
            let said = format!("{said}{source}");
            let is_kept = store.contains(&said) || store.contains(&said.replace(' ', "+"));
            assert_eq!((is_kept, text.contains(&said)), (kept, exported), "{said}");
        }
    }
    let page = page(&smscope);
    assert!(!page.contains("•••098") && page.contains("+336•••••432"), "{page}");
}

#[test]
fn a_new_hash_key_makes_new_hashes_and_an_unchanged_one_the_same() {
    let collector = OtlpStub::answering(200);
    let launch = Launch::new().env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("{}/v1/logs", collector.url()));
    let mut hashes = Vec::new();
    for (round, new_key) in [false, false, true].into_iter().enumerate() {
        if new_key {
            fs::remove_file(launch.data_dir().join("private/hash-key")).unwrap();
        }
        let before = collector.count();
        let smscope = launch.start();
        let body = crate::support::receipt(&format!("m{round}"), "DELIVERED");
        smscope.post(crate::support::HOOK, body);
        eventually("it is exported", || collector.count() > before);
        smscope.stop();
        let sent = collector.bytes();
        let sent = String::from_utf8_lossy(&sent);
        let (_, after) = sent.rsplit_once("sms.recipient.hash").unwrap();
        let hash: String = after.chars().skip_while(|c| !c.is_ascii_hexdigit()).take(32).collect();
        assert_eq!(hash.len(), 32, "{hash}");
        hashes.push(hash);
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[1], hashes[2]);
}
