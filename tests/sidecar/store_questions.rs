//! The questions of docs/store.md, asked as they stand there: of the running binary's store, by the library and by the sqlite3 shell.

use std::path::Path;
use std::process::Command;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{HOOK, Smscope, program};

/// The ids, numbers and campaigns that the document asks about.
const WEBHOOKS: &[&str] = &[
    r#"{"messageId":"5f0d8b44-9f4c-4d29-8e3f-0f2f6b8a7c11","recipient":{"to":"33612345678"},"status":{"value":"ENROUTE"},
        "refClient":"order-1042","campaignId":"spring-2026"}"#,
    r#"{"messageId":"5f0d8b44-9f4c-4d29-8e3f-0f2f6b8a7c11","recipient":{"to":"33612345678"},
        "status":{"value":"DELIVERED","deliveryDate":"2026-04-01T16:00:10"}}"#,
    r#"{"messageId":"another","recipient":{"to":"33612345678"},"status":{"value":"UNDELIVERED","detail":"SPAM"}}"#,
    r#"{"messageId":"blocked-1","recipient":{"to":"33611111111"},"status":{"value":"UNDELIVERED","detail":"BLACKLISTED"}}"#,
    r#"{"messageId":"blocked-2","recipient":{"to":"33622222222"},"status":{"value":"UNDELIVERED","detail":"BLACKLISTED"}}"#,
    r#"{"messageId":"waiting","recipient":{"to":"32470123456"},"status":{"value":"ENROUTE"},"refClient":"order-1043"}"#,
    r#"{"messageId":"planned","recipient":{"to":"33644444444"},"status":{"value":"SCHEDULED"}}"#,
    r#"{"messageId":"reply-1","direction":"MO","from":"33612345678","recipient":{"to":"36111"},"body":{"text":"Merci !"},
        "originMessageId":"5f0d8b44-9f4c-4d29-8e3f-0f2f6b8a7c11"}"#,
    r#"{"messageId":"reply-2","direction":"MO","from":"33633333333","recipient":{"to":"36111"},"body":{"text":"STOP"},
        "campaignId":"spring-2026"}"#,
];

/// A smscope that has accepted these webhooks.
fn with(webhooks: &[&str]) -> Smscope {
    let smscope = Smscope::start();
    for webhook in webhooks {
        assert_eq!(smscope.post(HOOK, webhook).result(), "accepted", "{webhook}");
    }
    smscope
}

/// The SQL blocks of docs/store.md, each with the heading that it stands under.
fn questions() -> Vec<(String, String)> {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/store.md")).unwrap();
    let mut questions = Vec::new();
    let mut heading = String::new();
    let mut block: Option<String> = None;
    for line in document.lines() {
        match (&mut block, line) {
            (None, "```sql") => block = Some(String::new()),
            (None, _) => heading = line.strip_prefix("## ").map_or(heading, str::to_owned),
            (Some(sql), "```") => {
                questions.push((heading.clone(), std::mem::take(sql)));
                block = None;
            }
            (Some(sql), line) => {
                sql.push_str(line);
                sql.push('\n');
            }
        }
    }
    questions
}

/// The rows as the shell's JSON mode writes them.
fn ask_the_library(database: &Path, sql: &str) -> Value {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{error} in\n{sql}"));
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([]).unwrap();
    let mut answer = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |at| match row.get_ref(at).unwrap() {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(text) => str::from_utf8(text).unwrap().into(),
            ValueRef::Blob(_) => panic!("a blob in the answer to\n{sql}"),
        };
        answer.push(Value::Object(names.iter().enumerate().map(|(at, name)| (name.clone(), value(at))).collect()));
    }
    answer.into()
}

