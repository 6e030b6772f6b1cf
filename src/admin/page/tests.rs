use std::collections::HashMap;

use hyper::Request;

use super::*;
use crate::event::Reason;
use crate::ledger::catalogue::{Metric, gauge};
use crate::ledger::snapshot::{Family, Sample};
use crate::ledger::{CounterUpdates, Ledger};
use crate::process_metrics::{ExportMetrics, Signal, WEBHOOK_REQUESTS};
use crate::record::{Kind, Record};

const LOOPBACK: &str = "127.0.0.1:7673";
const URL: &str = "https://sms.example.com/hooks/smsmode/<token>";

fn source() -> SourceName {
    SourceName::new("smsmode").unwrap()
}

/// A page on loopback of a store that holds `records`.
fn page(now: impl Fn() -> Now + Send + Sync + 'static, records: Vec<Record>) -> Page {
    let entry = |(position, record): (usize, Record)| Entry {
        position: crate::record::Position(position as i64 + 1),
        received_at: Timestamp::now(),
        record,
    };
    let entries: Vec<Entry> = records.into_iter().enumerate().map(entry).collect();
    Page {
        about: About {
            admin_listen: LOOPBACK.parse().unwrap(),
            created_at: "2026-04-01T14:00:10Z".parse().unwrap(),
            callback_urls: vec![CallbackUrl { source: source(), url: URL.into() }],
        },
        now: Box::new(now),
        latest: Box::new(move |limit| Ok(entries[entries.len().saturating_sub(limit)..].to_vec())),
        history: Default::default(),
    }
}

/// The page of a store that nothing has come into.
pub fn empty_page() -> Page {
    page(nothing, vec![])
}

fn nothing() -> Now {
    Now { snapshot: Snapshot::default(), process: Values::default(), store_is_healthy: true }
}

fn gauge(description: &'static crate::ledger::catalogue::Description, labels: &[&str], value: i64) -> Family {
    let labels = labels.iter().map(|&label| label.into()).collect();
    Family { description, samples: vec![Sample { labels, value }] }
}

