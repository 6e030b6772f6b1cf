//! Backends, proxies and variables as they are found: what smscope makes of answers and surroundings that are not by the book.

use crate::support::target::Target;
use crate::support::{HOOK, Launch, OtlpStub, Smscope, eventually, receipt};

const UNEXPECTED: &str = "answers success in an unexpected form";

/// With the default source, sending to `collector` by `settings` of `[otlp]`.
fn sending(collector: &OtlpStub, settings: &str) -> Smscope {
    let toml = format!("[otlp]\nendpoint = \"{}\"\nmetric_interval = \"100ms\"\n{settings}", collector.url());
    Launch::new().file(&toml).start()
}

fn exported(smscope: &Smscope, signal: &str) -> f64 {
    smscope.metrics().value("smscope_export_records_total", &[("signal", signal)]).unwrap_or_default()
}

#[test]
fn a_success_in_words_counts_and_is_warned_of_once_for_each_signal() {
    let collector = OtlpStub::answering(200);
    collector.say("text/plain", "OK");
    let smscope = sending(&collector, "");
    for message in 1..=3 {
        smscope.post(HOOK, receipt(&format!("m-{message}"), "DELIVERED"));
        eventually("it is exported", || exported(&smscope, "logs") == f64::from(message));
    }
    let requests = collector.count();
    eventually("metrics are pushed again and again", || collector.count() > requests + 3);
    let said = smscope.stderr();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(UNEXPECTED)).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings.iter().all(|line| line.contains("text/plain") && line.contains("otlp.strict_answers")),
        "{warnings:?}"
    );
}

#[test]
fn a_web_page_holds_the_log_records_and_so_does_any_word_where_answers_are_read_strictly() {
    for (settings, content_type, body, why) in [
        ("", "text/html", "<!doctype html><title>Sign in</title>", "answered 200 but with a web page"),
        ("", "text/plain", "\n<HTML>", "answered 200 but with a web page"),
        ("strict_answers = true", "text/plain", "OK", "answered 200 but not with an OTLP response"),
    ] {
        let collector = OtlpStub::answering(200);
        collector.say(content_type, body);
        let smscope = sending(&collector, settings);
        smscope.post(HOOK, receipt("m-1", "DELIVERED"));
        eventually("it is refused", || smscope.stderr().contains(why));
        assert_eq!(exported(&smscope, "logs"), 0.0, "{body}");
        assert_eq!(smscope.metric("smscope_export_backlog_records", &[("signal", "logs")]), 1.0, "{body}");
    }
}

#[test]
fn the_reason_of_a_backend_is_in_the_diagnostics_without_our_token() {
    let collector = OtlpStub::answering(400);
    collector.say("text/plain", "entry too far behind for token s3cret-token\n\u{1}");
    let smscope = sending(&collector, "headers = { authorization = \"Bearer s3cret-token\" }");
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    // The last character is no text, so nothing is quoted.
    eventually("it is refused", || smscope.stderr().contains("answered 400 Bad Request"));
    collector.say("text/plain", "entry too far behind for token s3cret-token\n");
    eventually("the reason is quoted", || smscope.stderr().contains("entry too far behind for token <redacted>"));
    assert!(!smscope.stderr().contains("s3cret"), "{}", smscope.stderr());
}

#[test]
fn a_relay_connects_through_the_proxy_of_the_environment_and_to_this_machine_directly() {
    let (proxy, neighbor) = (Target::start(), Target::start());
    let relay = |name: &str, url: &str| format!("[[relay]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    let toml = relay("far", "http://app.example.com/events") + &relay("near", &neighbor.url("/events"));
    let by = format!("http://user:s3cret@{}\n", proxy.address);
    let launch = Launch::new().file(&toml).env("http_proxy", &by);
    let shown = launch.clone().args(&["check"]).run().stdout;
    assert!(shown.contains(&format!("by way of http://{} (http_proxy)", proxy.address)), "{shown}");
    let smscope = launch.start();
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    let arrived = proxy.wait_for(1).remove(0);
    assert_eq!(arrived.target, "http://app.example.com/events");
    assert_eq!(arrived.header("proxy-authorization"), Some("Basic dXNlcjpzM2NyZXQ="));
    assert_eq!(neighbor.wait_for(1)[0].target, "/events");
    assert_eq!(proxy.arrived().len(), 1);
    assert!(!(smscope.stderr() + &shown).contains("s3cret"));
}

#[test]
fn variables_of_the_neighbors_stop_nothing_and_a_line_break_leads_nowhere_else() {
    let launch = Launch::new();
    let folder = launch.home.path().join("data");
    let data_dir = format!("{}\n", folder.display());
    let smscope = launch
        .env("SMSCOPE_DATA_DIR", &data_dir)
        .env("OTEL_METRICS_EXPORTER", "prometheus")
        .env("OTEL_LOGS_EXPORTER", "console,otlp")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "snappy")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "60s")
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
        .start();
    smscope.post(HOOK, receipt("m-1", "DELIVERED"));
    let inside = std::fs::read_dir(folder.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(inside.filter(|name| name.to_string_lossy().starts_with("data")).collect::<Vec<_>>(), ["data"]);
}

#[test]
fn all_configuration_errors_are_reported_a_line_each() {
    let launch = Launch::new().file("[store]\nretension = \"1d\"\nhorizon = \"soon\"\n").env("SMSCOPE_LISTEN", "here");
    for command in [&["check"][..], &[]] {
        let ended = launch.clone().args(command).run();
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{ended:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("smscope: ") && line.contains("; expected ")
                    || line.contains(": expected "))
        );
        assert!(lines[2].contains("smscope.toml:2 (did you mean retention?)"), "{ended:?}");
    }
}
