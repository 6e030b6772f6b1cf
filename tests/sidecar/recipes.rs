//! docs/recipes.md was run as it stands there, and is run again here: what it shows is what comes out.

use std::collections::BTreeSet;
use std::fs;

use crate::support::smsmode::{API_KEY, SmsmodeApi, channel};
use crate::support::target::{Reaction, Target};
use crate::support::{HOOK, Launch, Smscope, eventually, post, program, receipt};
use regex::Regex;
use serde_json::{Value, json};
use smscope::config::{Config, Flags};

fn document() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes.md")).unwrap()
}

/// The fenced blocks of a language under a heading.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let document = document();
    let (_, after) = document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = after.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// What stands behind each `$ ` line of a block.
fn outputs(block: &str) -> Vec<(String, String)> {
    let commands = block.split("$ ").skip(1).map(|one| one.split_once('\n').unwrap());
    commands.map(|(command, output)| (command.to_owned(), output.to_owned())).collect()
}

/// A smscope's configuration: the source with the stand-in as its provider, and the recipe's own lines.
fn configured(stand_in: &SmsmodeApi, recipe: &str) -> Launch {
    let source =
        format!("[[source]]\nname = \"smsmode\"\n[source.api]\nkey_file = \"api-key\"\nurl = \"{}\"\n", stand_in.url());
    let launch = Launch::new();
    fs::write(launch.home.path().join("api-key"), API_KEY).unwrap();
    launch.file(&format!("{recipe}\n{source}"))
}

