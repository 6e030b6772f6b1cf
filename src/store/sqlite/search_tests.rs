//! What is found by keys is what is found by reading everything, whatever has happened to the store.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::connection::{DATABASE, connect, connect_to_read};
use super::erase::erase_offline;
use super::harness::OnSqlite;
use super::retention::{EventLimits, prune_events, prune_messages};
use super::search_index::{self, Key};
use crate::event::{Country, Event, Outcome, Reason, Receipt, Reply, ReplyKind};
use crate::record::{Entry, Kind, Position};
use crate::store::Settings;
use crate::store::core::erase::{Regions, Subjects};
use crate::store::ids::MessageRowId;
use crate::store::query::ReadStore;
use crate::store::search::EventFilter;
use crate::store::suite::{Action, Harness};
use crate::store::tests::{junk, receipt, reply, settings, source, submission_at};

const HOUR: Duration = Duration::from_secs(3_600);
const HOURS: u32 = 12;

const NUMBERS: [Option<&str>; 6] = [
    None,
    Some("33612345678"),
    Some("33687654321"),
    // Ends as another one does.
    Some("32470345678"),
    // As it came, for it could not be read.
    Some("0612345678"),
    Some("345678"),
];
const REFERENCES: [Option<&str>; 3] = [None, Some("order-1"), Some("order-2")];

fn at(hours: u32) -> Timestamp {
    "2026-02-03T04:05:06Z".parse::<Timestamp>().unwrap() + hours * HOUR
}

fn number() -> impl Strategy<Value = Option<String>> {
    prop::sample::select(NUMBERS.to_vec()).prop_map(|number| number.map(str::to_owned))
}

fn reference() -> impl Strategy<Value = Option<String>> {
    prop::sample::select(REFERENCES.to_vec()).prop_map(|reference| reference.map(str::to_owned))
}

fn event() -> impl Strategy<Value = Event> {
    let outcomes = [
        ("ENROUTE", Outcome::Enroute),
        ("DELIVERED", Outcome::Delivered),
        ("UNDELIVERED", Outcome::Failed(Reason::HandsetAbsent)),
    ];
    let receipts = (0..24u8, prop::sample::select(outcomes.to_vec()), number(), reference()).prop_map(
        |(message, (value, outcome), number, ref_client)| {
            let mut receipt = Receipt { number, ref_client, ..receipt(&format!("m{message}"), value, outcome) };
            if message < 2 {
                receipt.shares_id = true;
                receipt.message_part = receipt.number.clone().unwrap_or_default();
            }
            Event::Receipt(Box::new(receipt))
        },
    );
    let replies =
        (0..200u8, number(), reference(), prop::option::of(0..24u8)).prop_map(|(id, number, ref_client, answered)| {
            let kind = if id % 2 == 0 { ReplyKind::Stop } else { ReplyKind::Reply };
            let origin_message_id = answered.map(|message| format!("m{message}"));
            Event::Reply(Box::new(Reply { kind, number, ref_client, origin_message_id, ..reply(&format!("r{id}")) }))
        });
    prop_oneof![8 => receipts, 3 => replies, 1 => any::<u8>().prop_map(junk)]
}

