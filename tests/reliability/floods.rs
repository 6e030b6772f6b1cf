//! Connections by the thousand that say little or nothing: the provider still gets in.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::load::soak;
use crate::support::{Client, HOOK, Launch, Smscope, eventually, post, receipt, request};

/// `make soak` asks for ten thousand.
const IDLE: u64 = 2000;

/// Opens connections that send `start` and then nothing, until so many have been opened.
fn flood(smscope: &Smscope, count: u64, start: &str) -> Vec<TcpStream> {
    rlimit::increase_nofile_limit(count + 1000).unwrap();
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect_timeout(&smscope.webhooks, Duration::from_secs(30)).unwrap();
            // Those that were closed for another may fail to send.
            let _closed = std::io::Write::write_all(&mut stream, start.as_bytes());
            stream
        })
        .collect()
}

#[test]
fn idle_connections_do_not_lock_out_the_provider() {
    let count = soak("IDLE").unwrap_or(IDLE);
    for (what, start) in [("silent", ""), ("half a head", "POST /hooks/smsmode/x HTTP/1.1\r\nhost: x\r\n")] {
        // Time-outs that free no slot while the test runs.
        let smscope = Smscope::with("[http]\nheader_timeout = \"1h\"");
        let mut before = smscope.client();
        assert_eq!(before.ask(post(HOOK, receipt("before", "DELIVERED"))).result(), "accepted");
        std::thread::scope(|scope| {
            let flooding = scope.spawn(|| flood(&smscope, count, start));
            let mut slowest = Duration::ZERO;
            let mut asked = 0;
            while !flooding.is_finished() || asked < 20 {
                asked += 1;
                let at = Instant::now();
                let answer = smscope.post(HOOK, receipt(&format!("{what}-{asked}"), "DELIVERED"));
                assert_eq!(answer.result(), "accepted", "{what}");
                slowest = slowest.max(at.elapsed());
            }
            println!(
                "{count} connections, {what}: {asked} new ones were answered meanwhile, the slowest in {slowest:?}"
            );
            let held = flooding.join().unwrap();
            assert_eq!(held.len() as u64, count);
            assert_eq!(smscope.ask_admin("GET", "/metrics", &[]).status, 200);
        });
        eventually("it is as ever", || smscope.post(HOOK, receipt("after", "DELIVERED")).status == 200);
        assert!(!smscope.stderr().contains("\"ERROR\""), "{}", smscope.stderr());
    }
}

#[test]
fn connections_to_the_admin_listener_lock_out_neither_a_scrape_nor_the_provider() {
    let smscope = Smscope::start();
    rlimit::increase_nofile_limit(4000).unwrap();
    let _idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(smscope.admin).unwrap()).collect();
    assert_eq!(smscope.ask_admin("GET", "/readyz", &[]).status, 200);
    assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
    let open = std::fs::read_dir(format!("/proc/{}/fd", smscope.id())).unwrap().count();
    assert!(open < 200, "{open} files are open");
}

#[test]
fn no_connection_is_closed_before_another_one_waits() {
    let smscope = Smscope::with("[http]\nmax_connections = 2");
    let probe = request("GET", HOOK, &[], "");
    let mut clients = [smscope.client(), smscope.client()];
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.ask(&probe).result(), "probe");
        }
        std::thread::sleep(Duration::from_millis(800));
    }
}

#[test]
fn a_connection_whose_request_is_being_answered_is_not_closed_for_another() {
    let smscope = Smscope::with("[http]\nmax_connections = 8\nheader_timeout = \"1h\"\nbody_timeout = \"1h\"");
    let mut whole = post(HOOK, receipt("slow", "DELIVERED"));
    let rest = whole.split_off(whole.len() - 20);
    let mut busy = smscope.client();
    // The answer to the first request tells that the second, behind it, has arrived too.
    assert_eq!(busy.ask([request("GET", HOOK, &[], ""), whole].concat()).result(), "probe");
    let _idle = flood(&smscope, 100, "");
    assert_eq!(smscope.post(HOOK, receipt("other", "DELIVERED")).result(), "accepted");
    busy.send(rest);
    assert_eq!(busy.response().result(), "accepted");
}

#[test]
fn with_fewer_files_than_connections_the_connections_are_limited_and_a_line_is_logged() {
    for (limit, said) in [("ulimit -n 300", true), ("ulimit -S -n 300", false)] {
        let smscope = Launch::new().prepared_by(limit).start();
        let warned = smscope.stderr().lines().filter(|line| line.contains("172 are used")).count();
        assert_eq!(warned, usize::from(said), "{limit}: {}", smscope.stderr());
        let _idle = flood(&smscope, 400, "");
        assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted", "{limit}");
        let mut scraper = Client::connect(smscope.admin);
        assert_eq!(scraper.ask(request("GET", "/metrics", &[], "")).status, 200, "{limit}");
        assert!(!smscope.stderr().contains("cannot accept"), "{limit}: {}", smscope.stderr());
    }
}
