//! What the page says, and that it says what `/metrics` says.

use std::time::{Duration, Instant};

use super::{Browser, accepted, picture, receipt, send_some_webhooks, start_open_to_all, url};
use crate::support::{Exposition, HOOK, Launch, Smscope, eventually};

/// The machine-readable value of a count on the page.
fn count(browser: &mut Browser, selector: &str) -> f64 {
    let value = browser.evaluate(&format!("document.querySelector('{selector} data').value"));
    value.as_str().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{selector}: {value}"))
}

/// What each count on the page is in the metrics.
fn expected(metrics: &Exposition) -> Vec<(&'static str, f64)> {
    let sum = |name: &str, labels: &[(&str, &str)]| metrics.value(name, labels).unwrap_or(0.0);
    vec![
        ("#delivered-count", sum("sms_messages_delivered_total", &[])),
        ("#failed-count", sum("sms_messages_failed_total", &[])),
        ("#pending-count", sum("sms_messages_pending", &[])),
        ("#seen-count", sum("sms_messages_total", &[])),
        ("#expired-count", sum("sms_messages_expired_total", &[])),
        ("#read-count", sum("sms_messages_read_total", &[])),
        ("#reply-count", sum("sms_replies_total", &[("kind", "reply")])),
        ("#stop-count", sum("sms_replies_total", &[("kind", "stop")])),
        ("#store", sum("smscope_store_events", &[])),
        ("#sources td:nth-child(3)", sum("smscope_webhook_requests_total", &[("result", "accepted")])),
        ("#sources td:nth-child(4)", sum("smscope_webhook_requests_total", &[("result", "duplicate")])),
        ("#sources td:nth-child(5)", sum("smscope_webhook_requests_total", &[("result", "unrecognized")])),
        (
            "#sources td:nth-child(6)",
            sum("smscope_webhook_requests_total", &[("source", "smsmode"), ("result", "unauthorized")]),
        ),
        ("#failures tbody tr", sum("sms_messages_failed_total", &[("reason", "spam_filtered")])),
    ]
}

#[test]
fn every_count_on_the_page_is_that_of_the_metrics() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    send_some_webhooks(&smscope);
    browser.open(&url(&smscope));
    let found = expected(&smscope.metrics());
    for (selector, value) in &found {
        assert_eq!(count(&mut browser, selector), *value, "{selector}");
    }
    let value = |selector: &str| found.iter().find(|(known, _)| *known == selector).unwrap().1;
    assert_eq!([value("#delivered-count"), value("#failed-count"), value("#pending-count")], [41.0, 5.0, 5.0]);
    // 41 of 41 delivered and the 4 that are still failed.
    assert_eq!(browser.text("#rate"), "91.1%");
    assert!(browser.text("#failed-count").contains("1 delivered after all"));
}

#[test]
fn the_last_events_are_masked_and_the_newest_is_first() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Launch::new().file("[privacy]\nrecipient = \"plain\"\ntext = \"exported\"\n").start();
    send_some_webhooks(&smscope);
    browser.open(&url(&smscope));
    let rows = browser.evaluate("[...document.querySelectorAll('#events tbody tr')].map(row => row.innerText)");
    let rows: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!(rows.len(), 10, "{rows:?}");
    for (row, words) in [
        (0, &["Unrecognized", "no messageId"][..]),
        (1, &["STOP", "+336•••••678", "FR", "a2000000…"]),
        (2, &["Reply", "a1000000…"]),
        (3, &["Enroute", "+336•••••432", "e4000000…"]),
        (7, &["Scheduled"]),
        (8, &["Delivered", "f1000000…"]),
        (9, &["Failed", "credit · UNDELIVERABLE · INSUFFICIENT_CREDIT", "BE · Proximus (20601)", "ago", "UTC"]),
    ] {
        for word in words {
            assert!(rows[row].contains(word), "{word}: {}", rows[row]);
        }
    }
    let text = browser.text("html");
    let html = browser.evaluate("document.documentElement.outerHTML");
    for secret in ["33698765432", "33612345678", "424242", "Merci", "t0ken-of-the-tests"] {
        assert!(!text.contains(secret) && !html.as_str().unwrap().contains(secret), "{secret}");
    }
    assert!(text.contains(&format!("http://{}/hooks/smsmode/<token>", smscope.webhooks)), "{text}");
}

#[test]
fn a_listener_for_others_shows_no_event_and_no_host_and_what_waits_for_the_collector() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = start_open_to_all();
    send_some_webhooks(&smscope);
    eventually("an export fails", || {
        let failures = |signal| smscope.metric("smscope_export_failures_total", &[("signal", signal)]) > 0.0;
        failures("logs") && failures("metrics")
    });
    browser.open(&url(&smscope));
    let text = browser.text("main");
    for words in [
        "57 waiting, the oldest since",
        "only where the admin listener is on loopback",
        "to no source",
        "/hooks/marketing-spain/<token>",
        "since the store was made",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for private in ["•••", "f4000000", &format!("{}/hooks", smscope.webhooks)] {
        assert!(!text.contains(private), "{private}: {text}");
    }
    browser.picture(&picture("open-to-all"));
}

#[test]
fn an_open_page_updates_without_a_reload_and_pauses_while_it_is_hidden() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    browser.open(&url(&smscope));
    browser.evaluate("document.querySelector('footer a').focus(); window.theSame = true");
    let opened = Instant::now();
    accepted(&smscope, &receipt("abc", "33612345678", r#""value":"DELIVERED""#));
    eventually("the page shows the receipt", || count(&mut browser, "#delivered-count") == 1.0);
    assert!(opened.elapsed() >= Duration::from_secs(4), "it asks too often");
    assert!(browser.text("#events tbody").contains("+336•••••678"));
    assert_eq!(browser.evaluate("window.theSame && document.activeElement.innerText"), "/metrics");
    let asked = browser.requests();
    assert_eq!(asked[1..], [format!("{}figures", url(&smscope))], "{asked:?}");

    browser.pretend_hidden(true);
    accepted(&smscope, &receipt("def", "33612345678", r#""value":"DELIVERED""#));
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(browser.requests().len(), asked.len(), "it asks though nobody looks");
    browser.pretend_hidden(false);
    eventually("the page follows again", || count(&mut browser, "#delivered-count") == 2.0);
    assert_eq!(browser.complaints(), [""; 0]);

    smscope.signal("TERM");
    eventually("the page says that it is stale", || browser.text(".as-of").contains("smscope does not answer"));
    assert_eq!(count(&mut browser, "#delivered-count"), 2.0);
}

#[test]
fn without_scripts_the_page_is_whole() {
    let Some(mut browser) = Browser::start() else { return };
    let smscope = Smscope::start();
    assert_eq!(smscope.post(HOOK, receipt("abc", "33612345678", r#""value":"DELIVERED""#)).status, 200);
    browser.allow_scripts(false);
    browser.open(&url(&smscope));
    assert_eq!(count(&mut browser, "#delivered-count"), 1.0);
    assert!(browser.text("#events").contains("+336•••••678"));
}
