//! How often the leader's transaction asks the server, and what is left in it.

use jiff::Timestamp;

use super::harness::{OnPostgres, has_server};
use crate::event::{Event, Outcome, Receipt, Reply, Status};
use crate::route::{Filter, Format, RelayName, Route};
use crate::store::Settings;
use crate::store::relays::{AttemptOutcome, AttemptResult, Next};
use crate::store::suite::{Action, Harness};
use crate::store::tests::{delivered, junk, receipt, reply, settings, submission_at};

fn now() -> Timestamp {
    "2026-02-03T04:05:06.789Z".parse().unwrap()
}

fn ingest(event: Event) -> Action {
    Action::Ingest(submission_at(now(), vec![event]))
}

fn relayed() -> Settings {
    let relay = RelayName::new("app").unwrap();
    let (format, max_age) = (Format::CloudEvents, std::time::Duration::from_secs(3_600));
    let route = Route { relay, format, filter: Filter::default(), is_fallback: false, max_age };
    Settings { relays: vec![route], ..settings() }
}

/// How often the server is asked for actions in one transaction.
fn round_trips(store: &mut OnPostgres, actions: &[Action]) -> usize {
    store.run_all(actions, true);
    store.round_trips
}

/// Half of them of messages that are there already.
fn receipts(count: usize) -> Vec<Action> {
    (0..count).map(|n| ingest(delivered(&format!("m{n}")))).collect()
}

fn enroute(count: usize) -> Vec<Action> {
    let receipt = |n: usize| receipt(&format!("m{}", 2 * n), "ENROUTE", Outcome::Enroute);
    (0..count / 2).map(|n| ingest(Event::Receipt(Box::new(receipt(n))))).collect()
}

#[test]
fn a_batch_costs_one_round_trip_to_read_and_one_to_write() {
    if !has_server() {
        return;
    }
    for settings in [settings(), relayed()] {
        let mut store = OnPostgres::new(settings);
        store.run_all(&enroute(100), true);
        assert_eq!(round_trips(&mut store, &receipts(100)), 2);
        let replies = (0..100).map(|n| ingest(Event::Reply(Box::new(reply(&format!("r{n}")))))).collect::<Vec<_>>();
        assert_eq!(round_trips(&mut store, &replies), 2);
        assert_eq!(round_trips(&mut store, &(0..100).map(|n| ingest(junk(n))).collect::<Vec<_>>()), 2);
        assert_eq!(round_trips(&mut store, &receipts(100)), 2, "duplicates");
        let dump = store.dump();
        assert_eq!((dump.messages.len(), dump.journal.len()), (100, 350));
    }
}

#[test]
fn with_all_features_a_batch_of_receipts_and_replies_costs_the_same() {
    if !has_server() {
        return;
    }
    let mut store = OnPostgres::new(crate::store::suite::everything());
    let receipts = |value: &'static str, outcome| {
        let receipt = move |n: usize| Receipt {
            sent_at: Some(now()),
            ref_client: Some(format!("order-{n}")),
            text: Some("text".into()),
            message_part: if n.is_multiple_of(10) { "33612345678".into() } else { String::new() },
            shares_id: n.is_multiple_of(10),
            ..receipt(&format!("m{n}"), value, outcome)
        };
        (0..100).map(|n| ingest(Event::Receipt(Box::new(receipt(n))))).collect::<Vec<_>>()
    };
    assert_eq!(round_trips(&mut store, &receipts("ENROUTE", Outcome::Enroute)), 2);
    assert_eq!(round_trips(&mut store, &receipts("DELIVERED", Outcome::Delivered)), 2);
    let answer = |n: usize| Reply { ref_client: Some(format!("order-{n}")), ..reply(&format!("r{n}")) };
    let replies: Vec<_> = (0..100).map(|n| ingest(Event::Reply(Box::new(answer(n))))).collect();
    assert_eq!(round_trips(&mut store, &replies), 2);
}

#[test]
fn attempts_cost_the_same_whatever_waits_behind_them() {
    if !has_server() {
        return;
    }
    let mut store = OnPostgres::new(relayed());
    store.run_all(&enroute(100), true);
    store.run_all(&receipts(100), true);
    let attempts: Vec<Action> = (1..=50)
        .map(|n| {
            let delivery = crate::store::ids::DeliveryId(n);
            let (attempt, result) = (1, AttemptResult::Delivered);
            Action::SaveAttempt(AttemptOutcome { delivery, attempt, result, next: Next::Done }, now())
        })
        .collect();
    assert_eq!(round_trips(&mut store, &attempts), 2);
    assert_eq!(store.dump().deliveries.len(), 100);
}

#[test]
fn of_a_request_from_which_no_event_was_stored_nothing_personal_stays() {
    if !has_server() {
        return;
    }
    let mut store = OnPostgres::new(settings());
    store.run_all(&[ingest(delivered("m")), ingest(delivered("m"))], true);
    let sql = "SELECT requests[2] IS NULL FROM smscope.received ORDER BY id";
    let bodies = OnPostgres::runtime().block_on(store.session.query(sql, &[])).unwrap();
    assert_eq!(bodies.iter().map(|row| row.get(0)).collect::<Vec<bool>>(), [false, true]);
}

#[test]
fn a_text_of_any_length_and_with_any_character_is_stored() {
    if !has_server() {
        return;
    }
    let mut store = OnPostgres::new(relayed());
    let (long, nul) = ("x".repeat(100_000), "a\0b\\u0000\u{1F44B}");
    for text in [long.as_str(), nul] {
        let some = Some(text.to_owned());
        let event = receipt(text, "DELIVERED", Outcome::Delivered);
        let status = Status { detail: some.clone(), time_text: text.into(), ..event.status.clone() };
        let receipt = Receipt {
            status,
            message_part: text.into(),
            shares_id: true,
            number: some.clone(),
            ref_client: some.clone(),
            text: some.clone(),
            ..event
        };
        let reply = Reply { number: some.clone(), originator: some.clone(), text: some, ..reply(text) };
        store.run_all(&[ingest(Event::Receipt(Box::new(receipt))), ingest(Event::Reply(Box::new(reply)))], true);
    }
    let dump = store.dump();
    assert_eq!((dump.messages.len(), dump.journal.len()), (2, 4));
}

#[test]
fn what_is_read_ahead_in_the_middle_of_a_transaction_sees_what_was_written_before() {
    if !has_server() {
        return;
    }
    let shared = |part: &str, value: &str, outcome| Receipt {
        message_part: part.into(),
        shares_id: true,
        ..receipt("many", value, outcome)
    };
    let first = submission_at(now(), vec![Event::Receipt(shared("33612345678", "11", Outcome::Enroute).into())]);
    let second = submission_at(now(), vec![Event::Receipt(shared("", "0", Outcome::Delivered).into())]);
    let mut store = OnPostgres::new(relayed());
    store.in_transaction(|rules| {
        for submission in [&first, &second] {
            rules.storage.prefetch(rules.lookups([submission]))?;
            rules.ingest(submission, None)?;
        }
        Ok(())
    });
    let dump = store.dump();
    assert_eq!((dump.messages.len(), dump.journal.len()), (1, 2));
    assert_eq!(dump.deliveries.values().map(|row| row.state.as_str()).collect::<Vec<_>>(), ["due", "blocked"]);
}
