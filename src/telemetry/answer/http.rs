//! OTLP over HTTP: status, headers and body to verdict.

use hyper::http::StatusCode;
use jiff::Timestamp;
use prost::Message;
use serde_json::Value;

use super::{Answer, RpcStatus, Said, excerpt, explain, response, success};
use crate::meters::Signal;
use crate::outbound::wait;

/// An HTTP answer as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Reply<'a> {
    pub status: StatusCode,
    pub content_type: &'a str,
    pub retry_after: Option<&'a str>,
    /// `None` when it was too long or broke off.
    pub body: Option<&'a [u8]>,
    /// What must not be quoted, should the server repeat it.
    pub secrets: &'a [String],
}

/// Classes a reply as OTLP/HTTP says, except that 500 is tried again: behind a gateway it is as often its own trouble.
pub(in crate::telemetry) fn classify(signal: Signal, reply: Reply<'_>, now: Timestamp) -> Answer {
    let why = || explain(&reply.status.to_string(), &said(reply));
    match reply.status.as_u16() {
        200..=299 => success(signal, read(signal, reply), reply.status.as_str(), reply.secrets),
        400 | 413 | 422 => Answer::Bad { why: why() },
        408 | 429 => Answer::Retry { after: wait(reply.retry_after, now), why: why() },
        501 | 505 => Answer::Refused { why: why() },
        500.. => Answer::Retry { after: wait(reply.retry_after, now), why: why() },
        _ => Answer::Refused { why: why() },
    }
}

fn read(signal: Signal, reply: Reply<'_>) -> Option<Said> {
    match reply.body? {
        [] => Some((0, String::new())),
        body if is_json(reply.content_type) => json_response(signal, body),
        _ if reply.content_type.starts_with("text/html") => None,
        body => response(signal, body),
    }
}

/// Protobuf's JSON writes 64-bit integers as strings, and readers take either; names come in camel or snake case.
fn json_response(signal: Signal, body: &[u8]) -> Option<Said> {
    let response: Value = serde_json::from_slice(body).ok()?;
    let response = response.as_object()?;
    let Some(partial) = response.get("partialSuccess").or_else(|| response.get("partial_success")) else {
        return Some((0, String::new()));
    };
    let names = match signal {
        Signal::Logs => ["rejectedLogRecords", "rejected_log_records"],
        Signal::Metrics => ["rejectedDataPoints", "rejected_data_points"],
    };
    let rejected = match names.iter().find_map(|name| partial.get(name)) {
        Some(Value::String(number)) => number.parse().ok()?,
        Some(number) => number.as_i64()?,
        None => 0,
    };
    let message = ["errorMessage", "error_message"].iter().find_map(|name| partial.get(name)?.as_str());
    Some((rejected, message.unwrap_or_default().to_owned()))
}

/// The server's own words, which are in a `google.rpc.Status`.
fn said(reply: Reply<'_>) -> String {
    let said = reply.body.and_then(|body| {
        if is_json(reply.content_type) {
            let status: Value = serde_json::from_slice(body).ok()?;
            Some(status.get("message")?.as_str()?.to_owned())
        } else if reply.content_type.starts_with("application/") {
            Some(RpcStatus::decode(body).ok()?.message)
        } else {
            None
        }
    });
    excerpt(&said.unwrap_or_default(), reply.secrets)
}

fn is_json(content_type: &str) -> bool {
    content_type.starts_with("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::answer::class;
    use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};

    const PROTOBUF: &str = "application/x-protobuf";

    fn of(status: u16, content_type: &str, body: &[u8]) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, content_type, retry_after: None, body: Some(body), secrets: &[] };
        classify(Signal::Logs, reply, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn every_status_has_its_class() {
        for (class_name, statuses) in [
            ("accepted", &[200, 202, 204][..]),
            ("bad", &[400, 413, 422]),
            ("retry", &[408, 429, 500, 502, 503, 504, 507, 520, 599]),
            ("refused", &[301, 302, 307, 401, 402, 403, 404, 405, 406, 409, 410, 415, 418, 451, 501, 505]),
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
    fn a_success_counts_only_when_it_speaks_otlp() {
        let html = b"<!DOCTYPE html><title>Sign in</title>";
        for (content_type, body, class_name) in [
            (PROTOBUF, &b""[..], "accepted"),
            ("", b"", "accepted"),
            ("text/html", b"", "accepted"),
            ("application/json", b"{}", "accepted"),
            ("application/json; charset=utf-8", b"{\"partialSuccess\":{}}", "accepted"),
            ("application/json", b"{\"partialSuccess\":null}", "accepted"),
            (
                "application/json",
                b"{\"partialSuccess\":{\"rejectedLogRecords\":\"0\",\"errorMessage\":\"old\"}}",
                "accepted",
            ),
            ("application/json", b"{\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}", "partial"),
            ("application/json", b"{\"partial_success\":{\"rejected_log_records\":2}}", "partial"),
            ("application/json", b"{\"partialSuccess\":{\"rejectedLogRecords\":\"many\"}}", "refused"),
            ("application/json", b"[]", "refused"),
            ("application/json", b"{", "refused"),
            ("text/html; charset=utf-8", html, "refused"),
            ("", html, "refused"),
            (PROTOBUF, b"\xff\xff\xff", "refused"),
            ("text/plain", b"OK\n", "refused"),
            (PROTOBUF, &partial(0, ""), "accepted"),
            (PROTOBUF, &partial(0, "a warning"), "accepted"),
            (PROTOBUF, &partial(-3, ""), "accepted"),
            ("", &partial(3, "too old"), "partial"),
        ] {
            let shown = String::from_utf8_lossy(body).into_owned();
            assert_eq!(class(&of(200, content_type, body)), class_name, "{content_type} {shown}");
        }
        let rejected = Answer::Partial { rejected: 3, message: "too old".to_owned() };
        assert_eq!(of(200, PROTOBUF, &partial(3, "too\nold")), rejected);
        let status = StatusCode::OK;
        let cut_off = Reply { status, content_type: PROTOBUF, retry_after: None, body: None, secrets: &[] };
        assert_eq!(class(&classify(Signal::Logs, cut_off, Timestamp::UNIX_EPOCH)), "refused");
    }

    #[test]
    fn metrics_count_data_points() {
        let body = b"{\"partialSuccess\":{\"rejectedDataPoints\":5,\"errorMessage\":\"no\"}}";
        let reply = Reply {
            status: StatusCode::OK,
            content_type: "application/json",
            retry_after: None,
            body: Some(body),
            secrets: &[],
        };
        let answer = classify(Signal::Metrics, reply, Timestamp::UNIX_EPOCH);
        assert_eq!(answer, Answer::Partial { rejected: 5, message: "no".to_owned() });
    }

    #[test]
    fn a_refusal_says_the_status_and_one_line_of_the_servers_words() {
        let status =
            RpcStatus { code: 16, message: format!("no\r\nsuch token {}", "x".repeat(300)), ..Default::default() }
                .encode_to_vec();
        for (content_type, body, why) in [
            ("", &b""[..], "answered 401 Unauthorized".to_owned()),
            ("text/html", b"<h1>who?</h1>", "answered 401 Unauthorized".to_owned()),
            ("application/json", b"{\"code\":16,\"message\":\"who?\"}", "answered 401 Unauthorized: who?".to_owned()),
            ("application/json", b"{", "answered 401 Unauthorized".to_owned()),
            (PROTOBUF, &status, format!("answered 401 Unauthorized: no  such token {}", "x".repeat(185))),
        ] {
            assert_eq!(of(401, content_type, body), Answer::Refused { why });
        }
    }
}
