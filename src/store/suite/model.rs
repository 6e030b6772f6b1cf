//! Random actions on every store at once: rows, journal and ledger stay the same on all of them, and the ledger stays true.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::actions::{Action, Dump};
use super::on_memory::OnMemory;
use super::{Harness, Settings};
use crate::event::{Event, Outcome, Reason, Receipt, Reply, ReplyKind};
use crate::lifecycle::State;
use crate::record::{Kind, Through};
use crate::route::{Filter, Format, RelayName, ResendRule, Route};
use crate::store::core::storage::{DeliveryState, ResendState};
use crate::store::ids::{DeliveryId, MessageRowId, ResendId};
use crate::store::opt_outs::{OptOutChange, Scope};
use crate::store::postgres::harness::{OnPostgres, has_server};
use crate::store::relays::{AttemptOutcome, AttemptResult, DeadLetterFilter, Next};
use crate::store::resends::{ResendStep, SendResult};
use crate::store::sqlite::harness::OnSqlite;
use crate::store::tests::{junk, receipt, reply, settings, source, submission_at};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn at(hours: u32) -> Timestamp {
    "2026-02-03T04:05:06Z".parse::<Timestamp>().unwrap() + hours * HOUR
}

/// With all features.
pub fn everything() -> Settings {
    let route = |name: &str, format| Route {
        relay: RelayName::new(name).unwrap(),
        format,
        filter: Filter::default(),
        is_fallback: false,
        max_age: 4 * HOUR,
    };
    let rule = ResendRule {
        name: RelayName::new("again").unwrap(),
        filter: Filter { kinds: vec![Kind::Failed], ..Filter::default() },
        through: Through::Api,
        is_dry_run: false,
        delay: HOUR,
        attempts: 2,
        ttl: 8 * HOUR,
        budget: 3,
    };
    Settings {
        horizon: 6 * HOUR,
        relays: vec![route("app", Format::CloudEvents), route("raw", Format::Raw)],
        resends: vec![rule],
        opt_outs: Some(Scope::Source),
        conversations: Some(HOUR),
        ..settings()
    }
}

/// Any event that changes something.
pub fn event() -> impl Strategy<Value = Event> {
    let outcomes = [
        ("SCHEDULED", Outcome::Scheduled),
        ("ENROUTE", Outcome::Enroute),
        ("DELIVERED", Outcome::Delivered),
        ("UNDELIVERED", Outcome::Failed(Reason::HandsetAbsent)),
        ("READ", Outcome::Read),
        ("ODD", Outcome::Unknown),
    ];
    let receipts = (0..4u8, prop::sample::select(outcomes.to_vec()), any::<bool>(), 0..3u8).prop_map(
        |(message, (value, outcome), is_sent, recipient)| {
            let mut receipt = Receipt {
                text: Some("text".into()),
                ref_client: (message % 2 == 0).then(|| format!("reference {message}")),
                sent_at: is_sent.then(|| at(0)),
                ..receipt(&format!("m{message}"), value, outcome)
            };
            if message == 3 {
                receipt.shares_id = true;
                receipt.message_part = ["", "33612345678", "33687654321"][usize::from(recipient)].into();
            }
            Event::Receipt(Box::new(receipt))
        },
    );
    let replies = (0..3u8, any::<bool>(), any::<bool>()).prop_map(|(id, is_stop, opts_in)| {
        let kind = if is_stop { ReplyKind::Stop } else { ReplyKind::Reply };
        Event::Reply(Box::new(Reply { kind, opts_in: opts_in && !is_stop, ..reply(&format!("r{id}")) }))
    });
    prop_oneof![6 => receipts, 2 => replies, 1 => (0..3u8).prop_map(junk)]
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Run(Box<Action>, bool),
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let hours = 0..12u32;
    let ingest = (hours.clone(), prop::collection::vec(event(), 1..4))
        .prop_map(|(hour, events)| Action::Ingest(submission_at(at(hour), events)));
    let attempt = (1..12i64, 1..4u32, 0..3u8, hours.clone()).prop_map(|(delivery, attempt, next, hour)| {
        let next = match next {
            0 => Next::Done,
            1 => Next::Again { at: at(hour + 1), why: "no".into() },
            _ => Next::Dead { why: "never".into() },
        };
        let (delivery, result) = (DeliveryId(delivery), AttemptResult::Failed);
        Action::SaveAttempt(AttemptOutcome { delivery, attempt, result, next }, at(hour))
    });
    let resend = (1..4i64, 0..5u8, hours.clone(), event()).prop_map(|(id, kind, hour, event)| {
        let id = ResendId(id);
        let step = match kind {
            0 | 1 => ResendStep::Begin(id),
            2 => ResendStep::End(id, SendResult::Sent(Some(Box::new(submission_at(at(hour), vec![event]))))),
            3 => ResendStep::End(id, SendResult::Again(at(hour + 1))),
            _ => ResendStep::End(id, SendResult::Uncertain),
        };
        Action::Resend(Arc::new(step), at(hour))
    });
    let opt_out = (any::<bool>(), hours.clone()).prop_map(|(opted_out, hour)| {
        Action::ChangeOptOut(OptOutChange {
            source: source(),
            number: "33612345678".into(),
            sender: String::new(),
            opted_out,
            since: at(hour),
        })
    });
    let message = || (1..8i64, 0..20u32);
    prop_oneof![
        8 => ingest,
        2 => message().prop_map(|(id, hour)| Action::Expire(MessageRowId(id), at(hour))),
        4 => attempt,
        1 => hours.clone().prop_map(|hour| Action::ExpireDeliveries(at(hour))),
        1 => hours.clone().prop_map(|hour| Action::Redrive(DeadLetterFilter::All, at(hour))),
        4 => resend,
        1 => opt_out,
        1 => message().prop_map(|(id, hour)| Action::EraseMessages(vec![MessageRowId(id)], at(hour))),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (action(), prop::bool::weighted(0.85)).prop_map(|(action, commits)| Step::Run(Box::new(action), commits)),
        1 => Just(Step::Restart),
    ]
}

