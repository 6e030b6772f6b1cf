//! What guessing a token costs, and whom it does not cost anything: who has the right one.

mod support;

use std::time::{Duration, Instant};

use support::{Answer, HOOK, Smscope, TOKEN, request};

/// Failures that an address has free.
const FREE: usize = 30;

const WRONG: &str = "/hooks/smsmode/wrong-token-0123456789";

fn guess(smscope: &Smscope, path: &str, headers: &[&str]) -> Answer {
    smscope.ask(request("GET", path, headers, ""))
}

fn limited(smscope: &Smscope) -> f64 {
    smscope.metric("smscope_guesses_limited_total", &[])
}

#[test]
fn past_thirty_failures_an_answer_is_late_and_ends_its_connection_and_the_right_token_passes() {
    let smscope = Smscope::start();
    assert_eq!(limited(&smscope), 0.0);
    let mut client = smscope.client();
    for _ in 0..FREE {
        let answer = client.ask(request("GET", WRONG, &[], ""));
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    let started = Instant::now();
    let answer = client.ask(request("GET", WRONG, &[], ""));
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(client.rest().is_empty());

    let of_a_wrong_token = answer.dateless();
    for path in ["/hooks/nobody/t0ken-of-the-tests", "/hooks/smsmode", "/hooks/smsmode/t0ken-of-the-tests/x/y"] {
        assert_eq!(guess(&smscope, path, &[]).dateless(), of_a_wrong_token, "{path}");
    }
    // Not one is turned away, however many are wrong.
    let mut client = smscope.client();
    for _ in 0..FREE {
        let answer = client.ask(request("GET", HOOK, &[], ""));
        assert_eq!((&*answer.told(), answer.header("connection")), ("probe", None));
    }
    assert_eq!(limited(&smscope), 4.0);
    let unauthorized = smscope.metric("smscope_webhook_requests_total", &[("result", "unauthorized")]);
    assert_eq!(unauthorized, FREE as f64 + 4.0);
}

#[test]
fn a_second_secret_is_guessed_at_the_same_price() {
    let smscope = Smscope::with(
        "[[source]]\nname = \"smsmode\"\nheader = { name = \"X-Secret\", value = \"right\" }\nallow = [\"127.0.0.1\"]",
    );
    for _ in 0..FREE {
        assert_eq!(guess(&smscope, HOOK, &["x-secret: wrong"]).header("connection"), None);
    }
    let answer = guess(&smscope, HOOK, &["x-secret: wrong"]);
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    assert_eq!(guess(&smscope, HOOK, &["x-secret: right"]).told(), "probe");
    // Another method is no guess.
    assert_eq!(smscope.ask(request("PUT", WRONG, &[], "")).header("connection"), None);
    assert_eq!(limited(&smscope), 1.0);
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
        let closed = |headers: &[&str]| guess(&smscope, WRONG, headers).header("connection") == Some("close");
        assert!(closed(&["x-forwarded-for: 198.51.100.1"]), "{what}");
        assert_ne!(closed(&["x-forwarded-for: 198.51.100.2"]), evades, "{what}");
        // What cannot be read is the proxy's own failure.
        assert_ne!(closed(&["x-forwarded-for: somebody"]), evades, "{what}");
        assert!(!guess(&smscope, HOOK, &[]).told().contains(TOKEN));
    }
}
