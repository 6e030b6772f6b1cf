//! Outbound jobs and commands, as an operator sees them: account watch, self-probe,
//! reconciliation, `check --public-url`, `connect`.

use std::time::{Duration, Instant};

use crate::support::smsmode::{API_KEY, Fault, SmsmodeApi, channel};
use crate::support::{Ended, HOOK, Launch, Smscope, TOKEN, eventually, post, receipt};
use serde_json::{Value, json};

fn asks(stand_in: &SmsmodeApi, more: &str) -> String {
    format!("{more}\n[[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"{API_KEY}\"\nurl = \"{}\"\n", stand_in.url())
}

fn sum(smscope: &Smscope, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    smscope.metrics().value(name, labels)
}

#[test]
fn without_configuration_smscope_sends_no_request_of_its_own() {
    let stand_in = SmsmodeApi::start();
    let smscope = Launch::new().file(&asks(&stand_in, "public_url = \"http://127.0.0.1:9\"")).start();
    smscope.client().ask(post(HOOK, receipt("a", "ENROUTE")));
    std::thread::sleep(Duration::from_millis(300));
    let text = smscope.metrics().text;
    for name in ["smscope_account_", "smscope_api_", "smscope_self_probe", "smscope_reconcile_"] {
        assert!(!text.contains(&format!("\n{name}")), "{name}");
    }
    assert_eq!(stand_in.asked(), []);
}

#[test]
fn the_account_is_seen_in_metrics_and_so_is_a_provider_that_does_not_answer() {
    let stand_in = SmsmodeApi::start();
    let smscope = Smscope::with(&asks(&stand_in, "[account]\nenabled = true\ninterval = \"1s\""));
    eventually("the account is seen", || {
        sum(&smscope, "smscope_account_polls_total", &[("result", "success")]) > Some(0.0)
    });
    for (name, labels, value) in [
        ("smscope_account_balance", &[("organisation", "org-1")][..], 1250.5),
        ("smscope_account_active", &[], 1.0),
        ("smscope_account_consumption", &[("period", "month")], 300.0),
        ("smscope_account_consumption_limit", &[("period", "month")], 5000.0),
        (
            "smscope_channel_consumption",
            &[("channel_id", "3f0c5a1e"), ("channel_name", "OTP"), ("period", "day")],
            12.0,
        ),
        ("smscope_channel_consumption_limit", &[("period", "day")], 500.0),
    ] {
        assert_eq!(sum(&smscope, name, labels), Some(value), "{name}");
    }
    assert!(sum(&smscope, "smscope_account_last_success_timestamp_seconds", &[]) > Some(1.7e9));
    assert!(sum(&smscope, "smscope_api_duration_seconds_count", &[("operation", "channels")]) > Some(0.0));

    stand_in.always_fail(Fault::Status(503));
    let failed = [("operation", "organisations"), ("result", "server_error")];
    eventually("the failure counts", || sum(&smscope, "smscope_api_requests_total", &failed) > Some(0.0));
    eventually("the poll counts", || {
        sum(&smscope, "smscope_account_polls_total", &[("result", "failure")]) > Some(0.0)
    });
    assert_eq!(sum(&smscope, "smscope_account_balance", &[]), Some(1250.5), "the last value stays for a while");
    let said = smscope.stderr();
    assert!(said.contains("cannot poll the account: smsmode's API (channels): answered 503"), "{said}");
    assert!(!said.contains(API_KEY), "{said}");
}

#[test]
fn the_public_url_is_probed_and_a_probe_is_no_webhook() {
    let launch = Launch::new().on_fixed_ports();
    let public_url = format!("public_url = \"http://{}\"", launch.webhooks());
    let smscope = launch.file(&format!("{public_url}\n[self_probe]\nenabled = true\ninterval = \"1s\"")).start();
    eventually("a probe comes through", || sum(&smscope, "smscope_self_probe_success", &[]) == Some(1.0));
    assert!(sum(&smscope, "smscope_self_probes_total", &[("result", "ok")]) > Some(0.0));
    assert!(sum(&smscope, "smscope_webhook_requests_total", &[("result", "probe")]) > Some(0.0));
    assert_eq!(sum(&smscope, "smscope_last_webhook_timestamp_seconds", &[]), None, "nobody has called");
    assert_eq!(sum(&smscope, "smscope_store_events", &[]), Some(0.0));
}

#[test]
fn a_public_url_that_leads_to_another_smscope_does_not_count_as_working() {
    let other = Launch::new().start();
    let toml = format!("public_url = \"http://{}\"\n[self_probe]\nenabled = true\ninterval = \"1s\"", other.webhooks);
    let smscope = Launch::new().file(&toml).start();
    eventually("the other one is found out", || {
        sum(&smscope, "smscope_self_probes_total", &[("result", "other")]) > Some(0.0)
    });
    assert_eq!(sum(&smscope, "smscope_self_probe_success", &[]), Some(0.0));
}

