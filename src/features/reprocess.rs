//! Decodes stored unrecognized requests again, by today's decoder.
//!
//! Their events are processed like those of a webhook, under the same dedup keys: an event that has arrived by another way since is
//! a duplicate. Each event is a submission of its own, a short transaction between those of requests; the last one of a request records that
//! its unrecognized events are understood, so a kill at any moment leaves the rest to the next run, and nothing is counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Event, SourceName};
use crate::inbound::{self, InboundRequest, allows_channel, is_recognized};
use crate::record::Position;
use crate::settings::Source;
use crate::store::Raw;
use crate::store::{IngestOutcome, Reprocessed, Store, StoreError, Submission, Unrecognized};

/// How long to wait while the writer's queue is full, and how often at most.
const QUEUE_PAUSE: Duration = Duration::from_millis(50);
const MAX_QUEUE_PAUSES: u32 = 200;

/// Which requests are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Of one source, or of all.
    pub source: Option<String>,
    /// That arrived at this time or later.
    pub since: Option<Timestamp>,
}

impl Scope {
    /// An error if there is no such source.
    pub fn check(&self, sources: &[Source]) -> Result<(), String> {
        let Some(name) = &self.source else { return Ok(()) };
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        match known.contains(&name.as_str()) {
            true => Ok(()),
            false => Err(format!("--source = {name:?}: expected one of {}", known.join(", "))),
        }
    }
}

/// The results for the unrecognized events of one source; in a dry run, the expected results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Unrecognized events that were read.
    pub read: u64,
    /// Events that were made of them, by outcome: `pending`, `delivered`, `failed`, `read`, `unknown`; `reply` for replies.
    pub understood: BTreeMap<String, u64>,
    /// Events that had arrived by another way since.
    pub duplicate: u64,
    /// Unrecognized events that are not understood now, either.
    pub unrecognized: u64,
    /// Unrecognized events whose request is not there any more, since a person in it was erased.
    pub erased: u64,
    /// Unrecognized events of a source that is not configured.
    pub not_configured: u64,
}

/// What was read, by source.
pub type Tallies = BTreeMap<SourceName, Tally>;

/// Why the run is incomplete. What was stored stays stored, and the same command does the rest.
#[derive(Debug, thiserror::Error)]
pub enum ReprocessError {
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("smscope is ending")]
    Stopped,
}

/// Decodes the store's unrecognized requests again, and stores the events that are recognized now. Calls `goes_on` before each. Blocks: not for
/// async code.
///
/// # Errors
/// A store error, or `goes_on` returned false.
pub fn reprocess(
    sources: &[Source],
    store: &Store,
    scope: &Scope,
    goes_on: impl Fn() -> bool,
) -> Result<Tallies, ReprocessError> {
    let next = |position, newest| {
        store
            .blocking()
            .unrecognized_after(position, newest)
            .map_err(|error| ReprocessError::Unreadable(error.to_string()))
    };
    let newest = *store.newest().borrow();
    walk(sources, scope, newest, next, |submission| {
        if !goes_on() {
            return Err(ReprocessError::Stopped);
        }
        let mut attempts = 0;
        loop {
            match store.blocking().commit(submission.clone()) {
                Err(StoreError::QueueFull) if attempts < MAX_QUEUE_PAUSES => {
                    attempts += 1;
                    std::thread::sleep(QUEUE_PAUSE);
                }
                ended => return Ok(ended?),
            }
        }
    })
}

/// Counts what [`reprocess`] would read, and stores nothing. Events that have arrived by another way since are not distinguished.
///
/// # Errors
/// The store cannot be read.
pub fn rehearse(
    sources: &[Source],
    scope: &Scope,
    newest: Position,
    next: impl FnMut(Position, Position) -> Result<Option<(Unrecognized, Position)>, ReprocessError>,
) -> Result<Tallies, ReprocessError> {
    walk(sources, scope, newest, next, |submission| {
        Ok(if submission.events.iter().any(is_recognized) {
            IngestOutcome::Accepted
        } else {
            IngestOutcome::Unrecognized
        })
    })
}

fn walk(
    sources: &[Source],
    scope: &Scope,
    newest: Position,
    mut next: impl FnMut(Position, Position) -> Result<Option<(Unrecognized, Position)>, ReprocessError>,
    mut submit: impl FnMut(Submission) -> Result<IngestOutcome, ReprocessError>,
) -> Result<Tallies, ReprocessError> {
    let mut tallies = Tallies::new();
    let mut position = Position::default();
    while let Some((found, last)) = next(position, newest)? {
        position = last;
        let is_wanted = scope.since.is_none_or(|since| found.received_at >= since)
            && scope.source.as_deref().is_none_or(|source| found.source.as_str() == source);
        if !is_wanted {
            continue;
        }
        let tally = tallies.entry(found.source.clone()).or_default();
        let count = found.events.len() as u64;
        tally.read += count;
        let source = sources.iter().find(|source| source.name == found.source);
        match (source, &found.raw) {
            (None, _) => tally.not_configured += count,
            (Some(_), None) => tally.erased += count,
            (Some(source), Some(raw)) => read(source, &found, raw, tally, &mut submit)?,
        }
    }
    Ok(tallies)
}

/// Decodes one request, and counts the results.
fn read(
    source: &Source,
    found: &Unrecognized,
    raw: &Raw,
    tally: &mut Tally,
    submit: &mut impl FnMut(Submission) -> Result<IngestOutcome, ReprocessError>,
) -> Result<(), ReprocessError> {
    let request = InboundRequest {
        method: "",
        query: raw.query.as_str().into(),
        content_type: raw.content_type.as_deref(),
        body: raw.body.clone(),
    };
    let mut decoded = request.decode(source);
    let redacted = decoded.drop_text();
    // A channel that is not allowed was rejected at ingest: what was stored named none that could be read.
    let (understood, rest): (Vec<Event>, Vec<Event>) =
        decoded.events.into_iter().partition(|event| is_recognized(event) && allows_channel(source, event));
    let mut left = rest.len().min(found.events.len());
    let mut to_store = understood;
    // A request that was one event as a whole, and has several now: those that are not understood are events of their own.
    if found.is_whole && !to_store.is_empty() && !rest.is_empty() {
        to_store.extend(rest.into_iter().filter(|event| !is_recognized(event)));
        left = 0;
    }
    if to_store.is_empty() || left == found.events.len() {
        tally.unrecognized += found.events.len() as u64;
        return Ok(());
    }
    tally.unrecognized += left as u64;
    let resolves = found.events[..found.events.len() - left].to_vec();
    let count = to_store.len();
    for (at, event) in to_store.into_iter().enumerate() {
        let is_last = at + 1 == count;
        let label = match &event {
            Event::Receipt(receipt) => receipt.status.outcome.label(),
            Event::Reply(_) => "reply",
            Event::Unrecognized(_) => "",
        };
        let reprocessed = Reprocessed {
            request: found.request,
            resolves: if is_last { resolves.clone() } else { Vec::new() },
            redacted: redacted.clone().filter(|_| is_last),
            at: Timestamp::now(),
        };
        let outcome = submit(inbound::reprocessed_event(found, event, decoded.repaired, reprocessed))?;
        match outcome {
            IngestOutcome::Accepted => *tally.understood.entry(label.to_owned()).or_default() += 1,
            IngestOutcome::Duplicate if !label.is_empty() => tally.duplicate += 1,
            IngestOutcome::Duplicate | IngestOutcome::Unrecognized => tally.unrecognized += 1,
        }
    }
    Ok(())
}
