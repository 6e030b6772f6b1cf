//! What an operator sees of a running smscope: diagnostics on stderr, metrics, health and the page.

use std::io::Read;

use crate::support::{Client, HOOK, Launch, NUMBER, Smscope, TOKEN, eventually, gzip, post, receipt, request};
use flate2::read::GzDecoder;
use serde_json::Value;

#[test]
fn diagnostics_on_a_pipe_are_json_one_object_a_line_and_none_a_webhook() {
    let smscope = Launch::new().env("SMSCOPE_LISTN", "typo").start();
    let before = smscope.stderr().lines().count();
    let mut client = smscope.client();
    for n in 0..50 {
        assert_eq!(client.ask(post(HOOK, receipt(&format!("m{n}"), "DELIVERED"))).result(), "accepted");
        client.ask(post("/hooks/smsmode/wrong", "{}")).result();
        client.ask(post(HOOK, format!("junk {n}"))).result();
        smscope.client().send("garbage\r\n\r\n");
    }
    assert_eq!(smscope.stderr().lines().count(), before, "{}", smscope.stderr());
    let ended = smscope.process.terminate();
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
    }
    let warned = |line: &&Value| line["level"] == "WARN" && line["message"].as_str().unwrap().contains("SMSCOPE_LISTN");
    assert_eq!(lines.iter().filter(warned).count(), 1, "{}", ended.stderr);
    assert!(lines.len() <= 5, "{}", ended.stderr);
}

#[test]
fn the_level_of_the_diagnostics_is_that_of_rust_log() {
    let quiet = Launch::new().env("RUST_LOG", "smscope=debug,warn").start();
    quiet.client().send("garbage\r\n\r\n");
    crate::support::eventually("the debug line", || quiet.stderr().contains("\"level\":\"DEBUG\""));
}

/// Everything that a library might show of a request: its parts, good and bad, over the limits and broken off.
fn provoke(smscope: &Smscope, authorization: &str) {
    let headers = [authorization, "x-hook-secret: header-s3cret"];
    let ask = |method: &str, target: &str, body: &[u8]| smscope.ask(request(method, target, &headers, body));
    assert_eq!(ask("POST", HOOK, receipt("m", "DELIVERED").as_bytes()).result(), "accepted");
    assert_eq!(ask("POST", HOOK, &vec![b' '; 2000]).status, 413);
    assert_eq!(ask("POST", HOOK, b"junk").result(), "unrecognized");
    assert_eq!(ask("PUT", HOOK, b"").status, 405);
    assert_eq!(ask("GET", &format!("{HOOK}/a/b/c"), b"").status, 404);
    assert_eq!(ask("GET", &format!("/elsewhere/{TOKEN}"), b"").status, 404);
    assert_eq!(smscope.ask(request("GET", HOOK, &[], "")).status, 401);
    assert_eq!(smscope.ask(request("POST", HOOK, &headers, "")).result(), "probe");
    let bad_gzip = [&headers[..], &["content-encoding: gzip"]].concat();
    assert_eq!(smscope.ask(request("POST", HOOK, &bad_gzip, &gzip(b"{}")[..5])).status, 415);
    for broken in [
        format!("POST {HOOK} HTTP/1.1\r\n{authorization}\r\ncontent-length: x\r\n\r\n"),
        format!("POST {HOOK} HTTP/1.1\r\n{}\r\n{}\r\ncontent-length: 9\r\n\r\n{{", headers[0], headers[1]),
        format!("POST {HOOK} HTTP/9.9\r\n\r\n"),
        format!("POST {HOOK}?{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)),
        format!("GET {HOOK} HTTP/1.1\r\nx: {TOKEN}\u{1}\r\n\r\n"),
    ] {
        let mut client = smscope.client();
        let _cut_off = client.try_send(broken);
        client.rest();
    }
    let mut stranger = Client::connect(smscope.admin);
    assert_eq!(stranger.ask(request("GET", HOOK, &headers, "")).status, 404);
}

#[test]
fn no_secret_is_in_any_output_even_with_the_trace_level_of_all_libraries() {
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "user:p4ssword");
    for rust_log in ["trace", "trace,hyper=trace,hyper_util=trace"] {
        let smscope = Launch::new()
            .file(
                "[http]\nmax_body = \"1KiB\"\nbody_timeout = \"200ms\"\n[[source]]\nname = \"smsmode\"\n\
                 header = { name = \"x-hook-secret\", value = \"header-s3cret\" }\n\
                 basic = { user = \"user\", password = \"p4ssword\" }",
            )
            .env("RUST_LOG", rust_log)
            // Nothing listens there: the lines of the failing export are part of what is checked.
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1/?key=query-s3cret")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=0tlp-s3cret")
            .start();
        provoke(&smscope, &format!("authorization: Basic {basic}"));
        crate::support::eventually("an export has failed", || {
            smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) > 0.0
        });
        let seen_by_scrape = smscope.metrics().text;
        let page = smscope.ask_admin("GET", "/", &[]);
        let ended = smscope.process.terminate();
        assert!(ended.stderr.contains("\"level\":\"DEBUG\""), "there was something to look at: {}", ended.stderr);
        for secret in [TOKEN, "header-s3cret", "p4ssword", &basic, "0tlp-s3cret", "query-s3cret", NUMBER] {
            for (place, text) in [
                ("stdout", &*ended.stdout),
                ("stderr", &*ended.stderr),
                ("/metrics", &*seen_by_scrape),
                ("/", page.text()),
            ] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} in {place} with RUST_LOG={rust_log}");
            }
        }
    }
}