#[test]
fn check_reports_the_result_of_each_step_to_the_public_url() {
    let smscope = Smscope::start();
    let url = format!("http://{}", smscope.webhooks);
    let check = |launch: &Launch, url: &str| launch.clone().args(&["check", "--public-url", url]).run();
    let ended = check(&smscope.launch, &url);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let steps: Vec<(&str, &str)> =
        ended.stdout.lines().skip(1).filter_map(|line| line.trim().split_once(' ')).collect();
    assert_eq!(
        steps.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["dns", "connect", "tls", "answer", "time", "process"]
    );
    assert!(steps.iter().all(|(_, rest)| rest.trim().starts_with("ok ")), "{}", ended.stdout);
    assert!(ended.stdout.starts_with(&format!("{url}/hooks/smsmode/<token>\n")) && !ended.stdout.contains(TOKEN));
    assert_eq!(sum(&smscope, "smscope_store_events", &[]), Some(0.0), "nothing is stored");

    let wrong_token = check(&smscope.launch.clone().env("SMSCOPE_TOKEN", "another-token-of-16"), &url);
    assert_eq!(wrong_token.code, Some(1));
    assert!(
        wrong_token.stdout.contains("answer    failed   answered 404 Not Found; expected the token that"),
        "{}",
        wrong_token.stdout
    );
    assert!(wrong_token.stdout.ends_with("process   -        not reached\n"), "{}", wrong_token.stdout);

    let another = Smscope::start();
    let crossed = check(&another.launch, &url);
    assert_eq!(crossed.code, Some(1));
    assert!(crossed.stdout.contains("process   failed   another smscope answered"), "{}", crossed.stdout);

    // Where no smscope has ever been: nothing is made, and what was given is checked as far as possible.
    let elsewhere = check(&Launch::new(), &url);
    assert_eq!(elsewhere.code, Some(0), "{}", elsewhere.stdout);
    assert!(elsewhere.stdout.contains("process   unknown"), "{}", elsewhere.stdout);
    let tokenless = Launch::without_token();
    let ended = check(&tokenless, &url);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("no token has been made there for smsmode"), "{}", ended.stderr);
    assert!(!tokenless.data_dir().exists());
}

#[test]
fn connect_shows_sets_and_reverts_the_callback_urls() {
    let stand_in = SmsmodeApi::start();
    let mut other = channel("77aa", "Marketing");
    other["defaultCallbackUrlStatus"] = "https://old.example.com/sms?key=s3cret-of-theirs".into();
    stand_in.set_channels(vec![channel("3f0c5a1e", "OTP"), other]);
    let launch = Launch::new().file(&asks(&stand_in, ""));
    let connect = |arguments: &[&str]| launch.clone().args(&[&["connect"], arguments].concat()).run();
    let url = ["--public-url", "https://sms.example.com"];
    let ours = json!(format!("https://sms.example.com/hooks/smsmode/{TOKEN}"));

    let shown = connect(&url);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("channel 77aa \"Marketing\" (source smsmode)\n"), "{}", shown.stdout);
    assert!(shown.stdout.ends_with("nothing is set yet: --apply sets it\n"), "{}", shown.stdout);
    for secret in [TOKEN, "s3cret-of-theirs", API_KEY] {
        assert!(!shown.stdout.contains(secret), "{}", shown.stdout);
    }
    let refused = connect(&[&url[..], &["--apply"]].concat());
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.ends_with("there is no terminal to ask at; expected --yes as well\n"), "{}", refused.stderr);
    assert_eq!(stand_in.callbacks("3f0c5a1e"), (Value::Null, Value::Null));
    assert!(stand_in.asked().iter().all(|asked| asked.method == "GET"), "so far it has only looked");

    let set = connect(&[&url[..], &["--apply", "--yes"]].concat());
    assert_eq!(set.code, Some(0), "{}", set.stderr);
    for channel in ["3f0c5a1e", "77aa"] {
        assert_eq!(stand_in.callbacks(channel), (ours.clone(), ours.clone()));
    }
    let again = connect(&[&url[..], &["--apply", "--yes"]].concat());
    assert!(again.stdout.ends_with("nothing to change\n"), "{}", again.stdout);

    let look = connect(&["--undo"]);
    assert!(look.stdout.ends_with("nothing is set yet: --apply sets it\n"), "{}", look.stdout);
    let back = connect(&["--undo", "--apply", "--yes"]);
    assert_eq!((back.code, back.stderr.as_str()), (Some(0), ""));
    assert_eq!(stand_in.callbacks("3f0c5a1e"), (Value::Null, Value::Null));
    assert_eq!(stand_in.callbacks("77aa").0, "https://old.example.com/sms?key=s3cret-of-theirs");
    assert_eq!(connect(&["--undo"]).stdout, "nothing to undo\n");
}