/// What the figures say, words of neighbouring cells apart.
fn figures(page: &Page, private: bool, trouble: Option<&'static str>) -> String {
    let html = page.html(Part::Figures, private, trouble).unwrap();
    let pieces = html.split('<').map(|piece| match piece.split_once('>') {
        Some((tag, text)) if ["d", "t", "/d", "/t"].iter().any(|cell| tag.starts_with(cell)) => format!(" {text}"),
        Some((_, text)) => text.to_owned(),
        None => piece.to_owned(),
    });
    pieces.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shows(page: &Page, trouble: Option<&'static str>, words: &[&str]) {
    let figures = figures(page, true, trouble);
    for word in words {
        assert!(figures.contains(word), "{word:?} is not in {figures}");
    }
}

#[test]
fn the_page_of_a_new_store_says_that_it_is_empty_and_what_to_do() {
    shows(
        &page(nothing, vec![]),
        None,
        &[
            "Ready: webhooks are accepted",
            "since 1 Apr 2026",
            "no message has an outcome yet",
            "Nothing has come in yet",
            "No message has failed",
            "Logs by OTLP off",
            "Metrics by OTLP off",
            "Store writing 0 events in 0 B, no limit",
            "none yet",
            "No events in the store.",
        ],
    );
}

#[test]
fn an_unhealthy_state_is_shown_in_words() {
    let now = || Now { store_is_healthy: false, ..nothing() };
    shows(
        &page(now, vec![]),
        Some("the store cannot write"),
        &["Not ready: the store cannot write", "Store cannot write"],
    );
    let unreadable = Page { latest: Box::new(|_| Err("/secret/path: gone".into())), ..page(nothing, vec![]) };
    shows(&unreadable, None, &["They cannot be read now"]);
    assert!(!figures(&unreadable, true, None).contains("/secret"));
}

#[test]
fn what_waits_and_what_was_lost_on_the_way_out_is_shown() {
    let on = || {
        let values = Values::default();
        metrics::with_local_recorder(&values, || {
            let logs = ExportMetrics::new(Signal::Logs);
            logs.records.increment(1200);
            logs.failures.increment(1);
            logs.dropped.increment(3);
            ExportMetrics::new(Signal::Metrics).records.increment(9);
        });
        values
    };
    let with_backlog = |backlog, oldest: Option<i64>| {
        move || {
            let mut families = vec![gauge(&gauge::EXPORT_BACKLOG, &["logs"], backlog)];
            families.extend(oldest.map(|oldest| gauge(&gauge::EXPORT_OLDEST, &["logs"], oldest)));
            Now { snapshot: Snapshot { families }, process: on(), ..nothing() }
        }
    };
    let sent = "1,200 records sent, 1 request failed, 3 dropped";
    let metrics = "Metrics by OTLP on 9 data points sent, 0 requests failed";
    shows(&page(with_backlog(0, None), vec![]), None, &["Logs by OTLP up to date", sent, metrics]);
    shows(
        &page(with_backlog(1234, Some(1_743_523_210_000)), vec![]),
        None,
        &["Logs by OTLP 1,234 waiting, the oldest since 1 Apr 2025, 16:00 UTC", sent],
    );
}

#[test]
fn the_store_is_measured_against_its_limit_and_the_oldest_pending_message_has_an_age() {
    let now = || {
        let hour_ago = Timestamp::now().as_millisecond() - 3_700_000;
        let families = vec![
            gauge(&gauge::STORE_EVENTS, &[], 41_000),
            gauge(&gauge::STORE_SIZE, &[], 5 << 20),
            gauge(&gauge::STORE_LIMIT, &[], 10 << 20),
            gauge(&gauge::PENDING_OLDEST, &["smsmode"], hour_ago),
        ];
        Now { snapshot: Snapshot { families }, ..nothing() }
    };
    let expected = ["41,000 events in 5.0 MiB, 50% of the limit of 10 MiB", "oldest pending 1 h"];
    shows(&page(now, vec![]), None, &expected);
}

#[test]
fn requests_are_shown_by_source_and_rejections_by_result() {
    let process = Values::default();
    metrics::with_local_recorder(&process, || {
        for (source, result, count) in [
            ("smsmode", "accepted", 1500),
            ("smsmode", "probe", 9),
            ("smsmode", "too_large", 2),
            ("smsmode", "overloaded", 1),
            ("unknown", "unauthorized", 4),
        ] {
            metrics::counter!(WEBHOOK_REQUESTS.name, "source" => source, "result" => result).increment(count);
        }
    });
    let page = page(move || Now { process: process.clone(), ..nothing() }, vec![]);
    shows(
        &page,
        None,
        &["Accepted 1,500", "Rejected 3 2 too large, 1 overloaded", "to no source", "Rejected 4 4 unauthorized"],
    );
}

#[test]
fn whatever_comes_from_outside_is_text() {
    let hostile = |text: &str| Record {
        message_id: Some(text.into()),
        status: Some(text.into()),
        detail: Some(text.into()),
        network: Some(text.into()),
        mccmnc: Some(text.into()),
        country: Some(text.into()),
        why: Some(text.into()),
        number: Some(text.into()),
        ..Record::new(Kind::Unknown, source())
    };
    let records = ["<script>alert(1)</script>", "\"><img src=x>", "'onload='x", "</main>", "&lt;b&gt;"].map(hostile);
    let html = page(nothing, records.into()).html(Part::Whole, true, None).unwrap();
    for raw in ["<script>alert", "<img", "'onload", "\">&", "&lt;b&gt;"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert_eq!(html.matches("</main>").count(), 1);
    assert_eq!(html.matches("<script>").count(), 1);
    assert!(html.contains("&#60;script&#62;"), "{html}");
}

#[test]
fn no_number_and_no_text_is_shown_to_anyone() {
    let record = Record {
        number: Some("33612345678".into()),
        originator: Some("33687654321".into()),
        text: Some("Your code is 424242".into()),
        ref_client: Some("33611111111".into()),
        message_id: Some("33612345678".into()),
        detail: Some("33612345678 is absent".into()),
        reason: Some(Reason::HandsetAbsent),
        ..Record::new(Kind::Failed, source())
    };
    let page = page(nothing, vec![record]);
    for private in [true, false] {
        let html = page.html(Part::Whole, private, None).unwrap();
        for secret in ["33612345678", "33687654321", "33611111111", "424242"] {
            assert!(!html.contains(secret), "{secret}");
        }
        assert_eq!(html.contains("+336•••••678"), private);
    }
}

#[test]
fn other_clients_see_what_metrics_shows_and_the_page_says_so() {
    let page = page(nothing, vec![Record { message_id: Some("abc".into()), ..Record::new(Kind::Read, source()) }]);
    let (ours, theirs) = (figures(&page, true, None), figures(&page, false, None));
    for private in ["sms.example.com", "abc", "1 Apr 2026"] {
        assert!(ours.contains(private) && !theirs.contains(private), "{private}");
    }
    assert!(
        theirs.contains("/hooks/smsmode/&#60;token&#62;")
            && theirs.contains("only where the admin listener is on loopback")
    );
}

#[test]
fn only_a_request_made_on_this_machine_gets_what_is_for_those_on_it() {
    for (listen, uri, headers, expected) in [
        (LOOPBACK, "/", &[("host", "127.0.0.1:7673")][..], true),
        (LOOPBACK, "/", &[("host", "127.0.0.1")], true),
        (LOOPBACK, "/", &[("host", "localhost:7673")], true),
        (LOOPBACK, "/", &[("host", "LOCALHOST")], true),
        (LOOPBACK, "/", &[("host", "192.0.2.7:80")], true),
        ("[::1]:7673", "/", &[("host", "[::1]:7673")], true),
        ("[::ffff:127.0.0.1]:7673", "/", &[("host", "[::1]")], true),
        (LOOPBACK, "http://localhost:7673/", &[("host", "evil.example")], true),
        (LOOPBACK, "/", &[("host", "evil.example:7673")], false),
        (LOOPBACK, "/", &[("host", "localhost.evil.example")], false),
        (LOOPBACK, "/", &[("host", "127.0.0.1.evil.example")], false),
        (LOOPBACK, "/", &[("host", "2130706433")], false),
        (LOOPBACK, "/", &[("host", "localhost@evil.example")], false),
        (LOOPBACK, "/", &[("host", "")], false),
        (LOOPBACK, "/", &[], false),
        (LOOPBACK, "/", &[("host", "localhost"), ("host", "evil.example")], false),
        (LOOPBACK, "http://evil.example/", &[("host", "localhost")], false),
        (LOOPBACK, "/", &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")], false),
        (LOOPBACK, "/", &[("host", "localhost"), ("forwarded", "for=192.0.2.1")], false),
        ("0.0.0.0:7673", "/", &[("host", "localhost")], false),
        ("[::]:7673", "/", &[("host", "[::1]")], false),
        ("10.0.0.1:7673", "/", &[("host", "10.0.0.1:7673")], false),
    ] {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(is_on_this_machine(listen.parse().unwrap(), &parts), expected, "{listen} {uri} {headers:?}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_and_is_neither_cached_nor_framed() {
    let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let answer = Arc::new(page(nothing, vec![])).answer(Part::Whole, &parts, None).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    let policy = header("content-security-policy");
    for directive in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    // What the hashes are of stands in the page as it is.
    assert!(answer.body().contains(&format!("<style>{STYLE}</style>")));
    assert!(answer.body().contains(&format!("<script>{SCRIPT}</script>")));
    // No address of anyone else's: the icon only names the language that it is in.
    assert_eq!(answer.body().matches("://").count(), answer.body().matches("http://www.w3.org/2000/svg").count());
}

/// With all there is to show, so that refreshing never costs more than a few kilobytes.
#[test]
fn a_refresh_is_a_few_kilobytes() {
    let now = || {
        let (mut ledger, mut updates) = (Ledger::default(), CounterUpdates::default());
        for reason in Reason::ALL {
            updates.add(&ledger, Metric::Failed, &["smsmode", "SMS", "OTP", "FR", reason.as_str()], 123_456);
        }
        ledger.apply(updates);
        Now { snapshot: Snapshot { families: ledger.reading().families() }, ..nothing() }
    };
    let record = |n: usize| Record {
        message_id: Some(format!("{:08x}-9d5a-4c56-8d38-2d1f6f1f3a6b", n * 0x1234_5678)),
        number: Some(format!("336123{:05}", n * 7_919)),
        country: Some("FR".into()),
        network: Some("Orange F".into()),
        mccmnc: Some("20801".into()),
        status: Some("UNDELIVERABLE".into()),
        detail: Some("INVALID_PHONE_NUMBER".into()),
        reason: Some(Reason::InvalidNumber),
        ..Record::new(Kind::Failed, source())
    };
    let html = page(now, (0..20).map(record).collect()).html(Part::Figures, true, None).unwrap();
    assert_eq!(html.matches("INVALID_PHONE_NUMBER").count(), EVENTS);
    assert!(html.len() < 16 << 10, "{} bytes", html.len());
    assert!(crate::admin::gzip(html.as_bytes()).unwrap().len() < 4 << 10);
}

/// The colours of each scheme by name.
fn palettes() -> [HashMap<&'static str, [f64; 3]>; 2] {
    let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    [light, dark].map(|rules| {
        let block = rules.split_once(":root {").unwrap().1.split_once('}').unwrap().0;
        let colours = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        let channel = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        colours.map(|(name, hex)| (name, [channel(hex, 0), channel(hex, 2), channel(hex, 4)])).collect()
    })
}

/// The contrast ratio of WCAG 2.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_colour_can_be_read_on_both_grounds_in_both_schemes() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    for palette in palettes() {
        assert_eq!(palette.len(), 12, "{palette:?}");
        for ground in ["page", "card"] {
            for (name, colour) in palette.iter().filter(|(name, _)| !["page", "card", "line"].contains(name)) {
                let contrast = contrast(*colour, palette[ground]);
                assert!(contrast >= 4.5, "--{name} on --{ground}: {contrast:.2}");
            }
        }
    }
}

#[test]
fn no_rule_uses_a_colour_of_its_own() {
    let rules = STYLE.rsplit_once("--used: #b4bdc7;").unwrap().1;
    for written in ["#fff", "#000", "rgb", "hsl", "white", "black"] {
        assert!(!rules.contains(&format!(": {written}")), "{written}");
    }
}
