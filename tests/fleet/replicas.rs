//! Two replicas are as right as one.

use std::thread;

use serde_json::json;

use crate::fleet::{Fleet, leader, leads, metrics};
use crate::support::load::soak;
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{HOOK, Launch, Smscope, eventually, holds, post};

/// `make soak` asks for more.
const RECEIPTS: u64 = 300;

/// Sends each receipt to both replicas at once.
pub fn each_receipt_is_accepted_once(fleet: &Fleet, replicas: &[Smscope]) {
    let receipts = soak("RECEIPTS").unwrap_or(RECEIPTS);
    let send = |replica: usize| {
        let mut client = replicas[replica].client();
        let ask = |number: u64| {
            let body = receipt(&format!("message-{number}"), "DELIVERED", json!({})).to_string();
            client.ask(post(HOOK, &body)).result()
        };
        (0..receipts).map(ask).collect::<Vec<_>>()
    };
    let (first, second) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| send(0)), scope.spawn(|| send(1)));
        (first.join().unwrap(), second.join().unwrap())
    });
    for (number, results) in first.into_iter().zip(second).enumerate() {
        let mut results = [results.0, results.1];
        results.sort();
        assert_eq!(results, ["accepted", "duplicate"], "message-{number}");
    }
    // A scrape waits for what was acknowledged before it.
    assert_eq!(metrics(replicas).sum("sms_messages_delivered_total", &[]), receipts as f64);
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.journal"), receipts.to_string());
    fleet.has_a_dense_journal();
}

#[test]
fn a_receipt_sent_to_two_replicas_at_once_is_accepted_by_one_and_counted_once() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    each_receipt_is_accepted_once(&fleet, &fleet.start());
}

#[test]
fn a_scrape_of_the_leader_has_what_any_replica_acknowledged_before_it() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    for number in 1..=30 {
        replicas[number % 2].accept(&receipt(&format!("scraped-{number}"), "DELIVERED", json!({})));
        assert_eq!(replicas[0].metrics().sum("sms_messages_delivered_total", &[]), number as f64);
    }
}

#[test]
fn the_leader_alone_shows_the_durable_series_and_each_replica_what_it_does() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let mut replicas = fleet.start();
    replicas[1].accept(&receipt("one", "DELIVERED", json!({})));
    let (leading, following) = (replicas[0].metrics(), replicas[1].metrics());
    assert_eq!(leading.sum("sms_messages_total", &[]), 1.0);
    assert_eq!(leading.matching("smscope_fleet_info", &[]).count(), 1);
    for durable in ["sms_messages_total", "sms_receipts_total", "smscope_store_events", "smscope_fleet_info"] {
        assert_eq!(following.value(durable, &[]), None, "{durable}");
    }
    assert_eq!(following.sum("smscope_webhook_requests_total", &[("result", "accepted")]), 1.0);
    assert_eq!(leading.sum("smscope_webhook_requests_total", &[("result", "accepted")]), 0.0);
    eventually("the leader sees both", || {
        let live = replicas[0].metric("smscope_fleet_replicas", &[]);
        holds(live == 2.0, || format!("{live}"))
    });

    // The next one goes on from there.
    let launch = replicas.remove(0).stop();
    assert_eq!(leader(&replicas), 0);
    let shown = replicas[0].metrics();
    assert_eq!(shown.sum("sms_messages_total", &[]), 1.0);
    let identity = |of: &crate::support::Exposition| of.values_of("smscope_fleet_info", "fleet");
    assert_eq!(identity(&shown), identity(&leading));
    let back = launch.start();
    assert!(!leads(&back));
}

#[test]
fn webhooks_are_answered_503_while_the_leader_is_a_minute_behind() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    fleet.sql("INSERT INTO smscope.meta (key, value) VALUES ('inbox_rate', '200')");
    // The leader never processes them: they have no request.
    fleet.sql("INSERT INTO smscope.inbox SELECT -n, 0, now(), '{1}' FROM generate_series(1, 12000) AS n");
    let body = receipt("one", "DELIVERED", json!({})).to_string();
    for replica in &replicas {
        eventually("a webhook is rejected", || {
            let response = replica.ask(post(HOOK, &body));
            holds((response.status, response.header("retry-after").is_some()) == (503, true), || response.result())
        });
    }
    fleet.sql("DELETE FROM smscope.inbox WHERE id < 0");
    for replica in &replicas {
        eventually("a webhook is acknowledged", || {
            let response = replica.ask(post(HOOK, &body));
            holds(response.status == 200, || response.result())
        });
    }
}

#[test]
fn without_tokens_no_replica_starts() {
    let Some(server) = Server::shared() else { return };
    let url = server.url(&server.create_database());
    let ended = Launch::without_token().env("SMSCOPE_STORE_URL", &url).run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("token"), "{}", ended.stderr);
}

#[test]
fn a_text_with_a_nul_is_stored_without_it() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1);
    let replicas = fleet.start();
    let body = receipt("nul", "DELIVERED", json!({"refClient": "a\0b", "body": {"text": "\0"}}));
    replicas[0].accept(&body);
    eventually("it is counted", || {
        let counted = metrics(&replicas).sum("sms_messages_delivered_total", &[]);
        holds(counted == 1.0, || fleet.sql("SELECT error FROM smscope.inbox_stuck"))
    });
    assert_eq!(fleet.sql("SELECT ref_client FROM smscope.messages"), "a\u{fffd}b");
}

#[test]
fn a_fleet_whose_tables_have_reached_their_limit_takes_nothing_until_there_is_room() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1).map(|launch| launch.env("SMSCOPE_STORE_SIZE_LIMIT", "3MiB"));
    let replica = fleet.launch(0).start();
    fleet.sql("CREATE TABLE smscope.filler AS SELECT repeat('x', 1000) FROM generate_series(1, 4000)");
    let mut sent = 0;
    let mut answer = || {
        sent += 1;
        replica.post(HOOK, receipt(&format!("{sent}"), "DELIVERED", json!({})).to_string())
    };
    eventually("webhooks are rejected", || {
        let response = answer();
        holds(response.status == 503, || format!("{response:?}"))
    });
    fleet.sql("DROP TABLE smscope.filler");
    eventually("webhooks are accepted again", || {
        let response = answer();
        holds(response.status == 200, || format!("{response:?}"))
    });
}
