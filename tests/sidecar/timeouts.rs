//! Slow clients are disconnected, waiting ones get a turn, and the process ends on a signal. These tests check that things
//! end, with a time-out of a fraction of a second and the patience of a minute; never that something is fast.

use std::io;
use std::time::Duration;

use crate::support::{Client, HOOK, Launch, Smscope, eventually, post, receipt, request};

/// Time-outs that are not meant to strike are of an hour: what ends in time has been ended by the one that is.
fn limits(changed: &str) -> String {
    let mut toml = String::from("[http]\n");
    for key in ["header_timeout", "body_timeout", "write_timeout", "shutdown_timeout"] {
        if !changed.contains(key) {
            toml.push_str(&format!("{key} = \"1h\"\n"));
        }
    }
    toml + changed
}

fn with(changed: &str) -> Smscope {
    Smscope::with(&limits(changed))
}

/// A POST whose body is announced and half sent, and the missing half.
fn halves(message_id: &str) -> (Vec<u8>, Vec<u8>) {
    let mut whole = post(HOOK, receipt(message_id, "DELIVERED"));
    let rest = whole.split_off(whole.len() - 20);
    (whole, rest)
}

#[test]
fn a_client_that_sends_no_whole_head_is_hung_up_on() {
    let smscope = with("header_timeout = \"1s\"");
    let starts = ["", "P", "POST /hooks/smsmode/x HTTP/1.1\r\nhost: x\r\n"];
    let clients = starts.map(|start| {
        let mut client = smscope.client();
        client.send(start);
        client
    });
    for mut client in clients {
        client.rest();
    }
    assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
}

#[test]
fn a_head_that_drips_in_is_hung_up_on() {
    let smscope = with("header_timeout = \"1s\"");
    let mut client = smscope.client();
    client.send("GET / HTTP/1.1\r\n");
    // Each byte comes in time, the head does not.
    eventually("it is cut off", || {
        std::thread::sleep(Duration::from_millis(50));
        client.try_send("x: y\r\n").is_err()
    });
}

#[test]
fn an_idle_connection_is_closed() {
    let smscope = with("header_timeout = \"1s\"");
    let mut client = smscope.client();
    assert_eq!(client.ask(post(HOOK, receipt("m", "DELIVERED"))).result(), "accepted");
    assert!(client.rest().is_empty());
}

#[test]
fn a_body_that_does_not_come_in_time_is_answered_408() {
    let smscope = with("body_timeout = \"300ms\"");
    let (head_and_half, _) = halves("slow");
    let head_only = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n");
    let chunk = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":");
    for (what, bytes) in [("half", head_and_half), ("nothing", head_only.into()), ("one chunk", chunk.into())] {
        let mut client = smscope.client();
        let answer = client.ask(bytes);
        assert_eq!((answer.status, &*answer.result()), (408, "body did not arrive in time"), "{what}");
        assert!(client.rest().is_empty(), "closed: {what}");
    }
    assert_eq!(smscope.requests("timeout"), 3.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 0.0);
}

