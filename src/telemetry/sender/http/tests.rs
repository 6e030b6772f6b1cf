use crate::outbound::OUR_USER_AGENT;
use crate::settings::Endpoint;
use crate::telemetry::answer::RpcStatus;
use crate::telemetry::collector::{Collector, Say, endpoint, nobody, ok, raw, say};
use crate::telemetry::sender::ExportOutcome;
use crate::telemetry::sender::test_errors::{are_tried_again, sender};
use crate::telemetry::sender::{MAX_RESPONSE, MAX_STRICT_RESPONSE};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use std::io::Read;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn answered(
    script: impl Fn(usize, &crate::telemetry::collector::Seen) -> Say + Send + Sync + 'static,
) -> ExportOutcome {
    let collector = Collector::start(script).await;
    sender(&collector.endpoint()).send(Bytes::from_static(b"body")).await
}

#[tokio::test]
async fn a_request_is_a_protobuf_post_with_the_operators_headers() {
    let collector = Collector::start(|_, _| ok()).await;
    let mut endpoint = collector.endpoint();
    endpoint.headers = vec![
        ("authorization".parse().unwrap(), "Bearer t0ken".parse().unwrap()),
        ("content-type".parse().unwrap(), "text/plain".parse().unwrap()),
        ("content-length".parse().unwrap(), "1".parse().unwrap()),
    ];
    assert_eq!(sender(&endpoint).send(Bytes::from_static(b"body")).await, ExportOutcome::Accepted);
    let seen = &collector.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str(), &seen.body[..]), ("POST", "/v1/signal", &b"body"[..]));
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("authorization", "Bearer t0ken"),
        ("user-agent", OUR_USER_AGENT),
        ("content-length", "4"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    assert!(!seen.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn a_body_is_gzipped_when_the_endpoint_asks_for_it() {
    let collector = Collector::start(|_, _| ok()).await;
    let endpoint = Endpoint { gzip: true, ..collector.endpoint() };
    assert_eq!(sender(&endpoint).send(Bytes::from_static(b"body")).await, ExportOutcome::Accepted);
    let seen = &collector.seen()[0];
    assert_eq!(seen.headers["content-encoding"], "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&seen.body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "body");
}

#[tokio::test]
async fn a_partial_success_says_how_many_and_why() {
    let answer = answered(|_, _| {
        let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
        let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        say(200, "application/x-protobuf", body)
    })
    .await;
    assert_eq!(answer, ExportOutcome::Partial { rejected: 2, message: "too old".to_owned() });
}

#[tokio::test]
async fn each_answer_over_the_wire_has_its_class() {
    let rejected = |why: &str| ExportOutcome::Rejected { why: why.to_owned() };
    let bad = |why: &str| ExportOutcome::Bad { why: why.to_owned() };
    let retry = |why: &str| ExportOutcome::Retry { after: None, why: why.to_owned() };
    for (status, content_type, body, expected) in [
        (204, "", "", ExportOutcome::Accepted),
        (200, "application/json", "{}", ExportOutcome::Accepted),
        (202, "text/plain", "OK", ExportOutcome::Accepted),
        (200, "text/html", "<html>", rejected("answered 200 but with a web page")),
        (302, "text/html", "moved", rejected("answered 302 Found")),
        (401, "application/json", "{\"message\":\"who?\"}", rejected("answered 401 Unauthorized: who?")),
        (404, "text/plain", "404 page not found", rejected("answered 404 Not Found: 404 page not found")),
        (400, "text/plain", "entry too far behind\n", bad("answered 400 Bad Request: entry too far behind")),
        (413, "", "", bad("answered 413 Payload Too Large")),
        (503, "text/html", "<html>", retry("answered 503 Service Unavailable")),
    ] {
        assert_eq!(answered(move |_, _| say(status, content_type, body)).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_long_answer_is_still_an_answer() {
    let long = |length: usize| "x".repeat(length + 1);
    for length in [MAX_STRICT_RESPONSE, MAX_RESPONSE] {
        let collector = Collector::start(move |_, _| say(200, "application/x-protobuf", long(length))).await;
        assert_eq!(sender(&collector.endpoint()).send(Bytes::new()).await, ExportOutcome::Accepted, "{length}");
        let strict = Endpoint { strict_answers: true, ..collector.endpoint() };
        let answer = sender(&strict).send(Bytes::new()).await;
        assert!(matches!(answer, ExportOutcome::Rejected { .. }), "{answer:?}");
    }
    let page = answered(move |_, _| say(200, "", format!("<html>{}", long(MAX_RESPONSE)))).await;
    assert!(matches!(page, ExportOutcome::Rejected { .. }), "{page:?}");
    let ExportOutcome::Bad { why } = answered(move |_, _| say(400, "text/plain", long(MAX_RESPONSE))).await else {
        panic!("not bad")
    };
    assert_eq!(why, format!("answered 400 Bad Request: {}", "x".repeat(400)));
}

fn packed(encoding: &'static str, status: u16, content_type: &str, body: &[u8]) -> Say {
    let mut packed = Vec::new();
    match encoding {
        "gzip" => drop(flate2::read::GzEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut packed)),
        "deflate" => drop(flate2::read::ZlibEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut packed)),
        _ => packed.extend_from_slice(body),
    }
    let Say::Answer(mut response) = say(status, content_type, packed) else { unreachable!() };
    response.headers_mut().insert("content-encoding", encoding.parse().unwrap());
    Say::Answer(response)
}

#[tokio::test]
async fn a_compressed_answer_is_read_within_bounds() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
    let partial = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    for encoding in ["gzip", "deflate"] {
        let body = partial.clone();
        let answer = answered(move |_, _| packed(encoding, 200, "application/x-protobuf", &body)).await;
        assert_eq!(answer, ExportOutcome::Partial { rejected: 2, message: "too old".to_owned() }, "{encoding}");
        let answer = answered(move |_, _| packed(encoding, 200, "", b"<html>Sign in")).await;
        assert!(matches!(answer, ExportOutcome::Rejected { .. }), "{encoding} {answer:?}");
        let answer = answered(move |_, _| packed(encoding, 400, "text/plain", b"too old")).await;
        assert_eq!(answer, ExportOutcome::Bad { why: "answered 400 Bad Request: too old".to_owned() }, "{encoding}");
        let bomb = answered(move |_, _| packed(encoding, 200, "application/json", &vec![b' '; 4 << 20])).await;
        assert_eq!(bomb, ExportOutcome::Accepted, "{encoding}");
    }
    for (encoding, body) in [("br", &b"{}"[..]), ("gzip, br", b"{}"), ("x-gzip", b"not gzip")] {
        let answer = answered(move |_, _| packed(encoding, 200, "application/json", body)).await;
        assert_eq!(answer, ExportOutcome::Accepted, "{encoding}");
    }
    let collector = Collector::start(|_, _| packed("gzip", 200, "application/json", b"{}")).await;
    let strict = Endpoint { strict_answers: true, ..collector.endpoint() };
    assert!(matches!(sender(&strict).send(Bytes::new()).await, ExportOutcome::Rejected { .. }));
}

#[tokio::test]
async fn without_a_connection_a_port_of_the_other_protocol_is_mentioned() {
    use crate::settings::Protocol::{Grpc, HttpProtobuf};
    // Nothing listens there: no test binds these ports.
    for (protocol, port, question) in [
        (HttpProtobuf, 4317, "is it port 4318, or the protocol grpc?"),
        (Grpc, 4318, "is it port 4317, or the protocol http/protobuf?"),
        (HttpProtobuf, 4318, ""),
        (Grpc, 4317, ""),
    ] {
        let url = format!("http://127.0.0.254:{port}").parse().unwrap();
        let endpoint = Endpoint { protocol, url, ..nobody().await };
        let ExportOutcome::Retry { why, .. } = sender(&endpoint).send(Bytes::new()).await else { panic!("{port}") };
        assert!(why.ends_with(question) && why.contains("is it port") != question.is_empty(), "{why}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    for (text, seconds) in [("7", 7), ("Sun, 07 Nov 2094 08:49:37 GMT", 3600)] {
        let answer = answered(move |_, _| {
            let Say::Answer(mut response) = say(429, "", "") else { unreachable!() };
            response.headers_mut().insert("retry-after", text.parse().unwrap());
            Say::Answer(response)
        })
        .await;
        let after = Some(Duration::from_secs(seconds));
        assert_eq!(answer, ExportOutcome::Retry { after, why: "answered 429 Too Many Requests".to_owned() });
    }
}

#[tokio::test]
async fn a_token_that_the_server_repeats_is_not_passed_on() {
    let collector = Collector::start(|_, seen| {
        let given = seen.headers["authorization"].to_str().unwrap();
        let status = RpcStatus { code: 16, message: format!("{given} is not known"), ..Default::default() };
        say(401, "application/x-protobuf", status.encode_to_vec())
    })
    .await;
    let mut endpoint = collector.endpoint();
    endpoint.headers = vec![("authorization".parse().unwrap(), "Basic c2VjcmV0".parse().unwrap())];
    let answer = sender(&endpoint).send(Bytes::new()).await;
    let why = "answered 401 Unauthorized: <redacted> <redacted> is not known".to_owned();
    assert_eq!(answer, ExportOutcome::Rejected { why });
    assert!(!format!("{:?}", sender(&endpoint)).contains("c2VjcmV0"));
}

#[tokio::test]
async fn a_request_to_a_server_that_is_silent_breaks_off_or_has_no_http_is_retried() {
    let hanging = Collector::start(|_, _| Say::Hang).await;
    let closing = Collector::start(|_, _| Say::Close).await;
    let servers = [
        ("nobody listens", "retry", nobody().await),
        ("hangs", "fault", hanging.endpoint()),
        ("closes", "fault", closing.endpoint()),
        ("no http", "fault", raw(b"220 mail.example ESMTP\r\n").await),
        ("half a head", "fault", raw(b"HTTP/1.1 200 OK\r\nContent-Le").await),
        ("half a body", "fault", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab").await),
    ];
    are_tried_again(Duration::from_millis(300), servers).await;
}

#[tokio::test]
async fn the_timeout_covers_the_answers_body_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab").await.unwrap();
        std::future::pending::<()>().await;
    });
    let endpoint = Endpoint { timeout: Duration::from_millis(100), ..endpoint(address) };
    let answer = sender(&endpoint).send(Bytes::new()).await;
    assert_eq!(answer, ExportOutcome::Fault { after: None, why: "no answer within 100ms".to_owned() });
}
