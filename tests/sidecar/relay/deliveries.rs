//! Which events are relayed to which target, and in which form.

use serde_json::json;

use crate::support::target::Target;
use crate::support::{HOOK, Launch, Smscope, TOKEN, eventually, post, receipt, request};

/// A reply of a number to the short code 36111.
pub fn reply(id: &str, number: &str, text: &str) -> String {
    json!({
        "messageId": id, "type": "SMS", "direction": "MO", "from": number, "recipient": {"to": "36111"},
        "body": {"text": text},
    })
    .to_string()
}

fn accepted(smscope: &Smscope, body: impl AsRef<[u8]>) {
    assert_eq!(smscope.post(HOOK, body).result(), "accepted");
}

#[test]
fn a_raw_relay_passes_each_request_on_as_it_came_without_what_is_ours() {
    let target = Target::start();
    let smscope = Smscope::with(&format!(
        "[[relay]]\nname = \"app\"\nurl = \"{}\"\nformat = \"raw\"\n",
        target.url("/sms?key=own")
    ));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body =
        " {\"messageId\":\"m-1\", \"status\":{\"value\":\"DELIVERED\"},\r\n \"recipient\":{\"to\":\"33612345678\"}} ";
    smscope.ask(request(
        "POST",
        &format!("{HOOK}?traceparent={trace}"),
        &["content-type: application/json; charset=utf-8"],
        body,
    ));
    target.wait_for(1);
    let legacy = "smsID=42&numero=33612345678&statut=11&date_reception=2010-03-25%2009%3A52%3A17";
    smscope.ask(request("GET", &format!("{HOOK}?{legacy}&traceparent={trace}"), &[], ""));
    target.wait_for(2);
    let form = "smsID=43&numero=33612345678&statut=11";
    smscope.ask(request("POST", HOOK, &["content-type: application/x-www-form-urlencoded"], form));
    target.wait_for(3);
    smscope.post(HOOK, r#"{"click":"what nobody knows"}"#);
    let arrived = target.wait_for(4);

    assert_eq!((arrived[0].method.as_str(), arrived[0].target.as_str()), ("POST", "/sms?key=own"));
    assert_eq!(arrived[0].body, body.as_bytes());
    assert_eq!(arrived[0].header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!((arrived[1].method.as_str(), arrived[1].target.as_str()), ("GET", &*format!("/sms?key=own&{legacy}")));
    assert!(arrived[1].body.is_empty() && arrived[1].header("content-type").is_none());
    assert_eq!(arrived[2].body, form.as_bytes());
    assert_eq!(arrived[3].body, br#"{"click":"what nobody knows"}"#);
    for one in &arrived {
        let whole = format!("{one:?}{}", String::from_utf8_lossy(&one.body));
        assert!(!whole.contains(TOKEN) && !whole.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{whole}");
    }
}

#[test]
fn a_request_with_several_events_is_relayed_once_and_a_duplicate_not_at_all() {
    let (raw, events) = (Target::start(), Target::start());
    let smscope = Smscope::with(&format!(
        "[[relay]]\nname = \"raw\"\nurl = \"{}\"\nformat = \"raw\"\n[[relay]]\nname = \"events\"\nurl = \"{}\"\n",
        raw.url("/"),
        events.url("/")
    ));
    let array = format!("[{},{}]", receipt("m-1", "DELIVERED"), receipt("m-2", "UNDELIVERED"));
    accepted(&smscope, &array);
    assert_eq!(smscope.post(HOOK, &array).result(), "duplicate");
    accepted(&smscope, receipt("m-3", "ENROUTE"));
    let raw = raw.wait_for(2);
    let events = events.wait_for(3);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!((raw.len(), events.len()), (2, 3));
    assert!(raw.iter().any(|one| one.body == array.as_bytes()));
    let mut types: Vec<String> = events.iter().map(|one| one.event()["type"].as_str().unwrap().to_owned()).collect();
    types.sort();
    assert_eq!(types, ["sms.message.delivered", "sms.message.enroute", "sms.message.failed"]);
}

#[test]
fn a_filter_picks_and_keywords_route_with_a_default() {
    let [yes, one, other, stops, failures] = [(); 5].map(|()| Target::start());
    let relay = |name: &str, target: &Target, filter: &str| {
        format!("[[relay]]\nname = \"{name}\"\nurl = \"{}\"\n{filter}\n", target.url("/"))
    };
    let smscope = Smscope::with(
        &[
            relay("yes", &yes, "events = [\"reply.received\"]\nkeywords = [\"yes\", \"oui\"]"),
            relay("one", &one, "events = [\"reply.received\"]\npattern = \"^1$\""),
            relay("other", &other, "events = [\"reply.received\"]\nfallback = true"),
            relay("stops", &stops, "events = [\"reply.stop\"]"),
            relay("failures", &failures, "reasons = [\"unknown\"]\ncountries = [\"FR\"]"),
        ]
        .concat(),
    );
    for (id, text) in [("r-1", "Oui, merci"), ("r-2", "1"), ("r-3", "who is this?"), ("r-4", "Stop")] {
        accepted(&smscope, reply(id, "33612345678", text));
    }
    accepted(&smscope, receipt("m-1", "DELIVERED"));
    accepted(&smscope, receipt("m-2", "UNDELIVERED"));
    for (target, subject, kind) in [
        (&yes, "r-1", "sms.reply.received"),
        (&one, "r-2", "sms.reply.received"),
        (&other, "r-3", "sms.reply.received"),
        (&stops, "r-4", "sms.reply.stop"),
        (&failures, "m-2", "sms.message.failed"),
    ] {
        let arrived = target.wait_for(1);
        assert_eq!(arrived.len(), 1);
        let event = arrived[0].event();
        assert_eq!((event["subject"].as_str(), event["type"].as_str()), (Some(subject), Some(kind)));
    }
    eventually("all is counted", || {
        smscope.metrics().value("sms_relay_attempts_total", &[("result", "delivered")]) == Some(5.0)
    });
    let metrics = smscope.metrics();
    for relay in ["yes", "one", "other", "stops", "failures"] {
        assert_eq!(metrics.value("sms_relay_events_total", &[("relay", relay)]), Some(1.0), "{relay}");
        assert_eq!(metrics.value("sms_relay_pending", &[("relay", relay)]), Some(0.0), "{relay}");
        assert_eq!(metrics.value("sms_relay_duration_seconds_count", &[("relay", relay)]), Some(1.0), "{relay}");
    }
}

#[test]
fn no_answer_waits_for_a_target() {
    let target = Target::start();
    target.otherwise(crate::support::target::Reaction::Slow(std::time::Duration::from_secs(20)));
    let smscope = Smscope::with(&format!("[[relay]]\nname = \"app\"\nurl = \"{}\"\n", target.url("/")));
    let started = std::time::Instant::now();
    let mut client = smscope.client();
    for at in 0..50 {
        assert_eq!(client.ask(post(HOOK, receipt(&format!("m-{at}"), "ENROUTE"))).result(), "accepted");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_raw_relay_of_a_source_without_raw_requests_is_rejected_at_the_start() {
    for (relay, key, problem) in [
        ("format = \"raw\"", "relay[0].format = \"raw\"", "source \"smsmode\" has text = \"dropped\""),
        ("keywords = [\"yes\"]", "relay[0].keywords", "source \"smsmode\" has text = \"dropped\""),
    ] {
        let toml = format!(
            "[privacy]\ntext = \"dropped\"\n[[relay]]\nname = \"app\"\nurl = \"http://127.0.0.1:9\"\n{relay}\n"
        );
        let ended = Launch::new().file(&toml).run();
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.stderr.contains(key) && ended.stderr.contains(problem), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}
