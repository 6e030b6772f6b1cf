//! HTTP as such: how requests arrive, how large they may be, and the form of responses.

use crate::support::{Client, HOOK, Response, Smscope, TOKEN, gzip, post, receipt, request};

/// What 413 says.
const TOO_LARGE: &str = "body too large, the limit is the setting http.max_body";

/// The least that the limit can be set to.
const LIMIT: usize = 1024;

fn with_limit() -> Smscope {
    Smscope::with("[http]\nmax_body = \"1KiB\"")
}

/// A receipt that fills so many bytes exactly.
fn filling(length: usize, message_id: &str) -> Vec<u8> {
    let mut body = receipt(message_id, "DELIVERED").into_bytes();
    body.resize(length, b' ');
    body
}

/// Makes a request of a body.
type Send = fn(&[u8]) -> Vec<u8>;

fn chunked(head: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
    let mut request = request("POST", HOOK, &[&["transfer-encoding: chunked"], head].concat(), "");
    for chunk in chunks {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend_from_slice(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[test]
fn one_connection_serves_one_request_after_another() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for message in ["one", "two", "three"] {
        assert_eq!(client.ask(post(HOOK, receipt(message, "DELIVERED"))).result(), "accepted", "{message}");
    }
    let last = client.ask(request("GET", HOOK, &["connection: close"], ""));
    assert_eq!(last.result(), "probe");
    assert!(client.rest().is_empty(), "closed as asked");
}

#[test]
fn requests_written_at_once_are_answered_in_their_order() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    let wrong = HOOK.replace(TOKEN, "wrong");
    let requests = [
        (post(HOOK, receipt("one", "DELIVERED")), "accepted"),
        (post(HOOK, receipt("one", "DELIVERED")), "duplicate"),
        (request("GET", HOOK, &[], ""), "probe"),
        (request("GET", &wrong, &[], ""), "not found"),
        (post(HOOK, "{}"), "unrecognized"),
        (chunked(&[], &[receipt("two", "DELIVERED").as_bytes()]), "accepted"),
        (request("GET", &format!("{HOOK}?smsID=1&statut=11&numero=33612345678"), &[], ""), "accepted"),
    ];
    client.send(requests.iter().flat_map(|(request, _)| request.clone()).collect::<Vec<u8>>());
    for (at, (_, expected)) in requests.iter().enumerate() {
        assert_eq!(client.response().result(), *expected, "answer {at}");
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for byte in post(HOOK, receipt("slow", "DELIVERED")) {
        client.send([byte]);
    }
    assert_eq!(client.response().result(), "accepted");
}

#[test]
fn a_body_is_stored_decoded_in_every_transfer_and_content_coding() {
    let smscope = Smscope::start();
    let sends: [(&str, Send); 9] = [
        ("Content-Length", |body| post(HOOK, body)),
        ("no Content-Type", |body| request("POST", HOOK, &[], body)),
        ("another Content-Type", |body| request("POST", HOOK, &["content-type: text/plain"], body)),
        ("gzip", |body| request("POST", HOOK, &["content-encoding: gzip"], gzip(body))),
        ("GZIP", |body| request("POST", HOOK, &["Content-Encoding: GZIP"], gzip(body))),
        ("x-gzip", |body| request("POST", HOOK, &["content-encoding: x-gzip"], gzip(body))),
        ("gzip in two members", |body| {
            let (start, end) = body.split_at(10);
            request("POST", HOOK, &["content-encoding: gzip"], [gzip(start), gzip(end)].concat())
        }),
        ("chunks", |body| chunked(&[], &[&body[..1], &body[1..20], &body[20..]])),
        ("gzip in chunks", |body| {
            let packed = gzip(body);
            chunked(&["content-encoding: gzip"], &[&packed[..15], &packed[15..]])
        }),
    ];
    for (at, (how, send)) in sends.into_iter().enumerate() {
        let body = receipt(&format!("message-{at}"), "DELIVERED");
        assert_eq!(smscope.ask(send(body.as_bytes())).result(), "accepted", "{how}");
        assert_eq!(smscope.newest_body(), body, "{how}");
    }
}

#[test]
fn a_body_that_is_not_the_declared_gzip_is_rejected_unless_it_is_plain() {
    let smscope = Smscope::start();
    let whole = gzip(receipt("broken", "DELIVERED").as_bytes());
    let mut damaged = whole.clone();
    damaged[20] ^= 0xff;
    for (what, body) in [
        ("cut short", &whole[..whole.len() / 2]),
        ("damaged", &damaged[..]),
        ("not gzip at all", b"plain words".as_slice()),
    ] {
        let answer = smscope.ask(request("POST", HOOK, &["content-encoding: gzip"], body));
        assert_eq!(answer.status, 415, "{what}");
    }
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0, "the provider sends it again");
    let plain = receipt("plain", "DELIVERED");
    assert_eq!(smscope.ask(request("POST", HOOK, &["content-encoding: gzip"], &plain)).result(), "accepted");
}

#[test]
fn expect_100_continue_is_answered_before_the_body_and_only_to_authenticated_clients() {
    let smscope = Smscope::start();
    let body = receipt("patient", "DELIVERED");
    let head = |path| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len())
    };
    let mut client = smscope.client();
    client.send(head(HOOK));
    assert_eq!(client.head().status, 100);
    client.send(&body);
    assert_eq!(client.response().result(), "accepted");

    let mut stranger = smscope.client();
    stranger.send(head("/hooks/smsmode/wrong"));
    assert_eq!(stranger.response().status, 404);
}