#[test]
fn connect_reports_missing_settings() {
    let stand_in = SmsmodeApi::start();
    for (launch, arguments, code, says) in [
        (Launch::new(), &["--public-url", "https://x"][..], 78, "no source has an API key"),
        (Launch::new().file(&asks(&stand_in, "")), &[], 78, "--public-url: missing; expected it, or public_url"),
        (
            Launch::new().file(&asks(&stand_in, "")),
            &["--public-url", "x"],
            78,
            "--public-url = \"x\": expected an http",
        ),
        (
            Launch::new().file(&asks(&stand_in, "")),
            &["--public-url", "https://x", "--source", "a"],
            78,
            "--source: no such source; expected one of smsmode",
        ),
        (
            Launch::new().file(&asks(&stand_in, "")),
            &["--public-url", "https://x", "--channel", "a"],
            1,
            "channel a: the API key sees no such channel",
        ),
        (
            Launch::new().file(&asks(&stand_in, "")).env("SMSCOPE_API_KEY", "s3cret"),
            &["--public-url", "https://x", "--channel", "a"],
            1,
            "channel a: the API key sees no such channel",
        ),
        (
            Launch::new().file(&asks(&stand_in, "").replace(API_KEY, "wr0ng-key")),
            &["--public-url", "https://x"],
            1,
            "smsmode's API (channels): answered 401 Unauthorized: Unauthorized; the key is not known",
        ),
    ] {
        let ended = launch.args(&[&["connect"], arguments].concat()).run();
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret") && !ended.stderr.contains("wr0ng"), "{}", ended.stderr);
    }
}

#[test]
fn a_receipt_that_never_arrived_is_reconciled_and_counted_once() {
    let stand_in = SmsmodeApi::start();
    let asking = "[reconcile]\nenabled = true\nafter = \"1s\"\ninterval = \"1s\"";
    let smscope = Smscope::with(&asks(&stand_in, asking));
    let delivered = json!({
        "messageId": "a", "type": "SMS", "direction": "MT", "recipient": {"to": crate::support::NUMBER},
        "acceptedAt": "2026-01-01T12:00:00", "status": {"value": "DELIVERED", "deliveryDate": "2026-01-01T12:00:05"}
    });
    stand_in.set_messages(vec![delivered.clone()]);
    assert_eq!(sum(&smscope, "sms_receipts_reconciled_total", &[("outcome", "delivered")]), Some(0.0));
    assert_eq!(smscope.client().ask(post(HOOK, receipt("a", "ENROUTE"))).result(), "accepted");
    eventually("it is delivered", || sum(&smscope, "sms_messages_delivered_total", &[]) == Some(1.0));
    assert_eq!(sum(&smscope, "sms_receipts_reconciled_total", &[("outcome", "delivered")]), Some(1.0));
    assert_eq!(sum(&smscope, "sms_messages_pending", &[]), Some(0.0));
    assert!(sum(&smscope, "smscope_reconcile_rounds_total", &[("result", "complete")]) > Some(0.0));
    assert_eq!(smscope.client().ask(post(HOOK, delivered.to_string())).result(), "duplicate");
    assert_eq!(sum(&smscope, "sms_messages_delivered_total", &[]), Some(1.0));
    // No receipt is late that did not come by itself.
    assert_eq!(sum(&smscope, "sms_receipt_delay_seconds_count", &[]), None);
}

/// A smscope that runs, or one that has run on the same data directory.
fn once_started(launch: &Launch, runs: bool) -> Option<Smscope> {
    let smscope = launch.start();
    if runs {
        return Some(smscope);
    }
    smscope.stop();
    None
}

fn reconcile(launch: &Launch, more: &[&str]) -> Ended {
    launch.clone().args(&[&["reconcile", "--since", "2d"], more].concat()).run()
}

