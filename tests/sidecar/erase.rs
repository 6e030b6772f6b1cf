//! `smscope erase`: nothing of a person is left in any byte of the data directory, and everything still counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{Ended, HOOK, Launch, OtlpStub, Response, Smscope, bytes_under, on_a_terminal, request, traces};
use serde_json::{Value, json};

/// The person who is erased, and what only they sent or received.
const NUMBER: &str = "33698765432";
const SECRETS: [&str; 7] = [
    NUMBER,
    "marked-text",
    "marked-answer",
    "marked-reference",
    "marked-legacy-reference",
    "marked-legacy-answer",
    "marked-name",
];

/// Somebody else, of whom nothing may go.
const OTHER: &str = "33612345678";
const OTHERS: [&str; 4] = [OTHER, "kept-text", "kept-answer", "kept-reference"];

fn receipt(id: &str, number: &str, status: &str, mark: &str) -> Value {
    json!({"messageId": id, "type": "SMS", "channel": {"type": "SMS", "flow": "OTP"}, "direction": "MT", "recipient": {"to": number},
        "from": "ACME", "body": {"text": format!("{mark}-text to you"), "messagePartCount": 1},
        "price": {"amount": 0.05, "currency": "EUR"}, "status": {"value": status}, "refClient": format!("{mark}-reference")})
}

fn reply(id: &str, number: &str, mark: &str) -> Value {
    json!({"messageId": id, "direction": "MO", "from": number, "recipient": {"to": "36111"},
        "body": {"text": format!("{mark}-answer")}, "refClient": format!("{mark}-reference"),
        "originMessageId": if mark == "marked" { "v1" } else { "o1" }})
}

/// Method, query and body of all that came about the person, in all shapes; the same again must change nothing.
fn webhooks() -> Vec<(&'static str, String, String)> {
    let post = |body: Value| ("POST", String::new(), body.to_string());
    let get = |query: &str| ("GET", format!("?{query}"), String::new());
    vec![
        post(receipt("v1", NUMBER, "ENROUTE", "marked")),
        post(receipt("v1", NUMBER, "DELIVERED", "marked")),
        post(receipt("national", "06 98 76 54 32", "UNDELIVERED", "marked")),
        post(receipt("pending", "+33698765432", "ENROUTE", "marked")),
        post(reply("answer", NUMBER, "marked")),
        post(json!([receipt("in-array", NUMBER, "READ", "marked"), receipt("other-in-array", OTHER, "READ", "kept")])),
        post(
            json!([receipt("other-first", OTHER, "READ", "kept"), {"who": "marked-name", "number": "+33 6 98 76 54 32"}]),
        ),
        post(json!({"click": {"msisdn": NUMBER, "name": "marked-name"}})),
        get(&format!("smsID=legacy&numero={NUMBER}&statut=0&refClient=marked-legacy-reference")),
        get(&format!("smsID=legacy&numero={NUMBER}&statut=11&refClient=marked-legacy-reference&cost=1")),
        get("smsID=legacy-national&numero=0698765432&statut=35"),
        get(&format!("numero=36111&emetteur=%2B{NUMBER}&message=marked-legacy-answer&date_reception=01012026-120000")),
        ("POST", String::new(), format!("nonsense about {NUMBER}, marked-name")),
    ]
}

/// The same id and another recipient: legacy messages that differ by the recipient alone.
fn webhooks_of_others() -> Vec<(&'static str, String, String)> {
    vec![
        ("POST", String::new(), receipt("o1", OTHER, "DELIVERED", "kept").to_string()),
        ("POST", String::new(), reply("other-answer", OTHER, "kept").to_string()),
        ("GET", format!("?smsID=legacy&numero={OTHER}&statut=11"), String::new()),
    ]
}

