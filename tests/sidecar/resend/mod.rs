//! Failed messages that are resent, as an operator sees it: through smsmode's API, through a relay, and not at all.

mod crash;
mod rejections;
use crate::support::smsmode::{API_KEY, Fault, SmsmodeApi};
use crate::support::target::Target;
use crate::support::{HOOK, NUMBER, Smscope, TOKEN, eventually, request};
use serde_json::{Value, json};

/// A `[[resend]]` with these lines, and the source whose messages it is about.
fn rules(stand_in: &SmsmodeApi, rule: &str) -> String {
    format!(
        "{rule}\n[opt_outs]\nenabled = true\n\
         [[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"{API_KEY}\"\nurl = \"{}\"\n",
        stand_in.url()
    )
}

const SOON: &str = "[[resend]]\nname = \"absent\"\nreasons = [\"unknown\"]\ndelay = \"1s\"\n";

/// A receipt with all that a message has.
fn receipt(id: &str, status: &str, detail: Option<&str>) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({
        "messageId": id, "direction": "MT", "type": "SMS", "acceptedAt": now, "refClient": format!("order-{id}"),
        "channel": {"type": "SMS", "flow": "TRANSACTIONAL"}, "recipient": {"to": NUMBER}, "from": "Shop",
        "body": {"text": "your parcel is here"}, "status": {"value": status, "detail": detail, "deliveryDate": now}
    })
}

/// A failure of which the REST API does not say why.
fn absent(id: &str) -> Value {
    receipt(id, "UNDELIVERED", None)
}

fn tell(smscope: &Smscope, receipt: &Value) {
    assert_eq!(smscope.post(HOOK, receipt.to_string()).status, 200);
}

fn count(smscope: &Smscope, name: &str, label: &str, value: &str) -> f64 {
    smscope.metrics().value(name, &[("resend", "absent"), (label, value)]).unwrap_or(0.0)
}

fn results(smscope: &Smscope, result: &str) -> f64 {
    count(smscope, "sms_resends_total", "result", result)
}

/// What the stand-in was asked to send.
fn asked(stand_in: &SmsmodeApi) -> Vec<Value> {
    let asked = stand_in.asked().into_iter().filter(|asked| asked.method == "POST");
    asked.map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
}

#[test]
fn a_failed_message_is_resent_unchanged_and_its_outcome_is_reported() {
    let stand_in = SmsmodeApi::start();
    let rules = format!("public_url = \"https://sms.example.com\"\n{}", rules(&stand_in, SOON));
    let smscope = Smscope::with(&rules);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let failed = absent("m-1").to_string();
    let hook = format!("{HOOK}?traceparent={trace}");
    for _ in 0..3 {
        assert_eq!(smscope.ask(request("POST", &hook, &["content-type: application/json"], &failed)).status, 200);
    }
    eventually("it is sent again", || results(&smscope, "sent") == 1.0);
    let url = format!("https://sms.example.com/hooks/smsmode/{TOKEN}?traceparent={trace}");
    assert_eq!(
        asked(&stand_in),
        [json!({
            "recipient": {"to": NUMBER}, "body": {"text": "your parcel is here"}, "from": "Shop", "refClient": "order-m-1",
            "callbackUrlStatus": url, "callbackUrlMo": url
        })]
    );
    // The answer has registered it as pending; its receipt comes as any.
    assert_eq!(smscope.metric("sms_messages_pending", &[("state", "enroute")]), 1.0);
    tell(&smscope, &json!({"messageId": "sent-0", "recipient": {"to": NUMBER}, "status": {"value": "DELIVERED"}}));
    assert_eq!(count(&smscope, "sms_resend_outcomes_total", "outcome", "recovered"), 1.0);
    let journey = smscope.launch.clone().args(&["show", "sent-0"]).run().stdout;
    assert!(journey.contains("resent for m-1"), "{journey}");
    let journey = smscope.launch.clone().args(&["show", "m-1"]).run().stdout;
    assert!(journey.contains("to be resent by smscope: attempt 1 of 1 (absent)"), "{journey}");
}

