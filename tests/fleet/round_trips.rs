//! A webhook waits for one statement, and for one round trip.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::Fleet;
use crate::support::postgres::{Proxy, Server, Version};
use crate::support::provider::receipt;
use crate::support::{Client, HOOK, Smscope, post};

/// Of the network, each way: far longer than anything else here takes.
const DELAY: Duration = Duration::from_millis(150);
const CLIENTS: usize = 8;
const WEBHOOKS: usize = 20;

/// Posts receipts of several clients at once, each with the id that `message` gives to its client and number. Gives the results.
fn post_all(replica: &Smscope, message: impl Fn(usize, usize) -> String + Sync) -> Vec<String> {
    let post_each = |client: usize| {
        let mut connection = replica.client();
        let ask = |number: usize| {
            let body = receipt(&message(client, number), "DELIVERED", json!({}));
            connection.ask(post(HOOK, body.to_string())).result()
        };
        (0..WEBHOOKS).map(ask).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let post_each = &post_each;
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || post_each(client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn a_batch_of_webhooks_is_one_statement() {
    let Some(server) = Server::start(Version::System) else { return };
    let database = server.create_database();
    server.sql("postgres", &format!("ALTER DATABASE {database} SET log_statement = 'all'"));
    let fleet = Fleet::at(&server.url(&database), 2);
    let replicas = fleet.start();
    let results = post_all(&replicas[1], |client, number| format!("{client}-{number}"));
    assert_eq!(results, ["accepted"; CLIENTS * WEBHOOKS]);
    let shown = replicas[1].metrics();
    let batches = shown.sum("smscope_store_commit_duration_seconds_count", &[]);
    let accepted = shown.sum("smscope_webhook_requests_total", &[("result", "accepted")]);
    assert_eq!(accepted, (CLIENTS * WEBHOOKS) as f64);
    assert!(batches < accepted, "{batches} batches of {accepted} webhooks");
    let log = server.log();
    let statements = log.matches("INSERT INTO smscope.dedup").count();
    assert_eq!(statements as f64, batches);
    assert_eq!(
        log.matches("INSERT INTO smscope.inbox ").count(),
        statements,
        "they store the entries of the inbox too"
    );
}

#[test]
fn of_a_batch_only_what_is_new_is_stored_and_processed_in_its_order() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    // Each receipt comes twice at about the same time, and so beside another one's first.
    post_all(&replicas[1], |client, number| format!("{}-{number}", client / 2));
    fleet.until_processed();
    let receipts = CLIENTS / 2 * WEBHOOKS;
    let accepted = replicas[1].metrics().sum("smscope_webhook_requests_total", &[("result", "accepted")]);
    assert_eq!(accepted, receipts as f64);
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.journal"), receipts.to_string());
    let steps = "SELECT count(*) FROM (SELECT received_index - lag(received_index) OVER (PARTITION BY received ORDER BY position) AS step \
         FROM smscope.journal) AS steps WHERE step <= 0";
    assert_eq!(fleet.sql(steps), "0", "requests were processed in another order than they came in");
    let stored = fleet.sql("SELECT count(request), count(*) FROM smscope.received, unnest(requests) AS request");
    let (requests, elements) = stored.split_once('|').unwrap();
    assert_eq!(requests, receipts.to_string());
    assert!(elements.parse::<usize>().unwrap() > receipts, "no batch had a retry beside what was new");
}

#[test]
fn a_webhook_waits_for_one_round_trip() {
    let Some(server) = Server::shared() else { return };
    let database = server.create_database();
    let far = Proxy::start(server.port(), Duration::ZERO);
    let fleet = Fleet::through(&server.url(&database), &[server.url(&database), far.url(&database)]);
    let replicas = fleet.start();
    let mut client = replicas[1].client();
    let mut number = 0;
    let mut ask = |client: &mut Client| {
        number += 1;
        let body = receipt(&format!("far-{number}"), "DELIVERED", json!({}));
        let asked = Instant::now();
        assert_eq!(client.ask(post(HOOK, body.to_string())).result(), "accepted");
        asked.elapsed()
    };
    // Both lanes connect, and prepare their statement.
    for _ in 0..10 {
        ask(&mut client);
    }
    far.delay(DELAY);
    let took: Vec<Duration> = (0..5).map(|_| ask(&mut client)).collect();
    assert!(took.iter().all(|took| *took >= 2 * DELAY), "{took:?}");
    assert!(took.iter().any(|took| *took < 4 * DELAY), "more than one round trip: {took:?}");
    assert!(took.iter().sum::<Duration>() < 5 * 4 * DELAY, "{took:?}");
}
