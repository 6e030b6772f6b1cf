//! Targets that fail: what is retried, what is not, and what it costs others.

use std::time::Duration;

use super::deliveries::reply;
use crate::support::target::{Arrived, Reaction, Target};
use crate::support::{HOOK, Launch, Smscope, eventually, receipt};

fn relay(name: &str, url: &str, more: &str) -> String {
    format!("[[relay]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

fn subjects(arrived: &[Arrived]) -> Vec<String> {
    arrived.iter().map(|one| one.event()["subject"].as_str().unwrap().to_owned()).collect()
}

fn attempts(smscope: &Smscope, result: &str) -> f64 {
    smscope.metrics().value("sms_relay_attempts_total", &[("relay", "app"), ("result", result)]).unwrap()
}

#[test]
fn every_failure_is_retried_with_the_same_id_and_counted_by_its_kind() {
    let elsewhere = Target::start();
    let failures = [
        (Reaction::Status(500), "failed"),
        (Reaction::Status(404), "rejected"),
        (Reaction::Hangup, "unreachable"),
        (Reaction::Half, "unreachable"),
        (Reaction::Redirect(elsewhere.url("/")), "rejected"),
        (Reaction::TooMany(1), "throttled"),
        (Reaction::Slow(Duration::from_secs(3)), "timeout"),
    ];
    for (reaction, result) in failures {
        let target = Target::start();
        target.then([reaction.clone()]);
        let smscope = Smscope::with(&relay("app", &target.url("/"), "timeout = \"500ms\""));
        smscope.post(HOOK, receipt("m-1", "DELIVERED"));
        let arrived = target.wait_for(2);
        assert_eq!(arrived[0].id(), arrived[1].id(), "{reaction:?}");
        assert_eq!(arrived[0].body, arrived[1].body, "{reaction:?}");
        eventually("it is settled", || attempts(&smscope, "delivered") == 1.0);
        assert_eq!(attempts(&smscope, result), 1.0, "{reaction:?}");
    }
    assert!(elsewhere.arrived().is_empty(), "a redirect was followed");
}

#[test]
fn retry_after_is_honoured() {
    let target = Target::start();
    target.then([Reaction::TooMany(3)]);
    let smscope = Smscope::with(&relay("app", &target.url("/"), ""));
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    target.wait_for(1);
    // Another event of the same target waits as well.
    smscope.post(HOOK, receipt("m-2", "DELIVERED"));
    let arrived = target.wait_for(3);
    for later in &arrived[1..] {
        let waited = later.at.duration_since(arrived[0].at);
        assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    }
}

#[test]
fn the_events_of_a_message_stay_in_order_while_others_overtake() {
    let target = Target::start();
    target.then([Reaction::Status(503)]);
    let smscope = Smscope::with(&relay("app", &target.url("/"), ""));
    smscope.post(HOOK, receipt("m-1", "ENROUTE"));
    target.wait_for(1);
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    smscope.post(HOOK, receipt("m-2", "ENROUTE"));
    let arrived = target.wait_for(4);
    assert_eq!(subjects(&arrived), ["m-1", "m-2", "m-1", "m-1"]);
    let statuses: Vec<_> =
        arrived.iter().map(|one| one.event()["data"]["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["ENROUTE", "ENROUTE", "ENROUTE", "DELIVERED"]);
}

#[test]
fn the_replies_of_a_number_stay_in_order() {
    let target = Target::start();
    target.then([Reaction::Status(500), Reaction::Status(500)]);
    let smscope = Smscope::with(&relay("app", &target.url("/"), ""));
    for (id, number) in [("r-1", "33612345678"), ("r-2", "33612345678"), ("r-3", "33612345678")] {
        smscope.post(HOOK, reply(id, number, "hello"));
    }
    let arrived = target.wait_for(5);
    let taken: Vec<Arrived> = arrived.into_iter().filter(Arrived::was_taken).collect();
    assert_eq!(subjects(&taken), ["r-1", "r-2", "r-3"]);
}

#[test]
fn a_dead_target_does_not_slow_another() {
    let (dead, well) = (Target::start(), Target::start());
    dead.otherwise(Reaction::Slow(Duration::from_secs(60)));
    let smscope = Smscope::with(&(relay("dead", &dead.url("/"), "") + &relay("app", &well.url("/"), "")));
    for at in 0..200 {
        smscope.post(HOOK, receipt(&format!("m-{at}"), "DELIVERED"));
    }
    let arrived = well.wait_for(200);
    assert_eq!(arrived.len(), 200);
    let metrics = smscope.metrics();
    assert_eq!(metrics.value("sms_relay_pending", &[("relay", "dead")]), Some(200.0));
    assert!(metrics.value("sms_relay_pending_oldest_timestamp_seconds", &[("relay", "dead")]).is_some());
    // At most so many are under way at one time.
    assert!(dead.arrived().len() <= 8, "{}", dead.arrived().len());
}

#[test]
fn a_delivery_that_is_too_old_is_a_dead_letter_that_is_listed_and_retried() {
    let target = Target::start();
    target.otherwise(Reaction::Status(500));
    let smscope = Smscope::with(&relay("app", &target.url("/"), "max_age = \"1s\""));
    smscope.post(HOOK, receipt("m-1", "ENROUTE"));
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    let gauge = |name: &str| smscope.metrics().value(name, &[("relay", "app")]);
    eventually("both are given up", || gauge("sms_relay_dead_letters") == Some(2.0));
    assert_eq!((gauge("sms_relay_pending"), gauge("sms_relay_given_up_total")), (Some(0.0), Some(2.0)));

    let run = |arguments: &[&str]| smscope.launch.clone().args(arguments).run();
    let listed = run(&["relay", "list", "--dead"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", listed.stdout);
    for (line, event) in lines[1..].iter().zip(["message.enroute", "message.delivered"]) {
        assert!(
            line.contains("app") && line.contains("dead") && line.contains(event) && line.contains("m-1"),
            "{line}"
        );
    }
    assert!(lines[1].contains("answered 500"), "{}", lines[1]);

    target.otherwise(Reaction::Status(200));
    let before = target.arrived().len();
    let retried = run(&["relay", "retry", "--relay", "app"]);
    assert_eq!((retried.code, retried.stdout.as_str()), (Some(0), "2 dead letters redriven\n"));
    let arrived = target.wait_for(before + 2);
    let statuses: Vec<_> =
        arrived[before..].iter().map(|one| one.event()["data"]["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["ENROUTE", "DELIVERED"]);
    eventually("nothing is dead any more", || gauge("sms_relay_dead_letters") == Some(0.0));
    assert_eq!(run(&["relay", "list"]).stdout, "no delivery waits, and there is no dead letter\n");
}

#[test]
fn without_a_running_smscope_nothing_is_retried_and_an_error_is_reported() {
    let launch = Launch::new();
    let smscope = launch.start();
    smscope.stop();
    let ended = launch.args(&["relay", "retry", "--all"]).run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no smscope is running on it"), "{}", ended.stderr);
}

#[test]
fn a_delivery_of_a_removed_relay_is_a_dead_letter() {
    let launch = Launch::new();
    let smscope = launch.clone().file(&relay("app", "http://127.0.0.1:9/", "")).start();
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    smscope.stop();
    let smscope = launch.file("").start();
    assert_eq!(smscope.metrics().value("sms_relay_dead_letters", &[("relay", "app")]), Some(1.0));
    let listed = smscope.launch.clone().args(&["relay", "list"]).run();
    assert!(listed.stdout.contains("the relay is not configured any more"), "{}", listed.stdout);
}

/// `127.1` is not read as an address, so it is a name; the system knows where it leads, whatever its resolver is.
#[test]
fn a_name_that_leads_to_a_private_address_is_not_followed_unless_that_is_configured() {
    let target = Target::start();
    let url = format!("http://127.1:{}/", target.address.port());
    let smscope = Smscope::with(&relay("app", &url, ""));
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    eventually("it is refused", || attempts(&smscope, "forbidden") >= 1.0);
    assert!(target.arrived().is_empty());
    assert!(smscope.stderr().contains("in none of relay.networks"), "{}", smscope.stderr());
    let smscope = Smscope::with(&relay("app", &url, "networks = [\"127.0.0.0/8\"]"));
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    assert_eq!(target.wait_for(1).len(), 1);
}
