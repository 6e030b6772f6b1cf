//! What every store does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::actions::{Action, Dump, Reaction};
use super::on_memory::OnMemory;
use super::{Harness, Settings};
use crate::event::{Country, Event, Outcome, Reason, Receipt, Reply, ReplyKind};
use crate::record::{Kind, MatchedBy, Position, Through};
use crate::route::{Filter, Format, RelayName, ResendRule, Route};
use crate::store::IngestOutcome::{self, Accepted, Duplicate, Unrecognized};
use crate::store::core::erase::{Regions, Subjects, Target};
use crate::store::core::storage::{DeliveryState, ResendState};
use crate::store::ids::{DeliveryId, MessageRowId, ResendId};
use crate::store::opt_outs::Scope;
use crate::store::postgres::harness::{OnPostgres, has_server};
use crate::store::relays::{AttemptOutcome, AttemptResult, DeadLetterFilter, Next};
use crate::store::resends::{ChainOutcome, ResendResult, ResendStep, SendDecision, SendResult};
use crate::store::sqlite::harness::OnSqlite;
use crate::store::tests::{delivered, enroute, junk, receipt, reply, settings, submission_at};

macro_rules! on_every_store {
    ($($behavior:ident,)*) => {$(
        mod $behavior {
            #[test]
            fn in_memory() {
                super::$behavior::<super::OnMemory>();
            }

            #[test]
            fn in_sqlite() {
                super::$behavior::<super::OnSqlite>();
            }

            #[test]
            fn in_postgres() {
                if super::has_server() {
                    super::$behavior::<super::OnPostgres>();
                }
            }
        }
    )*};
}

on_every_store![
    an_event_is_accepted_once_and_a_duplicate_ever_after,
    a_transaction_that_does_not_commit_leaves_nothing,
    a_restart_changes_nothing,
    a_message_that_expired_and_arrives_after_all_is_corrected,
    recipients_of_a_legacy_id_are_messages_of_their_own,
    a_receipt_without_recipient_is_of_the_only_message_with_its_id,
    a_message_takes_the_recipient_that_its_second_receipt_names,
    of_an_ordering_key_one_delivery_at_a_time_is_due,
    dead_letters_are_redriven_before_what_came_later,
    a_delivery_that_is_too_old_is_a_dead_letter,
    a_failure_is_resent_once_and_its_replacement_is_known_by_the_answer,
    a_replacement_is_recognized_by_its_reference,
    who_has_opted_out_gets_no_resend,
    a_reply_finds_its_message_by_id_by_reference_and_by_number,
    what_comes_of_an_erased_message_is_stored_without_the_person,
    a_request_that_brings_back_an_erased_person_is_not_stored,
];

const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> Timestamp {
    "2026-02-03T04:05:06.789Z".parse().unwrap()
}

fn ingest(store: &mut impl Harness, events: Vec<Event>) -> IngestOutcome {
    ingest_at(store, now(), events)
}