#[test]
fn every_piece_of_configuration_is_one_that_can_be_used() {
    let document = document();
    let pieces: Vec<&str> = document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(pieces.len() >= 4);
    for piece in pieces {
        let launch = Launch::new();
        let home = launch.home.path();
        fs::write(home.join("api-key"), API_KEY).unwrap();
        fs::write(home.join("webhook-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let source =
            if piece.contains("[[source]]") { "" } else { "[[source]]\nname = \"smsmode\"\napi = { key = \"k\" }\n" };
        let file = home.join("smscope.toml");
        fs::write(&file, format!("{}\n{source}", piece.replace("/etc/smscope", home.to_str().unwrap()))).unwrap();
        let loaded = Config::load(
            &Flags { config: Some(file), ..Flags::default() },
            &std::collections::BTreeMap::<String, String>::new(),
        );
        assert_eq!(loaded.unwrap_or_else(|error| panic!("{error}, in\n{piece}")).warnings, [""; 0]);
    }
}

#[test]
fn monitor_credit_and_limits() {
    const RECIPE: &str = "Monitor credit and limits";
    let stand_in = SmsmodeApi::start();
    let smscope =
        configured(&stand_in, &blocks(RECIPE, "toml")[0].replace("enabled", "interval = \"1s\"\nenabled")).start();
    let seen = [("result", "success")];
    eventually("the account is seen", || smscope.metrics().value("smscope_account_polls_total", &seen) > Some(0.0));
    // Times and counts are of the moment.
    let normal = |text: &str| -> BTreeSet<String> {
        let lines =
            text.lines().filter(|line| line.starts_with("smscope_account_") || line.starts_with("smscope_channel_"));
        let moment = |line: &&str| line.contains("_polls_total") || line.contains("_timestamp_");
        lines
            .map(|line| if moment(&line) { line.rsplit_once(' ').unwrap().0.to_owned() } else { line.to_owned() })
            .collect()
    };
    let shown = &outputs(&blocks(RECIPE, "console")[0])[0].1;
    assert_eq!(normal(shown), normal(&smscope.metrics().text));
}

#[test]
fn tell_smsmode_where_to_call() {
    let stand_in = SmsmodeApi::start();
    let mut otp = channel("3f0c5a1e", "OTP");
    otp["defaultCallbackUrlStatus"] = "https://old.example.com/callbacks/s3cret".into();
    stand_in.set_channels(vec![otp]);
    let launch = configured(&stand_in, "");
    for block in blocks("Set the callback URLs at smsmode", "console") {
        for (command, output) in outputs(&block) {
            let arguments: Vec<&str> = command.split(' ').skip(1).collect();
            let ended = launch.clone().args(&arguments).run();
            assert_eq!((ended.stdout, ended.stderr), (output, String::new()), "{command}");
        }
    }
    assert_eq!(stand_in.callbacks("3f0c5a1e").0, "https://old.example.com/callbacks/s3cret");
}

#[test]
fn check_the_way_from_the_internet() {
    let smscope = Smscope::start();
    let here = smscope.webhooks.to_string();
    let (command, output) = outputs(&blocks("Check the path from the internet", "console")[0]).remove(0);
    let command = command.replace("127.0.0.1:7672", &here);
    let ended = smscope.launch.clone().args(&command.split(' ').skip(1).collect::<Vec<_>>()).run();
    let normal = |text: &str| {
        let timeless = |line: &str| if line.starts_with("  time ") { "  time".to_owned() } else { line.to_owned() };
        text.replace(&here, "127.0.0.1:7672").lines().map(timeless).collect::<Vec<_>>()
    };
    assert_eq!(normal(&ended.stdout), normal(&output));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn reconcile_missing_receipts() {
    const RECIPE: &str = "Reconcile missing receipts";
    let stand_in = SmsmodeApi::start();
    let soon = "after = \"1s\"\ninterval = \"1s\"\nenabled";
    let smscope = configured(&stand_in, &blocks(RECIPE, "toml")[0].replace("enabled", soon)).start();
    stand_in.set_messages(vec![json!({"messageId": "a", "type": "SMS", "status": {"value": "DELIVERED"}})]);
    smscope.client().ask(post(HOOK, receipt("a", "ENROUTE")));
    let delivered = [("outcome", "delivered")];
    eventually("it is learnt", || smscope.metrics().value("sms_receipts_reconciled_total", &delivered) == Some(1.0));
    let consoles = blocks(RECIPE, "console");
    let shown = &outputs(&consoles[0])[0].1;
    let text = smscope.metrics().text;
    for line in shown.lines() {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(text.lines().any(|other| other.starts_with(series)), "{series}");
    }

    let of = |id: &str, status: &str| json!({"messageId": id, "type": "SMS", "acceptedAt": jiff::Timestamp::now(), "recipient": {"to": crate::support::NUMBER}, "status": {"value": status}});
    stand_in.set_messages(vec![of("c", "UNDELIVERED"), of("b", "DELIVERED"), of("a", "DELIVERED")]);
    let (command, output) = outputs(&consoles[1]).remove(0);
    let reconcile = smscope.launch.clone().args(&command.split(' ').skip(1).collect::<Vec<_>>());
    // What is accepted before the command is of the period.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let ended = reconcile.run();
    assert_eq!((ended.stdout, ended.stderr), (output, String::new()));
}

const MESSAGE: &str = "5f0d8b44-9f4c-4d29-8e3f-0f2f6b8a7c11";

/// A receipt of the message that the recipes speak of.
fn order(status: Value) -> String {
    json!({
        "messageId": MESSAGE, "type": "SMS", "direction": "MT", "channel": {"flow": "OTP"}, "recipient": {"to": crate::support::NUMBER},
        "refClient": "order-1042", "campaignId": "spring", "acceptedAt": "2026-11-24T08:21:59Z", "status": status,
    })
    .to_string()
}

/// A reply to the short code 36111.
fn reply(id: &str, text: &str, time: &str) -> String {
    json!({
        "messageId": id, "type": "SMS", "direction": "MO", "from": crate::support::NUMBER, "recipient": {"to": "36111"},
        "sentDate": time, "body": {"text": text},
    })
    .to_string()
}

/// What a JSON block of the document shows.
fn shown(heading: &str) -> Value {
    serde_json::from_str(&blocks(heading, "json")[0]).unwrap()
}

/// The commands of a console block, run in one shell against a smscope, each with what it should print and what it does.
fn run(smscope: &Smscope, block: &str) -> Vec<(String, String)> {
    let admin = smscope.admin.to_string();
    let (commands, expected): (Vec<String>, Vec<String>) =
        outputs(block).into_iter().map(|(command, output)| (command.replace("localhost:7673", &admin), output)).unzip();
    let printed = smscope.launch.shell(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(printed.len(), expected.len(), "{printed:?}");
    expected.into_iter().zip(printed).collect()
}

#[test]
fn relay_events_to_a_service() {
    const RECIPE: &str = "Relay events to a service";
    let recipes = blocks(RECIPE, "toml");
    let target = Target::start();
    let with = |recipe: &str, url: &str| {
        assert!(recipe.contains(url), "{recipe}");
        recipe.replace(url, &target.url("/sms"))
    };

    let smscope = Smscope::with(&with(&recipes[0], "http://127.0.0.1:8080/sms"));
    let webhook = order(json!({"value": "ENROUTE"}));
    smscope.post(HOOK, &webhook);
    let arrived = target.wait_for(1).remove(0);
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/sms"));
    assert_eq!((arrived.header("content-type"), &arrived.body[..]), (Some("application/json"), webhook.as_bytes()));

    let launch = Launch::new();
    let home = launch.home.path().to_str().unwrap().to_owned();
    launch.shell(&[&blocks(RECIPE, "sh")[0].replace("/etc/smscope", &home)]);
    let recipe = with(&recipes[1], "https://support.example.com/events").replace("/etc/smscope", &home);
    target.otherwise(Reaction::Status(503));
    let smscope = launch.file(&format!("{recipe}max_age = \"1s\"\n")).start();
    smscope.post(HOOK, order(json!({"value": "ENROUTE"})));
    let failed =
        json!({"value": "UNDELIVERED", "detail": "PHONE_NOT_SUITABLE", "deliveryDate": "2026-11-24T08:22:05Z"});
    smscope.post(HOOK, order(failed));
    let arrived = target.wait_for(2).remove(1);
    assert_eq!(arrived.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    assert!(arrived.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")), "{arrived:?}");
    assert_eq!(arrived.event()["id"], arrived.id());
    assert_eq!(momentless_event(arrived.event()), momentless_event(shown(RECIPE)));

    let dead = || smscope.metrics().value("sms_relay_dead_letters", &[("relay", "support")]);
    eventually("it is given up", || dead() == Some(1.0));
    target.otherwise(Reaction::Status(204));
    let before = target.arrived().len();
    for (expected, printed) in run(&smscope, &blocks(RECIPE, "console")[0]) {
        assert_eq!(momentless(&printed), momentless(&expected));
    }
    let again = target.wait_for(before + 1).remove(before);
    assert_eq!((again.id(), &again.body), (arrived.id(), &arrived.body));
}

/// An event without what is of the moment, of which the form stays.
fn momentless_event(mut event: Value) -> Value {
    for name in ["id", "sequence"] {
        let text = event[name].as_str().unwrap();
        event[name] = text.replace(|c: char| c.is_ascii_hexdigit(), "0").into();
    }
    let received_at: jiff::Timestamp = event["data"]["received_at"].as_str().unwrap().parse().unwrap();
    event["data"]["received_at"] = (received_at > jiff::Timestamp::UNIX_EPOCH).into();
    event
}

/// A table of `smscope relay list` without how often and when.
fn momentless(table: &str) -> String {
    let mut lines = table.lines();
    let Some(heading) = lines.next() else { return String::new() };
    let of_the_moment: Vec<std::ops::Range<usize>> = [("attempts", "event"), ("received", "message")]
        .iter()
        .filter_map(|(from, to)| Some(heading.find(from)?..heading.find(to)?))
        .collect();
    let mut text = format!("{heading}\n");
    for line in lines {
        let is_masked = |at: usize| of_the_moment.iter().any(|range| range.contains(&at));
        text.extend(
            line.chars()
                .enumerate()
                .map(|(at, c)| if is_masked(at) && (c.is_ascii_digit() || c == ' ') { '0' } else { c }),
        );
        text.push('\n');
    }
    text
}

#[test]
fn route_replies_by_keyword() {
    const RECIPE: &str = "Route replies by keyword";
    let (confirm, inbox) = (Target::start(), Target::start());
    let recipe = blocks(RECIPE, "toml").remove(0);
    let urls = [("http://127.0.0.1:8080/confirm", confirm.url("/")), ("http://127.0.0.1:8080/inbox", inbox.url("/"))];
    let recipe = urls.iter().fold(recipe, |recipe, (shown, here)| {
        assert!(recipe.contains(shown), "{recipe}");
        recipe.replace(shown, here)
    });
    let smscope = Smscope::with(&recipe);
    smscope.post(HOOK, order(json!({"value": "DELIVERED"})));
    for (at, (text, target)) in
        [("Oui !", &confirm), ("yes please", &confirm), ("who is this?", &inbox)].into_iter().enumerate()
    {
        let before = target.arrived().len();
        smscope.post(HOOK, reply(&format!("r-{at}"), text, "2026-11-24T08:23:00Z"));
        let event = target.wait_for(before + 1).remove(before).event();
        assert_eq!(event["data"]["text"], text);
        assert_eq!(event["data"]["answers"], shown(RECIPE)["answers"], "{text}");
    }
    assert_eq!((confirm.arrived().len(), inbox.arrived().len()), (2, 1));
}

#[test]
fn honor_stop_at_once() {
    const RECIPE: &str = "Honor STOP at once";
    let Some(_) = program("curl", "curl") else { return };
    let launch = Launch::new();
    let home = launch.home.path().to_owned();
    let launch = launch.env("SMSCOPE_DATA_DIR", home.join("smscope-data").to_str().unwrap());
    let smscope = launch.file(&blocks(RECIPE, "toml")[0]).start();
    smscope.post(HOOK, order(json!({"value": "DELIVERED"})));
    smscope.post(HOOK, reply("r-1", "STOP", "2026-11-24T08:22:05Z"));
    fs::write(home.join("stops.csv"), &blocks(RECIPE, "csv")[0]).unwrap();
    // What the shell of one block has learnt the next one knows.
    let printed = run(&smscope, &blocks(RECIPE, "console").concat());
    assert!(printed.len() >= 5);
    for (expected, printed) in printed {
        assert_eq!(printed, expected);
    }
}

#[test]
fn resend_failed_messages() {
    const RECIPE: &str = "Resend failed messages";
    let stand_in = SmsmodeApi::start();
    let soon = blocks(RECIPE, "toml")[0].replace("delay = \"5m\"", "delay = \"1s\"");
    let launch = Launch::new();
    let key = launch.home.path().join("api-key");
    fs::write(&key, API_KEY).unwrap();
    let file =
        soon.replace("/etc/smscope/api-key", &format!("{}\"\nurl = \"{}", key.to_str().unwrap(), stand_in.url()));
    let smscope = launch.file(&file).start();
    let accepted = jiff::Timestamp::now().to_string();
    let failed = json!({
        "messageId": "m-1", "direction": "MT", "type": "SMS", "acceptedAt": accepted, "refClient": "order-1042",
        "channel": {"type": "SMS", "flow": "TRANSACTIONAL"}, "recipient": {"to": "33612345678"}, "from": "Shop",
        "body": {"text": "your parcel is here"}, "status": {"value": "UNDELIVERED"}
    });
    assert_eq!(smscope.ask(post(HOOK, failed.to_string())).status, 200);
    let sent = [("result", "sent")];
    eventually("it is sent again", || smscope.metrics().value("sms_resends_total", &sent) == Some(1.0));
    let shown = outputs(&blocks(RECIPE, "console")[0]);
    let arguments: Vec<&str> = shown[0].0.split(' ').skip(1).collect();
    let journey = smscope.launch.clone().args(&arguments).run().stdout;
    let moment = Regex::new(r"[0-9-]{10} [0-9:.]{12}Z +(\+[0-9a-z. ]+ (s|min)  )?").unwrap();
    let timeless = |text: &str| moment.replace_all(text.trim_end(), "<time> ").into_owned();
    assert_eq!(timeless(&journey), timeless(&shown[0].1));
    let metrics = smscope.metrics().text;
    let lines = metrics.lines().filter(|line| line.contains("resend") && !line.contains('#') && !line.ends_with(" 0"));
    assert_eq!(lines.collect::<Vec<_>>().join("\n"), shown[1].1.trim_end());
}