fn send(smscope: &Smscope, (method, query, body): &(&'static str, String, String)) -> String {
    let headers: &[&str] = if body.starts_with(['{', '[']) { &["content-type: application/json"] } else { &[] };
    let answer: Response = smscope.ask(request(method, &format!("{HOOK}{query}"), headers, body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.result()
}

/// All sent, among so many messages of others, which change their states, that rows move between pages.
fn filled(smscope: &Smscope) {
    let mut client = smscope.client();
    let mut say = |id: &str, status: &str| {
        let body = receipt(id, OTHER, status, "kept").to_string();
        client.ask(crate::support::post(HOOK, body)).result();
    };
    (0..60).for_each(|n| say(&format!("before{n}"), "ENROUTE"));
    for webhook in webhooks().iter().chain(&webhooks_of_others()) {
        assert_ne!(send(smscope, webhook), "duplicate", "{webhook:?}");
    }
    (0..60).for_each(|n| say(&format!("after{n}"), "ENROUTE"));
    (0..60).for_each(|n| say(&format!("before{n}"), "DELIVERED"));
    (0..60).for_each(|n| say(&format!("after{n}"), "UNDELIVERED"));
}

/// What is found of these in the bytes of any file of the data directory, or in what is compressed there.
fn found(launch: &Launch, secrets: &[&str]) -> Vec<String> {
    let mut files = bytes_under(&launch.data_dir());
    assert!(files.iter().any(|(path, bytes)| path.ends_with("private/smscope.db") && !bytes.is_empty()));
    for table in ["events", "requests"] {
        let ended = launch.clone().args(&["export", "--table", table]).run();
        // An earlier version has compressed nothing.
        assert!(ended.code == Some(0) || ended.stderr.contains("has schema 1;"), "{ended:?}");
        files.push((format!("export of {table}").into(), ended.stdout.into_bytes()));
    }
    let mut found = Vec::new();
    for (path, bytes) in files {
        for secret in secrets {
            found.extend(traces(&bytes, secret).into_iter().map(|form| format!("{form} in {}", path.display())));
        }
    }
    found
}

#[track_caller]
fn nothing_is_left(launch: &Launch) {
    assert_eq!(found(launch, &SECRETS), [""; 0]);
    for secret in OTHERS {
        assert!(!found(launch, &[secret]).is_empty(), "{secret} of another person has gone as well");
    }
}

/// Compressed events that have something of the person.
fn compressed(smscope: &Smscope) -> Vec<Vec<u8>> {
    let rows = [smscope.exported("events"), smscope.exported("requests")].concat();
    let theirs = rows.iter().filter(|row| SECRETS.iter().any(|secret| row.to_string().contains(secret)));
    let positions: BTreeSet<i64> = theirs.map(|row| row["position"].as_i64().unwrap()).collect();
    let database = smscope.database();
    let packed = |id: &i64| {
        database.query_row("SELECT packed FROM events WHERE id = ?1", [id], |row| row.get::<_, Option<Vec<u8>>>(0))
    };
    positions.iter().filter_map(|id| packed(id).unwrap()).collect()
}

fn memmem(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn erase(launch: &Launch, recipients: &[&str]) -> Ended {
    let mut arguments = vec!["erase", "--yes"];
    recipients.iter().for_each(|recipient| arguments.extend(["--recipient", recipient]));
    launch.clone().args(&arguments).run()
}

#[track_caller]
fn erased(launch: &Launch, recipient: &str) -> String {
    let ended = erase(launch, &[recipient]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    ended.stdout
}

/// Every durable series, which an erasure leaves as it is.
fn counts(smscope: &Smscope) -> BTreeMap<String, String> {
    let text = smscope.metrics().text;
    let durable = text.lines().filter(|line| line.starts_with("sms_") && !line.contains("_seconds"));
    durable.filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn nothing_of_a_person_is_left_while_smscope_serves_nor_after_a_restart() {
    let smscope = Smscope::start();
    filled(&smscope);
    for secret in SECRETS.iter().chain(&OTHERS) {
        assert!(!found(&smscope.launch, &[secret]).is_empty(), "{secret} was there");
    }
    let before = counts(&smscope);
    let compressed = compressed(&smscope);
    let is_there = |packed: &&Vec<u8>| {
        let files = bytes_under(&smscope.launch.data_dir());
        files.iter().any(|(_, bytes)| memmem(bytes, packed))
    };
    assert!(compressed.len() > 5 && compressed.iter().all(|packed| is_there(&packed)));

    let said = erased(&smscope.launch, "+33698765432");
    assert_eq!(compressed.iter().filter(is_there).count(), 0, "compressed, and left between rows");
    assert!(said.starts_with("erased: number, text, request and reference, of messages: 6, of events: "), "{said}");
    assert!(said.contains("searched: its digits are in none of the "), "{said}");
    assert!(said.contains("out of reach: what was exported"), "{said}");
    assert_eq!(traces(said.as_bytes(), NUMBER), [""; 0]);
    nothing_is_left(&smscope.launch);
    assert_eq!(counts(&smscope), before);

    // A retry is a duplicate and brings nothing back.
    let again = |smscope: &Smscope| {
        for webhook in webhooks().iter().chain(&webhooks_of_others()) {
            assert_eq!(send(smscope, webhook), "duplicate", "{webhook:?}");
        }
        assert_eq!(counts(smscope), before);
        nothing_is_left(&smscope.launch);
    };
    again(&smscope);
    let launch = smscope.stop();
    nothing_is_left(&launch);
    let smscope = launch.start();
    again(&smscope);
}

#[test]
fn later_events_of_an_erased_message_are_counted_without_personal_data() {
    let smscope = Smscope::start();
    filled(&smscope);
    erased(&smscope.launch, "0698765432");
    let delivered = |smscope: &Smscope| smscope.metrics().value("sms_messages_delivered_total", &[]).unwrap();
    let messages = |smscope: &Smscope| smscope.metrics().value("sms_messages_total", &[]).unwrap();
    let (before, all) = (delivered(&smscope), messages(&smscope));
    let post = |body: Value| ("POST", String::new(), body.to_string());
    for later in [
        post(receipt("pending", NUMBER, "DELIVERED", "marked")),
        post(receipt("national", "0698765432", "DELIVERED", "marked")),
        // A new event beside one that is known: the request is not stored as it arrived.
        post(json!([receipt("v1", NUMBER, "DELIVERED", "marked"), receipt("fresh", OTHER, "ENROUTE", "kept")])),
        post(json!([reply("answer", NUMBER, "marked"), receipt("fresh", OTHER, "READ", "kept")])),
        post(json!([
            receipt("other-first", OTHER, "DELIVERED", "kept"),
            receipt("in-array", NUMBER, "DELIVERED", "marked")
        ])),
        (
            "GET",
            "?smsID=legacy-national&numero=0698765432&statut=11&refClient=marked-legacy-reference".to_owned(),
            String::new(),
        ),
    ] {
        assert_eq!(send(&smscope, &later), "accepted", "{later:?}");
    }
    assert_eq!(delivered(&smscope), before + 4.0, "pending, national, fresh (by READ), legacy-national");
    assert_eq!(messages(&smscope), all + 1.0, "fresh");
    nothing_is_left(&smscope.launch);
    let kinds: i64 =
        smscope.stored("SELECT count(*) FROM events WHERE event ->> '$.erased' AND kind = 'message.delivered'");
    assert!(kinds >= 4, "{kinds}");
    let launch = smscope.stop();
    nothing_is_left(&launch);
}

#[test]
fn records_that_wait_for_a_collector_are_erased_too() {
    // A port that answers with failures until the erasure is done.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/logs", listener.local_addr().unwrap());
    let smscope = Launch::new()
        .file("[privacy]\nrecipient = \"plain\"\ntext = \"exported\"\n")
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &url)
        .start();
    filled(&smscope);
    erased(&smscope.launch, NUMBER);
    let collector = OtlpStub::on(listener, 200);
    smscope.until_exported();
    let taken = collector.bytes();
    assert!(!traces(&taken, OTHER).is_empty(), "what is not erased is exported");
    for secret in SECRETS {
        assert_eq!(traces(&taken, secret), [""; 0]);
    }
}

#[test]
fn without_a_running_smscope_the_command_does_it_itself() {
    let smscope = Smscope::start();
    filled(&smscope);
    let before = counts(&smscope);
    let launch = smscope.stop();
    // Whatever is configured for the export: an erasure must not move its cursor.
    let said = erased(&launch, "06.98.76.54.32");
    assert!(said.starts_with("erased: number, text, request and reference, of messages: 6, of events: "), "{said}");
    nothing_is_left(&launch);
    assert!(erased(&launch, NUMBER).starts_with("nothing found: no message or event of it is in "));
    let smscope = launch.start();
    assert_eq!(counts(&smscope), before);
    for webhook in webhooks() {
        assert_eq!(send(&smscope, &webhook), "duplicate", "{webhook:?}");
    }
    nothing_is_left(&launch);
}

#[test]
fn an_erasure_does_not_move_the_cursor_of_the_export() {
    let collector = OtlpStub::answering(503);
    let launch = Launch::new().env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("{}/v1/logs", collector.url()));
    let smscope = launch.start();
    filled(&smscope);
    smscope.stop();
    // In an environment that knows nothing of the collector.
    erased(&launch.clone().env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", ""), NUMBER);
    collector.answer(200);
    let smscope = launch.start();
    smscope.until_exported();
    assert!(!traces(&collector.bytes(), "before59").is_empty());
}

#[test]
fn webhooks_are_accepted_during_an_erasure() {
    let smscope = Smscope::start();
    filled(&smscope);
    let launch = smscope.launch.clone();
    let erasing = std::thread::spawn(move || erased(&launch, NUMBER));
    let mut sent = 0;
    while !erasing.is_finished() {
        let body = receipt(&format!("meanwhile{sent}"), OTHER, "DELIVERED", "kept").to_string();
        assert_eq!(smscope.post(HOOK, body).result(), "accepted");
        sent += 1;
    }
    erasing.join().unwrap();
    let stored: i64 = smscope.stored("SELECT count(*) FROM messages WHERE message_id LIKE 'meanwhile%'");
    assert_eq!(stored, sent);
    nothing_is_left(&smscope.launch);
}

#[test]
fn several_numbers_are_erased_at_once_and_from_standard_input_no_list_of_processes_shows_them() {
    let smscope = Smscope::start();
    filled(&smscope);
    let launch = smscope.launch.clone().args(&["erase", "--yes", "--recipient", "-"]);
    let ended = launch.run_with("+33698765432\n\n06 12 34 56 78\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(found(&smscope.launch, &SECRETS), [""; 0]);
    assert_eq!(found(&smscope.launch, &OTHERS), [""; 0]);
}

#[test]
fn without_a_confirmation_nothing_is_erased_and_a_dry_run_reports_the_scope() {
    let smscope = Smscope::start();
    filled(&smscope);
    let launch = smscope.launch.clone();
    // Wherever they stand: a checkpoint copies them from the log into the database.
    let forms = || {
        let found = found(&launch, &SECRETS);
        found.iter().filter_map(|trace| Some(trace.split_once(" in ")?.0.to_owned())).collect::<BTreeSet<_>>()
    };
    let before = forms();
    let asked = launch.clone().args(&["erase", "--recipient", NUMBER]).run();
    let line = "smscope: nothing is erased: there is no terminal to ask at; expected --yes as well\n";
    assert_eq!((asked.code, &*asked.stderr, &*asked.stdout), (Some(1), line, ""));
    let tried = launch.clone().args(&["erase", "--dry-run", "--recipient", NUMBER]).run();
    assert_eq!((tried.code, &*tried.stderr), (Some(0), ""), "{tried:?}");
    assert!(tried.stdout.starts_with("would be erased: of messages: "), "{tried:?}");
    assert_eq!(forms(), before);
    let count = |text: &str| text.split("of messages: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(count(&tried.stdout), count(&erased(&launch, NUMBER)), "{tried:?}");
    let again = launch.clone().args(&["erase", "--dry-run", "--recipient", NUMBER]).run();
    assert!(again.stdout.starts_with("nothing found: "), "{again:?}");
    let both = launch.args(&["erase", "--dry-run", "--yes", "--recipient", NUMBER]).run();
    assert_eq!(both.code, Some(64), "{both:?}");
}

#[test]
fn at_a_terminal_an_erasure_needs_a_confirmation() {
    let smscope = Smscope::start();
    filled(&smscope);
    let at_a_terminal = |said: &str| {
        let mut child = on_a_terminal(&smscope.launch, &format!("erase --recipient {NUMBER}"))?.spawn().unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    for no in ["n\n", "\n", "yess\n"] {
        let Some(said) = at_a_terminal(no) else { return };
        assert!(
            said.contains("erase what is stored of 1 number? [y/N]") && said.contains("nothing is erased"),
            "{said}"
        );
    }
    assert!(!found(&smscope.launch, &SECRETS).is_empty());
    let said = at_a_terminal("y\n").unwrap();
    assert!(said.contains("erased: "), "{said}");
    nothing_is_left(&smscope.launch);
}

#[test]
fn an_erasure_that_is_impossible_is_reported_in_one_line() {
    let empty = Launch::new();
    for (launch, recipient, code, said) in [
        (&empty, NUMBER, 78, "there is no store; expected the data directory of a smscope that has run"),
        (&empty, "ACME", 64, "error: --recipient: \"ACME\" is no phone number; expected one such as +33612345678"),
        (&empty, "", 64, "is no phone number"),
    ] {
        let ended = erase(launch, &[recipient]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
        assert!(!empty.data_dir().exists(), "nothing is made");
    }
}

#[test]
fn rows_that_were_deleted_without_being_overwritten_are_removed_by_the_next_erasure() {
    let launch = Launch::new();
    let private = launch.data_dir().join("private");
    fs::create_dir_all(&private).unwrap();
    a_store_of_version_1(&private.join("smscope.db"));
    assert!(!found(&launch, &["deleted-long-ago"]).is_empty());
    assert!(erased(&launch, NUMBER).starts_with("nothing found: no message or event of it is in "));
    assert_eq!(found(&launch, &["deleted-long-ago"]), [""; 0]);
}

/// With free pages that hold what was deleted.
fn a_store_of_version_1(path: &Path) {
    let store = rusqlite::Connection::open(path).unwrap();
    store.pragma_update(None, "secure_delete", "OFF").unwrap();
    store.pragma_update(None, "journal_mode", "WAL").unwrap();
    store.execute_batch(include_str!("../../src/store/sqlite/schema/v1.sql")).unwrap();
    store.pragma_update(None, "application_id", 0x736d_7363).unwrap();
    store.pragma_update(None, "user_version", 1).unwrap();
    for n in 0..200 {
        let event = json!({"kind": "message.delivered", "source": "smsmode", "text": format!("deleted-long-ago {n} ").repeat(20)});
        store
            .execute(
                "INSERT INTO events (received_at, source, kind, event) VALUES (1, 'smsmode', 'message.delivered', ?1)",
                [event.to_string()],
            )
            .unwrap();
    }
    store.execute("DELETE FROM events WHERE id < 200", []).unwrap();
    store.execute("UPDATE events SET event = '{\"kind\":\"message.delivered\",\"source\":\"smsmode\"}'", []).unwrap();
}