#[derive(Clone, Debug)]
enum Step {
    Run(Box<Action>, bool),
    Index,
    Erase(&'static str),
    Prune(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let ingest = (0..HOURS, prop::collection::vec(event(), 1..9))
        .prop_map(|(hour, events)| Action::Ingest(submission_at(at(hour), events)));
    let expire = (1..24i64, 0..HOURS).prop_map(|(id, hour)| Action::Expire(MessageRowId(id), at(hour)));
    let action = prop_oneof![6 => ingest, 1 => expire];
    prop_oneof![
        14 => (action, prop::bool::weighted(0.9)).prop_map(|(action, commits)| Step::Run(Box::new(action), commits)),
        3 => Just(Step::Index),
        1 => prop::sample::select(vec!["+33612345678", "+33687654321"]).prop_map(Step::Erase),
        1 => (0..HOURS).prop_map(Step::Prune),
        1 => Just(Step::Restart),
    ]
}

fn subjects(numbers: &[&str]) -> Subjects {
    let numbers: Vec<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
    Subjects::new(&numbers, Regions::new([], Country::new("FR").unwrap())).unwrap()
}

fn filters() -> Vec<EventFilter> {
    let of = |numbers: &[&str]| EventFilter { subjects: Some(subjects(numbers)), ..EventFilter::default() };
    let with = |reference: &str| EventFilter { ref_client: Some(reference.to_owned()), ..EventFilter::default() };
    vec![
        of(&["+33612345678"]),
        of(&["06 87 65 43 21"]),
        of(&["0032470345678", "33687654321"]),
        of(&["+33600000000"]),
        with("order-1"),
        with("order-2"),
        with("order-3"),
        EventFilter { ref_client: Some("order-1".to_owned()), ..of(&["+33612345678"]) },
        EventFilter { kinds: vec![Kind::Delivered, Kind::Reply], ..of(&["+33612345678"]) },
        EventFilter { since: Some(at(HOURS / 2)), ..of(&["+33612345678"]) },
        EventFilter { until: Some(at(HOURS / 2)), message_id: Some("m3".to_owned()), ..with("order-1") },
        EventFilter { source: Some("other".to_owned()), ..with("order-1") },
        EventFilter::default(),
    ]
}

fn prune(connection: &mut Connection, before: i64) {
    let transaction = connection.transaction().unwrap();
    let limits = EventLimits {
        received_before: before,
        exported_to: None,
        relayed_from: None,
        given_up_before: before,
        future: i64::MAX,
    };
    prune_events(&transaction, limits).unwrap();
    prune_messages(&transaction, MessageRowId::default(), before, i64::MAX).unwrap();
    transaction.commit().unwrap();
}

/// The ids of messages that a query finds.
fn ids(connection: &Connection, sql: &str, value: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([value], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The index has all that the rows of messages have, and nothing of a message that is gone or has been erased.
fn index_is_as_the_rows(connection: &Connection) -> Result<(), TestCaseError> {
    let searchable_to = search_index::searchable_to(connection).unwrap();
    let mut expected = BTreeSet::new();
    let mut rows =
        connection.prepare("SELECT id, message_id, number, ref_client FROM messages WHERE id <= ?1").unwrap();
    let mut rows = rows.query([searchable_to]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (message, text): (MessageRowId, _) =
            (row.get(0).unwrap(), |column| row.get::<_, Option<String>>(column).unwrap());
        let keys = [text(1).map(|id| Key::of_id(&id)), text(2).and_then(|number| Key::of_number(&number))];
        for key in keys.into_iter().chain([text(3).map(|reference| Key::of_reference(&reference))]).flatten() {
            prop_assert!(search_index::find(connection, key).unwrap().contains(&message));
            expected.insert((message, key.0));
        }
    }
    let stored: i64 = connection
        .query_row("SELECT coalesce(sum(length(entries)), 0) FROM search_index", [], |row| row.get(0))
        .unwrap();
    prop_assert_eq!(stored, 4 * expected.len() as i64);
    Ok(())
}

fn found_as_by_reading_everything(store: &ReadStore, connection: &Connection) -> Result<(), TestCaseError> {
    for filter in filters() {
        for limit in [1, 3, 1_000] {
            let found = store.newest_events(&filter, limit).unwrap();
            prop_assert_eq!(found, store.scan(&filter, limit).unwrap(), "{:?}, {}", &filter, limit);
        }
    }
    for reference in ["order-1", "order-2", "order-3"] {
        let found: Vec<i64> = store.journeys(reference).unwrap().iter().map(|(message, _)| message.id.0).collect();
        prop_assert_eq!(found, ids(connection, "SELECT id FROM messages WHERE ref_client = ?1 ORDER BY id", reference));
    }
    for id in ["m0", "m1", "m7", "m23", "m24"] {
        let found: Vec<i64> = store.messages_with_id(id).unwrap().iter().map(|message| message.id.0).collect();
        prop_assert_eq!(found, ids(connection, "SELECT id FROM messages WHERE message_id = ?1 ORDER BY id", id));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_search_by_keys_finds_what_reading_everything_finds(steps in prop::collection::vec(step(), 1..30)) {
        let folder = TempDir::new().unwrap();
        let connection = connect(&folder.path().join(DATABASE)).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        let settings = Settings { horizon: 6 * HOUR, conversations: Some(HOUR), ..settings() };
        let mut sqlite = OnSqlite::on(connection, settings);
        let store = ReadStore::open(folder.path()).unwrap();
        let connection = connect_to_read(folder.path()).unwrap();
        for step in steps.into_iter().chain([Step::Restart]) {
            match step {
                Step::Run(action, commits) => {
                    sqlite.run(&action, commits);
                    // Checked after the next of another kind.
                    continue;
                }
                Step::Index => sqlite.change(|connection| {
                    if let Some(run) = search_index::next_run(connection).unwrap() {
                        search_index::index_run(connection, run).unwrap();
                    }
                }),
                Step::Erase(number) => sqlite.change(|_| {
                    erase_offline(folder.path(), &subjects(&[number]), |_| true).unwrap();
                }),
                Step::Prune(hour) => sqlite.change(|connection| prune(connection, at(hour).as_millisecond())),
                Step::Restart => sqlite.restart(),
            }
            found_as_by_reading_everything(&store, &connection)?;
            index_is_as_the_rows(&connection)?;
        }
    }
}

/// A store with so many messages to a number that its events are not looked up one by one, and the reader of it.
#[test]
fn a_number_of_very_many_messages_is_searched_from_the_newest_event_on() {
    let folder = TempDir::new().unwrap();
    let connection = connect(&folder.path().join(DATABASE)).unwrap();
    let mut sqlite = OnSqlite::on(connection, settings());
    let receipts = (0..1_500).map(|n| Event::Receipt(Box::new(receipt(&format!("m{n}"), "ENROUTE", Outcome::Enroute))));
    sqlite.run(&Action::Ingest(submission_at(at(0), receipts.collect())), true);
    sqlite.change(|connection| {
        while let Some(run) = search_index::next_run(connection).unwrap() {
            search_index::index_run(connection, run).unwrap();
        }
    });
    let store = ReadStore::open(folder.path()).unwrap();
    let filter = EventFilter { subjects: Some(subjects(&["+33612345678"])), ..EventFilter::default() };
    let positions = |found: Vec<Entry>| found.iter().map(|entry| entry.position).collect::<Vec<Position>>();
    assert_eq!(positions(store.newest_events(&filter, 2).unwrap()), [Position(1_499), Position(1_500)]);
    assert_eq!(store.newest_events(&filter, 2_000).unwrap().len(), 1_500);
    assert_eq!(store.messages_with_id("m7").unwrap()[0].source, source().as_str());
}