#[test]
fn other_failures_and_what_has_been_delivered_meanwhile_are_left_alone() {
    let stand_in = SmsmodeApi::start();
    let smscope = Smscope::with(&rules(&stand_in, SOON));
    tell(&smscope, &receipt("m-1", "UNDELIVERABLE", Some("BLACKLISTED")));
    tell(&smscope, &absent("m-2"));
    tell(&smscope, &receipt("m-2", "DELIVERED", None));
    eventually("it is needless", || results(&smscope, "cancelled") == 1.0);
    assert_eq!(asked(&stand_in), [Value::Null; 0]);
}

#[test]
fn an_opted_out_recipient_gets_no_resend() {
    let stand_in = SmsmodeApi::start();
    let smscope = Smscope::with(&rules(&stand_in, SOON));
    tell(&smscope, &absent("m-1"));
    let stop = json!({"messageId": "r-1", "direction": "MO", "from": NUMBER, "recipient": {"to": "36111"},
                      "body": {"text": "STOP", "stop": true}});
    tell(&smscope, &stop);
    eventually("it is not sent", || results(&smscope, "opted_out") == 1.0);
    assert_eq!(asked(&stand_in), [Value::Null; 0]);
    assert_eq!(count(&smscope, "sms_resend_outcomes_total", "outcome", "lost"), 1.0);
}

#[test]
fn a_dry_run_logs_what_it_would_send_and_sends_nothing() {
    let stand_in = SmsmodeApi::start();
    let smscope = Smscope::with(&rules(&stand_in, &format!("{SOON}dry_run = true\n")));
    tell(&smscope, &absent("m-1"));
    eventually("it is told", || results(&smscope, "dry_run") == 1.0);
    let journey = smscope.launch.clone().args(&["show", "m-1"]).run().stdout;
    assert!(journey.contains("to be resent by nobody, this is a dry run"), "{journey}");
    assert_eq!(asked(&stand_in), [Value::Null; 0]);
}

#[test]
fn a_loop_ends_where_the_budget_does() {
    let stand_in = SmsmodeApi::start();
    let smscope = Smscope::with(&rules(&stand_in, &format!("{SOON}budget = 3\nattempts = 10\n")));
    tell(&smscope, &absent("m-1"));
    // A sender, or a network, that fails whatever is sent.
    let mut failed = 0;
    eventually("the budget is used up", || {
        while failed < asked(&stand_in).len() {
            tell(&smscope, &absent(&format!("sent-{failed}")));
            failed += 1;
        }
        results(&smscope, "over_budget") == 1.0
    });
    assert_eq!(asked(&stand_in).len(), 3);
    assert_eq!(count(&smscope, "sms_resend_outcomes_total", "outcome", "lost"), 1.0);
}

#[test]
fn the_provider_gets_a_retry_only_if_it_cannot_have_sent() {
    for (fault, result, requests) in [
        (Fault::TooMany(1), "sent", 2),
        (Fault::Status(400), "rejected", 1),
        (Fault::Status(401), "rejected", 1),
        (Fault::Status(503), "uncertain", 1),
        (Fault::Hangup, "uncertain", 1),
        (Fault::Half, "uncertain", 1),
        (Fault::NotJson, "uncertain", 1),
    ] {
        let stand_in = SmsmodeApi::start();
        stand_in.fail([fault.clone()]);
        let smscope = Smscope::with(&rules(&stand_in, SOON));
        tell(&smscope, &absent("m-1"));
        eventually(&format!("{fault:?}: {result}"), || results(&smscope, result) == 1.0);
        assert_eq!(stand_in.asked().len(), requests, "{fault:?}");
        assert!(!smscope.stderr().contains(API_KEY));
    }
}

