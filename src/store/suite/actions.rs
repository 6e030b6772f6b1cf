//! What can be done to a store, and what it says then.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ledger::Ledger;
use crate::record::{Position, Record};
use crate::store::core::Tx;
use crate::store::core::erase::{Found, Step, Target};
use crate::store::core::storage::{DeliveryRow, MessageRow, ResendRow, Storage};
use crate::store::ids::{DeliveryId, MessageRowId, ResendId};
use crate::store::opt_outs::OptOutChange;
use crate::store::relays::{AttemptOutcome, DeadLetterFilter};
use crate::store::resends::{ResendStep, SendDecision};
use crate::store::{IngestOutcome, Submission};

#[derive(Clone, Debug)]
pub enum Action {
    Start,
    Ingest(Submission),
    /// Of one message.
    Expire(MessageRowId, Timestamp),
    SaveAttempt(AttemptOutcome, Timestamp),
    ExpireDeliveries(Timestamp),
    Redrive(DeadLetterFilter, Timestamp),
    Resend(Arc<ResendStep>, Timestamp),
    ChangeOptOut(OptOutChange),
    EraseMessages(Vec<MessageRowId>, Timestamp),
    EraseEvents(Vec<Position>, Arc<Target>, Timestamp),
}

/// What an action answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    Ingested(IngestOutcome),
    Decided(SendDecision),
    Count(u64),
    Done,
}

impl Action {
    /// Runs it by the rules.
    pub fn run<S: Storage>(&self, rules: &mut Tx<'_, S>) -> Result<Reaction, S::Error> {
        Ok(match self {
            Self::Start => rules.start().map(|()| Reaction::Done)?,
            Self::Ingest(submission) => Reaction::Ingested(rules.ingest(submission, None)?),
            Self::Expire(id, now) => {
                let horizon = rules.settings().horizon;
                rules.expire(*id, *now, horizon).map(|()| Reaction::Done)?
            }
            Self::SaveAttempt(attempt, now) => rules.save_attempt(attempt, *now).map(|()| Reaction::Done)?,
            Self::ExpireDeliveries(now) => Reaction::Count(rules.expire_deliveries(*now)? as u64),
            Self::Redrive(filter, now) => Reaction::Count(rules.redrive(filter, DeliveryId::default(), *now)?.redriven),
            Self::Resend(step, now) => Reaction::Decided(rules.resend(step, *now)?),
            Self::ChangeOptOut(change) => Reaction::Count(rules.change_opt_out(change, "command")?.into()),
            Self::EraseMessages(ids, now) => {
                Reaction::Count(rules.eraser().perform(&Step::Messages(ids.clone()), *now)?)
            }
            Self::EraseEvents(positions, target, now) => {
                let found = |position: &Position| Found { position: *position, is_theirs: true };
                let events = positions.iter().map(found).collect();
                Reaction::Count(rules.eraser().perform(&Step::Events { events, target: target.clone() }, *now)?)
            }
        })
    }
}

/// An event as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The event that holds the request, where it is not this one.
    pub request: Option<Position>,
    pub previous: Option<Position>,
    pub record: Record,
    pub body: Option<Vec<u8>>,
}

/// All that a store holds, as far as the rules can see it.
#[derive(Debug, Default, PartialEq)]
pub struct Dump {
    pub messages: BTreeMap<MessageRowId, MessageRow>,
    pub journal: BTreeMap<Position, StoredEvent>,
    pub deliveries: BTreeMap<DeliveryId, DeliveryRow>,
    pub resends: BTreeMap<ResendId, ResendRow>,
    /// The series that are not 0.
    pub ledger: BTreeMap<String, i64>,
}

/// More rows than any test makes.
const MOST: i64 = 400;

impl Dump {
    pub fn of<S: Storage>(storage: &S, ledger: &Ledger) -> Result<Self, S::Error> {
        let mut dump = Self { ledger: series(ledger), ..Self::default() };
        for id in 1..MOST {
            if let Some(row) = storage.message(MessageRowId(id))? {
                dump.messages.insert(MessageRowId(id), row);
            }
            if let Some(event) = storage.event(Position(id))? {
                let body = storage.request_body(Position(id))?.and_then(|(_, body)| body);
                let request = storage.event_source(Position(id))?.and_then(|(_, request)| request);
                let (previous, record) = (event.previous, event.record);
                dump.journal.insert(Position(id), StoredEvent { request, previous, record, body });
            }
            if let Some(row) = storage.delivery(DeliveryId(id))? {
                dump.deliveries.insert(DeliveryId(id), row);
            }
            if let Some(row) = storage.resend(ResendId(id))? {
                dump.resends.insert(ResendId(id), row);
            }
        }
        Ok(dump)
    }

    /// The value of `name{value,value}`.
    pub fn count(&self, series: &str) -> i64 {
        self.ledger.get(series).copied().unwrap_or(0)
    }

    /// The sum of all series of a metric.
    pub fn sum(&self, metric: &str) -> i64 {
        let prefix = format!("{metric}{{");
        self.ledger.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, value)| value).sum()
    }
}

fn series(ledger: &Ledger) -> BTreeMap<String, i64> {
    let families = ledger.reading().families();
    let samples = families.iter().flat_map(|family| family.samples.iter().map(move |sample| (family, sample)));
    let shown = samples.filter(|(_, sample)| sample.value != 0);
    shown.map(|(f, sample)| (format!("{}{{{}}}", f.description.name, sample.labels.join(",")), sample.value)).collect()
}