fn ingest_at(store: &mut impl Harness, at: Timestamp, events: Vec<Event>) -> IngestOutcome {
    match store.run(&Action::Ingest(submission_at(at, events)), true) {
        Reaction::Ingested(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn event(receipt: Receipt) -> Event {
    Event::Receipt(Box::new(receipt))
}

fn answer(reply: Reply) -> Event {
    Event::Reply(Box::new(reply))
}

fn app() -> RelayName {
    RelayName::new("app").unwrap()
}

fn relayed() -> Settings {
    let filter = Filter::default();
    let route = Route { relay: app(), format: Format::CloudEvents, filter, is_fallback: false, max_age: HOUR };
    Settings { relays: vec![route], ..settings() }
}

fn resending() -> Settings {
    let rule = ResendRule {
        name: RelayName::new("absent").unwrap(),
        filter: Filter { kinds: vec![Kind::Failed], reasons: vec![Reason::HandsetAbsent], ..Filter::default() },
        through: Through::Api,
        is_dry_run: false,
        delay: Duration::from_secs(60),
        attempts: 2,
        ttl: HOUR,
        budget: 10,
    };
    Settings { resends: vec![rule], opt_outs: Some(Scope::Source), conversations: Some(HOUR), ..settings() }
}

/// A receipt of a message with text and refClient.
fn parcel(id: &str, value: &str, outcome: Outcome) -> Receipt {
    Receipt {
        text: Some("your parcel is here".into()),
        ref_client: Some("order-1042".into()),
        ..receipt(id, value, outcome)
    }
}

fn absent(id: &str) -> Event {
    event(parcel(id, "UNDELIVERED", Outcome::Failed(Reason::HandsetAbsent)))
}

fn states(dump: &Dump) -> Vec<DeliveryState> {
    dump.deliveries.values().map(|row| row.state).collect()
}

fn attempt(store: &mut impl Harness, delivery: i64, next: Next) {
    let delivery = DeliveryId(delivery);
    let attempts = store.dump().deliveries.get(&delivery).map_or(0, |row| row.attempts);
    let attempt = AttemptOutcome { delivery, attempt: attempts + 1, result: AttemptResult::Failed, next };
    store.run(&Action::SaveAttempt(attempt, now()), true);
}

fn resend(store: &mut impl Harness, step: ResendStep, at: Timestamp) -> SendDecision {
    match store.run(&Action::Resend(Arc::new(step), at), true) {
        Reaction::Decided(decision) => decision,
        other => panic!("{other:?}"),
    }
}

fn an_event_is_accepted_once_and_a_duplicate_ever_after<H: Harness>() {
    let mut store = H::new(settings());
    for event in [enroute("m"), delivered("m"), answer(reply("r"))] {
        assert_eq!(ingest(&mut store, vec![event.clone()]), Accepted);
        assert_eq!(ingest(&mut store, vec![event]), Duplicate);
    }
    assert_eq!(ingest(&mut store, vec![junk(1)]), Unrecognized);
    assert_eq!(ingest(&mut store, vec![junk(1)]), Duplicate);
    let dump = store.dump();
    assert_eq!((dump.messages.len(), dump.journal.len()), (1, 4));
    assert_eq!(dump.count("sms_messages_delivered_total{smsmode,SMS,OTP,FR}"), 1);
}

fn a_transaction_that_does_not_commit_leaves_nothing<H: Harness>() {
    let mut store = H::new(Settings { relays: relayed().relays, ..resending() });
    ingest(&mut store, vec![enroute("m")]);
    let before = store.dump();
    let events = vec![absent("m"), enroute("n"), answer(Reply { kind: ReplyKind::Stop, ..reply("r") }), junk(1)];
    for _ in 0..2 {
        let undone = store.run(&Action::Ingest(submission_at(now(), events.clone())), false);
        assert_eq!(undone, Reaction::Ingested(Accepted));
        assert_eq!(store.dump(), before);
    }
    store.restart();
    assert_eq!(store.dump(), before);
    assert_eq!(ingest(&mut store, events), Accepted);
}

fn a_restart_changes_nothing<H: Harness>() {
    let mut store = H::new(Settings { relays: relayed().relays, ..resending() });
    let events = vec![absent("m"), enroute("n"), answer(Reply { kind: ReplyKind::Stop, ..reply("r") }), junk(1)];
    ingest(&mut store, events.clone());
    let before = store.dump();
    store.restart();
    assert_eq!(store.dump(), before);
    assert_eq!(ingest(&mut store, events), Duplicate);
}

fn a_message_that_expired_and_arrives_after_all_is_corrected<H: Harness>() {
    let mut store = H::new(settings());
    ingest(&mut store, vec![enroute("m")]);
    let horizon = store.settings().horizon;
    for (at, expired) in [(now() + horizon - HOUR, 0), (now() + horizon, 1), (now() + 2 * horizon, 1)] {
        store.run(&Action::Expire(MessageRowId(1), at), true);
        assert_eq!(store.dump().count("sms_messages_expired_total{smsmode,SMS,OTP,FR}"), expired);
    }
    let dump = store.dump();
    let record = &dump.journal.values().next_back().unwrap().record;
    assert_eq!((record.kind, record.occurred_at), (Kind::Expired, Some(now() + horizon)));
    assert_eq!(ingest(&mut store, vec![delivered("m")]), Accepted);
    assert_eq!(store.dump().count("sms_messages_corrected_total{smsmode,SMS,OTP,FR,expired}"), 1);
}

fn legacy(part: &str, value: &str, outcome: Outcome) -> Event {
    event(Receipt { message_part: part.into(), shares_id: true, ..receipt("many", value, outcome) })
}

fn recipients_of_a_legacy_id_are_messages_of_their_own<H: Harness>() {
    let mut store = H::new(settings());
    for part in ["33612345678", "33687654321"] {
        assert_eq!(ingest(&mut store, vec![legacy(part, "0", Outcome::Delivered)]), Accepted);
        assert_eq!(ingest(&mut store, vec![legacy(part, "0", Outcome::Delivered)]), Duplicate);
    }
    assert_eq!(store.dump().messages.len(), 2);
    // Of whom of the two it is cannot be told.
    ingest(&mut store, vec![legacy("", "1", Outcome::Delivered)]);
    assert_eq!(store.dump().messages.len(), 3);
}

fn a_receipt_without_recipient_is_of_the_only_message_with_its_id<H: Harness>() {
    let mut store = H::new(settings());
    ingest(&mut store, vec![legacy("33612345678", "11", Outcome::Enroute)]);
    assert_eq!(ingest(&mut store, vec![legacy("", "0", Outcome::Delivered)]), Accepted);
    assert_eq!(store.dump().messages.len(), 1);
    assert_eq!(ingest(&mut store, vec![legacy("33612345678", "0", Outcome::Delivered)]), Duplicate);
}

fn a_message_takes_the_recipient_that_its_second_receipt_names<H: Harness>() {
    let mut store = H::new(settings());
    ingest(&mut store, vec![legacy("", "11", Outcome::Enroute)]);
    ingest(&mut store, vec![legacy("33612345678", "0", Outcome::Delivered)]);
    store.restart();
    assert_eq!(ingest(&mut store, vec![legacy("33612345678", "0", Outcome::Delivered)]), Duplicate);
    ingest(&mut store, vec![legacy("33687654321", "0", Outcome::Delivered)]);
    let parts: Vec<String> = store.dump().messages.into_values().map(|row| row.part).collect();
    assert_eq!(parts, ["33612345678", "33687654321"]);
}

fn of_an_ordering_key_one_delivery_at_a_time_is_due<H: Harness>() {
    use DeliveryState::{Blocked, Due};
    let mut store = H::new(relayed());
    for event in [enroute("m"), delivered("m"), enroute("n")] {
        ingest(&mut store, vec![event]);
    }
    assert_eq!(states(&store.dump()), [Due, Blocked, Due]);
    attempt(&mut store, 1, Next::Again { at: now() + HOUR, why: "no".into() });
    assert_eq!(states(&store.dump()), [Due, Blocked, Due]);
    attempt(&mut store, 1, Next::Done);
    assert_eq!(states(&store.dump()), [Due, Due]);
    assert_eq!(store.dump().count("sms_relay_pending{app}"), 2);
}

fn dead_letters_are_redriven_before_what_came_later<H: Harness>() {
    use DeliveryState::{Blocked, Dead, Due};
    let mut store = H::new(relayed());
    for id in ["a", "b", "c"] {
        ingest(&mut store, vec![answer(reply(id))]);
    }
    attempt(&mut store, 1, Next::Dead { why: "no".into() });
    assert_eq!(states(&store.dump()), [Dead, Due, Blocked]);
    let redriven = store.run(&Action::Redrive(DeadLetterFilter::Ids(vec![DeliveryId(1)]), now() + HOUR), true);
    assert_eq!(redriven, Reaction::Count(1));
    assert_eq!(states(&store.dump()), [Blocked, Due, Blocked]);
    attempt(&mut store, 2, Next::Done);
    assert_eq!(states(&store.dump()), [Due, Blocked]);
    assert_eq!(store.dump().deliveries[&DeliveryId(1)].attempts, 0);
}

fn a_delivery_that_is_too_old_is_a_dead_letter<H: Harness>() {
    let mut store = H::new(relayed());
    ingest(&mut store, vec![enroute("m"), delivered("m")]);
    for (at, expired) in [(now() + HOUR, 0), (now() + 2 * HOUR, 2), (now() + 3 * HOUR, 0)] {
        assert_eq!(store.run(&Action::ExpireDeliveries(at), true), Reaction::Count(expired));
    }
    let dump = store.dump();
    assert_eq!(dump.count("sms_relay_given_up_total{app}"), 2);
    assert!(dump.deliveries.values().all(|row| row.error.as_deref() == Some("too old")), "{dump:?}");
}

fn a_failure_is_resent_once_and_its_replacement_is_known_by_the_answer<H: Harness>() {
    let mut store = H::new(resending());
    ingest(&mut store, vec![absent("m")]);
    let SendDecision::Send(to_send) = resend(&mut store, ResendStep::Begin(ResendId(1)), now()) else { panic!() };
    assert_eq!((to_send.number.as_str(), to_send.text.as_str()), ("33612345678", "your parcel is here"));
    assert_eq!(resend(&mut store, ResendStep::Begin(ResendId(1)), now()), SendDecision::Gone);
    let sent = submission_at(now(), vec![event(parcel("n", "ENROUTE", Outcome::Enroute))]);
    resend(&mut store, ResendStep::End(ResendId(1), SendResult::Sent(Some(Box::new(sent)))), now());
    assert_eq!(store.dump().resends[&ResendId(1)].replacement, Some(MessageRowId(2)));
    ingest(&mut store, vec![delivered("n")]);
    let dump = store.dump();
    assert_eq!(dump.resends[&ResendId(1)].outcome, Some(ChainOutcome::Recovered));
    let last = &dump.journal.values().next_back().unwrap().record;
    assert_eq!(last.replaces.as_deref(), Some("m"));
}

fn a_replacement_is_recognized_by_its_reference<H: Harness>() {
    let mut store = H::new(resending());
    ingest(&mut store, vec![absent("m")]);
    resend(&mut store, ResendStep::Begin(ResendId(1)), now());
    store.restart();
    assert_eq!(store.dump().resends[&ResendId(1)].state, ResendState::Requested, "what was being sent is uncertain");
    ingest(&mut store, vec![event(parcel("n", "ENROUTE", Outcome::Enroute))]);
    assert_eq!(store.dump().resends[&ResendId(1)].replacement, Some(MessageRowId(2)));
}

fn who_has_opted_out_gets_no_resend<H: Harness>() {
    let mut store = H::new(resending());
    ingest(&mut store, vec![absent("m")]);
    ingest(&mut store, vec![answer(Reply { kind: ReplyKind::Stop, ..reply("r") })]);
    let decision = resend(&mut store, ResendStep::Begin(ResendId(1)), now());
    assert_eq!(decision, SendDecision::Ended(ResendResult::OptedOut));
    let dump = store.dump();
    assert_eq!((dump.count("sms_opt_outs{smsmode}"), dump.count("sms_resends_pending{absent}")), (1, 0));
    let later = Receipt { sent_at: Some(now() + HOUR), ..receipt("n", "ENROUTE", Outcome::Enroute) };
    ingest(&mut store, vec![event(later)]);
    assert_eq!(store.dump().count("sms_messages_after_opt_out_total{smsmode,SMS,OTP,FR}"), 1);
}

fn a_reply_finds_its_message_by_id_by_reference_and_by_number<H: Harness>() {
    let mut store = H::new(resending());
    ingest(&mut store, vec![event(parcel("m", "ENROUTE", Outcome::Enroute))]);
    for (id, ref_client, found) in [
        (Some("m"), None, Some(MatchedBy::MessageId)),
        (None, Some("order-1042"), Some(MatchedBy::RefClient)),
        (None, None, Some(MatchedBy::Number)),
    ] {
        let name = format!("{id:?}{ref_client:?}");
        let one = Reply {
            origin_message_id: id.map(str::to_owned),
            ref_client: ref_client.map(str::to_owned),
            ..reply(&name)
        };
        ingest(&mut store, vec![answer(one)]);
        let dump = store.dump();
        let record = &dump.journal.values().next_back().unwrap().record;
        assert_eq!(record.answers.as_ref().map(|answers| answers.matched_by), found, "{name}");
    }
    ingest_at(&mut store, now() + 2 * HOUR, vec![answer(reply("late"))]);
    let dump = store.dump();
    assert_eq!(dump.journal.values().next_back().unwrap().record.answers, None, "outside the window");
}

fn erase_all(store: &mut impl Harness) {
    let dump = store.dump();
    let regions = Regions::new([], Country::new("FR").unwrap());
    let subjects = Subjects::new(&["+33612345678".to_owned()], regions).unwrap();
    let target = Arc::new(Target { subjects, ids: HashSet::new() });
    store.run(&Action::EraseMessages(dump.messages.keys().copied().collect(), now()), true);
    let positions: Vec<Position> = dump.journal.keys().copied().collect();
    store.run(&Action::EraseEvents(positions, target, now()), true);
}

fn what_comes_of_an_erased_message_is_stored_without_the_person<H: Harness>() {
    let mut store = H::new(settings());
    ingest(
        &mut store,
        vec![event(parcel("m", "ENROUTE", Outcome::Enroute)), legacy("33612345678", "11", Outcome::Enroute)],
    );
    erase_all(&mut store);
    store.restart();
    assert_eq!(ingest(&mut store, vec![event(parcel("m", "ENROUTE", Outcome::Enroute))]), Duplicate);
    assert_eq!(ingest(&mut store, vec![legacy("33612345678", "11", Outcome::Enroute)]), Duplicate);
    ingest(&mut store, vec![event(parcel("m", "DELIVERED", Outcome::Delivered))]);
    ingest(&mut store, vec![legacy("33612345678", "0", Outcome::Delivered)]);
    let dump = store.dump();
    assert_eq!(dump.messages.len(), 2);
    let text = format!("{dump:?}");
    for personal in ["33612345678", "your parcel is here", "order-1042"] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
}

fn a_request_that_brings_back_an_erased_person_is_not_stored<H: Harness>() {
    let mut store = H::new(settings());
    ingest(&mut store, vec![answer(reply("r"))]);
    erase_all(&mut store);
    assert_eq!(ingest(&mut store, vec![answer(reply("r")), enroute("n")]), Accepted);
    let dump = store.dump();
    let bodies: Vec<_> = dump.journal.values().map(|event| event.body.clone()).collect();
    assert_eq!(bodies, [None, None]);
}
