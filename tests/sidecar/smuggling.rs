//! Where one request ends and the next begins: what two readers could read in two ways is rejected and its connection closed, or read in
//! the one way that is safe. Whatever stands in a body is never served as a request.

use crate::support::{HOOK, Smscope, TOKEN, eventually, post, receipt};

/// How a request is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// 400, by the server's own word, and closed.
    Refused,
    /// 431, for a length that no body can have, and closed.
    TooLarge,
    /// Closed without an answer.
    Closed,
    /// One answer of this status, and closed.
    With(u16),
    /// One response of this status; the connection continues, and the next request on it is read from where this one ended.
    Then(u16),
}
use Ends::{Closed, Refused, Then, TooLarge, With};

/// A whole request that must never be served from within another one.
fn smuggled() -> String {
    String::from_utf8(post(HOOK, receipt("smuggled", "DELIVERED"))).unwrap()
}

/// The statuses of all answers in what came back.
fn statuses(came: &str) -> Vec<u16> {
    came.split("HTTP/1.").skip(1).map(|answer| answer[2..5].parse().unwrap()).collect()
}

/// Sends each as the first thing on a connection, a probe behind it, and says how it went.
fn hold(cases: &[(&str, String, Ends)]) {
    let smscope = Smscope::with("[http]\nbody_timeout = \"1s\"");
    let probe = format!("GET {HOOK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut unread = 0;
    let mut otherwise = Vec::new();
    for (what, bytes, ends) in cases {
        let mut client = smscope.client();
        // In one piece, so that nothing is left unread when the server closes, which would take its answer away.
        client.send([bytes, probe.as_str()].concat());
        let came = String::from_utf8(client.rest()).unwrap();
        let expected = match ends {
            Refused => vec![400],
            TooLarge => vec![431],
            Closed => vec![],
            With(status) => vec![*status],
            Then(status) => vec![*status, 200],
        };
        if statuses(&came) != expected {
            otherwise.push(format!("{what}: {:?} instead of {expected:?}", statuses(&came)));
        }
        assert!(!came.contains(TOKEN), "{what}: {came}");
        unread += u32::from(matches!(ends, Refused | TooLarge | Closed));
    }
    assert!(otherwise.is_empty(), "{otherwise:#?}");
    // What was no request is counted as no source's, the rest under its own.
    let labels = [("source", "unknown"), ("result", "error")];
    eventually("all are counted", || smscope.metric("smscope_webhook_requests_total", &labels) == f64::from(unread));
    let smuggled: i64 = smscope.stored("SELECT count(*) FROM messages WHERE message_id = 'smuggled'");
    assert_eq!(smuggled, 0);
}

/// A POST with these lines in its head and whatever behind it.
fn posted(lines: &str, behind: impl AsRef<str>) -> String {
    format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n{}", behind.as_ref())
}

#[test]
fn a_length_that_can_be_read_in_two_ways_is_rejected() {
    let smuggled = smuggled();
    let length = |value: &str| posted(&format!("content-length: {value}"), &smuggled);
    hold(&[
        ("two lengths", posted("content-length: 0\r\ncontent-length: 5", &smuggled), Refused),
        ("two lengths, far apart", posted("content-length: 5\r\nx: y\r\nCONTENT-LENGTH: 0", &smuggled), Refused),
        ("two lengths in one line", length("0, 5"), Refused),
        ("one length twice in one line", length("5, 5"), Refused),
        ("one length twice", posted("content-length: 2\r\ncontent-length: 2", "{}"), Then(200)),
        ("negative", length("-1"), Refused),
        ("a plus", length("+5"), Refused),
        ("hexadecimal", length("0x5"), Refused),
        ("a fraction", length("5.0"), Refused),
        ("words", length("five"), Refused),
        ("nothing", length(""), Refused),
        ("a blank inside", length("1 0"), Refused),
        ("more than 64 bits", length("18446744073709551616"), Refused),
        ("what 64 bits wrap to", length("18446744073709551617"), Refused),
        ("the most of 64 bits", length("18446744073709551615"), TooLarge),
        ("leading zeros", posted("content-length: 0002", "{}"), Then(200)),
    ]);
}

#[test]
fn chunks_and_a_length_are_read_as_chunks_and_the_connection_is_closed() {
    let smuggled = smuggled();
    let chunked = "transfer-encoding: chunked";
    let none = format!("0\r\n\r\n{smuggled}");
    hold(&[
        ("length, then chunks", posted(&format!("content-length: 4\r\n{chunked}"), &none), With(200)),
        ("chunks, then length", posted(&format!("{chunked}\r\ncontent-length: 4"), &none), With(200)),
        ("a length that would hold all", posted(&format!("content-length: 999\r\n{chunked}"), &none), With(200)),
        (
            "two lengths and chunks",
            posted(&format!("content-length: 4\r\n{chunked}\r\ncontent-length: 7"), &none),
            With(200),
        ),
        (
            "keep-alive does not help",
            posted(&format!("{chunked}\r\ncontent-length: 4\r\nconnection: keep-alive"), &none),
            With(200),
        ),
        ("a bad length and chunks", posted(&format!("content-length: x\r\n{chunked}"), &none), Refused),
    ]);
}

#[test]
fn a_transfer_encoding_that_another_reader_may_not_see_is_rejected() {
    let smuggled = smuggled();
    let none = format!("0\r\n\r\n{smuggled}");
    let encoded = |value: &str| posted(&format!("transfer-encoding: {value}"), &none);
    let old = |lines: &str| format!("POST {HOOK} HTTP/1.0\r\nhost: x\r\n{lines}\r\n\r\n{none}");
    hold(&[
        ("identity", encoded("identity"), Refused),
        ("an unknown one", encoded("xchunked"), Refused),
        ("nothing", encoded(""), Refused),
        ("chunked is not the last", encoded("chunked, identity"), Refused),
        (
            "chunked is not the last, in two lines",
            posted("transfer-encoding: chunked\r\ntransfer-encoding: identity", &none),
            Refused,
        ),
        ("quoted", encoded("\"chunked\""), Refused),
        ("a parameter", encoded("chunked;q=1"), Refused),
        ("a vertical tab", encoded("\u{b}chunked"), Refused),
        ("a blank before the colon", posted("transfer-encoding : chunked", &none), Refused),
        ("a tab before the colon", posted("transfer-encoding\t: chunked", &none), Refused),
        ("a NUL in the name", posted("transfer\0-encoding: chunked", &none), Refused),
        ("HTTP/1.0", old("transfer-encoding: chunked"), Refused),
        ("HTTP/1.0 and a length", old("content-length: 4\r\ntransfer-encoding: chunked"), Refused),
    ]);
}

#[test]
fn lines_end_in_one_way_only_and_are_not_folded() {
    let smuggled = smuggled();
    let length = smuggled.len();
    hold(&[
        ("a bare CR in a value", posted(&format!("x: y\rcontent-length: {length}"), &smuggled), Refused),
        ("a bare CR for the end of the head", format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\r{smuggled}"), Refused),
        ("a bare CR in the request line", format!("POST {HOOK} HTTP/1.1\rhost: x\r\n\r\n"), Refused),
        ("a bare CR before a name", posted("\rcontent-length: 5", &smuggled), Refused),
        ("CR CR LF", posted(&format!("x: y\r\r\ncontent-length: {length}"), &smuggled), Refused),
        ("a folded line", posted("x: y\r\n content-length: 5", &smuggled), Refused),
        ("a folded length", posted("content-length:\r\n 5", &smuggled), Refused),
        ("a folded first line", format!("POST {HOOK} HTTP/1.1\r\n host: x\r\n\r\n"), Refused),
        ("a NUL in a value", posted("x: a\0b", ""), Refused),
        ("a blank before the colon", posted("content-length : 5", &smuggled), Refused),
        ("no name", posted(": 5", &smuggled), Refused),
        ("no colon", posted("content-length 5", &smuggled), Refused),
        // A reader may take a lone LF for the end of a line (RFC 9112, section 2.2), and all that are known do.
        ("lone LFs", format!("POST {HOOK} HTTP/1.1\nhost: x\ncontent-length: 2\n\n{{}}"), Then(200)),
    ]);
}

#[test]
fn chunks_are_read_to_the_letter() {
    let smuggled = smuggled();
    let chunks = |body: &str| posted("transfer-encoding: chunked", body);
    let (whole, size) = (r#"{"a":1}"#, r#"{"a":1}"#.len());
    let behind = |size: &str| chunks(&format!("{size}\r\n{whole}\r\n0\r\n\r\n"));
    hold(&[
        ("as it should be", behind("7"), Then(200)),
        ("capitals and zeros", chunks(&format!("000A\r\n{whole}   \r\n0\r\n\r\n")), Then(200)),
        ("an extension", behind("7;name=value"), Then(200)),
        ("an extension with a lone LF", chunks(&format!("7;a\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("extensions without end", chunks(&format!("7;{}", "x".repeat(64 << 10))), With(400)),
        ("a size past 64 bits", chunks(&format!("10000000000000007\r\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("a size of 64 bits", chunks(&format!("ffffffffffffffff\r\n{whole}\r\n0\r\n\r\n{smuggled}")), With(408)),
        ("a negative size", chunks(&format!("-7\r\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("a size with 0x", chunks(&format!("0x7\r\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("no size", chunks(&format!("\r\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("a lone LF behind the size", chunks(&format!("7\n{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        ("a lone CR behind the size", chunks(&format!("7\r{whole}\r\n0\r\n\r\n{smuggled}")), With(400)),
        (
            "a chunk longer than its size",
            chunks(&format!("{:x}\r\n{whole}\r\n0\r\n\r\n{smuggled}", size - 1)),
            With(400),
        ),
        ("a request in the trailers", chunks(&format!("0\r\n{smuggled}")), With(400)),
        ("a length in the trailers", chunks("0\r\nx: y\r\ncontent-length: 5\r\n\r\n"), Then(200)),
        ("trailers without end", chunks(&format!("0\r\nx: {}", "y".repeat(64 << 10))), With(400)),
    ]);
}

#[test]
fn a_body_that_is_not_read_is_not_a_request_either() {
    let smuggled = smuggled();
    let length = smuggled.len();
    let asks = |line: &str| format!("{line}\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{smuggled}");
    hold(&[
        ("to a stranger", asks("POST /hooks/smsmode/wrong HTTP/1.1"), Then(404)),
        ("to nothing", asks("POST /elsewhere HTTP/1.1"), Then(404)),
        ("by GET", asks(&format!("GET {HOOK} HTTP/1.1")), Then(200)),
        ("by HEAD", asks(&format!("HEAD {HOOK} HTTP/1.1")), Then(200)),
        ("by another method", asks(&format!("PUT {HOOK} HTTP/1.1")), Then(405)),
        ("by CONNECT", asks("CONNECT example.com:443 HTTP/1.1"), Then(404)),
        ("by CONNECT to our path", asks(&format!("CONNECT {HOOK} HTTP/1.1")), Then(405)),
        ("by TRACE", asks(&format!("TRACE {HOOK} HTTP/1.1")), Then(405)),
    ]);
}

#[test]
fn nothing_but_http_1_1_and_1_0_is_spoken_and_nothing_is_switched_to() {
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA";
    let settings = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    hold(&[
        ("HTTP/0.9", format!("GET {HOOK}\r\n\r\n"), Refused),
        ("HTTP/0.9, by its number", format!("GET {HOOK} HTTP/0.9\r\n\r\n"), Refused),
        ("HTTP/1.0", format!("GET {HOOK} HTTP/1.0\r\n\r\n"), With(200)),
        ("HTTP/1.2", format!("GET {HOOK} HTTP/1.2\r\nhost: x\r\n\r\n"), Refused),
        ("HTTP/2", format!("GET {HOOK} HTTP/2.0\r\nhost: x\r\n\r\n"), Refused),
        ("HTTP/2 without asking", settings.to_owned(), Closed),
        ("another protocol", format!("GET {HOOK} HTTPS/1.1\r\nhost: x\r\n\r\n"), Refused),
        ("two blanks", format!("GET  {HOOK} HTTP/1.1\r\nhost: x\r\n\r\n"), Refused),
        ("a word too many", format!("GET {HOOK} x HTTP/1.1\r\nhost: x\r\n\r\n"), Refused),
        ("an upgrade to HTTP/2", format!("GET {HOOK} HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n\r\n"), Then(200)),
        (
            "an upgrade to a WebSocket",
            format!("GET {HOOK} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
            Then(200),
        ),
        ("a tunnel", "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n".to_owned(), Then(404)),
        ("another host's URL", "GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\n\r\n".to_owned(), Then(404)),
        ("our path at another host", format!("GET http://example.com{HOOK} HTTP/1.1\r\nhost: x\r\n\r\n"), Then(200)),
        ("no path", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), Then(404)),
        ("a control character in the path", format!("GET {HOOK}\u{1} HTTP/1.1\r\nhost: x\r\n\r\n"), Refused),
    ]);
}
