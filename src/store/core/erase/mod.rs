//! Erasing people (GDPR, article 17): number, text, request, reference and everything else that tells of them is deleted from each of
//! their events and messages. Keys, outcome and labels stay, so that counts hold and a retransmission is recognized.
//!
//! 1. Their messages are searched and marked. A marked message has no number; what comes of it later is stored without the person
//!    (`ingest.rs`). From then on there is nothing new to be found.
//! 2. Their events are searched, by number and by message, and redacted with the requests that brought them.
//! 3. Their opt-outs lose the number, and are still honored by its keyed hash (`opt_outs.rs`).
//!
//! The search and what the bytes of the files need is the database's: see `sqlite/erase.rs`. Each change is a [`Step`], a short
//! transaction. A kill in between loses nothing but the rest of the work, which the same command does when it is run again.
//!
//! A legacy message is identified by its recipient too. Of an erased one a keyed hash stands there ([`super::Pseudonymizer`]): that is
//! the price of recognizing a retransmission.

mod redact;
mod subjects;

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

pub use redact::receipt as redacted_receipt;
pub use redact::{may_hold_several, names_one_of};
pub use subjects::{Regions, Subjects};

use super::Pseudonymizer;
use super::records::reply_key;
use super::storage::{MessageRow, Storage};
use crate::event::{SourceName, plain_id};
use crate::record::{Kind, Position, Record};
use crate::store::ids::{MessageRowId, OptOutSeq};

/// One transaction's work.
pub enum Step {
    /// Marks messages, so that what comes of them from now on is stored without the person, and redacts their rows.
    Messages(Vec<MessageRowId>),
    /// Redacts events, and the requests that brought them.
    Events { events: Vec<Found>, target: Arc<Target> },
    /// Deletes the number of opt-outs.
    OptOuts(Vec<OptOutSeq>),
}

/// Who is erased.
#[derive(Debug)]
pub struct Target {
    pub subjects: Subjects,
    /// The provider's ids of their messages and replies.
    pub ids: HashSet<String>,
}

/// An event that has something of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub position: Position,
    /// Not only the request that it came with, which had other events too.
    pub is_theirs: bool,
}

/// The rules of an erasure on one open transaction.
pub struct Eraser<'a, S> {
    pub storage: &'a mut S,
    pub pseudonymizer: &'a Pseudonymizer,
}

impl<S: Storage> Eraser<'_, S> {
    /// Does a step; gives how many rows had something of the person.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn perform(&mut self, step: &Step, now: Timestamp) -> Result<u64, S::Error> {
        let mut count = 0;
        match step {
            Step::Messages(ids) => {
                self.storage.note_erasure(now)?;
                for id in ids {
                    count += u64::from(self.erase_message(*id, now)?);
                }
            }
            Step::Events { events, target } => {
                self.storage.note_erasure(now)?;
                for found in events {
                    count += u64::from(self.erase_event(*found, target)?);
                }
            }
            Step::OptOuts(opt_outs) => {
                self.storage.note_erasure(now)?;
                for opt_out in opt_outs {
                    count += u64::from(self.storage.forget_number(*opt_out)?);
                }
            }
        }
        Ok(count)
    }

    /// `false` when it has been erased before, or has expired.
    fn erase_message(&mut self, id: MessageRowId, now: Timestamp) -> Result<bool, S::Error> {
        let Some(row) = self.storage.message(id)?.filter(|row| row.erased_at.is_none()) else { return Ok(false) };
        let erased = MessageRow { number: None, ref_client: None, erased_at: Some(now), ..row.clone() };
        self.storage.put_message(id, &erased)?;
        self.storage.put_search_keys(id, &row, &erased)?;
        if !erased.part.is_empty() {
            let part = self.pseudonymizer.part(&erased.part);
            self.storage.set_part(id, &MessageRow { part, ..erased })?;
        }
        self.storage.forget_conversations(id)?;
        self.storage.forget_expectation(id)?;
        Ok(true)
    }

    /// Whether the event itself was redacted now.
    fn erase_event(&mut self, found: Found, target: &Target) -> Result<bool, S::Error> {
        let Some((source, request)) = self.storage.event_source(found.position)? else { return Ok(false) };
        self.erase_request(request.unwrap_or(found.position), &source, found.is_theirs, target)?;
        // A record of somebody else, which may be unreadable, is not read.
        if !found.is_theirs {
            return Ok(false);
        }
        let Some(event) = self.storage.event(found.position)? else { return Ok(false) };
        let mut record = event.record;
        self.erase_key(&record, event.received_at)?;
        if record.erased {
            return Ok(false);
        }
        redact::record(&mut record, &target.subjects);
        self.storage.put_record(found.position, &record)?;
        Ok(true)
    }

    /// The request that is stored with the event at `position`: of an array or lines the elements that are theirs are deleted, of
    /// anything else all of it.
    fn erase_request(
        &mut self,
        position: Position,
        source: &SourceName,
        is_theirs: bool,
        target: &Target,
    ) -> Result<(), S::Error> {
        // Expired, or what it held is erased.
        let Some((received_at, body)) =
            self.storage.request_body(position)?.filter(|(_, body)| body.is_some() || is_theirs)
        else {
            return Ok(());
        };
        let may_hold_several = body.as_deref().is_some_and(redact::may_hold_several);
        let rest = body.and_then(|body| redact::elements(source.as_str(), &body, &target.subjects, &target.ids));
        if rest.is_some() || may_hold_several {
            // The digest is of what is deleted now: all that came at that moment stands for it.
            self.storage.erase_unrecognized_keys(source, received_at)?;
        }
        self.storage.redact_request(position, rest.as_deref())
    }

    /// Marks the dedup key of a reply or an unrecognized request.
    fn erase_key(&mut self, record: &Record, received_at: Timestamp) -> Result<(), S::Error> {
        match (record.kind, &record.message_id) {
            (Kind::Reply | Kind::Stop, Some(id)) => {
                self.storage.erase_event_key(&record.source, &reply_key(&plain_id(id.clone())))
            }
            (Kind::Unrecognized, _) => self.storage.erase_unrecognized_keys(&record.source, received_at),
            _ => Ok(()),
        }
    }
}