#[test]
fn a_body_at_the_limit_is_accepted_and_one_byte_more_is_not() {
    let smscope = with_limit();
    let (at, over) = (filling(LIMIT, "at the limit"), filling(LIMIT + 1, "over the limit"));
    // Both halves of a chunked body are within the limit; the sum is not.
    let halves = |body: &[u8]| chunked(&[], &[&body[..LIMIT / 2], &body[LIMIT / 2..]]);
    let packed = |body: &[u8]| request("POST", HOOK, &["content-encoding: gzip"], gzip(body));
    for (what, request, expected) in [
        ("at, with Content-Length", post(HOOK, &at), "accepted"),
        ("at, in chunks", halves(&at), "duplicate"),
        ("at, gzip'd", packed(&at), "duplicate"),
        ("over, with Content-Length", post(HOOK, &over), TOO_LARGE),
        ("over, in chunks", halves(&over), TOO_LARGE),
        ("over, gzip'd", packed(&over), TOO_LARGE),
        ("a gzip bomb", packed(&vec![b' '; 700 * LIMIT]), TOO_LARGE),
    ] {
        let mut client = smscope.client();
        let answer = client.ask(request);
        assert_eq!(answer.result(), expected, "{what}");
        assert_eq!(answer.status, if expected == TOO_LARGE { 413 } else { 200 }, "{what}");
        if answer.status == 413 {
            assert!(client.rest().is_empty(), "closed, since the rest of the body is not read: {what}");
        }
    }
    assert_eq!(smscope.requests("too_large"), 4.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 1.0);
}

#[test]
fn a_body_with_too_large_a_content_length_is_rejected_before_it_is_sent() {
    let smscope = with_limit();
    for length in [LIMIT + 1, usize::MAX / 2] {
        let head = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(smscope.ask(head).result(), TOO_LARGE, "{length}");
    }
}

#[test]
fn the_body_of_an_unauthenticated_client_is_not_read() {
    let smscope = Smscope::start();
    for path in [&HOOK.replace(TOKEN, "wrong"), "/hooks/nobody/t0ken-of-the-tests", "/hooks", "/elsewhere"] {
        for length in ["content-length: 1000", "content-length: 100000000000", "transfer-encoding: chunked"] {
            let mut client = smscope.client();
            client.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n"));
            let answer = client.response();
            assert_eq!((answer.status, &*answer.result()), (404, "not found"), "{path} {length}");
            assert!(client.rest().is_empty(), "closed: {path} {length}");
        }
    }
}

#[test]
fn an_unknown_source_and_a_wrong_token_are_answered_alike_to_the_byte() {
    let smscope = Smscope::start();
    let answer = |path: &str| smscope.post(path, receipt("m", "DELIVERED")).dateless();
    let wrong_token = answer("/hooks/smsmode/wr0ng-of-the-tests");
    assert_eq!((wrong_token.status, &*wrong_token.result()), (404, "not found"));
    for path in [
        "/hooks/nobody/t0ken-of-the-tests",
        "/hooks/smsmode/",
        "/hooks/smsmode",
        "/hooks/",
        "/hooks",
        "/hooks/smsmode/t0ken-of-the-tests/more/segments",
        "/hooks/smsmode/T0KEN-OF-THE-TESTS",
        "/hooks/smsmode/t0ken-of-the-tests%20",
        "/HOOKS/smsmode/t0ken-of-the-tests",
        "//hooks//smsmode//wr0ng-of-the-tests/",
        "/elsewhere",
        "/metrics",
    ] {
        assert_eq!(answer(path), wrong_token, "{path}");
    }
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0, "they change nothing but a counter");
}

#[test]
fn methods_other_than_get_head_and_post_are_rejected_and_counted() {
    let smscope = Smscope::start();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = smscope.ask(request(method, HOOK, &[], "{}"));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"), "{method}");
        assert_eq!(answer.result(), "method not allowed, expected GET or POST", "{method}");
    }
    assert_eq!(smscope.requests("error"), 6.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
}

