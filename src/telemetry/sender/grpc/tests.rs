use super::*;
use crate::outbound::OUR_USER_AGENT;
use crate::telemetry::answer::class;
use crate::telemetry::answer::grpc::tests::retry_info;
use crate::telemetry::collector::{Say as HttpSay, nobody, raw, say};
use crate::telemetry::grpc_collector::{GrpcCollector, LIMIT, Say, Seen, ok};
use crate::telemetry::sender::Sender;
use crate::telemetry::sender::test_errors::{are_tried_again, sender};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use std::time::Duration;
use tonic::{Code, Status};

async fn answered(script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> ExportOutcome {
    let collector = GrpcCollector::start(script).await;
    sender(&collector.endpoint()).send(Bytes::from_static(b"body")).await
}

fn http(status: u16, content_type: &str, body: &'static str) -> Say {
    let HttpSay::Answer(response) = say(status, content_type, body) else { unreachable!() };
    Say::Http(response)
}

#[tokio::test]
async fn a_request_is_a_unary_call_with_the_operators_headers_as_metadata() {
    let collector = GrpcCollector::start(|_, _| ok()).await;
    let mut endpoint = collector.endpoint();
    endpoint.headers = vec![
        ("authorization".parse().unwrap(), "Bearer t0ken".parse().unwrap()),
        ("trace-bin".parse().unwrap(), "AAEC".parse().unwrap()),
        ("content-type".parse().unwrap(), "text/plain".parse().unwrap()),
        ("content-length".parse().unwrap(), "1".parse().unwrap()),
    ];
    for (signal, path) in [
        (Signal::Logs, "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
        (Signal::Metrics, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
    ] {
        let sender = Sender::new(signal, &endpoint);
        assert_eq!(sender.send(Bytes::from_static(b"body")).await, ExportOutcome::Accepted);
        let seen = collector.seen().pop().unwrap();
        assert_eq!((seen.path.as_str(), &seen.message[..]), (path, &b"body"[..]));
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", "Bearer t0ken"),
            ("trace-bin", "AAEC"),
            ("user-agent", OUR_USER_AGENT),
            ("grpc-timeout", "5000m"),
        ] {
            assert_eq!(seen.metadata[name], value);
        }
        assert!(!seen.metadata.contains_key("grpc-encoding"));
    }
}

#[tokio::test]
async fn a_message_is_gzipped_when_the_endpoint_asks_for_it_and_so_may_be_the_response() {
    let collector = GrpcCollector::start(|_, _| Say::Message(partial(2, &"too old ".repeat(40)))).await;
    let endpoint = Endpoint { gzip: true, ..collector.endpoint() };
    let answer = sender(&endpoint).send(Bytes::from_static(b"body")).await;
    assert!(
        matches!(&answer, ExportOutcome::Partial { rejected: 2, message } if message.starts_with("too old")),
        "{answer:?}"
    );
    let seen = &collector.seen()[0];
    assert_eq!((&seen.metadata["grpc-encoding"], &seen.message[..]), (&"gzip".parse().unwrap(), &b"body"[..]));
}

#[tokio::test]
async fn all_requests_go_over_one_connection_and_a_new_one_replaces_it_when_it_or_a_request_hangs() {
    let hangs: fn() -> Say = || Say::Hang;
    for unanswered in [hangs, || Say::Ignore] {
        let collector = GrpcCollector::start(move |number, _| if number == 2 { unanswered() } else { ok() }).await;
        let endpoint = Endpoint { timeout: Duration::from_millis(300), ..collector.endpoint() };
        let sender = sender(&endpoint);
        let mut classes = Vec::new();
        for _ in 0..4 {
            classes.push(class(&sender.send(Bytes::from_static(b"body")).await));
        }
        assert_eq!(classes, ["accepted", "accepted", "fault", "accepted"]);
        assert_eq!(collector.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}

fn partial(rejected_log_records: i64, message: &str) -> Vec<u8> {
    let error_message = message.to_owned();
    let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
    ExportLogsServiceResponse { partial_success }.encode_to_vec()
}

#[tokio::test]
async fn a_partial_success_says_how_many_and_why() {
    let answer = answered(|_, _| Say::Message(partial(2, "too old"))).await;
    assert_eq!(answer, ExportOutcome::Partial { rejected: 2, message: "too old".to_owned() });
    let collector = GrpcCollector::start(|_, _| {
        let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: String::new() };
        Say::Message(ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    })
    .await;
    let sender = Sender::new(Signal::Metrics, &collector.endpoint());
    assert_eq!(sender.send(Bytes::new()).await, ExportOutcome::Partial { rejected: 3, message: String::new() });
}

#[tokio::test]
async fn each_status_over_the_wire_has_its_class() {
    let why = |name: &str| format!("answered {name}: caf\u{e9} 100%");
    let retry = |name: &str| ExportOutcome::Retry { after: None, why: why(name) };
    let fault = |name: &str| ExportOutcome::Fault { after: None, why: why(name) };
    let rejected = |name: &str| ExportOutcome::Rejected { why: why(name) };
    let bad = |name: &str| ExportOutcome::Bad { why: why(name) };
    for (code, expected) in [
        (Code::Cancelled, retry("CANCELLED")),
        (Code::Unknown, fault("UNKNOWN")),
        (Code::InvalidArgument, bad("INVALID_ARGUMENT")),
        (Code::DeadlineExceeded, fault("DEADLINE_EXCEEDED")),
        (Code::NotFound, rejected("NOT_FOUND")),
        (Code::AlreadyExists, bad("ALREADY_EXISTS")),
        (Code::PermissionDenied, rejected("PERMISSION_DENIED")),
        (Code::ResourceExhausted, retry("RESOURCE_EXHAUSTED")),
        (Code::FailedPrecondition, rejected("FAILED_PRECONDITION")),
        (Code::Aborted, retry("ABORTED")),
        (Code::OutOfRange, retry("OUT_OF_RANGE")),
        (Code::Unimplemented, rejected("UNIMPLEMENTED")),
        (Code::Internal, fault("INTERNAL")),
        (Code::Unavailable, retry("UNAVAILABLE")),
        (Code::DataLoss, fault("DATA_LOSS")),
        (Code::Unauthenticated, rejected("UNAUTHENTICATED")),
    ] {
        let answer = answered(move |_, _| Say::Status(Status::new(code, "caf\u{e9} 100%"))).await;
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn the_delay_of_a_server_is_passed_on() {
    for code in [Code::ResourceExhausted, Code::Unavailable] {
        let details = retry_info(7, 0);
        let answer =
            answered(move |_, _| Say::Status(Status::with_details(code, "busy", Bytes::from(details.clone())))).await;
        let ExportOutcome::Retry { after, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_request_over_the_servers_limit_is_bad() {
    let collector = GrpcCollector::start(|_, _| ok()).await;
    let sender = sender(&collector.endpoint());
    assert_eq!(class(&sender.send(Bytes::from(vec![b'x'; LIMIT + 1])).await), "bad");
    assert_eq!(sender.send(Bytes::from(vec![b'x'; LIMIT])).await, ExportOutcome::Accepted);
}

#[tokio::test]
async fn what_answers_in_plain_http_is_classed_by_its_http_status() {
    for (status, content_type, body, expected, why) in [
        (401, "text/html", "<html>", "rejected", "answered 401 Unauthorized"),
        (403, "text/plain", "", "rejected", "answered 403 Forbidden"),
        (404, "text/plain", "404 page not found", "rejected", "answered 404 Not Found"),
        (413, "text/html", "<html>", "bad", "answered 413 Payload Too Large"),
        (429, "", "", "retry", "answered 429 Too Many Requests"),
        (502, "text/html", "<html>", "fault", "answered 502 Bad Gateway"),
        (503, "application/json", "{\"message\":\"soon\"}", "retry", "answered 503 Service Unavailable: soon"),
        (200, "text/html", "<html>", "rejected", "answered 200 but not in gRPC"),
        (200, "", "", "rejected", "answered 200 but not in gRPC"),
        (200, "application/grpc", "", "fault", "the answer ended without a status"),
        (200, "application/grpc", "\0\0\0\0\x05ab", "fault", "the answer ended without a status"),
        (200, "application/grpc", "\0\0\0\0\0", "accepted", ""),
    ] {
        let answer = answered(move |_, _| http(status, content_type, body)).await;
        assert_eq!(class(&answer), expected, "{answer:?}");
        assert!(format!("{answer:?}").contains(why), "{why}: {answer:?}");
    }
}

#[tokio::test]
async fn a_status_of_success_counts_whatever_the_message_unless_answers_are_read_strictly() {
    let collector = GrpcCollector::start(|_, _| Say::Message(b"\xff\xff\xff".to_vec())).await;
    assert_eq!(sender(&collector.endpoint()).send(Bytes::new()).await, ExportOutcome::Accepted);
    let strict = Endpoint { strict_answers: true, ..collector.endpoint() };
    let why = "answered OK but not with an OTLP response".to_owned();
    assert_eq!(sender(&strict).send(Bytes::new()).await, ExportOutcome::Rejected { why });
    let long = answered(|_, _| Say::Message(vec![b'x'; MAX_RESPONSE + 1])).await;
    assert_eq!(class(&long), "fault");
    for body in [&b"\x00\x00\x00\x00\x05ab"[..], b"\x02\x00\x00\x00\x01a", b"\x01\x00\x00\x00\x01a", b"\x00\x00"] {
        assert_eq!(unframed(body), None, "{body:?}");
    }
}

#[tokio::test]
async fn a_token_that_the_server_repeats_is_not_passed_on() {
    let collector = GrpcCollector::start(|_, seen| {
        let given = seen.metadata["authorization"].to_str().unwrap();
        Say::Status(Status::unauthenticated(format!("{given} is not known")))
    })
    .await;
    let mut endpoint = collector.endpoint();
    endpoint.headers = vec![("authorization".parse().unwrap(), "Basic c2VjcmV0".parse().unwrap())];
    let answer = sender(&endpoint).send(Bytes::new()).await;
    let why = "answered UNAUTHENTICATED: <redacted> <redacted> is not known".to_owned();
    assert_eq!(answer, ExportOutcome::Rejected { why });
}

fn by_grpc(endpoint: Endpoint) -> Endpoint {
    Endpoint { protocol: crate::settings::Protocol::Grpc, ..endpoint }
}

#[tokio::test]
async fn a_request_to_a_server_that_is_silent_breaks_off_or_has_no_http_2_is_retried() {
    let hanging = GrpcCollector::start(|_, _| Say::Hang).await;
    let closing = GrpcCollector::start(|_, _| Say::Close).await;
    let servers = [
        ("nobody listens", "retry", by_grpc(nobody().await)),
        ("hangs", "fault", hanging.endpoint()),
        ("closes", "fault", closing.endpoint()),
        ("no http", "fault", by_grpc(raw(b"220 mail.example ESMTP\r\n").await)),
        ("http/1.1", "fault", by_grpc(raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await)),
        ("says nothing", "fault", by_grpc(raw(b"").await)),
    ];
    are_tried_again(Duration::from_millis(500), servers).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_replaced() {
    let collector = GrpcCollector::start_broken(1, |_, _| ok()).await;
    let sender = sender(&collector.endpoint());
    assert_eq!(class(&sender.send(Bytes::new()).await), "fault");
    assert_eq!(sender.send(Bytes::new()).await, ExportOutcome::Accepted);
    assert_eq!(collector.seen()[0].connection, 1);
}
