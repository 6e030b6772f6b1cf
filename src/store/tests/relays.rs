use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::route::{Filter, Format, RelayName};
use crate::store::core::STEP;
use crate::store::ids::DeliveryId;
use crate::store::relays::{AttemptResult, DeadLetterFilter, Delivery, Next};

const HOUR: Duration = Duration::from_secs(3_600);

fn route(name: &str, filter: Filter) -> Route {
    Route {
        relay: RelayName::new(name).unwrap(),
        format: Format::CloudEvents,
        filter,
        is_fallback: false,
        max_age: HOUR,
    }
}

fn all() -> Settings {
    Settings { relays: vec![route("app", Filter::default())], ..settings() }
}

fn app() -> RelayName {
    RelayName::new("app").unwrap()
}

fn due(store: &Store) -> Vec<Delivery> {
    store.blocking().due(&app(), Timestamp::now() + HOUR, &[], 100).unwrap().deliveries
}

async fn settle(store: &Store, delivery: DeliveryId, next: Next) {
    let attempt = due(store).iter().find(|one| one.id == delivery).map_or(1, |one| one.attempts + 1);
    store.save_attempt(AttemptOutcome { delivery, attempt, result: AttemptResult::Failed, next }).await.unwrap();
}

#[tokio::test]
async fn of_a_message_one_delivery_at_a_time_is_due_and_of_all_messages_the_oldest() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    for event in [enroute("m-1"), delivered("m-1"), enroute("m-2")] {
        opened.commit(vec![event]).await.unwrap();
    }
    let ids = |store: &Store| due(store).iter().map(|delivery| delivery.entry.position.0).collect::<Vec<_>>();
    assert_eq!(ids(opened.store()), [1, 3]);
    let first = due(opened.store())[0].id;
    settle(opened.store(), first, Next::Again { at: Timestamp::now(), why: "no".into() }).await;
    assert_eq!(ids(opened.store()).len(), 2);
    assert_eq!(due(opened.store()).iter().find(|one| one.id == first).unwrap().attempts, 1);
    settle(opened.store(), first, Next::Done).await;
    let mut now = ids(opened.store());
    now.sort_unstable();
    assert_eq!(now, [2, 3]);
    assert_eq!(opened.count("sms_relay_pending{app}"), 2);
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_put_off_for_years_is_due_soon() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    opened.commit(vec![enroute("m-1"), enroute("m-2")]).await.unwrap();
    let [ahead, waiting] =
        <[DeliveryId; 2]>::try_from(due(opened.store()).iter().map(|one| one.id).collect::<Vec<_>>()).unwrap();
    for (id, wait) in [(ahead, 20_000 * HOUR), (waiting, HOUR / 2)] {
        settle(opened.store(), id, Next::Again { at: Timestamp::now() + wait, why: "no".into() }).await;
    }
    let is_due = |now| {
        opened.store().blocking().due(&app(), now, &[], 100).unwrap().deliveries.iter().any(|one| one.id == ahead)
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_due(Timestamp::now()) {
        assert!(std::time::Instant::now() < deadline, "it is still put off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let next = opened.store().blocking().due(&app(), Timestamp::now(), &[], 100).unwrap().next.unwrap();
    assert!(next > Timestamp::now() + HOUR / 3, "what is put off for a good reason stays so: {next}");
}

#[tokio::test]
async fn a_dead_letter_lets_the_next_go_and_is_tried_again_before_what_came_later() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    for text in ["r-1", "r-2", "r-3"] {
        opened.commit(vec![Event::Reply(Box::new(reply(text)))]).await.unwrap();
    }
    for _ in 0..2 {
        let first = due(opened.store())[0].id;
        settle(opened.store(), first, Next::Dead { why: "no".into() }).await;
    }
    assert_eq!((opened.count("sms_relay_dead_letters{app}"), opened.count("sms_relay_pending{app}")), (2, 1));
    let third = due(opened.store());
    assert_eq!(third.iter().map(|one| one.entry.position.0).collect::<Vec<_>>(), [3]);
    let store = opened.store().clone();
    let redriven = tokio::task::spawn_blocking(move || store.blocking().redrive(&DeadLetterFilter::All)).await.unwrap();
    assert_eq!(redriven, Ok(2));
    settle(opened.store(), third[0].id, Next::Done).await;
    let mut order = Vec::new();
    while let Some(next) = due(opened.store()).first() {
        order.push(next.entry.position.0);
        settle(opened.store(), next.id, Next::Done).await;
    }
    assert_eq!(order, [1, 2]);
    assert_eq!((opened.count("sms_relay_dead_letters{app}"), opened.count("sms_relay_pending{app}")), (0, 0));
}

#[tokio::test]
async fn what_waits_for_a_relay_outlives_retention_and_goes_once_it_is_given_up() {
    let folder = TempDir::new().unwrap();
    let second = Duration::from_secs(1);
    let app =
        Route { max_age: 3 * second, ..route("app", Filter { reasons: vec![Reason::Network], ..Filter::default() }) };
    let opened = Opened::new(&folder, Settings { retention: second, relays: vec![app], ..settings() });
    let failed = receipt("m-1", "UNDELIVERED", Outcome::Failed(Reason::Network));
    for event in [enroute("m-0"), Event::Receipt(Box::new(failed)), enroute("m-2"), enroute("m-3")] {
        opened.commit(vec![event]).await.unwrap();
    }
    opened.eventually("the event before it goes", |opened| opened.count("smscope_store_events{}") == 3).await;
    assert_eq!(due(opened.store()).len(), 1);
    opened.eventually("it is given up", |opened| opened.count("sms_relay_given_up_total{app}") == 1).await;
    // The newest event always stays.
    opened.eventually("it goes", |opened| opened.count("smscope_store_events{}") == 1).await;
    opened.eventually("its dead letter goes", |opened| opened.count("sms_relay_dead_letters{app}") == 0).await;
    assert_eq!(opened.count("sms_relay_pending{app}"), 0);
}

#[tokio::test]
async fn a_relay_that_is_configured_no_more_leaves_dead_letters_that_wait_for_its_return() {
    let folder = TempDir::new().unwrap();
    Opened::new(&folder, all()).commit(vec![enroute("m-1")]).await.unwrap();
    let without = Opened::new(&folder, settings());
    assert_eq!((without.count("sms_relay_dead_letters{app}"), without.count("sms_relay_pending{app}")), (1, 0));
    let store = without.store().clone();
    assert_eq!(
        tokio::task::spawn_blocking(move || store.blocking().redrive(&DeadLetterFilter::All)).await.unwrap(),
        Ok(0)
    );
    drop(without);
    let again = Opened::new(&folder, all());
    let store = again.store().clone();
    assert_eq!(
        tokio::task::spawn_blocking(move || store.blocking().redrive(&DeadLetterFilter::Relay("app".into())))
            .await
            .unwrap(),
        Ok(1)
    );
    assert_eq!(due(again.store()).len(), 1);
}

#[tokio::test]
async fn of_what_is_in_flight_nothing_is_read_and_there_is_still_as_much_as_was_asked_for() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    for number in 0..6 {
        opened.commit(vec![enroute(&format!("m-{number}"))]).await.unwrap();
    }
    let read = |in_flight: &[DeliveryId], limit: usize| -> Vec<DeliveryId> {
        let due = opened.store().blocking().due(&app(), Timestamp::now() + HOUR, in_flight, limit).unwrap();
        due.deliveries.iter().map(|one| one.id).collect()
    };
    let whole = read(&[], 6);
    assert_eq!(read(&whole[..3], 2), whole[3..5]);
    assert_eq!(read(&whole[..5], 4), whole[5..]);
    assert_eq!(read(&whole, 4), []);
}