#[test]
fn head_is_answered_like_get_without_the_body_on_every_path_of_both_listeners() {
    let smscope = Smscope::start();
    let on_webhooks: &[&str] = &[HOOK, "/", "/livez", "/readyz", "/elsewhere", "/hooks/smsmode/wr0ng-of-the-tests"];
    let on_admin: &[&str] = &["/", "/livez", "/readyz", "/elsewhere"];
    for (address, paths) in [(smscope.webhooks, on_webhooks), (smscope.admin, on_admin)] {
        for path in paths {
            let get = Client::connect(address).ask(request("GET", path, &[], ""));
            let mut client = Client::connect(address);
            client.send(request("HEAD", path, &["connection: close"], ""));
            let head = client.head();
            assert!(client.rest().is_empty(), "{path}");
            assert_eq!(head.status, get.status, "{path}");
            let kinds = |answer: &Response| {
                ["content-type", "cache-control", "allow"].map(|name| answer.header(name).map(str::to_owned))
            };
            assert_eq!(kinds(&head), kinds(&get), "{path}");
            // The page has times in it, so its length is its own each time.
            if (address, *path) != (smscope.admin, "/") {
                assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
            }
            assert_eq!(get.header("content-length").unwrap(), get.body.len().to_string(), "{path}");
        }
    }
}

#[test]
fn an_extra_slash_leads_to_the_same_source() {
    let smscope = Smscope::start();
    let hook = |path: String| smscope.post(&path, receipt("m", "DELIVERED")).result();
    assert_eq!(hook(HOOK.to_owned()), "accepted");
    for path in [
        format!("/{HOOK}"),
        format!("{HOOK}/"),
        format!("{HOOK}//"),
        HOOK.replace('/', "//"),
        format!("//{}/?", HOOK.replace("/smsmode/", "/smsmode///")),
    ] {
        assert_eq!(hook(path.clone()), "duplicate", "{path}");
    }
    for path in ["//", "//livez", "/readyz/", "//readyz//"] {
        assert_eq!(smscope.ask(request("GET", path, &[], "")).status, 200, "{path}");
    }
    assert_eq!(smscope.requests("duplicate"), 5.0);
}

#[test]
fn a_client_that_has_finished_sending_is_still_answered() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    client.send(post(HOOK, receipt("half-closed", "DELIVERED")));
    client.finish_sending();
    assert_eq!(client.response().result(), "accepted");
    assert!(client.rest().is_empty());
}

#[test]
fn a_client_that_hangs_up_without_waiting_is_counted_like_any_other() {
    let smscope = Smscope::start();
    for n in 0..20 {
        smscope.client().send(post(HOOK, receipt(&format!("impatient-{n}"), "DELIVERED")));
    }
    crate::support::eventually("all are counted", || smscope.requests("accepted") == 20.0);
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), 20.0);
}

#[test]
fn a_body_that_breaks_off_is_an_error_and_leaves_nothing() {
    let smscope = Smscope::start();
    let whole = post(HOOK, receipt("broken off", "DELIVERED"));
    let mut client = smscope.client();
    client.send(&whole[..whole.len() - 1]);
    client.finish_sending();
    client.rest();
    let bad_chunk = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    let mut client = smscope.client();
    client.send(bad_chunk);
    client.rest();
    crate::support::eventually("both are counted", || smscope.requests("error") == 2.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
    assert_eq!(smscope.post(HOOK, receipt("whole", "DELIVERED")).result(), "accepted");
}

#[test]
fn bytes_that_are_not_http_close_their_connection_and_no_other() {
    let smscope = Smscope::start();
    let mut other = smscope.client();
    assert_eq!(other.ask(request("GET", HOOK, &[], "")).result(), "probe");
    let long_header = format!("GET {HOOK} HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let many_headers = format!("GET {HOOK} HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let long_target = format!("GET {HOOK}?{} HTTP/1.1\r\n\r\n", "x".repeat(64 << 10));
    let both_lengths = format!("POST {HOOK} HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{{}}");
    for garbage in [
        "\u{16}\u{3}\u{1}\0\u{5}TLS?\r\n\r\n",
        "hello\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long_header,
        &many_headers,
        &long_target,
        &both_lengths,
    ] {
        let mut client = Client::connect(smscope.webhooks);
        // The server may hang up before it has read all of it.
        let _cut_off = client.try_send(garbage);
        let answer = String::from_utf8(client.rest()).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    assert_eq!(other.ask(request("GET", HOOK, &[], "")).result(), "probe");
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
}
