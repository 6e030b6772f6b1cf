//! Failed messages that are resent. A failure is noted in the transaction that stores its receipt, once per message, however often it
//! is reported. What is asked of the provider is noted before it is asked: a smscope that ends in between does not ask a second time,
//! since nobody can tell whether the first request arrived. The message that replaces the failed one is recognized when it is
//! reported, by its number and refClient.

use std::time::Duration;

use jiff::Timestamp;
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::Tx;
use super::storage::{ResendRow, ResendState, Storage};
use crate::ledger::catalogue::Metric;
use crate::route::RelayName;
use crate::store::Submission;
use crate::store::ids::ResendId;

mod chain;
mod decision;

pub use chain::{ChainOutcome, expected_key};

/// Longer than any rule waits: what is due later was dated by a clock that has been set back since.
pub const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3600);

/// What became of a failed message that was to be resent: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ResendResult {
    /// The provider has accepted it.
    Sent,
    /// The relays have it.
    Requested,
    DryRun,
    /// It is needless: delivered after all, or the rule is no longer configured.
    Cancelled,
    OptedOut,
    TooLate,
    OverBudget,
    /// The receipt had no text, and no other of the message has.
    NoText,
    /// Its person has been erased.
    Erased,
    /// The provider said no.
    Rejected,
    /// The provider was asked, and may or may not have sent it.
    Uncertain,
}

impl ResendResult {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// The label value.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether the message certainly does not arrive by another.
    fn is_a_loss(self) -> bool {
        matches!(self, Self::OptedOut | Self::TooLate | Self::OverBudget | Self::NoText | Self::Erased | Self::Rejected)
    }
}

/// What is due of one source.
#[derive(Clone, Debug, Default)]
pub struct DueResends {
    pub ids: Vec<ResendId>,
    /// When the next one is, after those.
    pub next: Option<Timestamp>,
}

/// What the provider is to be asked to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSend {
    pub number: String,
    pub text: String,
    pub originator: Option<String>,
    pub ref_client: Option<String>,
    /// The W3C traceparent of the failed message.
    pub trace: Option<String>,
    /// The provider's id of the failed message.
    pub message_id: String,
}

/// What was decided of one that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendDecision {
    /// The provider is to be asked, once.
    Send(ToSend),
    /// The provider is not asked.
    Ended(ResendResult),
    /// It was not waiting.
    Gone,
}

/// What the provider answered.
#[derive(Clone, Debug)]
pub enum SendResult {
    /// It has sent the message; its response as a webhook, which has the same form, if it can be read.
    Sent(Option<Box<Submission>>),
    /// Nothing was sent, and may be later.
    Again(Timestamp),
    Rejected,
    Uncertain,
}

/// One step of a resend.
#[derive(Debug)]
pub enum ResendStep {
    Begin(ResendId),
    End(ResendId, SendResult),
}

impl<S: Storage> Tx<'_, S> {
    /// The series of each rule exist from the start. What waited for a rule or a source that is not configured any more is needless;
    /// what was being sent when smscope ended is uncertain.
    pub(super) fn start_resends(&mut self) -> Result<(), S::Error> {
        let settings = self.settings;
        for rule in &settings.resends {
            for result in ResendResult::ALL {
                self.add(Metric::Resends, &[rule.name.as_str(), result.as_str()], 0);
            }
            for outcome in ChainOutcome::ALL {
                self.add(Metric::ResendOutcomes, &[rule.name.as_str(), outcome.as_str()], 0);
            }
            self.add(Metric::ResendsPending, &[rule.name.as_str()], 0);
        }
        for (id, row) in self.storage.unfinished_resends()? {
            let is_configured = settings.sources.contains(&row.source)
                && settings.resends.iter().any(|rule| rule.name == row.rule && rule.filter.takes_source(&row.source));
            if row.state == ResendState::Sending {
                self.finish_resend(id, ResendRow { state: ResendState::Requested, ..row }, ResendResult::Uncertain)?;
            } else if !is_configured {
                self.finish_resend(id, ResendRow { state: ResendState::Ended, ..row }, ResendResult::Cancelled)?;
            }
        }
        Ok(())
    }

    /// Does a step; `now` is the time by which ages are measured.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn resend(&mut self, step: &ResendStep, now: Timestamp) -> Result<SendDecision, S::Error> {
        match step {
            ResendStep::Begin(id) => self.decide_resend(*id, now),
            ResendStep::End(id, result) => self.end_resend(*id, result, now).map(|()| SendDecision::Gone),
        }
    }

    fn end_resend(&mut self, id: ResendId, result: &SendResult, now: Timestamp) -> Result<(), S::Error> {
        let Some(row) = self.storage.resend(id)?.filter(|row| row.state == ResendState::Sending) else {
            return Ok(());
        };
        match result {
            SendResult::Sent(answer) => {
                self.finish_resend(id, ResendRow { state: ResendState::Requested, ..row }, ResendResult::Sent)?;
                if let Some(answer) = answer {
                    self.ingest(answer, Some(id))?;
                }
            }
            // Whether it is too late is checked when it is due.
            SendResult::Again(at) if *at <= row.deadline.max(now) => {
                self.storage.put_resend(
                    id,
                    &ResendRow {
                        state: ResendState::Waiting,
                        due_at: *at,
                        requested_at: None,
                        expects: None,
                        replacement: None,
                        ..row
                    },
                )?;
                self.outcome.resends_changed = true;
            }
            SendResult::Again(_) => self.give_up(id, row, ResendResult::TooLate)?,
            SendResult::Rejected => self.give_up(id, row, ResendResult::Rejected)?,
            SendResult::Uncertain => {
                let requested = ResendRow { state: ResendState::Requested, ..row };
                self.finish_resend(id, requested, ResendResult::Uncertain)?;
            }
        }
        Ok(())
    }

    /// Nothing was sent, and nothing will be.
    fn give_up(&mut self, id: ResendId, row: ResendRow, result: ResendResult) -> Result<(), S::Error> {
        let outcome = result.is_a_loss().then_some(ChainOutcome::Lost);
        if let Some(outcome) = outcome {
            self.add(Metric::ResendOutcomes, &[row.rule.as_str(), outcome.as_str()], 1);
        }
        let ended = ResendRow { state: ResendState::Ended, requested_at: None, expects: None, outcome, ..row };
        self.finish_resend(id, ended, result)
    }

    /// Saves what no longer waits, and counts it.
    fn finish_resend(&mut self, id: ResendId, row: ResendRow, result: ResendResult) -> Result<(), S::Error> {
        self.storage.put_resend(id, &row)?;
        self.count_resend(&row.rule, result);
        Ok(())
    }

    fn count_resend(&mut self, rule: &RelayName, result: ResendResult) {
        self.add(Metric::Resends, &[rule.as_str(), result.as_str()], 1);
        self.add(Metric::ResendsPending, &[rule.as_str()], -1);
    }
}
