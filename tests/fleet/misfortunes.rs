//! What an operator, another client of the database or a bug may do to a fleet.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::fleet::{Fleet, leader, leads, metrics};
use crate::packed;
use crate::support::load::{Progress, start_clients};
use crate::support::postgres::{Server, Version};
use crate::support::provider::receipt;
use crate::support::{HOOK, Mounted, Smscope, eventually, holds};

/// Waits until the leader shows so many deliveries.
fn until_delivered(fleet: &Fleet, replicas: &[Smscope], messages: f64) {
    eventually("all is counted", || {
        let counted = metrics(replicas).sum("sms_messages_delivered_total", &[]);
        let stuck = || fleet.sql("SELECT count(*), min(error) FROM smscope.inbox_stuck");
        holds(counted == messages, || format!("{counted}; stuck: {}", stuck()))
    });
}

fn accept(replica: &Smscope, id: &str) {
    replica.accept(&receipt(id, "DELIVERED", json!({})));
}

#[test]
fn a_request_that_cannot_be_processed_is_set_aside_and_the_others_are_not() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    std::thread::scope(|scope| {
        // The leader takes all of them at once.
        fleet.lock(scope, "messages", 0.5);
        accept(&replicas[1], "before");
        let delivered = |id: &str| {
            let status = json!({"value": "DELIVERED", "outcome": "delivered"});
            let receipt = json!({"receipt": {"message_id": id, "status": status}});
            packed::pack(
                &json!({"source": "smsmode", "arrived_at": "2026-04-01T10:00:00Z", "events": [receipt]}).to_string(),
            )
        };
        fleet.sql(&format!(
            "WITH batch AS (INSERT INTO smscope.received (day, id, format, requests) \
             SELECT floor(extract(epoch FROM now()) / 86400)::int, nextval('smscope.received_id'), 1, \
               ARRAY[decode('{}', 'hex'), '\\x01', decode('{}', 'hex')] RETURNING id, day) \
             INSERT INTO smscope.inbox (id, day, received_at, requests) SELECT id, day, now(), '{{1,2,3}}' FROM batch",
            delivered("beside-1"),
            delivered("beside-2"),
        ));
        (0..5).for_each(|number| accept(&replicas[1], &format!("after-{number}")));
    });
    until_delivered(&fleet, &replicas, 8.0);
    let stuck = fleet.sql("SELECT request, error FROM smscope.inbox_stuck");
    assert!(stuck.starts_with("2|a row of received cannot be read") && stuck.lines().count() == 1, "{stuck}");
    assert_eq!(replicas[0].metrics().sum("smscope_inbox_stuck_total", &[]), 1.0);
    fleet.until_processed();
    fleet.has_a_dense_journal();
    assert!(leads(&replicas[0]), "its term goes on");
}

#[test]
fn partitions_that_are_missing_are_made_and_no_webhook_is_lost_for_it() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    accept(&replicas[0], "before");
    until_delivered(&fleet, &replicas, 1.0);
    let today = fleet.sql("SELECT floor(extract(epoch FROM now()) / 86400)::int");
    // The leader makes its own.
    fleet.sql(&format!("DROP TABLE smscope.journal_{today}"));
    accept(&replicas[1], "after");
    until_delivered(&fleet, &replicas, 2.0);
    let journal = fleet.sql(&format!("SELECT position FROM smscope.journal_{today}"));
    assert_eq!(journal, "2");
    // And each replica that of its requests.
    fleet.sql(&format!("DROP TABLE smscope.received_{today}"));
    accept(&replicas[1], "again");
    until_delivered(&fleet, &replicas, 3.0);
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.inbox_stuck"), "0");

    // Of a day of the provider's clock.
    fleet.sql(&format!("DROP TABLE smscope.dedup_{today}"));
    let now = fleet.sql("SELECT to_char(now() AT TIME ZONE 'Europe/Paris', 'YYYY-MM-DD\"T\"HH24:MI:SS')");
    let dated = receipt("dated", "DELIVERED", json!({"status": {"value": "DELIVERED", "deliveryDate": now}}));
    replicas[1].accept(&dated);
    assert_eq!(replicas[0].post(HOOK, dated.to_string()).result(), "duplicate");
    until_delivered(&fleet, &replicas, 4.0);
}

#[test]
fn locks_of_others_hold_up_the_leader_and_end_no_term() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let replicas = fleet.start();
    std::thread::scope(|scope| {
        // For longer than a transaction waits for a lock.
        fleet.lock(scope, "counters", 2.6);
        for number in 0..20 {
            accept(&replicas[number % 2], &format!("locked-{number}"));
        }
    });
    until_delivered(&fleet, &replicas, 20.0);
    fleet.has_a_dense_journal();
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.inbox_stuck"), "0");
    assert_eq!(fleet.sql("SELECT epoch FROM smscope.lease"), "1", "{}", replicas[0].stderr());
}

