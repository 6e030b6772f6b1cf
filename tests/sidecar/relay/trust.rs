//! Targets by TLS: which certificate is accepted, and what is reported when none is.

use std::fs;

use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

use crate::support::certificates::{Authority, Identity};
use crate::support::target::Target;
use crate::support::{HOOK, Launch, Smscope, eventually, receipt};

/// A smscope with an event for a target that shows `identity`; `trusted` is in its file `ca.pem`.
fn relayed(identity: &Identity, trusted: &Authority, settings: &str) -> (Smscope, Target) {
    let target = Target::start_with_tls(&identity.certificate, &identity.key);
    let launch = Launch::new();
    fs::write(launch.home.path().join("ca.pem"), trusted.pem()).unwrap();
    let relay = format!("[[relay]]\nname = \"app\"\nurl = \"{}\"\n{settings}\n", target.url("/events"));
    let smscope = launch.file(&relay).start();
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    (smscope, target)
}

fn attempts(smscope: &Smscope, result: &str) -> Option<f64> {
    smscope.metrics().value("sms_relay_attempts_total", &[("relay", "app"), ("result", result)])
}

fn listed(smscope: &Smscope) -> String {
    smscope.launch.clone().args(&["relay", "list"]).run().stdout
}

#[test]
fn a_target_whose_authority_is_named_is_delivered_to() {
    let theirs = Authority::new("theirs");
    let (smscope, target) = relayed(&theirs.server(), &theirs, "certificate = \"ca.pem\"");
    let arrived = target.wait_for(1).remove(0);
    assert_eq!((arrived.target.as_str(), arrived.event()["subject"].as_str()), ("/events", Some("m-1")));
    eventually("it is noted", || attempts(&smscope, "delivered") == Some(1.0));
    assert_eq!(listed(&smscope), "no delivery waits, and there is no dead letter\n");
}

#[test]
fn a_target_without_a_trusted_certificate_gets_nothing_and_the_list_has_the_reason() {
    let (theirs, others) = (Authority::new("theirs"), Authority::new("others"));
    let elsewhere = theirs.sign(&["events.example.com"], 2099, ServerAuth);
    let ended = theirs.sign(&["127.0.0.1"], 2020, ServerAuth);
    let own = "certificate = \"ca.pem\"";
    for (what, identity, trusted, settings, why) in [
        ("another authority", theirs.server(), &others, own, "UnknownIssuer"),
        ("the authorities of the system", theirs.server(), &theirs, "", "UnknownIssuer"),
        ("another name", elsewhere, &theirs, own, "certificate not valid for name \"127.0.0.1\""),
        ("one that has ended", ended, &theirs, own, "certificate expired"),
    ] {
        let (smscope, target) = relayed(&identity, trusted, settings);
        eventually("it is tried", || attempts(&smscope, "unreachable") >= Some(1.0));
        assert_eq!(attempts(&smscope, "delivered"), Some(0.0), "{what}");
        assert!(target.arrived().is_empty(), "{what}: a request went to whom nobody vouches for");
        let listed = listed(&smscope);
        let line = listed.lines().nth(1).unwrap_or_default();
        let why = format!("invalid peer certificate: {why}");
        assert!(line.contains("m-1") && line.contains(" due ") && line.contains(&why), "{what}: {listed}");
        assert!(smscope.stderr().contains("invalid peer certificate"), "{what}: {}", smscope.stderr());
    }
}