#[test]
fn a_client_that_never_reads_its_answers_is_hung_up_on() {
    let smscope = with("write_timeout = \"300ms\"");
    let mut client = smscope.client();
    let many = request("GET", HOOK, &[], "").repeat(1000);
    let end = loop {
        if let Err(error) = client.try_send(&many) {
            break error;
        }
    };
    // Not the client's own time-out: the server has closed the connection.
    assert!(matches!(end.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{end}");
    assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
}

#[test]
fn past_the_limit_the_connection_that_has_waited_longest_for_a_request_makes_room() {
    let smscope = with("max_connections = 2");
    let probe = request("GET", HOOK, &[], "");
    let (mut first, mut second) = (smscope.client(), smscope.client());
    assert_eq!(first.ask(&probe).result(), "probe");
    assert_eq!(second.ask(&probe).result(), "probe");
    let mut third = smscope.client();
    assert_eq!(third.ask(&probe).result(), "probe");
    assert!(first.try_response().is_err(), "it has been hung up on");
    assert_eq!(second.ask(&probe).result(), "probe");
}

#[test]
fn while_requests_are_in_flight_on_all_slots_further_connections_wait() {
    let smscope = with("max_connections = 1");
    let (start, rest) = halves("under way");
    let mut busy = smscope.client();
    // The answer to the first request tells that the second, behind it, has arrived too.
    assert_eq!(busy.ask([request("GET", HOOK, &[], ""), start].concat()).result(), "probe");
    let mut waiting = smscope.client();
    waiting.send(request("GET", HOOK, &[], ""));
    assert!(waiting.hears_nothing_for(Duration::from_millis(800)));
    assert_eq!(busy.ask(rest).result(), "accepted");
    assert_eq!(waiting.response().result(), "probe");
}

#[test]
fn requests_in_flight_are_finished_before_the_end_and_no_new_one_begins() {
    let smscope = with("");
    let readiness = |smscope: &Smscope| smscope.ask_admin("GET", "/readyz", &[]);
    assert_eq!(readiness(&smscope).status, 200);
    let mut idle = smscope.client();
    assert_eq!(idle.ask(request("GET", HOOK, &[], "")).result(), "probe");
    let silent = smscope.client();
    let mut busy = smscope.client();
    let (start, rest) = halves("in flight");
    // The answer to the first request tells that the second, behind it, has arrived too.
    assert_eq!(busy.ask([request("GET", HOOK, &[], ""), start].concat()).result(), "probe");

    smscope.signal("TERM");
    eventually("it says so", || readiness(&smscope).status == 503);
    assert_eq!(readiness(&smscope).text(), "not ready: webhooks are not accepted\n");
    assert_eq!(smscope.ask_admin("GET", "/livez", &[]).status, 200);
    eventually("new connections are refused", || Client::try_connect(smscope.webhooks).is_err());
    assert!(idle.rest().is_empty(), "an idle connection is closed");
    assert!({ silent }.rest().is_empty(), "one on which nothing came is too");

    busy.send(rest);
    let answer = busy.response();
    assert_eq!((answer.status, &*answer.result()), (200, "accepted"));
    assert_eq!(answer.header("connection"), Some("close"));
    let launch = smscope.launch.clone();
    let ended = smscope.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("ended in good order"), "{ended:?}");
    assert_eq!(launch.start().metric("sms_messages_delivered_total", &[]), 1.0);
}

#[test]
fn an_unfinished_request_does_not_keep_the_process_from_ending() {
    let smscope = with("shutdown_timeout = \"300ms\"");
    let mut stuck = smscope.client();
    stuck.send(halves("never").0);
    let mut stuck_head = smscope.client();
    stuck_head.send("POST /hooks");
    // Prometheus reuses its connection, and so may a browser.
    let mut scraper = Client::connect(smscope.admin);
    assert_eq!(scraper.ask(request("GET", "/metrics", &[], "")).status, 200);
    let ended = smscope.process.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("connections were cut off"), "{ended:?}");
    stuck.rest();
    stuck_head.rest();
    scraper.rest();
}

#[test]
fn every_termination_signal_ends_the_process() {
    for signal in ["TERM", "INT"] {
        let smscope = with("");
        smscope.signal(signal);
        let ended = smscope.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains(&format!("SIG{signal}: ending")), "{ended:?}");
    }
}

#[test]
fn webhooks_are_rejected_while_the_disk_is_full_and_smscope_recovers_by_itself() {
    let smscope = Launch::new().on_a_disk_that_may_fill_up().start();
    let mut client = smscope.client();
    assert_eq!(client.ask(post(HOOK, receipt("before", "DELIVERED"))).result(), "accepted");

    smscope.fill_disk();
    // Never "duplicate": nothing of it has been committed.
    for attempt in 1..=3 {
        let answer = client.ask(post(HOOK, receipt("meanwhile", "DELIVERED")));
        assert_eq!(answer.status, 503, "attempt {attempt}: {answer:?}");
        assert_eq!(answer.result(), "cannot store the event now, retry later");
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(smscope.requests("overloaded"), 3.0);
    let readiness = smscope.ask_admin("GET", "/readyz", &[]);
    assert_eq!((readiness.status, readiness.text()), (503, "not ready: the store cannot write\n"));
    assert_eq!(smscope.ask_admin("GET", "/livez", &[]).status, 200, "a restart would not help");
    assert_eq!(client.ask(post("/hooks/smsmode/wrong", "{}")).status, 404);

    smscope.free_disk();
    eventually("it is ready again, though nobody calls", || smscope.ask_admin("GET", "/readyz", &[]).status == 200);
    assert_eq!(client.ask(post(HOOK, receipt("meanwhile", "DELIVERED"))).result(), "accepted");
    assert_eq!(client.ask(post(HOOK, receipt("before", "DELIVERED"))).result(), "duplicate");
    assert_eq!(smscope.metric("sms_messages_total", &[]), 2.0);
    assert_eq!(smscope.metric("smscope_store_events", &[]), 2.0);
    let complaints = smscope.stderr().lines().filter(|line| line.contains("cannot write to the store")).count();
    assert_eq!(complaints, 1, "repeated failures are one line: {}", smscope.stderr());
}

#[test]
fn while_another_program_locks_the_database_webhooks_are_put_off() {
    let smscope = Smscope::start();
    assert_eq!(smscope.post(HOOK, receipt("before", "DELIVERED")).result(), "accepted");
    let other = smscope.database();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let answer = smscope.post(HOOK, receipt("meanwhile", "DELIVERED"));
    assert_eq!(answer.status, 503, "{answer:?}");
    other.execute_batch("ROLLBACK").unwrap();
    eventually("it is ready again", || smscope.ask_admin("GET", "/readyz", &[]).status == 200);
    assert_eq!(smscope.post(HOOK, receipt("meanwhile", "DELIVERED")).result(), "accepted");
}