/// What the counters say is what the rows say.
fn is_true(dump: &Dump) -> Result<(), TestCaseError> {
    let messages =
        |is_it: fn(State) -> bool| dump.messages.values().filter(|row| is_it(row.message.state)).count() as i64;
    prop_assert_eq!(dump.sum("sms_messages_total"), dump.messages.len() as i64);
    prop_assert_eq!(dump.sum("sms_messages_pending"), messages(State::is_pending));
    let [delivered, failed, expired, corrected] =
        ["delivered", "failed", "expired", "corrected"].map(|word| dump.sum(&format!("sms_messages_{word}_total")));
    let settled = dump.messages.len() as i64 - messages(State::is_pending);
    prop_assert_eq!(delivered + failed + expired - corrected, settled);
    let deliveries =
        |is_it: fn(DeliveryState) -> bool| dump.deliveries.values().filter(|row| is_it(row.state)).count() as i64;
    prop_assert_eq!(dump.sum("sms_relay_pending"), deliveries(|state| state != DeliveryState::Dead));
    prop_assert_eq!(dump.sum("sms_relay_dead_letters"), deliveries(|state| state == DeliveryState::Dead));
    let unfinished = |state| matches!(state, ResendState::Waiting | ResendState::Sending);
    let waiting = dump.resends.values().filter(|row| unfinished(row.state)).count() as i64;
    prop_assert_eq!(dump.sum("sms_resends_pending"), waiting);
    for row in dump.deliveries.values().filter(|row| row.state == DeliveryState::Blocked) {
        let first =
            dump.deliveries.values().filter(|one| one.relay == row.relay && one.ordering_key == row.ordering_key);
        prop_assert_eq!(
            first.filter(|one| one.state == DeliveryState::Due).count(),
            1,
            "what is blocked waits for one"
        );
    }
    Ok(())
}

/// Two stores do the same, and both are true.
fn come_to_the_same<A: Harness, B: Harness>(mut one: A, mut other: B, steps: Vec<Step>) -> Result<(), TestCaseError> {
    for step in steps {
        match step {
            Step::Run(action, commits) => {
                prop_assert_eq!(one.run(&action, commits), other.run(&action, commits));
            }
            Step::Restart => {
                one.restart();
                other.restart();
            }
        }
        let dump = one.dump();
        prop_assert_eq!(&dump, &other.dump());
        is_true(&dump)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn all_stores_come_to_the_same_whatever_happens(steps in prop::collection::vec(step(), 1..40)) {
        let mut memory = OnMemory::new(everything());
        memory.memory.reuses_ids = true;
        come_to_the_same(memory, OnSqlite::new(everything()), steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn so_does_postgres(steps in prop::collection::vec(step(), 1..40), prefetches in any::<bool>()) {
        if has_server() {
            let mut postgres = OnPostgres::new(everything());
            postgres.prefetches = prefetches;
            come_to_the_same(OnMemory::new(everything()), postgres, steps)?;
        }
    }

    #[test]
    fn requests_in_one_transaction_come_to_the_same_as_one_by_one(
        batches in prop::collection::vec(prop::collection::vec(action(), 1..12), 1..5),
    ) {
        if has_server() {
            let (mut memory, mut postgres) = (OnMemory::new(everything()), OnPostgres::new(everything()));
            // The rules know of an erasure from the next transaction on.
            let erases = |action: &Action| matches!(action, Action::EraseMessages(..));
            for batch in batches.iter().flat_map(|batch| batch.chunk_by(|one, next| !erases(one) && !erases(next))) {
                let reactions: Vec<_> = batch.iter().map(|action| memory.run(action, true)).collect();
                prop_assert_eq!(reactions, postgres.run_all(batch, true));
                prop_assert_eq!(memory.dump(), postgres.dump());
            }
        }
    }
}
