//! What is acknowledged is on the synchronous standby, whatever ends the wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, leads, metrics};
use crate::support::postgres::{Proxy, Server, Version, query};
use crate::support::provider::receipt;
use crate::support::{HOOK, Smscope, eventually, holds};

/// Ends every wait for a standby as an administrator may, and as a pooler's time limit does: the statement succeeds, with a warning.
const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
/// Nobody waits for a standby for long.
const EVERY: Duration = Duration::from_millis(30);

/// What `work` gives while all waits for the standby are canceled.
fn while_waits_are_canceled<T>(server: &Server, work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                server.sql("postgres", CANCEL);
                std::thread::sleep(EVERY);
            }
        });
        let result = work();
        ended.store(true, Ordering::Relaxed);
        result
    })
}

/// The statuses of the answers to one event, sent to each replica in turn.
fn answers(replicas: &[Smscope], body: &str) -> Vec<u16> {
    let turns = 0..3 * replicas.len();
    turns.map(|number| replicas[number % replicas.len()].post(HOOK, body).status).collect()
}

#[test]
fn a_canceled_wait_for_the_standby_acknowledges_nothing_and_neither_does_a_retry() {
    let Some(primary) = Server::start(Version::System) else { return };
    let database = primary.create_database();
    let network = Proxy::start(primary.port(), Duration::ZERO);
    let standby = primary.standby_through(network.port());
    primary.set_synchronous(&standby);
    let hosts = format!("postgresql://smscope@127.0.0.1:{},127.0.0.1:{}/{database}", primary.port(), standby.port());
    let fleet = Fleet::at(&hosts, 2);
    let replicas = fleet.start();
    let [before, after] = ["before", "canceled"].map(|id| receipt(id, "DELIVERED", json!({})));
    replicas[0].accept(&before);

    network.hang();
    let statuses = while_waits_are_canceled(&primary, || answers(&replicas, &after.to_string()));
    assert_eq!(statuses, [503; 6]);
    // It is visible on the primary all the same: a retry finds its key, and has nothing else to write.
    let unsynchronized =
        format!("postgresql://postgres@127.0.0.1:{}/{database}?options=-csynchronous_commit%3Doff", primary.port());
    let keys = "SELECT count(*) FROM smscope.dedup";
    assert_eq!(query(&unsynchronized, keys).unwrap(), "2");
    // The row of a replica by which a retry writes may be gone: it has not been seen for a day.
    let statuses = while_waits_are_canceled(&primary, || {
        query(&unsynchronized, "DELETE FROM smscope.replicas").unwrap();
        answers(&replicas, &after.to_string())
    });
    assert_eq!(statuses, [503; 6]);

    primary.kill();
    standby.promote();
    let standby_url = standby.url(&database);
    assert_eq!(query(&standby_url, keys).unwrap(), "1", "the standby has never had it");
    eventually("the provider's retry is accepted", || replicas[1].post(HOOK, after.to_string()).ok().map(drop));
    assert_eq!(replicas[0].post(HOOK, before.to_string()).result(), "duplicate");
    let now = Fleet::at(&standby_url, 0);
    eventually("a replica leads", || holds(replicas.iter().any(leads), || replicas[0].stderr()));
    now.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), 2.0);
    now.has_a_dense_journal();
}

#[test]
fn while_the_standby_hangs_webhooks_are_rejected_in_time_and_accepted_once_it_is_back() {
    let Some(primary) = Server::start(Version::System) else { return };
    let network = Proxy::start(primary.port(), Duration::ZERO);
    let standby = primary.standby_through(network.port());
    primary.set_synchronous(&standby);
    let fleet = Fleet::on(&primary, 2);
    let replicas = fleet.start();
    network.hang();
    let body = receipt("waits", "DELIVERED", json!({}));
    let asked = Instant::now();
    let response = replicas[1].post(HOOK, body.to_string());
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    network.resume();
    eventually("it is stored", || replicas[0].post(HOOK, body.to_string()).ok().map(drop));
    fleet.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), 1.0);
}

#[test]
fn a_standby_that_hangs_does_not_take_all_connections_of_the_server() {
    let Some(primary) = Server::start(Version::System) else { return };
    let network = Proxy::start(primary.port(), Duration::ZERO);
    let standby = primary.standby_through(network.port());
    primary.set_synchronous(&standby);
    let fleet = Fleet::on(&primary, 2);
    let replicas = fleet.start();
    network.hang();
    let until = Instant::now() + Duration::from_secs(9);
    // Each of a message of its own: a retry waits for the one before it instead.
    let send = &|client: usize| {
        let body = |number: usize| receipt(&format!("{client}-{number}"), "DELIVERED", json!({})).to_string();
        let mut sent = Vec::new();
        while Instant::now() < until {
            sent.push(body(sent.len()));
            assert_eq!(replicas[client % 2].post(HOOK, &sent[sent.len() - 1]).status, 503);
        }
        sent
    };
    let sent: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|client| scope.spawn(move || send(client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let waiting = primary.sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    println!("{waiting} sessions wait for the standby, of {} webhooks", sent.len());
    assert!(waiting.parse::<u32>().unwrap() <= 12, "{waiting}");
    assert!(replicas.iter().all(|replica| !replica.is_ready()));
    network.resume();
    for body in &sent {
        eventually("it is stored", || replicas[0].post(HOOK, body).ok().map(drop));
    }
    fleet.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), sent.len() as f64);
    fleet.has_a_dense_journal();
}
