use super::*;
use crate::telemetry::answer::class;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};

const PROTOBUF: &str = "application/x-protobuf";

fn of(status: u16, content_type: &str, body: &[u8]) -> ExportOutcome {
    read(false, reply(status, content_type, body))
}

fn reply<'a>(status: u16, content_type: &'a str, body: &'a [u8]) -> Reply<'a> {
    let status = StatusCode::from_u16(status).unwrap();
    Reply { status, content_type, compressed: false, retry_after: None, body, is_whole: true }
}

fn read(strict: bool, reply: Reply) -> ExportOutcome {
    classify(&Reader::new(Signal::Logs, vec!["s3cret".to_owned()], strict), reply)
}

#[test]
fn every_status_has_its_class() {
    for (class_name, statuses) in [
        ("accepted", &[200, 202, 204][..]),
        ("bad", &[400, 413, 422]),
        ("retry", &[408, 429, 503]),
        ("fault", &[500, 502, 504, 507, 520, 599]),
        ("rejected", &[301, 302, 307, 401, 402, 403, 404, 405, 406, 409, 410, 415, 418, 451, 501, 505]),
    ] {
        for &status in statuses {
            assert_eq!(class(&of(status, "", b"")), class_name, "{status}");
        }
    }
}

fn partial(rejected_log_records: i64, message: &str) -> Vec<u8> {
    let error_message = message.to_owned();
    let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
    ExportLogsServiceResponse { partial_success }.encode_to_vec()
}

#[test]
fn a_success_counts_in_any_form_but_a_web_page_and_strictly_in_that_of_otlp_alone() {
    let html = b"<!DOCTYPE html><title>Sign in</title>";
    for (content_type, body, class_name, strictly) in [
        (PROTOBUF, &b""[..], "accepted", "accepted"),
        ("", b"", "accepted", "accepted"),
        ("text/html", b"", "accepted", "accepted"),
        ("application/json", b"{}", "accepted", "accepted"),
        ("application/json; charset=utf-8", b"{\"partialSuccess\":{}}", "accepted", "accepted"),
        ("application/json", b"{\"partialSuccess\":null}", "accepted", "accepted"),
        (
            "application/json",
            b"{\"partialSuccess\":{\"rejectedLogRecords\":\"0\",\"errorMessage\":\"old\"}}",
            "accepted",
            "accepted",
        ),
        ("application/json", b"{\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}", "partial", "partial"),
        ("application/json", b"{\"partial_success\":{\"rejected_log_records\":2}}", "partial", "partial"),
        ("application/json", b"{\"partialSuccess\":{\"rejectedLogRecords\":\"many\"}}", "accepted", "rejected"),
        ("application/json", b"[]", "accepted", "rejected"),
        ("application/json", b"null", "accepted", "rejected"),
        ("application/json", b"{", "accepted", "rejected"),
        ("text/plain", b"{}", "accepted", "rejected"),
        ("", b"{}", "accepted", "rejected"),
        ("", b"null", "accepted", "rejected"),
        ("text/html", b"{}", "accepted", "rejected"),
        ("text/plain", b"{\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}", "partial", "rejected"),
        (PROTOBUF, b"\xff\xff\xff", "accepted", "rejected"),
        ("text/plain", b"OK\n", "accepted", "rejected"),
        ("image/gif", b"GIF89a", "accepted", "rejected"),
        ("text/html; charset=utf-8", html, "rejected", "rejected"),
        ("text/html", b"Please sign in", "rejected", "rejected"),
        ("", html, "rejected", "rejected"),
        (PROTOBUF, html, "rejected", "rejected"),
        ("application/json", b"\n <html>", "rejected", "rejected"),
        (PROTOBUF, &partial(0, ""), "accepted", "accepted"),
        (PROTOBUF, &partial(0, "a warning"), "accepted", "accepted"),
        (PROTOBUF, &partial(-3, ""), "accepted", "accepted"),
        ("", &partial(3, "too old"), "partial", "partial"),
    ] {
        let shown = String::from_utf8_lossy(body).into_owned();
        for status in [200, 202] {
            assert_eq!(class(&of(status, content_type, body)), class_name, "{content_type} {shown}");
            let strict = read(true, reply(status, content_type, body));
            assert_eq!(class(&strict), strictly, "strictly: {content_type} {shown}");
        }
    }
    let rejected = ExportOutcome::Partial { rejected: 3, message: "too old".to_owned() };
    assert_eq!(of(200, PROTOBUF, &partial(3, "too\nold")), rejected);
    let cut_off = Reply { is_whole: false, ..reply(200, PROTOBUF, b"") };
    assert_eq!((class(&read(false, cut_off)), class(&read(true, cut_off))), ("accepted", "rejected"));
}

#[test]
fn metrics_count_data_points() {
    let body = b"{\"partialSuccess\":{\"rejectedDataPoints\":5,\"errorMessage\":\"no\"}}";
    let reader = Reader::new(Signal::Metrics, Vec::new(), false);
    let answer = classify(&reader, reply(200, "application/json", body));
    assert_eq!(answer, ExportOutcome::Partial { rejected: 5, message: "no".to_owned() });
}

#[test]
fn an_error_is_quoted_in_one_bounded_line_in_whatever_form_it_comes() {
    let status = RpcStatus { code: 16, message: format!("no\r\nsuch token {}", "x".repeat(500)), ..Default::default() };
    let status = status.encode_to_vec();
    let long = format!("no  such token {}", "x".repeat(385));
    for (content_type, body, words) in [
        ("", &b""[..], ""),
        ("text/html", b"<h1>who?</h1>", ""),
        ("", b"<html>who?", ""),
        ("application/json", b"{\"code\":16,\"message\":\"who?\"}", "who?"),
        ("text/plain", b"{\"status\":\"error\",\"error\":\"who?\"}", "who?"),
        ("application/json", b"{\"error\":{\"message\":\"who?\"}}", "who?"),
        ("application/json", b"{\"errors\":[{\"detail\":\"who?\"}]}", "who?"),
        ("application/json", b"{\"who\":1}", "{\"who\":1}"),
        ("application/json", b"{", "{"),
        ("text/plain; charset=utf-8", b"too\told\n", "too old"),
        ("", b"too old", "too old"),
        ("", b"bad token s3cret", "bad token <redacted>"),
        ("text/plain", "caf\u{e9}".as_bytes().split_last().unwrap().1, "caf"),
        ("text/plain", b"\x1b[31mred", ""),
        ("application/octet-stream", b"\xff\xfe\x00", ""),
        (PROTOBUF, &status, &long),
        ("", &status, &long),
    ] {
        for (status, name) in [
            (400, "400 Bad Request"),
            (401, "401 Unauthorized"),
            (403, "403 Forbidden"),
            (413, "413 Payload Too Large"),
            (429, "429 Too Many Requests"),
            (500, "500 Internal Server Error"),
            (503, "503 Service Unavailable"),
        ] {
            let colon = if words.is_empty() { "" } else { ": " };
            let (ExportOutcome::Bad { why }
            | ExportOutcome::Rejected { why }
            | ExportOutcome::Retry { why, .. }
            | ExportOutcome::Fault { why, .. }) = of(status, content_type, body)
            else {
                panic!("{status}")
            };
            assert_eq!(why, format!("answered {name}{colon}{words}"), "{content_type}");
        }
    }
}
