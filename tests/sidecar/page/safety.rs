//! What the page lets in and gives away.

use super::{Browser, accepted, receipt, send_some_webhooks, url};
use crate::support::{Client, HOOK, Response, Smscope};

fn ask(smscope: &Smscope, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut client = Client::connect(smscope.admin);
    client.send(format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n")));
    if method == "HEAD" { client.head() } else { client.response() }
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_the_browser_reports_no_issue() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    send_some_webhooks(&smscope);
    browser.open(&url(&smscope));
    let asked: Vec<String> = browser.requests().into_iter().filter(|asked| !asked.starts_with("data:")).collect();
    assert_eq!(asked, [url(&smscope)]);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn content_of_a_webhook_is_never_executed() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    let script = "<script>window.hacked=1</script>";
    let image = "<img src=/x onerror=window.hacked=1>";
    let lookup = format!(r#""lookup":{{"mccMnc":"20801","network":"{image}"}}"#);
    accepted(&smscope, &receipt(script, script, &format!(r#""value":"{image}","detail":"{script}",{lookup}"#)));
    browser.open(&url(&smscope));
    assert!(browser.text("#events tbody").contains("<img src=/x"), "{}", browser.text("#events tbody"));
    assert_eq!(browser.evaluate("window.hacked ?? document.querySelectorAll('img, main script').length"), 0);
    // And if it were in the page, the policy would keep it from running.
    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'}))",
    );
    assert_eq!(browser.evaluate("window.hacked ?? 0"), 0);
    assert!(browser.complaints().iter().any(|complaint| complaint.contains("Content Security Policy")));
}

/// A website that points its own name at 127.0.0.1 gets what `/metrics` would have given it.
#[test]
fn a_name_that_is_not_this_machines_gets_no_events() {
    let smscope = Smscope::start();
    accepted(&smscope, &receipt("abcdefgh-ijkl", "33612345678", r#""value":"DELIVERED""#));
    for path in ["/", "/figures"] {
        for (headers, private) in [
            (&["host: localhost"][..], true),
            (&["host: 127.0.0.1:7673"], true),
            (&["host: [::1]:7673"], true),
            (&["host: rebound.example:7673"], false),
            (&["host: localhost", "x-forwarded-for: 192.0.2.1"], false),
        ] {
            let answer = ask(&smscope, "GET", path, headers);
            assert_eq!(answer.status, 200);
            let text = answer.text();
            for word in ["abcdefgh", "+336•••••678", &smscope.webhooks.to_string()] {
                assert_eq!(text.contains(word), private, "{path} {headers:?} {word}");
            }
            assert!(text.contains(r#"<data value="1">1</data>"#), "{path} {headers:?}");
        }
    }
}

#[test]
fn the_page_is_cached_nowhere_and_smaller_when_compressed() {
    let smscope = Smscope::start();
    for path in ["/", "/figures"] {
        let plain = ask(&smscope, "GET", path, &["host: localhost"]);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("vary", "accept-encoding"),
        ] {
            assert_eq!(plain.header(name), Some(value), "{path} {name}");
        }
        assert!(plain.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        let packed = ask(&smscope, "GET", path, &["host: localhost", "accept-encoding: gzip, br"]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() * 2 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
        let head = ask(&smscope, "HEAD", path, &["host: localhost"]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(ask(&smscope, "POST", path, &["host: localhost"]).status, 405);
    }
    assert_eq!(smscope.post(HOOK, "").result(), "probe");
}
