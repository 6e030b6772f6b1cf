//! Throttling of failed authentications: a client with the right token is never delayed.

use std::time::{Duration, Instant};

use crate::support::{HOOK, Response, Smscope, TOKEN, eventually, request};

/// Failures of an address before it is throttled, and those past that which count for another minute.
const FREE: usize = 100;
const HELD: usize = 30;

const WRONG: &str = "/hooks/smsmode/wrong-token-0123456789";

fn guess(smscope: &Smscope, path: &str, headers: &[&str]) -> Response {
    smscope.ask(request("GET", path, headers, ""))
}

/// More failures, at once and without waiting for their answers, so that the limit is not just reached.
fn go_on(smscope: &Smscope, path: &str, header: &str) {
    let count = |smscope: &Smscope| smscope.metric("smscope_webhook_requests_total", &[("result", "unauthorized")]);
    let before = count(smscope);
    for _ in 0..HELD {
        smscope.client().send(request("GET", path, &[header], ""));
    }
    eventually("all are counted", || count(smscope) == before + HELD as f64);
}

fn limited(smscope: &Smscope) -> f64 {
    smscope.metric("smscope_auth_failures_throttled_total", &[])
}

#[test]
fn past_a_hundred_failures_an_answer_is_late_and_ends_its_connection_and_the_right_token_passes() {
    let smscope = Smscope::start();
    assert_eq!(limited(&smscope), 0.0);
    let mut client = smscope.client();
    for _ in 0..FREE {
        let answer = client.ask(request("GET", WRONG, &[], ""));
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    go_on(&smscope, WRONG, "x: y");
    let started = Instant::now();
    let answer = client.ask(request("GET", WRONG, &[], ""));
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(client.rest().is_empty());

    let of_a_wrong_token = answer.dateless();
    for path in ["/hooks/nobody/t0ken-of-the-tests", "/hooks/smsmode", "/hooks/smsmode/t0ken-of-the-tests/x/y"] {
        assert_eq!(guess(&smscope, path, &[]).dateless(), of_a_wrong_token, "{path}");
    }
    // Not one is rejected, however many are wrong.
    let mut client = smscope.client();
    for _ in 0..FREE {
        let answer = client.ask(request("GET", HOOK, &[], ""));
        assert_eq!((&*answer.result(), answer.header("connection")), ("probe", None));
    }
    let unauthorized = smscope.metric("smscope_webhook_requests_total", &[("result", "unauthorized")]);
    assert_eq!(unauthorized, (FREE + HELD + 4) as f64);
    // Some may have been forgotten meanwhile.
    assert!((4.0..=(HELD + 4) as f64).contains(&limited(&smscope)), "{}", limited(&smscope));
}

#[test]
fn failed_authentications_with_a_second_secret_are_throttled_alike() {
    let smscope = Smscope::with(
        "[[source]]\nname = \"smsmode\"\nheader = { name = \"X-Secret\", value = \"right\" }\nallow = [\"127.0.0.1\"]",
    );
    for _ in 0..FREE {
        assert_eq!(guess(&smscope, HOOK, &["x-secret: wrong"]).header("connection"), None);
    }
    go_on(&smscope, HOOK, "x-secret: wrong");
    let answer = guess(&smscope, HOOK, &["x-secret: wrong"]);
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    assert_eq!(guess(&smscope, HOOK, &["x-secret: right"]).result(), "probe");
    // Another method is no failed authentication.
    assert_eq!(smscope.ask(request("PUT", WRONG, &[], "")).header("connection"), None);
}

#[test]
fn failures_are_those_of_the_address_that_a_trusted_proxy_names_and_of_no_other() {
    let trusted = "[[source]]\nname = \"smsmode\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let untrusted = "[[source]]\nname = \"smsmode\"\ntrusted_proxies = [\"10.0.0.1\"]";
    for (what, settings, evades) in [("trusted", trusted, true), ("untrusted", untrusted, false)] {
        let smscope = Smscope::with(settings);
        for _ in 0..FREE {
            guess(&smscope, WRONG, &["x-forwarded-for: 198.51.100.1"]);
        }
        go_on(&smscope, WRONG, "x-forwarded-for: 198.51.100.1");
        let closed = |headers: &[&str]| guess(&smscope, WRONG, headers).header("connection") == Some("close");
        assert!(closed(&["x-forwarded-for: 198.51.100.1"]), "{what}");
        assert_ne!(closed(&["x-forwarded-for: 198.51.100.2"]), evades, "{what}");
        // What cannot be read is the proxy's own failure.
        assert_ne!(closed(&["x-forwarded-for: somebody"]), evades, "{what}");
        assert!(!guess(&smscope, HOOK, &[]).result().contains(TOKEN));
    }
}
