//! Hostile requests: each is answered or cut off, none is believed, and the next honest one is accepted.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{HOOK, NUMBER, Smscope, gzip, receipt, request};

/// As deep as the largest body allows.
fn deep(open: &str, close: &str) -> Vec<u8> {
    let levels = 240_000 / (open.len() + close.len());
    (open.repeat(levels) + "1" + &close.repeat(levels)).into_bytes()
}

#[test]
fn a_body_of_any_kind_is_stored_or_rejected_and_the_next_one_is_accepted() {
    let with = |field: &str| receipt("m", "DELIVERED").replacen('{', &format!("{{{field},"), 1).into_bytes();
    let twice_packed = gzip(&gzip(&vec![b' '; 20 << 20]));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("arrays in arrays", deep("[", "]")),
        ("objects in objects", deep("{\"a\":", "}")),
        ("deep in a receipt", with(&format!("\"x\":{}{}", "[".repeat(100_000), "]".repeat(100_000)))),
        ("brackets that never close", vec![b'['; 250_000]),
        (
            "a number without end",
            with(&format!("\"price\":{{\"amount\":{},\"currency\":\"EUR\"}}", "9".repeat(100_000))),
        ),
        ("a huge exponent", with("\"price\":{\"amount\":1e999999999,\"currency\":\"EUR\"}")),
        ("more parts than there are", with("\"body\":{\"messagePartCount\":99999999999999999999999999}")),
        ("negative parts", with("\"body\":{\"messagePartCount\":-9223372036854775808}")),
        ("a price beyond counting", with("\"price\":{\"amount\":9e18,\"currency\":\"EUR\"}")),
        ("a currency of 100 kB", with(&format!("\"price\":{{\"amount\":1,\"currency\":\"{}\"}}", "X".repeat(100_000)))),
        (
            "invalid UTF-8",
            [b"{\"messageId\":\"\xff\xfe\",".to_vec(), receipt("u", "DELIVERED").into_bytes()[1..].to_vec()].concat(),
        ),
        ("an unpaired surrogate", with("\"refClient\":\"\\ud800\"")),
        ("NUL bytes", vec![0; 1000]),
        ("NUL in a text", with("\"refClient\":\"a\\u0000b\"")),
        ("the same key a hundred times", with(&vec!["\"messageId\":\"x\""; 100].join(","))),
        ("fifty thousand keys", with(&(0..15_000).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(","))),
        ("controls of a terminal", with("\"refClient\":\"\\u001b[2J\\u0007\"")),
        ("a message id of 200 kB", receipt(&"i".repeat(200_000), "DELIVERED").into_bytes()),
        ("a status of 200 kB", receipt("m", &"S".repeat(200_000)).into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf".to_vec(), receipt("bom", "DELIVERED").into_bytes()].concat()),
        ("UTF-16", receipt("m", "DELIVERED").encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    let smscope = Smscope::start();
    for (number, (what, body)) in bodies.into_iter().enumerate() {
        let answer = smscope.post(HOOK, &body);
        assert!([200, 413].contains(&answer.status), "{what}: {answer:?}");
        assert!(
            ["accepted", "duplicate", "unrecognized", "body too large, the limit is the setting http.max_body"]
                .contains(&&*answer.result()),
            "{what}"
        );
        let honest = smscope.post(HOOK, receipt(&format!("honest-{number}"), "DELIVERED"));
        assert_eq!(honest.result(), "accepted", "after {what}");
    }
    for packed in [twice_packed.clone(), bomb()] {
        let answer = smscope.ask(request("POST", HOOK, &["content-encoding: gzip"], packed));
        assert!([200, 413].contains(&answer.status), "{answer:?}");
    }
    let scraped = smscope.metrics();
    assert!(scraped.text.len() < 200_000, "no label value is as long as it came: {} bytes", scraped.text.len());
    assert_eq!(smscope.ask_admin("GET", "/", &[]).status, 200);
    assert!(!smscope.stderr().contains("panicked"), "{}", smscope.stderr());
    assert_eq!(smscope.restarted().post(HOOK, receipt("honest-0", "DELIVERED")).result(), "duplicate");
}

/// 64 MiB in few bytes.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_query_of_any_kind_is_answered_and_the_next_one_is_accepted() {
    let smscope = Smscope::start();
    for (number, query) in [
        "smsID=%00&statut=11&numero=33612345678".to_owned(),
        "smsID=%ff%fe&statut=%ff&numero=%ff".to_owned(),
        format!("smsID={}&statut=11", "9".repeat(10_000)),
        "smsID=1&statut=99999999999999999999999999".to_owned(),
        "smsID=1&statut=-1&cost=1e309&date_reception=0000-00-00 00:00:00".replace(' ', "%20"),
        "&".repeat(10_000),
        "a=".repeat(4_000),
        "smsID=1&".repeat(1_200),
        "%".repeat(10_000),
        "smsID=2&statut=11&numero=".to_owned() + &"%2B".repeat(3_000),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = smscope.ask(request("GET", &format!("{HOOK}?{query}"), &[], ""));
        assert_eq!(answer.status, 200, "{}: {answer:?}", &query[..query.len().min(60)]);
        answer.result();
        let honest = format!("{HOOK}?smsID=honest-{number}&statut=11&numero={NUMBER}");
        assert_eq!(smscope.ask(request("GET", &honest, &[], "")).result(), "accepted");
    }
    assert!(!smscope.stderr().contains("panicked"), "{}", smscope.stderr());
}

#[test]
fn a_head_of_any_kind_is_rejected_or_cut_off_and_the_next_one_is_accepted() {
    let smscope = Smscope::start();
    let head = |rest: &str| format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\n{rest}\r\n");
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    for (what, bytes) in [
        ("headers without end", head(&many)),
        ("a header of a megabyte", head(&format!("x: {}\r\n", "y".repeat(1 << 20)))),
        ("a name of a megabyte", head(&format!("{}: y\r\n", "x".repeat(1 << 20)))),
        ("a path of a megabyte", format!("GET {HOOK}/{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20))),
        ("a method of a megabyte", format!("{} {HOOK} HTTP/1.1\r\n\r\n", "X".repeat(1 << 20))),
        ("folded lines", head(&format!("x: y\r\n{}", " z\r\n".repeat(50_000)))),
        ("blank lines", "\r\n".repeat(500_000)),
        ("NUL in a header", head("x: a\0b\r\n")),
        ("a length beyond numbers", head("content-length: 99999999999999999999999999\r\n")),
        ("a negative length", head("content-length: -1\r\n")),
        ("a chunk beyond numbers", head("transfer-encoding: chunked\r\n") + "ffffffffffffffffffff\r\n"),
        ("chunk extensions", head("transfer-encoding: chunked\r\n") + "1;" + &"e".repeat(1 << 20)),
        ("trailers without end", head("transfer-encoding: chunked\r\n") + "0\r\n" + &many),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned()),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        let mut client = smscope.client();
        let _cut_off = client.try_send(&bytes);
        client.finish_sending_if_open();
        let rest = client.rest();
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains(" 200 "), "{what}: {text}");
        assert_eq!(smscope.post(HOOK, receipt(what, "DELIVERED")).result(), "accepted", "after {what}");
    }
    assert!(!smscope.stderr().contains("panicked"), "{}", smscope.stderr());
}

#[test]
fn requests_written_without_reading_answers_are_served_in_bounded_memory() {
    let smscope = Smscope::with("[http]\nwrite_timeout = \"1s\"");
    let flood = request("GET", HOOK, &[], "").repeat(10_000);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = smscope.client();
                // Until it is hung up on.
                while client.try_send(&flood).is_ok() {}
            });
        }
    });
    let peak = smscope.peak_rss_kb();
    assert!(peak < 64 * 1024, "{peak} kB");
    assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
}