#[test]
fn metrics_are_prometheus_text_and_gzipped_if_accepted() {
    let smscope = Smscope::start();
    let plain = smscope.ask_admin("GET", "/metrics", &[]);
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.header("content-encoding"), None);
    let packed = smscope.ask_admin("GET", "/metrics", &["accept-encoding: gzip, deflate"]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept, accept-encoding"));
    let mut unpacked = String::new();
    GzDecoder::new(&packed.body[..]).read_to_string(&mut unpacked).unwrap();
    for text in [plain.text(), &unpacked] {
        assert!(text.contains("\nsmscope_build_info{"), "{text}");
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
        }
        let mut described: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let families = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), families, "each family is there once");
    }
}

#[test]
fn health_the_page_and_nothing_else_are_answered_on_the_admin_listener() {
    let smscope = Smscope::start();
    for (method, path, status, text) in [
        ("GET", "/livez", 200, "ok\n"),
        ("GET", "/readyz", 200, "ok\n"),
        ("GET", "/readyz?verbose", 200, "ok\n"),
        ("HEAD", "/readyz", 200, ""),
        ("HEAD", "/metrics", 200, ""),
        ("GET", "/nothing", 404, "not found\n"),
        ("GET", HOOK, 404, "not found\n"),
        ("POST", "/metrics", 405, "expected GET\n"),
        ("PUT", "/livez", 405, "expected GET\n"),
        ("DELETE", "/", 405, "expected GET\n"),
    ] {
        let answer = smscope.ask_admin(method, path, &[]);
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {path}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"), "{method} {path}");
    }
    let page = smscope.ask_admin("GET", "/", &[]);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("smscope") && page.text().contains("/metrics"), "{}", page.text());
}

#[test]
fn the_webhook_listener_answers_liveness_and_readiness_and_nothing_else_of_the_admin_listener() {
    let smscope = Launch::new().on_a_disk_that_may_fill_up().start();
    for path in ["/", "/livez", "/readyz", "/readyz?verbose"] {
        let answer = smscope.ask(request("GET", path, &[], ""));
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
        let refused = smscope.post(path, receipt("m", "DELIVERED"));
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
    for path in ["/metrics", "/figures", "/v1/opt-outs", "/livez/more", "/favicon.ico"] {
        assert_eq!(smscope.ask(request("GET", path, &[], "")).result(), "not found", "{path}");
    }
    let counted = smscope.metrics().value("smscope_webhook_requests_total", &[]);
    assert_eq!(counted, Some(0.0), "none of these is a request to /hooks");

    smscope.fill_disk();
    eventually("the store cannot write", || {
        smscope.post(HOOK, receipt("m", "DELIVERED"));
        smscope.ask_admin("GET", "/readyz", &[]).status == 503
    });
    let answer = smscope.ask(request("GET", "/readyz", &[], ""));
    assert_eq!((answer.status, answer.text(), answer.header("retry-after")), (503, "unavailable\n", Some("5")));
    assert_eq!(smscope.ask(request("GET", "/livez", &[], "")).status, 200);
}

#[test]
fn an_export_that_fails_changes_nothing_for_webhooks_and_readiness() {
    let smscope = Launch::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").start();
    let mut client = smscope.client();
    for n in 0..20 {
        assert_eq!(client.ask(post(HOOK, receipt(&format!("m{n}"), "DELIVERED"))).result(), "accepted");
    }
    crate::support::eventually("an export has failed", || {
        smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) > 0.0
    });
    assert_eq!(smscope.ask_admin("GET", "/readyz", &[]).status, 200);
    assert_eq!(client.ask(post(HOOK, receipt("m", "DELIVERED"))).result(), "accepted");
    smscope.stop();
}
