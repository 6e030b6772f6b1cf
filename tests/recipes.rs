//! docs/recipes.md was run as it stands there, and is run again here: what it shows is what comes out.

mod support;

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;
use smscope::config::{Config, Flags};
use support::smsmode::{API_KEY, SmsmodeApi, channel};
use support::{HOOK, Launch, Smscope, eventually, post, receipt};

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
fn keep_credit_and_limits_in_sight() {
    const RECIPE: &str = "Keep credit and limits in sight";
    let stand_in = SmsmodeApi::start();
    let smscope =
        configured(&stand_in, &blocks(RECIPE, "toml")[0].replace("enabled", "interval = \"1s\"\nenabled")).start();
    let seen = [("result", "success")];
    eventually("the account is seen", || smscope.metrics().sum("smscope_account_polls_total", &seen) > Some(0.0));
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
    for block in blocks("Tell smsmode where to call", "console") {
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
    let (command, output) = outputs(&blocks("Check the way from the internet", "console")[0]).remove(0);
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
fn ask_for_receipts_that_did_not_come() {
    const RECIPE: &str = "Ask for receipts that did not come";
    let stand_in = SmsmodeApi::start();
    let soon = "after = \"1s\"\ninterval = \"1s\"\nenabled";
    let smscope = configured(&stand_in, &blocks(RECIPE, "toml")[0].replace("enabled", soon)).start();
    stand_in.set_messages(vec![json!({"messageId": "a", "type": "SMS", "status": {"value": "DELIVERED"}})]);
    smscope.client().ask(post(HOOK, receipt("a", "ENROUTE")));
    let delivered = [("outcome", "delivered")];
    eventually("it is learnt", || smscope.metrics().sum("sms_receipts_reconciled_total", &delivered) == Some(1.0));
    let consoles = blocks(RECIPE, "console");
    let shown = &outputs(&consoles[0])[0].1;
    let text = smscope.metrics().text;
    for line in shown.lines() {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(text.lines().any(|other| other.starts_with(series)), "{series}");
    }

    let of = |id: &str, status: &str| json!({"messageId": id, "type": "SMS", "acceptedAt": jiff::Timestamp::now(), "recipient": {"to": support::NUMBER}, "status": {"value": status}});
    stand_in.set_messages(vec![of("c", "UNDELIVERED"), of("b", "DELIVERED"), of("a", "DELIVERED")]);
    let (command, output) = outputs(&consoles[1]).remove(0);
    let reconcile = smscope.launch.clone().args(&command.split(' ').skip(1).collect::<Vec<_>>());
    // What is accepted before the command is of the period.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let ended = reconcile.run();
    assert_eq!((ended.stdout, ended.stderr), (output, String::new()));
}
