//! Replicas of this version beside what a newer one has written and made.

use serde_json::json;

use crate::fleet::{Fleet, leads, metrics};
use crate::support::load::{Progress, start_clients};
use crate::support::postgres::Server;
use crate::support::{Launch, eventually, holds, provider};

/// As the next version may do at its start: it only adds. A statement each, for a transaction that locks several tables and the leader
/// could wait for each other.
const EXPANSION: [&str; 6] = [
    "ALTER TABLE smscope.messages ADD COLUMN later int NOT NULL DEFAULT 7",
    "ALTER TABLE smscope.journal ADD COLUMN later text",
    "ALTER TABLE smscope.received ADD COLUMN later text",
    "CREATE TABLE smscope.later (id bigint PRIMARY KEY)",
    "CREATE INDEX CONCURRENTLY messages_later ON smscope.messages (later)",
    "UPDATE smscope.schema_version SET version = version + 1",
];

#[test]
fn replicas_serve_and_start_on_tables_that_the_next_version_has_extended() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 41);
        clients.until_acknowledged(50);
        for statements in EXPANSION {
            fleet.sql(statements);
            clients.until_acknowledged(50);
        }
        for _ in 0..2 {
            let launch = replicas.remove(0).kill();
            replicas.push(launch.start());
            clients.until_acknowledged(50);
        }
        clients.finish()
    });
    fleet.agrees_with(&truth, &replicas);
    assert_eq!(fleet.sql("SELECT version FROM smscope.schema_version"), "2", "the older version has written its own");
}

#[test]
fn the_newest_version_leads() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    fleet.sql(
        "INSERT INTO smscope.replicas (id, name, version, config_digest, started_at, seen) \
         SELECT gen_random_uuid(), 'newer', max(version) + 1, '', now(), now() + interval '1 hour' FROM smscope.replicas",
    );
    eventually("the older versions give the lead away", || holds(!replicas.iter().any(leads), || replicas[0].stderr()));
    for (at, replica) in replicas.iter().enumerate() {
        replica.accept(&provider::receipt(&format!("m{at}"), "DELIVERED", json!({})));
    }
    // Longer than a lease holds, and than a follower waits before it asks for one.
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert!(!replicas.iter().any(leads));
    assert_eq!(fleet.waiting(), "2");

    fleet.sql("DELETE FROM smscope.replicas WHERE name = 'newer'");
    fleet.until_processed();
    assert_eq!(metrics(&replicas).sum("sms_messages_total", &[]), 2.0);
}

#[test]
fn a_store_is_not_copied_from_or_to_tables_of_a_newer_version() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1);
    let replicas = fleet.start();
    replicas[0].accept(&provider::receipt("one", "DELIVERED", json!({})));
    fleet.until_processed();
    replicas.into_iter().for_each(|replica| drop(replica.stop()));
    fleet.sql("UPDATE smscope.schema_version SET version = version + 1");
    let folder = Launch::new();
    let [url, path] = [fleet.url().to_owned(), folder.data_dir().to_str().unwrap().to_owned()];
    let copy = |from: &str, to: &str| Launch::new().args(&["store", "copy", "--from", from, "--to", to]).run();
    // What this version does not know of would be left out.
    let refused = copy(&url, &path);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("schema 2, newer than 1"), "{refused:?}");
    drop(folder.start().stop());
    let refused = copy(&path, &url);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("schema 2, newer than 1"), "{refused:?}");
}
