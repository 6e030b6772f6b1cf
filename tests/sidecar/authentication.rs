//! Authentication by token, address, channel and credentials, and the order of rejections.

use crate::support::{HOOK, Launch, NUMBER, Response, Smscope, TOKEN, post, receipt, request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const OLD: &str = "old-token-0123456789";
const NEW: &str = "new-token-0123456789";

fn source(settings: &str) -> String {
    format!("[[source]]\nname = \"smsmode\"\n{settings}")
}

fn path(token: &str) -> String {
    format!("/hooks/smsmode/{token}")
}

fn status(smscope: &Smscope, path: &str) -> u16 {
    smscope.ask(request("GET", path, &[], "")).status
}

/// A receipt that comes from a channel.
fn from_channel(message_id: &str, channel_id: &str) -> String {
    format!(
        r#"{{"messageId":"{message_id}","channel":{{"channelId":"{channel_id}"}},"status":{{"value":"DELIVERED"}},"recipient":{{"to":"{NUMBER}"}}}}"#
    )
}

fn basic(user: &str, password: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn each_of_several_tokens_authenticates_and_a_removed_one_does_not() {
    let launch = Launch::without_token();
    let file = launch.home.path().join("tokens");
    std::fs::write(&file, format!("{OLD}\n{NEW}\n")).unwrap();
    let from_file = launch.clone().env("SMSCOPE_TOKEN_FILE", file.to_str().unwrap());
    let both = format!("{OLD},{NEW}");
    for (how, launch, old, new) in [
        ("one in a variable", launch.clone().env("SMSCOPE_TOKEN", OLD), 200, 404),
        ("two in a variable", launch.clone().env("SMSCOPE_TOKEN", &both), 200, 200),
        ("two in a file", from_file.clone(), 200, 200),
        ("two in the configuration", launch.file(&source(&format!("tokens = [{OLD:?}, {NEW:?}]"))), 200, 200),
    ] {
        let smscope = launch.start();
        assert_eq!((status(&smscope, &path(OLD)), status(&smscope, &path(NEW))), (old, new), "{how}");
        assert_eq!(status(&smscope, &path(&both)), 404, "{how}");
    }
    // The end of a rotation.
    std::fs::write(&file, NEW).unwrap();
    let smscope = from_file.start();
    assert_eq!((status(&smscope, &path(OLD)), status(&smscope, &path(NEW))), (404, 200));
}

#[test]
fn a_token_opens_its_own_source_only() {
    let smscope = Launch::without_token()
        .file(&format!(
            "[[source]]\nname = \"first\"\ntokens = [{OLD:?}]\n[[source]]\nname = \"second\"\ntokens = [{NEW:?}]"
        ))
        .start();
    for (source, token, expected) in
        [("first", OLD, 200), ("second", NEW, 200), ("first", NEW, 404), ("second", OLD, 404)]
    {
        assert_eq!(status(&smscope, &format!("/hooks/{source}/{token}")), expected, "{source} {token}");
    }
    for source in ["first", "second"] {
        for result in ["probe", "unauthorized"] {
            let labels = [("source", source), ("result", result)];
            assert_eq!(smscope.metric("smscope_webhook_requests_total", &labels), 1.0, "{labels:?}");
        }
    }
}

#[test]
fn the_made_token_opens_and_stays_the_same_over_a_restart() {
    let launch = Launch::without_token();
    let url = launch.clone().args(&["url", "--create"]).run().stdout;
    let path = url.trim_end().split_once("127.0.0.1:0").unwrap().1.to_owned();
    for _ in 0..2 {
        assert_eq!(status(&launch.clone().start(), &path), 200);
    }
    assert_eq!(status(&launch.start(), HOOK), 404);
}

#[test]
fn an_address_off_the_list_is_rejected_and_trusted_proxies_are_believed() {
    let allowed_itself = Smscope::with(&source("allow = [\"127.0.0.0/8\"]"));
    let behind_a_proxy = Smscope::with(&source("allow = [\"192.0.2.0/24\"]\ntrusted_proxies = [\"127.0.0.1\"]"));
    let behind_a_stranger = Smscope::with(&source("allow = [\"192.0.2.0/24\"]\ntrusted_proxies = [\"10.0.0.1\"]"));
    let none: &[&str] = &[];
    for (smscope, headers, expected) in [
        (&allowed_itself, none, 200),
        (&allowed_itself, &["x-forwarded-for: 203.0.113.1"], 200),
        (&behind_a_proxy, none, 403),
        (&behind_a_proxy, &["x-forwarded-for: 192.0.2.7"], 200),
        (&behind_a_proxy, &["X-Forwarded-For: 192.0.2.7, 127.0.0.1"], 200),
        (&behind_a_proxy, &["x-forwarded-for: 192.0.2.7", "x-forwarded-for: 203.0.113.1"], 403),
        (&behind_a_proxy, &["x-forwarded-for: 192.0.2.7, 203.0.113.1"], 403),
        (&behind_a_proxy, &["x-forwarded-for: somebody"], 403),
        (&behind_a_proxy, &["forwarded: for=192.0.2.7", "x-real-ip: 192.0.2.7"], 403),
        (&behind_a_stranger, &["x-forwarded-for: 192.0.2.7"], 403),
    ] {
        let answer = smscope.ask(request("GET", HOOK, headers, ""));
        assert_eq!(answer.status, expected, "{headers:?}");
        let told = if expected == 200 { "probe" } else { "address not allowed" };
        assert_eq!(answer.result(), told, "{headers:?}");
    }
    assert_eq!(behind_a_proxy.requests("forbidden"), 5.0);
    assert_eq!(behind_a_proxy.requests("probe"), 2.0);
}

#[test]
fn a_channel_off_the_list_is_rejected_as_a_whole() {
    let smscope = Smscope::with(&source("channel_ids = [\"ours\", \"ours-too\"]"));
    let array = |channels: [&str; 2]| {
        let elements = channels.map(|channel| from_channel(&format!("in an array, {channel}"), channel));
        format!("[{}]", elements.join(","))
    };
    let unrecognized = |channel: &str| format!(r#"{{"clicked":true,"channel":{{"channelId":"{channel}"}}}}"#);
    for (what, body, expected) in [
        ("ours", from_channel("a", "ours"), "accepted"),
        ("ours too", from_channel("b", "ours-too"), "accepted"),
        ("another's", from_channel("c", "theirs"), "channel not allowed"),
        ("none named", receipt("d", "DELIVERED"), "accepted"),
        ("an array of ours", array(["ours", "ours-too"]), "accepted"),
        ("an array with one of another's", array(["ours", "theirs"]), "channel not allowed"),
        ("unrecognized, ours", unrecognized("ours"), "unrecognized"),
        ("unrecognized, another's", unrecognized("theirs"), "channel not allowed"),
    ] {
        let answer = smscope.post(HOOK, body);
        assert_eq!(answer.result(), expected, "{what}");
        assert_eq!(answer.status, if expected == "channel not allowed" { 403 } else { 200 }, "{what}");
    }
    assert_eq!(smscope.requests("forbidden"), 3.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 6.0, "nothing of what was refused is kept");
}

#[test]
fn the_header_secret_has_to_be_there_and_right() {
    let smscope = Smscope::with(&source("header = { name = \"X-Hook-Secret\", value = \"s3cret value\" }"));
    let none: &[&str] = &[];
    for (headers, expected) in [
        (&["x-hook-secret: s3cret value"][..], 200),
        (&["X-HOOK-SECRET:   s3cret value  "], 200),
        (none, 401),
        (&["x-hook-secret: S3CRET VALUE"], 401),
        (&["x-hook-secret:"], 401),
        (&["x-hook-secret: s3cret value, s3cret value"], 401),
        (&["x-other: s3cret value"], 401),
    ] {
        let answer = smscope.ask(request("GET", HOOK, headers, ""));
        assert_eq!(answer.status, expected, "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), None, "{headers:?}");
        assert!(!answer.result().contains("s3cret"));
    }
    assert_eq!(smscope.requests("unauthorized"), 5.0);
}

#[test]
fn basic_credentials_are_required_and_compared_as_a_whole() {
    let smscope = Smscope::with(&source("basic = { user = \"provider\", password = \"p:ss wörd\" }"));
    let right = basic("provider", "p:ss wörd");
    for (headers, expected) in [
        (vec![right.clone()], 200),
        (vec![right.replace("Basic", "bAsIc")], 200),
        (vec![], 401),
        (vec![basic("provider", "p")], 401),
        (vec![basic("other", "p:ss wörd")], 401),
        (vec![basic("provider:p", "ss wörd")], 200),
        (vec!["authorization: Basic !!!".to_owned()], 401),
        (vec!["authorization: Basic".to_owned()], 401),
        (vec![right.replace("Basic", "Bearer")], 401),
    ] {
        let lines: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = smscope.ask(request("GET", HOOK, &lines, ""));
        assert_eq!(answer.status, expected, "{headers:?}");
        let challenge = (expected == 401).then_some("Basic realm=\"smscope\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{headers:?}");
        answer.result();
    }
    assert_eq!(smscope.requests("unauthorized"), 6.0);
}

/// What is wrong with a request, in the order in which it is rejected.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Wrong {
    Method,
    Source,
    Token,
    Address,
    Header,
    Basic,
    Size,
    Slowness,
    Channel,
    Nothing,
}

/// Asks with a request in which everything is wrong that comes at `first` or after it.
fn ask_wrongly(smscope: &Smscope, first: Wrong) -> Response {
    let is = |wrong| first <= wrong && first != Wrong::Nothing;
    let method = if is(Wrong::Method) { "PUT" } else { "POST" };
    let source = if is(Wrong::Source) { "nobody" } else { "smsmode" };
    let token = if is(Wrong::Token) { "wrong" } else { TOKEN };
    let forwarded = format!("x-forwarded-for: {}", if is(Wrong::Address) { "203.0.113.1" } else { "192.0.2.1" });
    let secret = format!("x-secret: {}", if is(Wrong::Header) { "wrong" } else { "right" });
    let basic = basic("user", if is(Wrong::Basic) { "wrong" } else { "right" });
    let body = from_channel("m", if is(Wrong::Channel) { "theirs" } else { "ours" });
    // What is too slow says that one byte more will come.
    let length = match first {
        _ if is(Wrong::Size) => 1 << 20,
        _ if is(Wrong::Slowness) => body.len() + 1,
        _ => body.len(),
    };
    let headers = [&*forwarded, &*secret, &*basic, &format!("content-length: {length}")];
    let head = request(method, &format!("/hooks/{source}/{token}"), &headers, "");
    let mut client = smscope.client();
    client.send([&head[..], body.as_bytes()].concat());
    client.response()
}

#[test]
fn of_several_errors_the_first_in_order_is_reported() {
    let smscope = Smscope::with(
        "[http]\nmax_body = \"1KiB\"\nbody_timeout = \"500ms\"\n[[source]]\nname = \"smsmode\"\nallow = [\"192.0.2.0/24\"]\n\
         trusted_proxies = [\"127.0.0.1\"]\nchannel_ids = [\"ours\"]\n\
         header = { name = \"x-secret\", value = \"right\" }\nbasic = { user = \"user\", password = \"right\" }",
    );
    for (first, status, told) in [
        (Wrong::Method, 405, "method not allowed, expected GET or POST"),
        (Wrong::Source, 404, "not found"),
        (Wrong::Token, 404, "not found"),
        (Wrong::Address, 403, "address not allowed"),
        (Wrong::Header, 401, "credentials missing or wrong"),
        (Wrong::Basic, 401, "credentials missing or wrong"),
        (Wrong::Size, 413, "body too large, the limit is the setting http.max_body"),
        (Wrong::Slowness, 408, "body did not arrive in time"),
        (Wrong::Channel, 403, "channel not allowed"),
    ] {
        let answer = ask_wrongly(&smscope, first);
        assert_eq!((answer.status, &*answer.result()), (status, told));
        assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0, "{told}");
    }
    assert_eq!(ask_wrongly(&smscope, Wrong::Nothing).result(), "accepted");
    for (source, result, count) in [
        ("unknown", "error", 1.0),
        ("unknown", "unauthorized", 1.0),
        ("smsmode", "unauthorized", 3.0),
        ("smsmode", "forbidden", 2.0),
        ("smsmode", "too_large", 1.0),
        ("smsmode", "timeout", 1.0),
        ("smsmode", "accepted", 1.0),
    ] {
        let labels = [("source", source), ("result", result)];
        assert_eq!(smscope.metric("smscope_webhook_requests_total", &labels), count, "{labels:?}");
    }
}

#[test]
fn a_channel_off_the_list_is_reported_before_a_full_store() {
    let launch = Launch::new().file(&source("channel_ids = [\"ours\"]"));
    let smscope = launch.on_a_disk_that_may_fill_up().start();
    smscope.fill_disk();
    assert_eq!(smscope.ask(post(HOOK, from_channel("m", "theirs"))).result(), "channel not allowed");
    assert_eq!(smscope.ask(post(HOOK, from_channel("m", "ours"))).status, 503);
}
