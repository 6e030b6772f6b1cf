//! Which message stands for which: failures that are noted, replacements that are recognized, how the chain ended.

use jiff::Timestamp;

use crate::event::{Receipt, SourceName};
use crate::ledger::catalogue::Metric;
use crate::lifecycle::Change;
use crate::record::{Position, Record};
use crate::route::resend_rule;
use crate::store::core::ingest::RequestContext;
use crate::store::core::storage::{MessageRow, ResendRow, ResendState, Storage};
use crate::store::core::{Pseudonymizer, Tx};
use crate::store::ids::{KeyedHash, MessageRowId, ResendId};
use crate::store::{CLOCK_SKEW, Submission};

/// How a chain of messages that stand for one another ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainOutcome {
    Recovered,
    Lost,
}

impl ChainOutcome {
    pub const ALL: [Self; 2] = [Self::Recovered, Self::Lost];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Lost => "lost",
        }
    }
}

impl<S: Storage> Tx<'_, S> {
    /// Notes the failure of a message, where a rule wants it resent; and what an outcome means for the message that it stands for.
    /// `event`: that of the receipt.
    pub(in crate::store::core) fn follow_resends(
        &mut self,
        receipt: &Receipt,
        record: &Record,
        message: MessageRowId,
        row: &MessageRow,
        event: Position,
        changes: &[Change],
    ) -> Result<(), S::Error> {
        let (settings, arrived_at) = (self.settings, row.last_event);
        if settings.resends.is_empty() {
            return Ok(());
        }
        if changes.contains(&Change::Delivered) {
            return self.end_chain(message, ChainOutcome::Recovered);
        }
        if !changes.iter().any(|change| matches!(change, Change::Failed(_))) {
            return Ok(());
        }
        let chain = self.storage.resend_replaced_by(message)?.map(|(_, row)| row);
        // A chain continues by the rule that began it, or ends.
        let rule = resend_rule(&settings.resends, record)
            .filter(|rule| chain.as_ref().is_none_or(|chain| rule.name == chain.rule));
        let attempt = chain.as_ref().map_or(1, |chain| chain.attempt + 1);
        let Some(rule) = rule.filter(|rule| attempt <= rule.attempts) else {
            return self.end_chain(message, ChainOutcome::Lost);
        };
        let deadline = match chain {
            Some(chain) => chain.deadline,
            None => {
                // The earliest time in any of its receipts, else its first sight: this one may have no times.
                let known = row.accepted_at.min(row.message.first_seen);
                let from = receipt.sent_at.map_or(known, |sent| sent.clamp(known, arrived_at.max(known)));
                from.checked_add(rule.ttl).unwrap_or(Timestamp::MAX)
            }
        };
        let is_noted = self.storage.insert_resend(&ResendRow {
            rule: rule.name.clone(),
            source: record.source.clone(),
            message,
            event,
            attempt,
            state: ResendState::Waiting,
            due_at: arrived_at.checked_add(rule.delay).unwrap_or(Timestamp::MAX),
            deadline,
            requested_at: None,
            expects: None,
            replacement: None,
            outcome: None,
        })?;
        if is_noted {
            self.add(Metric::ResendsPending, &[rule.name.as_str()], 1);
            self.outcome.resends_changed = true;
        }
        Ok(())
    }

    /// A message that has expired may stand for another.
    pub(in crate::store::core) fn lose_expired(&mut self, message: MessageRowId) -> Result<(), S::Error> {
        if self.settings.resends.is_empty() { Ok(()) } else { self.end_chain(message, ChainOutcome::Lost) }
    }

    /// Recognizes, at its first sight, a message that somebody was asked to send; and gives the provider's id of the message for which
    /// it stands, if any.
    pub(in crate::store::core) fn replaced_by(
        &mut self,
        request: &mut RequestContext<'_>,
        receipt: &Receipt,
        message: MessageRowId,
        is_first: bool,
    ) -> Result<Option<String>, S::Error> {
        if self.settings.resends.is_empty() {
            return Ok(None);
        }
        if let Some(resend) = request.answers.take() {
            self.link(resend, message)?;
        }
        let Submission { source, arrived_at, .. } = request.submission;
        let at = receipt.accepted_at.or(receipt.sent_at).unwrap_or(*arrived_at);
        if is_first
            && let Some(key) = expected_key(self.pseudonymizer, source, receipt)
            && let Some(resend) = self.storage.resend_expecting(key, at, CLOCK_SKEW)?
        {
            self.link(resend, message)?;
        }
        let Some((_, resend)) = self.storage.resend_replaced_by(message)? else { return Ok(None) };
        Ok(self.storage.message(resend.message)?.map(|row| row.message_id))
    }

    /// Links a resend with its replacement, unless that stands for another message already.
    pub(in crate::store::core) fn link(&mut self, id: ResendId, message: MessageRowId) -> Result<(), S::Error> {
        if self.storage.resend_replaced_by(message)?.is_some_and(|(other, _)| other != id) {
            return Ok(());
        }
        let Some(row) = self.storage.resend(id)? else { return Ok(()) };
        self.storage.put_resend(id, &ResendRow { replacement: Some(message), expects: None, ..row })
    }

    fn end_chain(&mut self, replacement: MessageRowId, outcome: ChainOutcome) -> Result<(), S::Error> {
        let Some((id, row)) = self.storage.resend_replaced_by(replacement)? else { return Ok(()) };
        if row.outcome == Some(outcome) || row.outcome == Some(ChainOutcome::Recovered) {
            return Ok(());
        }
        self.add(Metric::ResendOutcomes, &[row.rule.as_str(), outcome.as_str()], 1);
        self.storage.put_resend(id, &ResendRow { outcome: Some(outcome), ..row })
    }
}

/// The key of what a receipt would be of, if somebody was asked to send it.
pub fn expected_key(pseudonymizer: &Pseudonymizer, source: &SourceName, receipt: &Receipt) -> Option<KeyedHash> {
    let number = receipt.number.as_deref()?;
    expectation_key(pseudonymizer, source, number, receipt.ref_client.as_deref(), receipt.text.as_deref())
}

/// By refClient, which the provider passes on, else by text; without either it is unknown.
pub(super) fn expectation_key(
    pseudonymizer: &Pseudonymizer,
    source: &SourceName,
    number: &str,
    ref_client: Option<&str>,
    text: Option<&str>,
) -> Option<KeyedHash> {
    let (what, value) = ref_client.map(|value| ("refClient", value)).or(text.map(|value| ("text", value)))?;
    Some(pseudonymizer.key(&["resend", source.as_str(), number, what, value]))
}
