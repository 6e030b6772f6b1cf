//! Erasing people in a store: the search, which reads beside the writer, a page at a time, and the order of the steps of
//! [`super::core::erase`]. What the bytes of the files need comes after it, and is the database's.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::core::erase::{Found, Step, Subjects, Target, may_hold_several, names_one_of};
use super::ids::{MessageRowId, OptOutSeq};
use super::read::{PAGE, PersonalEvent, Reader, Recipient, Table};
use super::{OpenError, StoreError};
use crate::record::{Kind, Position};

/// Rows that are changed in one transaction.
pub(super) const CHANGED: usize = 100;

/// What an erasure has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub messages: u64,
    pub events: u64,
    /// The write-ahead log of the embedded store holds nothing any more.
    pub log_is_cut: bool,
    /// Tables of a fleet's database that are rewritten later, and hold what was erased between their rows until then.
    #[serde(default)]
    pub to_rewrite: u64,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    SearchingMessages,
    SearchingEvents,
    Overwriting,
}

/// Why not all was erased. What was done stays done, and the same command does the rest.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("smscope is ending")]
    Stopped,
}

/// Gets the progress of an erasure, and returns whether it continues.
pub trait ProgressSink: FnMut(Progress) -> bool {}
impl<T: FnMut(Progress) -> bool> ProgressSink for T {}

/// Finds and redacts all that is stored of `subjects`. `perform` runs a step in a transaction that is on disk when it returns, and gives
/// how many rows had something of them.
///
/// # Errors
/// The store cannot be read, or `perform` failed. What was done stays done.
pub(super) fn redact(
    reader: &dyn Reader,
    subjects: &Subjects,
    mut perform: impl FnMut(Step) -> Result<u64, EraseError>,
    sink: &mut impl ProgressSink,
) -> Result<Erased, EraseError> {
    let mut erased = Erased::default();
    let mut search = Search { reader, messages: HashSet::new(), erased_before: HashSet::new(), ids: HashSet::new() };
    let mut fresh = search.messages(subjects, sink)?;
    loop {
        for step in fresh.chunks(CHANGED) {
            erased.messages += perform(Step::Messages(step.to_vec()))?;
        }
        let target = Arc::new(Target { subjects: subjects.clone(), ids: search.ids.clone() });
        let (events, others) = search.events(&target, sink)?;
        for step in events.chunks(CHANGED) {
            erased.events += perform(Step::Events { events: step.to_vec(), target: target.clone() })?;
        }
        // Messages whose own row names someone else, or nobody.
        fresh = others;
        if fresh.is_empty() {
            break;
        }
    }
    for step in search.opt_outs(subjects)?.chunks(CHANGED) {
        perform(Step::OptOuts(step.to_vec()))?;
    }
    Ok(erased)
}

/// # Errors
/// The erasure is to stop.
pub(super) fn report(sink: &mut impl ProgressSink, phase: Phase, done: i64, of: i64) -> Result<(), EraseError> {
    let progress = Progress { phase, done: done.unsigned_abs(), of: of.unsigned_abs() };
    if sink(progress) { Ok(()) } else { Err(EraseError::Stopped) }
}

struct Search<'a> {
    reader: &'a dyn Reader,
    /// Theirs, as far as they are known.
    messages: HashSet<MessageRowId>,
    /// Those of earlier erasures: one may have been broken off before their events were reached.
    erased_before: HashSet<MessageRowId>,
    /// The provider's ids of their messages and replies.
    ids: HashSet<String>,
}

impl Search<'_> {
    /// Finds the messages to them.
    fn messages(&mut self, subjects: &Subjects, sink: &mut impl ProgressSink) -> Result<Vec<MessageRowId>, EraseError> {
        let (mut found, newest) = (Vec::new(), self.newest(Table::Messages)?);
        let mut place = MessageRowId::default();
        loop {
            let page = self.reader.recipients_after(place, PAGE)?;
            let is_last = page.len() < PAGE;
            for Recipient { id, source, message_id, number, part, is_erased } in page {
                place = id;
                if is_erased {
                    self.erased_before.insert(id);
                } else if number.is_some_and(|number| subjects.have(&source, &number)) || subjects.have(&source, &part)
                {
                    self.ids.insert(message_id);
                    self.messages.insert(id);
                    found.push(id);
                }
            }
            report(sink, Phase::SearchingMessages, place.0, newest)?;
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Finds the events that have something of them; and messages of theirs that are only known by these.
    fn events(
        &mut self,
        target: &Target,
        sink: &mut impl ProgressSink,
    ) -> Result<(Vec<Found>, Vec<MessageRowId>), EraseError> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        let newest = self.newest(Table::Events)?;
        let mut place = Position::default();
        loop {
            let page = self.reader.personal_events_after(place, PAGE)?;
            let is_last = page.len() < PAGE;
            for event in page {
                place = event.position;
                self.look_at(event, target, &mut found, &mut others);
            }
            report(sink, Phase::SearchingEvents, place.0, newest)?;
            if is_last {
                return Ok((found, others));
            }
        }
    }

    fn look_at(
        &mut self,
        event: PersonalEvent,
        target: &Target,
        found: &mut Vec<Found>,
        others: &mut Vec<MessageRowId>,
    ) {
        let PersonalEvent { position, source, kind, message, raw, person } = event;
        let (query, body) = raw.as_ref().map_or(("", &[][..]), |raw| (&raw.query, &raw.body));
        let by_number = person.number.is_some_and(|number| target.subjects.have(&source, &number));
        let is_reply = [Kind::Reply.as_str(), Kind::Stop.as_str()].contains(&&*kind);
        // What is written to us after an erasure is another matter.
        let was_left = !is_reply && !person.erased;
        let by_message = message.is_some_and(|message| {
            self.messages.contains(&message) || (was_left && self.erased_before.contains(&message))
        });
        let has_others = may_hold_several(body);
        let is_unrecognized = kind == Kind::Unrecognized.as_str();
        let in_request = || target.subjects.are_in(&source, body) || target.subjects.are_in(&source, query.as_bytes());
        let is_theirs = by_number || by_message || (is_unrecognized && !has_others && in_request());
        if !is_theirs && !(has_others && (in_request() || names_one_of(body, &target.ids))) {
            return;
        }
        found.push(Found { position, is_theirs });
        if is_reply && is_theirs {
            self.ids.extend(person.message_id.clone());
        }
        if let Some(message) = message.filter(|_| by_number && !is_reply)
            && self.messages.insert(message)
        {
            others.push(message);
            self.ids.extend(person.message_id);
        }
    }

    /// Finds the opt-outs that have their number.
    fn opt_outs(&self, subjects: &Subjects) -> Result<Vec<OptOutSeq>, EraseError> {
        let (mut found, mut place) = (Vec::new(), OptOutSeq::default());
        loop {
            let page = self.reader.opt_outs_after(place, PAGE)?;
            let is_last = page.len() < PAGE;
            for opt_out in page {
                place = opt_out.seq;
                if opt_out.number.is_some_and(|number| subjects.have(&opt_out.source, &number)) {
                    found.push(place);
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    fn newest(&self, table: Table) -> Result<i64, StoreError> {
        Ok(self.reader.ends(table)?.map_or(0, |(_, newest)| newest))
    }
}