#[test]
fn a_day_that_is_deleted_waits_for_a_reader_and_no_webhook_waits_with_it() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    fleet.start().into_iter().for_each(|replica| drop(replica.stop()));
    fleet.sql("CREATE TABLE smscope.journal_100 PARTITION OF smscope.journal FOR VALUES FROM (100) TO (101)");
    let is_there = || fleet.sql("SELECT to_regclass('smscope.journal_100') IS NOT NULL") == "t";
    let is_waiting = || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%100 CONCURRENTLY' \
             AND wait_event_type = 'Lock' AND datname = current_database()";
        fleet.sql(sql) == "1"
    };
    let mut accepted_meanwhile = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| fleet.sql("BEGIN; SELECT count(*) FROM smscope.journal; SELECT pg_sleep(4); COMMIT"));
        let replicas = fleet.start();
        eventually("the deletion waits", || holds(is_waiting(), || replicas[0].stderr()));
        loop {
            for replica in &replicas {
                accept(replica, &format!("meanwhile-{accepted_meanwhile}"));
                accepted_meanwhile += 1;
            }
            until_delivered(&fleet, &replicas, f64::from(accepted_meanwhile));
            if !is_waiting() {
                break;
            }
        }
        // What was taken in the last turn, the deletion may not have waited for.
        assert!(accepted_meanwhile > 2);
        assert!(is_there(), "{}", replicas[0].stderr());
    });
    let replicas = fleet.start();
    eventually("the day is deleted", || holds(!is_there(), || replicas[0].stderr()));
    assert_eq!(metrics(&replicas).sum("sms_messages_delivered_total", &[]), f64::from(accepted_meanwhile));
}

#[test]
fn locks_of_others_delay_webhooks_and_lose_none() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::with_lost_answers());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 41);
        for (table, seconds) in [("dedup", 0.4), ("inbox", 1.2), ("replicas", 0.4)] {
            clients.until_acknowledged(20);
            std::thread::scope(|scope| fleet.lock(scope, table, seconds));
        }
        clients.until_acknowledged(20);
        clients.finish()
    });
    println!("{progress}");
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn replicas_that_are_configured_differently_serve_together_and_are_told_apart() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let first = fleet.launch(0).start();
    let second = fleet.launch(1).clone().env("SMSCOPE_STORE_HORIZON", "2d").start();
    let replicas = [first, second];
    leader(&replicas);
    (0..10).for_each(|number| accept(&replicas[number % 2], &format!("mixed-{number}")));
    until_delivered(&fleet, &replicas, 10.0);
    eventually("both are known", || {
        let digests = fleet.sql("SELECT count(DISTINCT config_digest) FROM smscope.replicas");
        holds(digests == "2", || digests.clone())
    });
}

#[test]
fn sessions_that_an_administrator_terminates_are_replaced() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::with_lost_answers());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 43);
        for _ in 0..5 {
            clients.until_acknowledged(20);
            fleet.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        clients.until_acknowledged(20);
        clients.finish()
    });
    println!("{progress}");
    fleet.agrees_with(&truth, &replicas);
}

/// Takes all the room that a file system has.
fn fill(file: &Path) {
    let mut file = File::create(file).unwrap();
    for size in [1 << 20, 1 << 12] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn while_the_disk_of_the_server_is_full_webhooks_are_rejected_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tables = folder.path().join("tables");
    let Some(_disk) = Mounted::new(&tables, "size=64m") else { return };
    // Of its own: it ends before its disk is gone.
    let Some(server) = Server::start(Version::System) else { return };
    let apart = tables.join("apart");
    fs::create_dir(&apart).unwrap();
    let database = server.create_database_in(&apart);
    let fleet = Fleet::at(&server.url(&database), 2);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 51);
        clients.until_acknowledged(50);
        fill(&tables.join("ballast"));
        eventually("no replica is ready", || holds(!replicas.iter().any(Smscope::is_ready), || replicas[0].stderr()));
        std::thread::sleep(Duration::from_secs(1));
        fs::remove_file(tables.join("ballast")).unwrap();
        clients.until_acknowledged(50);
        clients.finish()
    });
    assert!(replicas.iter().all(|replica| replica.stderr().contains("No space left on device")));
    fleet.agrees_with(&truth, &replicas);
}
