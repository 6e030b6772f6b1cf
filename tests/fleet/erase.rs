//! `smscope erase` in a fleet: nothing of a person is left in any file of the database but its write-ahead log, and everything counts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fleet::{Fleet, metrics};
use crate::packed;
use crate::support::postgres::{Server, Version};
use crate::support::{HOOK, Smscope, eventually, holds, request};

/// The person who is erased, and what only they sent or received.
const NUMBER: &str = "33698765432";
const SECRETS: [&str; 5] = [NUMBER, "marked-text", "marked-answer", "marked-reference", "marked-name"];
/// Somebody else, of whom nothing may go.
const OTHER: &str = "33612345678";
const OTHERS: [&str; 3] = [OTHER, "kept-text", "kept-reference"];

fn receipt(id: &str, number: &str, status: &str, mark: &str) -> Value {
    json!({"messageId": id, "type": "SMS", "channel": {"type": "SMS", "flow": "OTP"}, "direction": "MT", "recipient": {"to": number},
        "from": "ACME", "body": {"text": format!("{mark}-text to you"), "messagePartCount": 1},
        "status": {"value": status}, "refClient": format!("{mark}-reference")})
}

fn reply(id: &str) -> Value {
    json!({"messageId": id, "direction": "MO", "from": NUMBER, "recipient": {"to": "36111"}, "body": {"text": "marked-answer", "stop": true},
        "originMessageId": "v1"})
}

/// Method, query and body of all that came about the person.
fn webhooks() -> Vec<(&'static str, String, String)> {
    let post = |body: Value| ("POST", String::new(), body.to_string());
    let get = |query: String| ("GET", format!("?{query}"), String::new());
    vec![
        post(receipt("v1", NUMBER, "ENROUTE", "marked")),
        post(receipt("v1", NUMBER, "DELIVERED", "marked")),
        post(receipt("national", "06 98 76 54 32", "UNDELIVERED", "marked")),
        post(reply("answer")),
        post(json!([receipt("in-array", NUMBER, "READ", "marked"), receipt("other-in-array", OTHER, "READ", "kept")])),
        post(json!({"click": {"msisdn": NUMBER, "name": "marked-name"}})),
        get(format!("smsID=legacy&numero={NUMBER}&statut=11&refClient=marked-reference")),
        ("POST", String::new(), format!("nonsense about {NUMBER}, marked-name")),
    ]
}

