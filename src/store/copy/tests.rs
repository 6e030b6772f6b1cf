//! Copies that are broken off after every page, in both directions.

use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::*;
use crate::environment::Process;
use crate::event::{Event, Outcome, Unrecognized};
use crate::settings::Postgres;
use crate::store::tests::{Opened, delivered, receipt, reply, settings, submission_at};
use crate::test_support::postgres::Server;

fn embedded(folder: &TempDir) -> Box<dyn End> {
    open(Place::Embedded { folder: folder.path(), instance: Uuid::from_u128(7), hash_key: [7; 32] }).unwrap()
}

fn fleet(url: &str) -> Box<dyn End> {
    let database = Postgres::of_flag("--to", url, &Process).unwrap();
    open(Place::Fleet(Connector::new(&database))).unwrap()
}

/// Of each kind of event several, over several days.
fn fill(folder: &TempDir) {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let opened = Opened::new(folder, settings());
        for n in 0..10 {
            let at = Timestamp::now() - std::time::Duration::from_secs(n * 40_000);
            let mut legacy = receipt("shared", "ENROUTE", Outcome::Enroute);
            legacy.message_part = format!("3361234567{n}");
            legacy.shares_id = true;
            let unrecognized = Unrecognized { digest: [n as u8; 32], channel_id: None, why: "no messageId".into() };
            let events = vec![
                delivered(&format!("message-{n}")),
                Event::Receipt(Box::new(legacy)),
                Event::Reply(Box::new(reply(&format!("reply-{n}")))),
                Event::Unrecognized(unrecognized),
            ];
            opened.store().commit(submission_at(at, events)).await.unwrap();
        }
    });
}

/// All rows of a store, those of dedup keys by their hashes.
fn rows(end: &mut dyn End) -> Vec<(Table, Vec<Row>)> {
    let all = Table::VARIANTS.iter().map(|&table| {
        let (mut rows, mut after) = (Vec::new(), None);
        while let Some(page) = end.read(table, after.as_deref(), PAGE).unwrap() {
            after = Some(page.reached);
            rows.extend(page.rows);
        }
        if table == Table::EventKeys {
            rows.iter_mut().for_each(hash_key_of);
        }
        rows.sort_by_key(|row| format!("{row:?}"));
        (table, rows)
    });
    all.collect()
}

fn hash_key_of(row: &mut Row) {
    let (Value::Text(source), Value::Text(key)) = (&row[0], &row[1]) else { panic!("{row:?}") };
    let hash = hash_in(key).unwrap_or_else(|| crate::store::hash::event_hash(source, key));
    row[1] = Value::Text(hash.to_string());
}

/// Copies, broken off after each page. Gives how often.
fn copy_in_steps(from: &mut dyn End, mut to: impl FnMut() -> Box<dyn End>) -> usize {
    let mut stops = 0;
    loop {
        let mut begun = None;
        let done = copy(from, &mut *to(), |table, done, _| {
            let (first, before) = *begun.get_or_insert((table, done));
            if first != table {
                begun = Some((table, done));
            }
            first != table || done == before
        });
        match done {
            Ok(_) => return stops,
            Err(CopyError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_copy_that_is_broken_off_after_any_page_goes_on_with_the_next() {
    let Some(server) = Server::shared() else { return };
    let (folder, back) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill(&folder);
    let url = server.url(&server.create_database());
    let mut source = embedded(&folder);
    let expected = rows(&mut *source);
    assert!(expected.iter().any(|(table, rows)| *table == Table::Events && rows.len() == 40));
    assert!(copy_in_steps(&mut *source, || fleet(&url)) > 3);
    let (origin, mut copied) = (source.origin().unwrap(), fleet(&url));
    assert_eq!(rows(&mut *copied), expected);
    assert_eq!(copied.origin().unwrap(), origin);
    assert!(copy_in_steps(&mut *copied, || embedded(&back)) > 3);
    let mut back_again = embedded(&back);
    assert_eq!(rows(&mut *back_again), expected);
    assert_eq!(back_again.origin().unwrap(), origin);
}

#[test]
fn a_target_of_another_copy_or_with_events_is_left_alone() {
    let Some(server) = Server::shared() else { return };
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill(&folder);
    fill(&other);
    let url = server.url(&server.create_database());
    let stopped = copy(&mut *embedded(&folder), &mut *fleet(&url), |table, _, _| table < Table::Events);
    assert!(matches!(stopped, Err(CopyError::Stopped)));
    let mut another =
        open(Place::Embedded { folder: other.path(), instance: Uuid::from_u128(8), hash_key: [8; 32] }).unwrap();
    let refused = copy(&mut *another, &mut *fleet(&url), |_, _, _| true);
    assert!(matches!(refused, Err(CopyError::NotEmpty)));
    // Neither does anybody read a half of it, nor copy it on.
    assert!(matches!(fleet(&url).origin(), Err(CopyError::Open(OpenError::HalfCopied))));
    let refused = copy(&mut *embedded(&folder), &mut *embedded(&other), |_, _, _| true);
    assert!(matches!(refused, Err(CopyError::NotEmpty)));
}

#[test]
fn a_database_is_copied_by_one_at_a_time() {
    let Some(server) = Server::shared() else { return };
    let url = server.url(&server.create_database());
    let first = fleet(&url);
    let database = Postgres::of_flag("--to", &url, &Process).unwrap();
    let second = open(Place::Fleet(Connector::new(&database)));
    assert!(matches!(second.err(), Some(CopyError::InUse)));
    drop(first);
    drop(fleet(&url));
}

#[test]
fn a_request_of_which_something_was_erased_is_copied_without_what_is_gone() {
    let body = Bytes::from_static(b"[{}]");
    let raw = Raw { method: "POST".into(), query: "a=b".into(), content_type: None, body };
    for is_whole in [true, false] {
        let query = if is_whole { raw.query.clone() } else { String::new() };
        let columns = request_values(raw.clone(), is_whole);
        assert_eq!(request(&columns), Some((Raw { query, ..raw.clone() }, is_whole)));
    }
    // Of one that was erased whole.
    assert_eq!(request(&[Value::Text("POST".into()), Value::Null, Value::Null, Value::Null]), None);
}
