//! The list of opt-outs: fed by STOP and START, asked by the service that sends, changed by commands, honoured after an erasure.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, HOOK, Launch, Response, Smscope, bytes_under, request};

const TOKEN: &str = "t0ken-of-the-opt-outs";
const ON: &str = "[opt_outs]\nenabled = true\napi_token = \"t0ken-of-the-opt-outs\"\n";
const NUMBER: &str = "33612345678";

/// A reply of a number to a short code, at a time.
fn reply(id: &str, text: &str, at: &str) -> String {
    json!({
        "messageId": id, "type": "SMS", "direction": "MO", "from": NUMBER, "recipient": {"to": "36111"},
        "sentDate": at, "body": {"text": text},
    })
    .to_string()
}

/// A receipt of a message that was accepted at a time.
fn message(id: &str, from: &str, accepted_at: Option<&str>) -> String {
    json!({
        "messageId": id, "type": "SMS", "direction": "MT", "from": from, "recipient": {"to": NUMBER},
        "acceptedAt": accepted_at, "status": {"value": "ENROUTE"},
    })
    .to_string()
}

fn asked(smscope: &Smscope, path: &str) -> Response {
    smscope.ask_admin("GET", path, &[&format!("authorization: Bearer {TOKEN}")])
}

fn of_number(smscope: &Smscope) -> Value {
    let answer = asked(smscope, "/v1/opt-outs/%2B33612345678");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    serde_json::from_slice(&answer.body).unwrap()
}

fn changes(smscope: &Smscope, query: &str) -> Vec<Value> {
    let answer = asked(smscope, &format!("/v1/opt-outs?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn counted(smscope: &Smscope, name: &str) -> Option<f64> {
    smscope.metrics().value(name, &[("source", "smsmode")])
}

#[test]
fn stop_opts_out_start_revokes_it_and_a_late_reply_changes_nothing() {
    let smscope = Smscope::with(ON);
    assert_eq!(of_number(&smscope), json!({"number": NUMBER, "opted_out": false, "opt_outs": []}));
    // Who never opted out has nothing to undo.
    smscope.post(HOOK, reply("r-0", "START", "2026-04-01T09:00:00Z"));
    assert_eq!(changes(&smscope, ""), [json!(null); 0]);
    smscope.post(HOOK, reply("r-1", "Stop 36111", "2026-04-01T10:00:00Z"));
    let known = of_number(&smscope);
    assert_eq!(known["opted_out"], true);
    assert_eq!(
        known["opt_outs"],
        json!([{
            "source": "smsmode", "sender": "36111", "opted_out": true, "since": "2026-04-01T10:00:00Z", "origin": "reply",
        }])
    );
    assert_eq!(counted(&smscope, "sms_opt_outs"), Some(1.0));
    smscope.post(HOOK, reply("r-2", "please", "2026-04-01T11:00:00Z"));
    assert_eq!(of_number(&smscope)["opted_out"], true);
    smscope.post(HOOK, reply("r-3", "start!", "2026-04-01T12:00:00Z"));
    assert_eq!(of_number(&smscope)["opted_out"], false);
    // A STOP of before, which the provider could not deliver until now.
    smscope.post(HOOK, reply("r-4", "STOP", "2026-04-01T10:30:00Z"));
    assert_eq!(of_number(&smscope)["opted_out"], false);
    assert_eq!(counted(&smscope, "sms_opt_outs"), Some(0.0));
}

#[test]
fn the_list_is_shown_with_the_token_and_absent_unless_enabled() {
    let smscope = Smscope::with(ON);
    for headers in [
        &[][..],
        &["authorization: Bearer wrong"],
        &["authorization: Basic dDp0"],
        &["x-api-key: t0ken-of-the-opt-outs"],
    ] {
        for path in ["/v1/opt-outs", "/v1/opt-outs/33612345678"] {
            let answer = smscope.ask_admin("GET", path, headers);
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{headers:?}");
        }
    }
    assert_eq!(asked(&smscope, "/v1/opt-outs/ACME").status, 400);
    assert_eq!(asked(&smscope, "/v1/opt-outs?after=x").status, 400);
    let off = Smscope::start();
    for path in ["/v1/opt-outs", "/v1/opt-outs/33612345678"] {
        assert_eq!(asked(&off, path).status, 404, "{path}");
    }
    assert_eq!(counted(&off, "sms_opt_outs"), None);
}

#[test]
fn a_token_that_was_not_given_is_made_once() {
    let launch = Launch::new().file("[opt_outs]\nenabled = true\n");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let smscope = launch.start();
        let token = std::fs::read_to_string(launch.data_dir().join("private/opt-outs-token")).unwrap();
        let answer = smscope.ask_admin("GET", "/v1/opt-outs", &[&format!("authorization: bearer {token}")]);
        assert_eq!(answer.status, 200);
        assert!(!smscope.stderr().contains(&token) && token.len() == 43);
        tokens.push(token);
        smscope.stop();
    }
    assert_eq!(tokens[0], tokens[1]);
}

#[test]
fn changes_are_followed_from_a_position_on_and_long_polled() {
    let smscope = Smscope::with(ON);
    smscope.post(HOOK, reply("r-1", "STOP", "2026-04-01T10:00:00Z"));
    let first = changes(&smscope, "after=0");
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0]["number"], &first[0]["opted_out"]), (&json!(NUMBER), &json!(true)));
    let place = first[0]["seq"].as_i64().unwrap();
    assert_eq!(changes(&smscope, &format!("after={place}")), [json!(null); 0]);
    // One that waits in vain ends with nothing.
    let started = Instant::now();
    assert_eq!(changes(&smscope, &format!("after={place}&wait=1")), [json!(null); 0]);
    assert!(started.elapsed() >= Duration::from_secs(1));

    let mut waiting = Client::connect(smscope.admin);
    let path = format!("/v1/opt-outs?after={place}&wait=30");
    waiting.send(request("GET", &path, &[&format!("authorization: Bearer {TOKEN}")], ""));
    assert!(waiting.hears_nothing_for(Duration::from_millis(300)));
    smscope.post(HOOK, reply("r-2", "START", "2026-04-01T11:00:00Z"));
    let answer = waiting.response();
    let change: Value = serde_json::from_str(answer.text().trim_end()).unwrap();
    assert_eq!((&change["opted_out"], change["seq"].as_i64() > Some(place)), (&json!(false), true));
    // Of one number to one sender only the latest is there.
    assert_eq!(changes(&smscope, "after=0"), [change]);
}