fn send(replica: &Smscope, (method, query, body): &(&'static str, String, String)) -> String {
    let headers: &[&str] = if body.starts_with(['{', '[']) { &["content-type: application/json"] } else { &[] };
    let answer = replica.ask(request(method, &format!("{HOOK}{query}"), headers, body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.result()
}

/// A server of its own, whose files are read, with a fleet.
struct Bench {
    server: Server,
    fleet: Fleet,
    database: String,
}

impl Bench {
    fn new(replicas: usize) -> Option<Self> {
        let server = Server::start(Version::System)?;
        let database = server.create_database();
        let url = server.url(&database);
        let fleet = Fleet::at(&url, replicas).map(|launch| launch.file("[opt_outs]\nenabled = true\n"));
        Some(Self { server, fleet, database })
    }

    /// What is found of these in the files of the server but the write-ahead log.
    fn found(&self, secrets: &[impl AsRef<str>]) -> Vec<String> {
        self.server.sql("postgres", "CHECKPOINT");
        let folder = PathBuf::from(self.server.sql("postgres", "SHOW data_directory"));
        let mut found = Vec::new();
        for path in files(&folder).into_iter().filter(|path| !path.starts_with(folder.join("pg_wal"))) {
            // Faster than a search in bytes.
            let Ok(bytes) = fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let there = secrets.iter().map(AsRef::as_ref).filter(|secret| text.contains(secret));
            found.extend(there.map(|secret| format!("{secret} in {}", path.display())));
        }
        found
    }

    /// The requests that have something of the person, packed, as they are found in files.
    fn requests(&self) -> Vec<String> {
        let is_of_the_person = |request: &&Vec<u8>| {
            let text = packed::unpack(request);
            SECRETS.iter().any(|secret| text.contains(secret))
        };
        packed::stored(&self.fleet).iter().filter(is_of_the_person).map(|request| packed::in_a_file(request)).collect()
    }

    /// The rows that may name somebody, and the requests, unpacked.
    fn dump(&self) -> String {
        let rows = self.fleet.sql(
            "SELECT * FROM smscope.messages; SELECT * FROM smscope.journal; SELECT * FROM smscope.opt_outs; \
            SELECT * FROM smscope.inbox_stuck; SELECT * FROM smscope.tasks; \
            SELECT * FROM pg_stats WHERE schemaname = 'smscope'",
        );
        let requests = packed::stored(&self.fleet);
        let lines: Vec<String> = std::iter::once(rows).chain(requests.iter().map(|it| packed::unpack(it))).collect();
        lines.join("\n")
    }

    /// Statistics of the rows as autovacuum gathers them.
    fn analyze(&self) {
        self.server.sql(&self.database, "ANALYZE");
    }

    fn erase(&self) -> String {
        let ended = self.fleet.elsewhere().args(&["erase", "--yes", "--recipient", "+33 6 98 76 54 32"]).run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    /// All partitions of today become yesterday's, as by the passing of time.
    fn pass_midnight(&self) {
        self.fleet.sql("UPDATE smscope.rewrites SET day = day - 1");
    }

    fn until_rewritten(&self) {
        eventually("nothing is to be rewritten", || {
            let due = self.fleet.sql("SELECT string_agg(relation, ' ') FROM smscope.rewrites WHERE is_due");
            holds(due.is_empty(), || due)
        });
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}

#[test]
fn an_erased_person_is_in_no_row_and_once_the_day_is_over_in_no_file() {
    let Some(bench) = Bench::new(2) else { return };
    let replicas = bench.fleet.start();
    for n in 0..40 {
        replicas[n % 2].accept(&receipt(&format!("before{n}"), OTHER, "ENROUTE", "kept"));
    }
    for webhook in &webhooks() {
        assert_ne!(send(&replicas[1], webhook), "duplicate", "{webhook:?}");
    }
    for n in 0..40 {
        replicas[n % 2].accept(&receipt(&format!("before{n}"), OTHER, "DELIVERED", "kept"));
    }
    bench.fleet.until_processed();
    // One that the leader cannot process.
    let request = packed::pack(&json!({"source": "smsmode", "text": format!("marked-text for {NUMBER}")}).to_string());
    bench.fleet.sql(&format!(
        "INSERT INTO smscope.received (day, id, format, requests) \
         SELECT max(day), nextval('smscope.received_id'), 1, ARRAY[decode('{request}', 'hex')] FROM smscope.received; \
         INSERT INTO smscope.inbox (id, day, received_at, requests) \
         SELECT id, day, now(), '{{1}}' FROM smscope.received ORDER BY id DESC LIMIT 1"
    ));
    eventually("it is out of the way", || {
        let stuck = bench.fleet.sql("SELECT count(*) FROM smscope.inbox_stuck");
        holds(stuck == "1", || stuck)
    });
    bench.analyze();
    let counted = metrics(&replicas);
    let requests = bench.requests();
    assert_eq!(requests.len(), webhooks().len() + 1);
    assert!(!bench.found(&SECRETS).is_empty());
    assert!(bench.found(&requests).len() >= requests.len());

    let said = bench.erase();
    assert!(said.contains("of messages: 4, of events: 9"), "{said}");
    assert!(said.contains("after midnight UTC"), "{said}");
    let dump = bench.dump();
    for secret in SECRETS {
        let row = dump.lines().find(|row| row.contains(secret));
        assert_eq!(row, None, "{secret}");
    }
    for secret in OTHERS {
        assert!(dump.contains(secret), "{secret} of another person has gone as well");
    }
    // What came again is known, and restores nothing.
    for webhook in &webhooks() {
        assert_eq!(send(&replicas[0], webhook), "duplicate", "{webhook:?}");
    }
    let now = metrics(&replicas);
    for counter in ["sms_messages_total", "sms_messages_delivered_total", "sms_replies_total", "sms_receipts_total"] {
        assert_eq!(now.sum(counter, &[]), counted.sum(counter, &[]), "{counter}");
    }

    bench.analyze();
    bench.pass_midnight();
    bench.until_rewritten();
    assert_eq!(bench.found(&SECRETS), [""; 0]);
    assert_eq!(bench.found(&requests), [""; 0]);
    for secret in OTHERS {
        assert!(!bench.found(&[secret]).is_empty(), "{secret} of another person has gone as well");
    }
}

#[test]
fn a_table_is_rewritten_again_as_long_as_an_old_transaction_could_see_what_was_erased() {
    let Some(bench) = Bench::new(1) else { return };
    let replicas = bench.fleet.start();
    replicas[0].accept(&receipt("v1", NUMBER, "DELIVERED", "marked"));
    bench.fleet.until_processed();
    // One that was put back: its content is left between rows.
    bench.fleet.sql(&format!(
        "INSERT INTO smscope.inbox_stuck (id, day, request, error, content) VALUES (-1, 0, 1, 'why', 'marked-text for {NUMBER}'); \
         DELETE FROM smscope.inbox_stuck"
    ));
    let requests = bench.requests();
    assert_ne!(bench.found(&requests), [""; 0]);
    let url = bench.server.url(&bench.database);
    let sleeping =
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM smscope.lease; SELECT pg_sleep(8); COMMIT";
    let reader = std::thread::spawn(move || crate::support::postgres::query(&url, sleeping));
    eventually("somebody reads", || {
        let reading =
            bench.fleet.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'");
        holds(reading == "2" || reading == "1", || reading)
    });
    let said = bench.erase();
    assert!(said.contains("left between the rows of"), "{said}");
    reader.join().unwrap().unwrap();
    bench.pass_midnight();
    // Maintenance would wait for ten minutes.
    bench.fleet.sql("UPDATE smscope.rewrites SET tried_at = NULL");
    bench.until_rewritten();
    assert_eq!(bench.found(&SECRETS), [""; 0]);
    assert_eq!(bench.found(&requests), [""; 0]);
}
