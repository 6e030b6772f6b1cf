//! `smscope store copy`: a store moves into the database of a fleet, and back, and nothing is counted twice or lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fleet::{Fleet, metrics};
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{Ended, Exposition, HOOK, Launch, OtlpStub, Smscope, eventually, holds};

const CONFIGURATION: &str = "[opt_outs]\nenabled = true\n";
/// `make soak` asks for more.
const MESSAGES: u64 = 3_000;

fn reply(id: &str, number: &str) -> Value {
    json!({"messageId": id, "direction": "MO", "from": number, "recipient": {"to": "36111"}, "body": {"text": "no", "stop": true}})
}

/// What makes each kind of row.
fn webhooks() -> Vec<String> {
    vec![
        receipt("one", "ENROUTE", json!({})).to_string(),
        receipt("one", "DELIVERED", json!({"refClient": "a\0b"})).to_string(),
        receipt("two", "UNDELIVERED", json!({})).to_string(),
        receipt("pending", "ENROUTE", json!({})).to_string(),
        json!([receipt("in-array", "READ", json!({})), receipt("also-in-array", "DELIVERED", json!({}))]).to_string(),
        reply("answer", "33698765432").to_string(),
        "{\"what\":\"is this\"}".to_owned(),
    ]
}

/// A store with some thousand messages; in half of them, a message was delivered.
fn filled(launch: &Launch) -> Launch {
    let smscope = launch.start();
    for body in webhooks() {
        assert_eq!(smscope.post(HOOK, body).status, 200);
    }
    let mut client = smscope.client();
    let messages = crate::support::load::soak("MESSAGES").unwrap_or(MESSAGES);
    for batch in (0..messages).collect::<Vec<_>>().chunks(100) {
        for status in ["ENROUTE", "DELIVERED"] {
            let some = batch.iter().filter(|n| status == "ENROUTE" || **n % 2 == 0);
            let body: Vec<Value> = some.map(|n| receipt(&format!("message-{n}"), status, json!({}))).collect();
            assert_eq!(client.ask(crate::support::post(HOOK, json!(body).to_string())).status, 200);
        }
    }
    smscope.stop()
}

fn counters(shown: &Exposition) -> BTreeMap<&'static str, String> {
    let names = [
        "sms_messages_total",
        "sms_messages_delivered_total",
        "sms_messages_failed_total",
        "sms_messages_pending",
        "sms_receipts_total",
        "sms_replies_total",
        "sms_message_parts_total",
        "smscope_store_events",
    ];
    names.into_iter().map(|name| (name, shown.sum(name, &[]).to_string())).collect()
}

#[track_caller]
fn copied(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("complete: rows and counters are the same in both"), "{ended:?}");
}