#[test]
fn a_message_to_an_opted_out_recipient_is_counted_once() {
    for (scope, from, expected) in [("source", "ACME", 1.0), ("sender", "ACME", 0.0), ("sender", "36111", 1.0)] {
        let smscope = Smscope::with(&format!("{ON}scope = \"{scope}\"\n"));
        smscope.post(HOOK, message("m-0", from, Some("2026-04-01T09:59:00Z")));
        let count = || counted(&smscope, "sms_messages_after_opt_out_total");
        assert_eq!(count(), Some(0.0), "{scope} {from}");
        smscope.post(HOOK, reply("r-1", "STOP", "2026-04-01T10:00:00Z"));
        // Accepted before, reported after.
        smscope.post(HOOK, message("m-1", from, Some("2026-04-01T09:59:30Z")));
        // Nobody says when it was accepted.
        smscope.post(HOOK, message("m-2", from, None));
        assert_eq!(count(), Some(0.0), "{scope} {from}");
        for _ in 0..2 {
            smscope.post(HOOK, message("m-3", from, Some("2026-04-01T10:01:00Z")));
        }
        assert_eq!(count(), Some(expected), "{scope} {from}");
        smscope.post(HOOK, reply("r-2", "START", "2026-04-01T11:00:00Z"));
        smscope.post(HOOK, message("m-4", from, Some("2026-04-01T11:01:00Z")));
        assert_eq!(count(), Some(expected), "{scope} {from}");
    }
}

#[test]
fn commands_change_the_list_and_carry_it_from_one_store_to_another() {
    let smscope = Smscope::with(ON);
    let run = |smscope: &Smscope, arguments: &[&str]| {
        let ended = smscope.launch.clone().args(&[&["opt-outs"], arguments].concat()).run();
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    };
    assert_eq!(run(&smscope, &["list"]), "nobody has opted out\n");
    assert_eq!(run(&smscope, &["add", "06 12 34 56 78", "--sender", "ACME, Inc."]), "1 changed, 0 were so already\n");
    assert_eq!(run(&smscope, &["add", "+33612345678", "--sender", "ACME, Inc."]), "0 changed, 1 were so already\n");
    assert_eq!(of_number(&smscope)["opted_out"], true);
    let listed = run(&smscope, &["list"]);
    assert!(listed.contains("+33612345678") && listed.contains("command"), "{listed}");
    let exported = run(&smscope, &["export"]);
    assert_eq!(exported.lines().next(), Some("number,source,sender,since"));
    assert!(exported.contains("+33612345678,smsmode,\"ACME, Inc.\",20"), "{exported}");

    let other = Smscope::with(ON);
    let file = other.launch.home.path().join("list.csv");
    std::fs::write(&file, format!("{exported}+32470123456\n\n  \n+33698765432,smsmode,\"two\nlines\"\n")).unwrap();
    assert_eq!(run(&other, &["import", file.to_str().unwrap()]), "3 changed, 0 were so already\n");
    assert_eq!(of_number(&other)["opt_outs"][0]["sender"], "ACME, Inc.");
    assert_eq!(run(&smscope, &["remove", "+33612345678", "--sender", "ACME, Inc."]), "1 changed, 0 were so already\n");
    assert_eq!(of_number(&smscope)["opted_out"], false);

    for (arguments, said) in [
        (&["add", "ACME"][..], "is no phone number"),
        (&["add", "+33612345678", "--source", "nobody"], "is no source"),
        (&["import", "/nonexistent.csv"], "expected a CSV"),
    ] {
        let ended = smscope.launch.clone().args(&[&["opt-outs"], arguments].concat()).run();
        assert!(ended.code == Some(1) && ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
    let off = Smscope::start();
    let ended = off.launch.clone().args(&["opt-outs", "add", "+33612345678"]).run();
    assert!(ended.code == Some(1) && ended.stderr.contains("opt_outs.enabled is false"), "{}", ended.stderr);
}

#[test]
fn an_erased_person_is_still_not_to_be_written_to_and_their_number_is_nowhere() {
    let smscope = Smscope::with(ON);
    smscope.post(HOOK, reply("r-1", "STOP", "2026-04-01T10:00:00Z"));
    let erased = smscope.launch.clone().args(&["erase", "--yes", "--recipient", "+33612345678"]).run();
    assert_eq!(erased.code, Some(0), "{erased:?}");
    assert_eq!(changes(&smscope, "after=0")[0]["number"], json!(null));
    assert_eq!(of_number(&smscope)["opted_out"], true);
    let private = smscope.launch.data_dir().join("private");
    for (file, bytes) in bytes_under(&private) {
        assert!(!bytes.windows(9).any(|window| window == b"612345678"), "the number is still in {file:?}");
    }
    smscope.post(HOOK, message("m-1", "ACME", Some("2026-04-01T10:01:00Z")));
    assert_eq!(counted(&smscope, "sms_messages_after_opt_out_total"), Some(1.0));
}