/// `None` when there is no shell; on a build server there must be one.
fn ask_the_shell(database: &Path, sql: &str) -> Option<Value> {
    let shell = program("sqlite3", "sqlite3")?;
    let output = Command::new(shell).args(["-readonly", "-json"]).arg(database).arg(sql).output().unwrap();
    assert!(output.status.success(), "{} in\n{sql}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// An answer without what depends on when and where it is asked.
fn timeless(mut answer: Value) -> Value {
    for row in answer.as_array_mut().unwrap() {
        for column in ["received", "first_seen"] {
            if let Some(time) = row.get_mut(column) {
                let text = time.as_str().unwrap();
                assert!(text.len() == 23 && text.starts_with("20"), "not a readable time: {text}");
                *time = json!("now");
            }
        }
        for column in ["oldest_minutes", "mb", "file_mb"] {
            if let Some(number) = row.get_mut(column) {
                assert!((0.0..10.0).contains(&number.as_f64().unwrap()), "{column} = {number}");
                *number = json!("some");
            }
        }
    }
    answer
}

#[test]
fn the_questions_of_the_document_have_their_answers() {
    let smscope = with(WEBHOOKS);
    let database = smscope.launch.database();
    let expected = [
        (
            "What happened to this message?",
            json!([
                {"received": "now", "kind": "message.enroute", "status": "ENROUTE", "detail": null, "occurred": null},
                {"received": "now", "kind": "message.delivered", "status": "DELIVERED", "detail": null,
                    "occurred": "2026-04-01T14:00:10Z"},
                {"received": "now", "kind": "reply.received", "status": null, "detail": null, "occurred": null},
            ]),
        ),
        (
            "What happened to this number?",
            json!([
                {"first_seen": "now", "message_id": "another", "state": "failed", "reason": "spam_filtered",
                    "ref_client": null},
                {"first_seen": "now", "message_id": "5f0d8b44-9f4c-4d29-8e3f-0f2f6b8a7c11", "state": "delivered",
                    "reason": null, "ref_client": "order-1042"},
            ]),
        ),
        ("What happened to this number?", json!([{"received": "now", "kind": "reply.received", "text": "Merci !"}])),
        (
            "What failed today, and why?",
            json!([
                {"reason": "blacklisted", "status": "UNDELIVERED", "detail": "BLACKLISTED", "messages": 2},
                {"reason": "spam_filtered", "status": "UNDELIVERED", "detail": "SPAM", "messages": 1},
            ]),
        ),
        (
            "What is pending, and for how long?",
            json!([
                {"source": "smsmode", "state": "enroute", "country": "BE", "messages": 1, "oldest_minutes": "some"},
                {"source": "smsmode", "state": "scheduled", "country": "FR", "messages": 1, "oldest_minutes": "some"},
            ]),
        ),
        (
            "What is pending, and for how long?",
            json!([{"first_seen": "now", "message_id": "waiting", "ref_client": "order-1043", "number": "32470123456"}]),
        ),
        (
            "What was answered to this campaign?",
            json!([
                {"received": "now", "kind": "reply.received", "number": "33612345678", "text": "Merci !"},
                {"received": "now", "kind": "reply.stop", "number": "33633333333", "text": "STOP"},
            ]),
        ),
        ("How big is it?", json!([{"events": 9, "messages": 6, "mb": "some", "file_mb": "some"}])),
    ];

    let questions = questions();
    let headings: Vec<&str> = questions.iter().map(|(heading, _)| heading.as_str()).collect();
    assert_eq!(headings, expected.each_ref().map(|(heading, _)| *heading));
    for ((heading, sql), (_, answer)) in questions.iter().zip(expected) {
        assert_eq!(timeless(ask_the_library(&database, sql)), answer, "{heading}\n{sql}");
        if let Some(said) = ask_the_shell(&database, sql) {
            assert_eq!(timeless(said), answer, "{heading}, by the shell\n{sql}");
        }
    }
}

#[test]
fn a_copy_made_as_the_document_says_is_whole() {
    let smscope = with(WEBHOOKS);
    let database = smscope.launch.database();
    let copy = smscope.launch.home.path().join("copy.db");
    let command = format!(".backup {}", copy.display());
    let Some(shell) = program("sqlite3", "sqlite3") else { return };
    assert!(Command::new(shell).arg("-readonly").arg(&database).arg(command).status().unwrap().success());
    let count = json!([{"events": WEBHOOKS.len()}]);
    assert_eq!(ask_the_library(&copy, "SELECT count(*) AS events FROM events"), count);
}

#[test]
fn every_table_is_in_the_document() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/store.md")).unwrap();
    let smscope = with(&[]);
    let query = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'";
    let tables = ask_the_library(&smscope.launch.database(), query);
    let tables: Vec<&str> = tables.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(tables.len() >= 8, "{tables:?}");
    for table in tables {
        assert!(document.contains(&format!("`{table}`")), "docs/store.md says nothing of {table}");
    }
}