#[test]
fn a_period_is_reconciled_by_command_whether_or_not_a_smscope_runs() {
    let accepted = (jiff::Timestamp::now() - Duration::from_secs(3600)).to_string();
    let of = |id: &str, status: &str| json!({"messageId": id, "type": "SMS", "acceptedAt": accepted, "recipient": {"to": crate::support::NUMBER}, "status": {"value": status}});
    for runs in [true, false] {
        let stand_in = SmsmodeApi::start();
        let launch = Launch::new().file(&asks(&stand_in, ""));
        let nothing = reconcile(&launch, &[]);
        assert_eq!(nothing.code, Some(78), "{}", nothing.stderr);
        assert!(!launch.data_dir().exists());

        stand_in.set_messages(vec![of("a", "DELIVERED")]);
        let smscope = launch.start();
        smscope.client().ask(post(HOOK, receipt("a", "DELIVERED")));
        smscope.stop();
        stand_in.set_messages(vec![of("c", "UNDELIVERED"), of("b", "DELIVERED"), of("a", "DELIVERED")]);
        let running = once_started(&launch, runs);
        let told = |missed: &str| format!("smsmode: {missed}, of 3 in the period; 3 read\n");
        let first = reconcile(&launch, &[]);
        let missed = told("2 were missing (1 delivered, 1 failed)");
        assert_eq!((first.code, first.stdout, first.stderr), (Some(0), missed, String::new()), "runs: {runs}");
        assert_eq!(reconcile(&launch, &["--source", "smsmode"]).stdout, told("0 were missing"));
        let smscope = running.unwrap_or_else(|| launch.start());
        assert_eq!(sum(&smscope, "sms_receipts_reconciled_total", &[]), Some(2.0), "runs: {runs}");
        assert_eq!(sum(&smscope, "sms_messages_delivered_total", &[]), Some(2.0));
        assert_eq!(sum(&smscope, "smscope_reconcile_rounds_total", &[]), None, "it makes no rounds of its own");
        let asked = [("operation", "messages"), ("result", "ok")];
        assert_eq!(sum(&smscope, "smscope_api_requests_total", &asked), runs.then_some(2.0));
    }
}

#[test]
fn a_reconciliation_that_is_impossible_is_one_line_and_an_exit_code_whether_or_not_a_smscope_runs() {
    let stand_in = SmsmodeApi::start();
    let source = |name: &str, key: &str, more: &str| {
        format!("[[source]]\nname = \"{name}\"\napi = {{ key = \"{key}\", url = \"{}\"{more} }}\n", stand_in.url())
    };
    let refused = "smscope: smsmode's API (messages): answered 401 Unauthorized: Unauthorized; the key is not known\n";
    let two = source("one", API_KEY, "") + &source("two", "wr0ng-key", "");
    for (file, more, code, stdout, stderr) in [
        (
            "[[source]]\nname = \"one\"\n",
            &[][..],
            78,
            "",
            "smscope: no source has an API key; expected a key in [source.api], or SMSCOPE_API_KEY\n",
        ),
        (&two, &["--source", "three"], 78, "", "smscope: --source: no such source; expected one of one, two\n"),
        (
            &source("one", API_KEY, ", mode = \"legacy\""),
            &[],
            78,
            "",
            "smscope: source one: the legacy API has neither channels nor a list of messages; expected a key of the REST API\n",
        ),
        (&source("one", "wr0ng-key", ""), &[], 1, "", refused),
        // What has been done by then is reported.
        (&two, &[], 1, "one: 0 were missing, of 0 in the period; 0 read\n", refused),
    ] {
        for runs in [true, false] {
            let launch = Launch::without_token().file(file);
            let _running = once_started(&launch, runs);
            let ended = reconcile(&launch, more);
            assert_eq!(
                (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
                (Some(code), stdout, stderr),
                "runs: {runs}"
            );
        }
    }
}

#[test]
fn the_key_of_the_smscope_that_runs_is_the_one_that_counts() {
    let stand_in = SmsmodeApi::start();
    let launch = Launch::new();
    let empty = launch.home.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let without = launch.clone().env("SMSCOPE_CONFIG", empty.to_str().unwrap());
    let running = launch.file(&asks(&stand_in, "")).start();
    let ended = reconcile(&without, &[]);
    assert_eq!(ended.stdout, "smsmode: 0 were missing, of 0 in the period; 0 read\n", "{}", ended.stderr);
    running.stop();
    let ended = reconcile(&without, &[]);
    assert!(ended.code == Some(78) && ended.stderr.contains("no source has an API key"), "{}", ended.stderr);
}

#[test]
fn a_shutdown_does_not_wait_for_the_request_of_a_command() {
    let stand_in = SmsmodeApi::start();
    stand_in.always_fail(Fault::Slow(Duration::from_secs(25)));
    let launch = Launch::new().file(&(asks(&stand_in, "") + "timeout = \"25s\"\n"));
    let smscope = launch.start();
    let command = std::thread::spawn(move || reconcile(&launch, &[]));
    eventually("the provider is asked", || !stand_in.asked().is_empty());
    let before = Instant::now();
    smscope.stop();
    let told = command.join().unwrap();
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{}", told.stderr);
    assert!(told.stderr.ends_with("run it again\n"), "{}", told.stderr);
}