fn copy(from: &str, to: &str) -> Launch {
    Launch::new().file(CONFIGURATION).args(&["store", "copy", "--from", from, "--to", to])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// All events as `smscope export` prints them.
fn exported(launch: &Launch, table: &str) -> String {
    let ended = launch.clone().args(&["export", "--table", table]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

#[test]
fn a_store_moves_into_a_fleet_and_back_and_is_the_same() {
    let Some(server) = Server::shared() else { return };
    let before = filled(&Launch::new().file(CONFIGURATION));
    let alone = before.start();
    let shown = counters(&alone.metrics());
    let before = alone.stop();
    let fleet = Fleet::on(server, 2).map(|launch| launch.file(CONFIGURATION));
    copied(&copy(text(&before.data_dir()), fleet.url()).run());
    assert_eq!(fleet.sql("SELECT value FROM smscope.meta WHERE key = 'copied'"), "complete");
    let instance = std::fs::read_to_string(before.data_dir().join("private/instance-id")).unwrap();
    assert_eq!(fleet.sql("SELECT value FROM smscope.meta WHERE key = 'fleet_id'"), instance.trim());
    fleet.has_a_dense_journal();
    // NUL aside, which PostgreSQL has not.
    let without_nul = |text: String| text.replace("\\u0000", "\u{fffd}");
    for table in ["events", "messages", "requests"] {
        let (old, new) = (exported(&before, table), exported(&fleet.elsewhere(), table));
        assert!(without_nul(old) == without_nul(new), "{table} differ");
    }

    let replicas = fleet.start();
    assert_eq!(counters(&metrics(&replicas)), shown);
    // An old receipt changes nothing, wherever it comes again; nor does an old reply.
    for body in webhooks() {
        assert_eq!(replicas[1].post(HOOK, body).status, 200);
    }
    fleet.until_processed();
    assert_eq!(counters(&metrics(&replicas)), shown);
    replicas[0].accept(&receipt("pending", "DELIVERED", json!({})));
    replicas[0].accept(&reply("new answer", "33611111111"));
    fleet.until_processed();
    let shown = counters(&metrics(&replicas));
    replicas.into_iter().for_each(|replica| drop(replica.stop()));

    let back = Launch::new().file(CONFIGURATION);
    copied(&copy(fleet.url(), text(&back.data_dir())).run());
    for table in ["events", "messages", "requests"] {
        assert!(exported(&back, table) == exported(&fleet.elsewhere(), table), "{table} differ");
    }
    let alone = back.start();
    assert_eq!(counters(&alone.metrics()), shown);
    for body in webhooks().into_iter().chain([reply("new answer", "33611111111").to_string()]) {
        assert_eq!(alone.post(HOOK, &body).result(), "duplicate", "{body}");
    }
    assert_eq!(counters(&alone.metrics()), shown);
    let instance_after = std::fs::read_to_string(back.data_dir().join("private/instance-id")).unwrap();
    assert_eq!(instance_after.trim(), instance.trim());
}

#[test]
fn a_copy_that_is_killed_goes_on_where_it_was_and_until_then_nothing_serves_it() {
    let Some(server) = Server::shared() else { return };
    let before = filled(&Launch::new().file(CONFIGURATION));
    let fleet = Fleet::on(server, 1).map(|launch| launch.file(CONFIGURATION));
    let command = copy(text(&before.data_dir()), fleet.url());
    let mut killed = 0;
    for wait in [150, 250, 350, 500] {
        let running = command.spawn();
        std::thread::sleep(Duration::from_millis(wait));
        running.kill();
        let ended = running.end();
        killed += u32::from(ended.code.is_none());
        if fleet.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'smscope' AND tablename = 'meta'") == "1"
            && fleet.sql("SELECT count(*) FROM smscope.meta WHERE key = 'copied' AND value = 'no'") == "1"
        {
            let refused = fleet.launch(0).run();
            assert!(
                refused.code != Some(0) && refused.stderr.contains("a copy into the database is not complete"),
                "{refused:?}"
            );
        }
    }
    assert!(killed > 0);
    copied(&command.run());
    let alone = before.start();
    let shown = counters(&alone.metrics());
    drop(alone.stop());
    assert_eq!(counters(&metrics(&fleet.start())), shown);
    // Again would be another copy into what has events.
    let again = command.run();
    assert!(again.stderr.contains("has events already") || again.stderr.contains("a replica is running"), "{again:?}");
}

#[test]
fn what_is_in_use_is_not_copied() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1);
    let replicas = fleet.start();
    let used = Launch::new();
    let folder = Launch::new();
    let smscope = used.start();
    smscope.accept(&receipt("one", "DELIVERED", json!({})));
    let of_used = copy(text(&used.data_dir()), fleet.url()).run();
    assert!(of_used.code == Some(78) || of_used.code == Some(1), "{of_used:?}");
    assert!(of_used.stderr.contains("another smscope is using it"), "{of_used:?}");
    let of_fleet = copy(fleet.url(), text(&folder.data_dir())).run();
    assert!(of_fleet.stderr.contains("a replica is running"), "{of_fleet:?}");
    assert_eq!(metrics(&replicas).sum("sms_messages_total", &[]), 0.0);
}

#[test]
fn the_export_of_log_records_goes_on_where_it_was_under_the_same_start_time() {
    let Some(server) = Server::shared() else { return };
    let collector = OtlpStub::answering(200);
    let configure = |launch: Launch| launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url());
    let mentioned = |id: &str| {
        let bodies = collector.bodies();
        bodies.windows(id.len()).filter(|window| *window == id.as_bytes()).count()
    };
    let smscope = configure(Launch::new()).start();
    smscope.accept(&receipt("exported-before", "DELIVERED", json!({})));
    smscope.until_exported();
    let before = smscope.stop();
    let exported = mentioned("exported-before");
    assert!(exported > 0);
    let fleet = Fleet::on(server, 1).map(configure);
    copied(&copy(text(&before.data_dir()), fleet.url()).run());
    let replicas: Vec<Smscope> = fleet.start();
    replicas[0].accept(&receipt("exported-after", "DELIVERED", json!({})));
    eventually("the next one is exported", || holds(mentioned("exported-after") > 0, || replicas[0].stderr()));
    assert_eq!(mentioned("exported-before"), exported);
    let database = Connection::open(before.database()).unwrap();
    let created_at: i64 =
        database.query_row("SELECT value FROM meta WHERE key = 'created_at'", [], |row| row.get(0)).unwrap();
    assert_eq!(fleet.sql("SELECT value FROM smscope.meta WHERE key = 'created_at'"), created_at.to_string());
}