#[test]
fn a_provider_that_wants_to_be_left_alone_is_whatever_fails_meanwhile() {
    let stand_in = SmsmodeApi::start();
    stand_in.always_fail(Fault::TooMany(600));
    let smscope = Smscope::with(&rules(&stand_in, SOON));
    for message in 0..5 {
        tell(&smscope, &absent(&format!("m-{message}")));
    }
    eventually("it is asked", || !stand_in.asked().is_empty());
    tell(&smscope, &absent("m-5"));
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(stand_in.asked().len(), 1);
}

#[test]
fn a_provider_that_is_slow_is_not_in_the_way_of_an_answer() {
    let stand_in = SmsmodeApi::start();
    stand_in.always_fail(Fault::Slow(std::time::Duration::from_secs(5)));
    let smscope = Smscope::with(&rules(&stand_in, SOON));
    tell(&smscope, &absent("m-1"));
    eventually("it is asked", || !stand_in.asked().is_empty());
    let started = std::time::Instant::now();
    tell(&smscope, &receipt("m-2", "DELIVERED", None));
    assert!(started.elapsed() < std::time::Duration::from_secs(4));
    // What is under way when it ends gets the time to be noted.
    let ended = smscope.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_teams_own_sender_is_notified_by_a_relay_and_its_message_is_recognized_by_its_ref_client() {
    let stand_in = SmsmodeApi::start();
    let target = Target::start();
    let relay =
        format!("[[relay]]\nname = \"sender\"\nurl = \"{}\"\nevents = [\"resend.requested\"]\n", target.url("/resend"));
    let smscope = Smscope::with(&rules(&stand_in, &format!("{relay}{SOON}through = \"relay\"\n")));
    tell(&smscope, &absent("m-1"));
    let event = target.wait_for(1)[0].event();
    assert_eq!(event["type"], "sms.resend.requested");
    assert_eq!(event["subject"], "m-1");
    let mut resend = event["data"]["resend"].clone();
    let until: jiff::Timestamp = resend["until"].take().as_str().unwrap().parse().unwrap();
    assert!(until > jiff::Timestamp::now(), "{until}");
    assert_eq!(resend, json!({"rule": "absent", "attempt": 1, "attempts": 1, "through": "relay", "until": null}));
    assert_eq!(event["data"]["text"], "your parcel is here");
    assert_eq!(event["data"]["ref_client"], "order-m-1");
    let mut theirs = receipt("theirs", "DELIVERED", None);
    theirs["refClient"] = "order-m-1".into();
    theirs["body"]["text"] = "your parcel has been here for an hour".into();
    tell(&smscope, &theirs);
    assert_eq!(count(&smscope, "sms_resend_outcomes_total", "outcome", "recovered"), 1.0);
    assert_eq!(results(&smscope, "requested"), 1.0);
    assert_eq!(asked(&stand_in), [Value::Null; 0]);
}

#[test]
fn a_legacy_receipt_of_an_absent_handset_has_no_text_for_the_sender() {
    let stand_in = SmsmodeApi::start();
    let target = Target::start();
    let relay =
        format!("[[relay]]\nname = \"sender\"\nurl = \"{}\"\nevents = [\"resend.requested\"]\n", target.url("/resend"));
    let rule = "[[resend]]\nname = \"absent\"\ndelay = \"1s\"\nthrough = \"relay\"\n";
    let smscope = Smscope::with(&rules(&stand_in, &format!("{relay}{rule}")));
    let query = format!("numero={NUMBER}&statut=3502&smsID=s-1&refClient=order-7&date_reception=2026-01-01%2012:00:00");
    assert_eq!(smscope.ask(request("GET", &format!("{HOOK}?{query}"), &[], "")).status, 200);
    let data = target.wait_for(1)[0].event()["data"].clone();
    assert_eq!(
        (&data["reason"], &data["ref_client"], &data["text"]),
        (&json!("handset_absent"), &json!("order-7"), &Value::Null)
    );
}
