//! A leader that freezes inside a transaction, where it holds the lock that every other leader waits for.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, leads};
use crate::support::load::{Progress, start_clients};
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{HOOK, Smscope, eventually, holds};

/// How long until another replica leads, once the lease is not renewed.
const LEASE: Duration = Duration::from_secs(5);
/// Far less than what a transaction may stay open.
const QUICK: Duration = Duration::from_secs(1);

/// Stops the leader, which is the first replica, between two statements of a transaction. Gives when.
pub fn freeze_in_a_transaction(fleet: &Fleet, replicas: &[Smscope]) -> Instant {
    assert!(leads(&replicas[0]));
    let waits = "SELECT count(*) FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid) \
        WHERE a.xact_start IS NOT NULL AND NOT l.granted AND l.relation = 'smscope.messages'::regclass";
    let idle =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()";
    std::thread::scope(|scope| {
        // Its transaction reads the messages of a batch before it writes: there it waits, and there it stops.
        fleet.lock(scope, "messages", 1.2);
        replicas[1].accept(&receipt("in-its-hands", "DELIVERED", json!({})));
        eventually("the leader waits for a lock", || holds(fleet.sql(waits) == "1", || "not yet".to_owned()));
        replicas[0].signal("STOP");
    });
    let frozen = Instant::now();
    assert_eq!(fleet.sql(idle), "1", "the leader's transaction is open");
    frozen
}

/// The longest of answers to new webhooks until `until` holds.
pub fn slowest_answer(replica: &Smscope, mut until: impl FnMut() -> bool) -> Duration {
    let (mut client, mut slowest, mut number) = (replica.client(), Duration::ZERO, 0);
    while !until() {
        number += 1;
        let body = receipt(&format!("meanwhile-{number}"), "DELIVERED", json!({}));
        let asked = Instant::now();
        let response = client.ask(crate::support::post(HOOK, body.to_string()));
        slowest = slowest.max(asked.elapsed());
        assert_eq!(response.result(), "accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
    slowest
}

#[test]
fn a_leader_that_freezes_in_a_transaction_delays_no_answer_and_another_leads() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    let frozen = freeze_in_a_transaction(&fleet, &replicas);
    let slowest = slowest_answer(&replicas[1], || leads(&replicas[1]));
    println!("another leads after {:?}, the slowest answer took {slowest:?}", frozen.elapsed());
    assert!(frozen.elapsed() < LEASE + Duration::from_secs(3), "{:?}", frozen.elapsed());
    assert!(slowest < QUICK, "{slowest:?}");
    fleet.until_processed();
    let counted = replicas[1].metrics().sum("sms_messages_delivered_total", &[]);
    replicas[0].signal("CONT");
    eventually("it does not lead any more", || holds(!leads(&replicas[0]), || replicas[0].stderr()));
    assert_eq!(replicas[0].metrics().value("sms_messages_total", &[]), None);
    assert_eq!(replicas[1].metrics().sum("sms_messages_delivered_total", &[]), counted);
    assert_eq!(fleet.events().len() as f64, counted);
    fleet.has_a_dense_journal();
}

#[test]
fn a_leader_that_freezes_under_load_writes_nothing_when_it_goes_on() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses[1..], 23);
        clients.until_acknowledged(50);
        replicas[0].signal("STOP");
        eventually("another replica leads", || holds(leads(&replicas[1]), || replicas[1].stderr()));
        clients.until_acknowledged(50);
        replicas[0].signal("CONT");
        clients.until_acknowledged(50);
        clients.finish()
    });
    fleet.agrees_with(&truth, &replicas);
}
