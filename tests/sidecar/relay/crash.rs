//! kill -9 under load with a relay on: every event that was acknowledged arrives, each message's in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::target::{Arrived, Reaction, Target};
use crate::support::{Client, HOOK, Launch, eventually, post, receipt};

const KILLS: usize = 8;
const CLIENTS: usize = 4;
const COURSE: [&str; 3] = ["ENROUTE", "DELIVERED", "READ"];

#[test]
fn every_acknowledged_event_arrives_with_one_id_and_in_order_however_often_the_process_is_killed() {
    let target = Target::start();
    let launch =
        Launch::new().on_fixed_ports().file(&format!("[[relay]]\nname = \"app\"\nurl = \"{}\"\n", target.url("/")));
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let smscope = launch.start();
    let address = smscope.webhooks;
    let smscope = std::thread::scope(|scope| {
        let mut smscope = smscope;
        // A failing test must not leave them sending for ever.
        let _stop = Stop(&stop);
        for client in 0..CLIENTS {
            let (stop, acknowledged) = (&stop, &acknowledged);
            scope.spawn(move || play(client, stop, acknowledged, address));
        }
        for kill in 1..=KILLS {
            let enough = kill * 60;
            eventually("webhooks are acknowledged", || acknowledged.load(Ordering::Relaxed) >= enough);
            // The target fails now and then as well.
            target.then([Reaction::Status(500), Reaction::Hangup]);
            smscope.kill();
            smscope = launch.start();
        }
        smscope
    });
    let expected = acknowledged.load(Ordering::Relaxed);
    eventually("nothing waits any more", || {
        smscope.metrics().value("sms_relay_pending", &[("relay", "app")]) == Some(0.0)
    });
    let taken: Vec<Arrived> = target.arrived().into_iter().filter(Arrived::was_taken).collect();
    let mut first_order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for one in &taken {
        let event = one.event();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (message, status) = (text(&event["subject"]), text(&event["data"]["status"]));
        assert_eq!(text(&event["id"]), one.id());
        ids.entry((message.clone(), status.clone())).or_default().insert(one.id().to_owned());
        let order = first_order.entry(message).or_default();
        if !order.contains(&status) {
            order.push(status);
        }
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "an event has two ids");
    // A request that a kill left unanswered was retried, so each acknowledged event is a distinct one.
    assert_eq!(ids.len(), expected, "of {} deliveries", taken.len());
    for (message, order) in first_order {
        assert_eq!(order, COURSE[..order.len()], "{message}");
    }
    let all: BTreeSet<String> = ids.into_values().flatten().collect();
    assert_eq!(all.len(), expected, "two events have one id");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends the receipts of one message after the other, each until it is acknowledged.
fn play(client: usize, stop: &AtomicBool, acknowledged: &AtomicUsize, address: std::net::SocketAddr) {
    let mut connection: Option<Client> = None;
    for message in 0.. {
        for status in COURSE {
            let webhook = post(HOOK, receipt(&format!("m-{client}-{message}"), status));
            loop {
                let asked = connection.take().or_else(|| Client::try_connect(address).ok()).and_then(|mut open| {
                    let status = open.try_ask(&webhook).ok()?.status;
                    Some((open, status))
                });
                match asked {
                    Some((open, 200)) => {
                        connection = Some(open);
                        break;
                    }
                    _ => std::thread::sleep(std::time::Duration::from_millis(20)),
                }
            }
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}
