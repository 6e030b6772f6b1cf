//! What becomes of a failure when its time has come: resent, or not and why.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::chain::expectation_key;
use super::{LONGEST_WAIT, ResendResult, SendDecision, ToSend};
use crate::lifecycle::State;
use crate::record::{Kind, Record, Resend, Through};
use crate::route::ResendRule;
use crate::store::core::Tx;
use crate::store::core::records::needs_own_keys;
use crate::store::core::storage::{EventRequest, NewEvent, ResendRow, ResendState, Storage};
use crate::store::ids::{MessageRowId, ResendId};
use crate::store::opt_outs::Scope;

const HOUR: Duration = Duration::from_secs(3600);

impl<S: Storage> Tx<'_, S> {
    pub(super) fn decide_resend(&mut self, id: ResendId, now: Timestamp) -> Result<SendDecision, S::Error> {
        let Some(row) = self.storage.resend(id)?.filter(|row| row.state == ResendState::Waiting) else {
            return Ok(SendDecision::Gone);
        };
        let settings = self.settings;
        let Some(rule) = settings.resends.iter().find(|rule| rule.name == row.rule) else {
            return self.not_sent(id, row, ResendResult::Cancelled);
        };
        let (to_send, failure) = match self.may_be_sent(&row, rule, now)? {
            Ok(may_be_sent) => may_be_sent,
            Err(result) => return self.not_sent(id, row, result),
        };
        self.store_request(&row, rule, &to_send, failure, now)?;
        let (state, result) = match rule.acts_through() {
            Through::Api => (ResendState::Sending, None),
            Through::Relay => (ResendState::Requested, Some(ResendResult::Requested)),
            Through::DryRun => (ResendState::Ended, Some(ResendResult::DryRun)),
        };
        let expects = match rule.is_dry_run {
            true => None,
            false => {
                let text = Some(&*to_send.text).filter(|text| !text.is_empty());
                expectation_key(self.pseudonymizer, &row.source, &to_send.number, to_send.ref_client.as_deref(), text)
            }
        };
        let row = ResendRow { state, requested_at: Some(now), expects, ..row };
        match result {
            Some(result) => {
                self.finish_resend(id, row, result)?;
                Ok(SendDecision::Ended(result))
            }
            None => {
                self.storage.put_resend(id, &row)?;
                Ok(SendDecision::Send(to_send))
            }
        }
    }

    /// What is to be sent, with the record of the failure; or why it is not.
    fn may_be_sent(
        &self,
        row: &ResendRow,
        rule: &ResendRule,
        now: Timestamp,
    ) -> Result<Result<(ToSend, Record), ResendResult>, S::Error> {
        let message = match self.storage.message(row.message)? {
            Some(message) if message.erased_at.is_some() => return Ok(Err(ResendResult::Erased)),
            Some(message) if matches!(message.message.state, State::Failed(_)) => message,
            _ => return Ok(Err(ResendResult::Cancelled)),
        };
        if self.has_arrived_before(row.message)? {
            return Ok(Err(ResendResult::Cancelled));
        }
        if now > row.deadline || row.deadline > now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX) {
            return Ok(Err(ResendResult::TooLate));
        }
        let Some(failure) = self.storage.readable_record(row.event)? else { return Ok(Err(ResendResult::NoText)) };
        let (Some(number), Some(message_id)) = (failure.number.clone(), failure.message_id.clone()) else {
            return Ok(Err(ResendResult::NoText));
        };
        if self.has_opted_out(row, &number, failure.originator.as_deref())? {
            return Ok(Err(ResendResult::OptedOut));
        }
        let text = match &failure.text {
            Some(text) => Some(text.clone()),
            None => self.find_event(message.newest_event, |record| {
                record.text.clone().filter(|_| record.kind.as_str().starts_with("message."))
            })?,
        };
        if text.is_none() && rule.through == Through::Api {
            return Ok(Err(ResendResult::NoText));
        }
        let an_hour_ago = now.checked_sub(HOUR).unwrap_or(Timestamp::MIN);
        if self.storage.resends_requested_after(&row.rule, an_hour_ago)? >= rule.budget {
            return Ok(Err(ResendResult::OverBudget));
        }
        let to_send = ToSend {
            number,
            text: text.unwrap_or_default(),
            originator: failure.originator.clone(),
            ref_client: failure.ref_client.clone(),
            trace: failure.trace.clone(),
            message_id,
        };
        Ok(Ok((to_send, failure)))
    }

    /// Whether the text has arrived by this message or an earlier one of its chain, whose receipt was late.
    fn has_arrived_before(&self, message: MessageRowId) -> Result<bool, S::Error> {
        let mut chain = HashSet::new();
        let mut next = Some(message);
        while let Some(message) = next.filter(|message| chain.insert(*message)) {
            let row = self.storage.message(message)?;
            if row.is_some_and(|row| matches!(row.message.state, State::Delivered | State::Read)) {
                return Ok(true);
            }
            next = self.storage.resend_replaced_by(message)?.map(|(_, resend)| resend.message);
        }
        Ok(false)
    }

    fn has_opted_out(&self, row: &ResendRow, number: &str, sender: Option<&str>) -> Result<bool, S::Error> {
        let person = self.pseudonymizer.person(number);
        let said = self.storage.opt_outs_of(&row.source, &person)?;
        // Without a sender the channel's own is used, which may be any.
        let by_any = self.settings.opt_outs != Some(Scope::Sender) || sender.is_none();
        Ok(said.iter().any(|one| one.opted_out && (by_any || one.covers(sender.unwrap_or_default()))))
    }

    /// Stores the event that says so, once however often the provider puts it off, and queues it for the relays that ask for such.
    fn store_request(
        &mut self,
        row: &ResendRow,
        rule: &ResendRule,
        to_send: &ToSend,
        failure: Record,
        now: Timestamp,
    ) -> Result<(), S::Error> {
        let Some(mut message_row) = self.storage.message(row.message)? else { return Ok(()) };
        let is_request = |record: &Record| (record.kind == Kind::Resend).then_some(());
        if self.find_event(message_row.newest_event, is_request)?.is_some() {
            return Ok(());
        }
        let previous = self.set_newest_event(&mut message_row);
        self.storage.put_message(row.message, &message_row)?;
        let record = Record {
            kind: Kind::Resend,
            occurred_at: None,
            text: Some(to_send.text.clone()).filter(|text| !text.is_empty()),
            resend: Some(Resend {
                rule: row.rule.as_str().to_owned(),
                attempt: row.attempt,
                attempts: rule.attempts,
                through: rule.acts_through(),
                until: row.deadline,
            }),
            // Of the failed message, and counted with it.
            parts: None,
            cost_micros: None,
            currency: None,
            reconciled: false,
            repaired: false,
            ..failure
        };
        let message = Some(row.message);
        let event = self.append(&NewEvent {
            record: &record,
            message,
            previous,
            received_at: now,
            request: EventRequest::None,
            needs_own_keys: needs_own_keys(&record, Some(&message_row)),
        })?;
        if rule.acts_through() == Through::Relay {
            self.relay(&record, event, message, now, None)?;
        }
        Ok(())
    }

    fn not_sent(&mut self, id: ResendId, row: ResendRow, result: ResendResult) -> Result<SendDecision, S::Error> {
        self.give_up(id, row, result)?;
        Ok(SendDecision::Ended(result))
    }
}
