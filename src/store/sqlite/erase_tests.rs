//! Erasures that are broken off at every step, and what is left in the files by the passing of time.

use jiff::Timestamp;
use tempfile::TempDir;

use std::time::Duration;

use super::connection::{DATABASE, connect};
use super::erase::*;
use super::lookup::Lookup;
use super::meta;
use crate::event::{Country, SourceName};
use crate::event::{Event, Outcome};
use crate::store::core::erase::{Regions, Subjects};
use crate::store::erasure::{EraseError, Erased};
use crate::store::tests::{Opened, delivered, receipt, reply, settings, submission_at};
use crate::store::{IngestOutcome, Raw, Submission};

const DAY: Duration = Duration::from_secs(86_400);

fn subjects(number: &str) -> Subjects {
    Subjects::new(&[number.to_owned()], Regions::new([], Country::new("FR").unwrap())).unwrap()
}

/// A message with a reply, all of whose fields are marked.
fn marked(id: &str, at: Timestamp) -> Submission {
    let mut receipt = receipt(id, "ENROUTE", Outcome::Enroute);
    receipt.text = Some("marked-text".into());
    receipt.ref_client = Some("marked-reference".into());
    if id.starts_with("legacy") {
        receipt.message_part = "33612345678".into();
        receipt.shares_id = true;
    }
    let mut reply = reply(id);
    reply.text = Some("marked-reply".into());
    let events = vec![Event::Receipt(Box::new(receipt)), Event::Reply(Box::new(reply))];
    let raw = Raw {
        method: "POST".into(),
        query: "numero=33612345678".into(),
        content_type: None,
        body: "marked-body".into(),
    };
    Submission { raw, ..submission_at(at, events) }
}

fn bytes(folder: &TempDir) -> String {
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

const MARKS: [&str; 5] = ["marked-text", "marked-reference", "marked-reply", "marked-body", "33612345678"];

/// Fails at one step, as a kill would.
struct BrokenOff {
    own: OwnConnection,
    steps: usize,
}

impl Driver for BrokenOff {
    fn run(&mut self, work: ErasureWork) -> Result<u64, EraseError> {
        if self.steps == 0 {
            return Err(EraseError::Stopped);
        }
        self.steps -= 1;
        self.own.run(work)
    }
}

#[tokio::test]
async fn an_erasure_that_is_broken_off_anywhere_is_finished_by_the_next() {
    let mut steps = 0;
    loop {
        let folder = TempDir::new().unwrap();
        let opened = Opened::new(&folder, settings());
        for id in ["v1", "legacy"] {
            opened.store().commit(marked(id, Timestamp::now())).await.unwrap();
        }
        drop(opened);
        let path = folder.path().join(DATABASE);
        let connection = connect(&path).unwrap();
        let (lookup, pseudonymizer) = (Lookup::load(&connection).unwrap(), meta::pseudonymizer(&connection).unwrap());
        let mut broken = BrokenOff { own: OwnConnection { connection, lookup, pseudonymizer }, steps };
        let whole = erase(folder.path(), &subjects("+33612345678"), &mut broken, |_| true).is_ok();
        drop(broken);
        erase_offline(folder.path(), &subjects("+33612345678"), |_| true).unwrap();
        for mark in MARKS {
            assert!(!bytes(&folder).contains(mark), "{mark} after {steps} steps");
        }
        // And the messages are still known by what the provider says of them.
        let opened = Opened::new(&folder, settings());
        for id in ["v1", "legacy"] {
            let outcome = opened.store().commit(marked(id, Timestamp::now())).await;
            assert_eq!(outcome, Ok(IngestOutcome::Duplicate), "{id} after {steps} steps");
        }
        assert_eq!(opened.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 2);
        if whole {
            assert!(steps >= 4, "{steps}");
            return;
        }
        steps += 1;
    }
}

#[tokio::test]
async fn an_erasure_that_is_told_to_stop_says_so_and_leaves_the_rest_for_the_next() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    opened.store().commit(marked("v1", Timestamp::now())).await.unwrap();
    let store = opened.store().clone();
    let stopped =
        tokio::task::spawn_blocking(move || store.blocking().erase(&subjects("0612345678"), |_| false)).await.unwrap();
    assert!(matches!(stopped, Err(EraseError::Stopped)), "{stopped:?}");
    let store = opened.store().clone();
    let erased =
        tokio::task::spawn_blocking(move || store.blocking().erase(&subjects("0612345678"), |_| true)).await.unwrap();
    assert_eq!(erased.unwrap(), Erased { messages: 1, events: 2, log_is_cut: true, to_rewrite: 0 });
}

#[tokio::test]
async fn a_reader_of_an_old_state_keeps_the_log_and_that_is_said() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    opened.store().commit(marked("v1", Timestamp::now())).await.unwrap();
    let reader = connect(&folder.path().join(DATABASE)).unwrap();
    let view = reader.unchecked_transaction().unwrap();
    let _seen: i64 = view.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    let store = opened.store().clone();
    let erased =
        tokio::task::spawn_blocking(move || store.blocking().erase(&subjects("0612345678"), |_| true)).await.unwrap();
    assert!(!erased.unwrap().log_is_cut);
}

#[tokio::test]
async fn what_goes_by_its_time_leaves_no_bytes() {
    let folder = TempDir::new().unwrap();
    let long_ago = Timestamp::now() - 40 * DAY;
    let opened = Opened::new(&folder, settings());
    for n in 0..200 {
        let mut submission = marked(&format!("old{n}"), long_ago);
        if let Event::Receipt(receipt) = &mut submission.events[0] {
            receipt.status.outcome = Outcome::Delivered;
        }
        opened.store().commit(submission).await.unwrap();
    }
    let mut fresh = receipt("fresh", "DELIVERED", Outcome::Delivered);
    fresh.number = Some("33687654321".into());
    opened.store().commit(submission_at(Timestamp::now(), vec![Event::Receipt(Box::new(fresh))])).await.unwrap();
    opened.eventually("old events are pruned", |o| o.count("smscope_store_events{}") == 1).await;
    drop(opened);
    // The round of messages starts with the store, and the log is cut once it is over.
    let opened = Opened::new(&folder, settings());
    opened
        .eventually("no byte of them is left", |_| {
            let bytes = bytes(&folder);
            assert!(bytes.contains("33687654321"), "what has its time before it stays");
            MARKS.iter().all(|mark| !bytes.contains(mark))
        })
        .await;
    assert_eq!(
        opened.store().commit(submission_at(Timestamp::now(), vec![delivered("fresh")])).await.unwrap(),
        IngestOutcome::Duplicate
    );
}

#[test]
fn a_source_that_is_not_configured_has_the_region_of_the_first() {
    let regions =
        Regions::new([(SourceName::new("be").unwrap(), Country::new("BE").unwrap())], Country::new("FR").unwrap());
    let subjects = Subjects::new(&["+33612345678".to_owned()], regions).unwrap();
    assert!(subjects.have("gone", "0612345678") && !subjects.have("be", "0612345678"));
}
