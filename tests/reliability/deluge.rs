//! Overload: what is admitted is stored, the rest is rejected with Retry-After, and afterwards all is as before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::shim::{Control, Shim};
use crate::support::load::soak;
use crate::support::{HOOK, Launch, post, receipt};

const CLIENTS: usize = 100;
const LISTS: usize = 4;
const EACH: usize = 500;

fn list(name: usize, number: usize) -> Vec<u8> {
    let receipts: Vec<String> = (0..EACH).map(|at| receipt(&format!("{name}-{number}-{at}"), "DELIVERED")).collect();
    post(HOOK, format!("[{}]", receipts.join(",")))
}

#[test]
fn an_overload_is_rejected_with_retry_after_and_every_acknowledged_event_is_stored() {
    let smscope = Launch::new().start();
    let (taken, shed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest_refusal = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let (smscope, taken, shed) = (&smscope, &taken, &shed);
                scope.spawn(move || {
                    let mut client = smscope.client();
                    let lists: Vec<Vec<u8>> = (0..LISTS).map(|number| list(name, number)).collect();
                    let mut slowest = Duration::ZERO;
                    for list in lists {
                        let at = Instant::now();
                        let answer = client.ask(list);
                        if answer.status == 200 {
                            taken.fetch_add(1, Ordering::Relaxed);
                        } else {
                            assert_eq!(answer.status, 503);
                            assert_eq!(answer.result(), "cannot store the event now, retry later");
                            assert!(answer.header("retry-after").is_some());
                            shed.fetch_add(1, Ordering::Relaxed);
                            slowest = slowest.max(at.elapsed());
                        }
                    }
                    slowest
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).max().unwrap()
    });
    let (taken, shed) = (taken.into_inner(), shed.into_inner());
    println!("{taken} lists of {EACH} taken, {shed} put off, the slowest refusal after {slowest_refusal:?}");
    assert_eq!(taken + shed, CLIENTS * LISTS);
    assert!(taken > 0 && shed > 0, "{taken} taken, {shed} put off");
    assert_eq!(smscope.requests("overloaded"), shed as f64);
    assert_eq!(smscope.requests("accepted"), taken as f64);
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), (taken * EACH) as f64);
    // It is over, and nothing of it is left.
    assert_eq!(smscope.post(HOOK, receipt("after", "DELIVERED")).result(), "accepted");
    assert_eq!(smscope.ask_admin("GET", "/readyz", &[]).status, 200);
    assert_eq!(smscope.stored::<i64>("SELECT count(*) FROM events"), (taken * EACH + 1) as i64);
}

/// `make soak` tells by how much.
const SECONDS: u64 = 3;

/// As much as the machine gives, one receipt a request, from far more connections than it can serve at once. What the answers take
/// is asserted nowhere, for it is the machine's as much as smscope's: docs/reliability.md has the figures.
#[test]
fn every_request_of_a_thousand_concurrent_clients_is_accepted_or_rejected() {
    const CALLERS: usize = 1000;
    let seconds = soak("SECONDS").unwrap_or(SECONDS);
    rlimit::increase_nofile_limit(4000).unwrap();
    let smscope = Launch::new().start();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut took: Vec<(bool, Duration)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|name| {
                let smscope = &smscope;
                let call = move || {
                    let mut client = smscope.client();
                    let mut took = Vec::new();
                    for number in 0.. {
                        if Instant::now() > end {
                            break;
                        }
                        let request = post(HOOK, receipt(&format!("{name}-{number}"), "DELIVERED"));
                        let at = Instant::now();
                        let answer = client.ask(request);
                        assert!([200, 503].contains(&answer.status), "{answer:?}");
                        took.push((answer.status == 200, at.elapsed()));
                    }
                    took
                };
                std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, call).unwrap()
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    took.sort_by_key(|(_, took)| *took);
    for (what, admitted) in [("admitted", true), ("put off", false)] {
        let of: Vec<Duration> = took.iter().filter(|(was, _)| *was == admitted).map(|(_, took)| *took).collect();
        if let (Some(p50), Some(p99)) = (of.get(of.len() / 2), of.get(of.len() * 99 / 100)) {
            println!("{} {what} in {seconds} s by {CALLERS} callers: p50 {p50:?}, p99 {p99:?}", of.len());
        }
    }
    let kept = took.iter().filter(|(admitted, _)| *admitted).count();
    assert!(kept >= CALLERS);
    assert_eq!(smscope.metric("sms_messages_delivered_total", &[]), kept as f64);
    let at = Instant::now();
    assert_eq!(smscope.post(HOOK, receipt("after", "DELIVERED")).result(), "accepted");
    println!("afterwards one was answered in {:?}", at.elapsed());
}

#[test]
fn bodies_that_wait_for_a_disk_that_hangs_do_not_fill_the_memory() {
    const BODY: usize = 250 << 10;
    let (launch, shim) = Shim::under(Launch::new());
    let smscope = launch.start();
    shim.set(Control::SyncDelay, 3000);
    let overloaded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for name in 0..300 {
            let (smscope, overloaded) = (&smscope, &overloaded);
            scope.spawn(move || {
                let mut body = receipt(&name.to_string(), "DELIVERED").into_bytes();
                body.resize(BODY, b' ');
                if smscope.post(HOOK, body).status == 503 {
                    overloaded.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(1500));
        shim.set(Control::SyncDelay, 0);
    });
    println!("{} of 300 bodies of {BODY} B put off; {} kB", overloaded.into_inner(), smscope.peak_rss_kb());
    let waited: f64 = smscope.requests("accepted");
    assert!(waited < 200.0, "{waited} bodies waited at once");
}
