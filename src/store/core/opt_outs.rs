//! Who wants no messages: fed by STOP and START in the transaction of the reply, and by the operator's commands.
//!
//! A number is found by a keyed hash of it, so that an erased person, whose number is deleted, is still not written to. The key is in
//! the database: an attacker who has all of it could try all numbers on it. That is the price of honoring a STOP after an erasure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Tx;
use super::storage::{NewOptOut, Storage};
use crate::event::{Receipt, Reply, ReplyKind, SourceName};
use crate::ledger::accounting::MessageLabels;
use crate::ledger::catalogue::Metric;
pub use crate::route::OptOutScope as Scope;
use crate::store::ids::OptOutSeq;

/// The latest word of a number to a sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// The place of this change.
    pub seq: OptOutSeq,
    /// Digits of E.164; `None` once the person has been erased.
    pub number: Option<String>,
    pub source: String,
    /// What was written to; empty where that is not known, and then all of the source is meant.
    pub sender: String,
    pub opted_out: bool,
    pub since: Timestamp,
    /// `reply` or `command`.
    pub origin: String,
}

impl OptOut {
    /// Whether it is about messages of a sender.
    pub(super) fn covers(&self, sender: &str) -> bool {
        self.sender.is_empty() || self.sender == sender
    }
}

/// A change that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOutChange {
    pub source: SourceName,
    /// As it is stored: digits of E.164.
    pub number: String,
    pub sender: String,
    pub opted_out: bool,
    pub since: Timestamp,
}

impl<S: Storage> Tx<'_, S> {
    /// Opts a person out, or in again, by the keyword of a reply.
    pub(super) fn apply_keyword(
        &mut self,
        source: &SourceName,
        reply: &Reply,
        arrived_at: Timestamp,
    ) -> Result<(), S::Error> {
        let (Some(_), Some(number)) = (self.settings.opt_outs, &reply.number) else { return Ok(()) };
        let opted_out = reply.kind == ReplyKind::Stop;
        if !opted_out && !reply.opts_in {
            return Ok(());
        }
        let change = OptOutChange {
            source: source.clone(),
            number: number.clone(),
            sender: reply.originator.clone().unwrap_or_default(),
            opted_out,
            since: reply.time.unwrap_or(arrived_at).min(arrived_at),
        };
        self.change_opt_out(&change, "reply").map(drop)
    }

    /// `false` when it changes nothing: the same has been said, or something later.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn change_opt_out(&mut self, change: &OptOutChange, origin: &str) -> Result<bool, S::Error> {
        let person = self.pseudonymizer.person(&change.number);
        let said = self.storage.opt_outs_of(&change.source, &person)?;
        let earlier = said.iter().find(|one| one.sender == change.sender);
        // Replies may come out of order. Who never opted out has nothing to undo.
        if earlier.is_some_and(|one| one.opted_out) == change.opted_out
            || earlier.is_some_and(|one| one.since > change.since)
        {
            return Ok(false);
        }
        let seq = self.storage.put_opt_out(
            &person,
            &NewOptOut {
                source: &change.source,
                sender: &change.sender,
                number: &change.number,
                opted_out: change.opted_out,
                since: change.since,
                origin,
            },
        )?;
        self.outcome.newest_opt_out = Some(seq);
        self.add(Metric::OptOuts, &[change.source.as_str()], if change.opted_out { 1 } else { -1 });
        Ok(true)
    }

    /// Counts a message, seen for the first time, that was accepted or sent after its recipient had opted out. Where the provider
    /// tells no such time, as the legacy API does, it cannot be known.
    pub(super) fn count_after_opt_out(
        &mut self,
        source: &SourceName,
        receipt: &Receipt,
        labels: &MessageLabels,
    ) -> Result<(), S::Error> {
        let Some(scope) = self.settings.opt_outs else { return Ok(()) };
        let is_after = match (receipt.accepted_at.or(receipt.sent_at), &receipt.number) {
            (Some(sent_at), Some(number)) => {
                let person = self.pseudonymizer.person(number);
                let sender = receipt.originator.as_deref().unwrap_or_default();
                let is_meant = |one: &OptOut| one.opted_out && (scope == Scope::Source || one.covers(sender));
                let said = self.storage.opt_outs_of(source, &person)?;
                said.iter().any(|one| is_meant(one) && one.since < sent_at)
            }
            _ => false,
        };
        self.counters().after_opt_out(labels, is_after);
        Ok(())
    }
}