#[tokio::test]
async fn a_redrive_goes_in_steps_between_which_others_are_served() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    let count = 2 * STEP as i64 + 50;
    for batch in 0..count / 50 {
        opened.commit((0..50).map(|number| enroute(&format!("m-{batch}-{number}"))).collect()).await.unwrap();
    }
    drop(opened);
    // They become dead letters, all at once, when the relay is configured no more.
    drop(Opened::new(&folder, settings()));
    let opened = Opened::new(&folder, all());
    assert_eq!(opened.count("sms_relay_dead_letters{app}"), count);
    let store = opened.store().clone();
    let step = move |after| store.blocking().redrive_step(&DeadLetterFilter::All, after).unwrap();
    let first = tokio::task::spawn_blocking(move || step(DeliveryId::default())).await.unwrap();
    assert_eq!(first.redriven, STEP as u64);
    assert_eq!(opened.count("sms_relay_dead_letters{app}"), count - STEP as i64);
    let store = opened.store().clone();
    let rest = tokio::task::spawn_blocking(move || store.blocking().redrive(&DeadLetterFilter::All)).await.unwrap();
    assert_eq!(rest, Ok((count - STEP as i64) as u64));
    assert_eq!((opened.count("sms_relay_dead_letters{app}"), opened.count("sms_relay_pending{app}")), (0, count));
}

#[tokio::test]
async fn an_attempt_that_was_noted_is_not_noted_again() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, all());
    opened.commit(vec![enroute("m-1")]).await.unwrap();
    let delivery = due(opened.store())[0].id;
    let next = Next::Again { at: Timestamp::now(), why: "no".into() };
    for (attempt, noted) in [(1, 1), (1, 1), (2, 2)] {
        let attempt_outcome = AttemptOutcome { delivery, attempt, result: AttemptResult::Failed, next: next.clone() };
        opened.store().save_attempt(attempt_outcome).await.unwrap();
        assert_eq!(opened.count("sms_relay_attempts_total{app,failed}"), noted);
        assert_eq!(i64::from(due(opened.store())[0].attempts), noted);
    }
}
