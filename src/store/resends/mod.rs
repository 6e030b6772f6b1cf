//! Failed messages that are sent again. A failure is noted in the transaction that keeps its receipt, once for each message, however
//! often it is reported. What is asked of the provider is noted before it is asked: a smscope that ends in between does not ask a
//! second time, since nobody can tell whether the first was heard. The message that was sent then is known when it is reported, by
//! its number and refClient.

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{oneshot, watch};

use super::jobs::{Job, Resending};
use super::messages::timestamp;
use super::transaction::Open;
use super::{Refusal, Store, Submission};
use crate::event::SourceName;
use crate::ledger::catalogue::Metric;
use crate::route::ResendRule;

mod chain;
mod decision;

use chain::Outcome;

/// Longer than any rule waits: what is due later still was dated by a clock that has been set back since.
const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3600);

/// What became of a failed message that was to be sent again: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendResult {
    /// The provider has taken it.
    Sent,
    /// The relays have it.
    Requested,
    DryRun,
    /// It is needless: delivered after all, or the rule is gone.
    Cancelled,
    OptedOut,
    TooLate,
    OverBudget,
    /// The receipt had no text, and no other of the message has.
    NoText,
    /// Its person has been erased.
    Erased,
    /// The provider said no.
    Refused,
    /// The provider was asked, and may or may not have sent it.
    Uncertain,
}

impl ResendResult {
    pub const ALL: [Self; 11] = [
        Self::Sent,
        Self::Requested,
        Self::DryRun,
        Self::Cancelled,
        Self::OptedOut,
        Self::TooLate,
        Self::OverBudget,
        Self::NoText,
        Self::Erased,
        Self::Refused,
        Self::Uncertain,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Requested => "requested",
            Self::DryRun => "dry_run",
            Self::Cancelled => "cancelled",
            Self::OptedOut => "opted_out",
            Self::TooLate => "too_late",
            Self::OverBudget => "over_budget",
            Self::NoText => "no_text",
            Self::Erased => "erased",
            Self::Refused => "refused",
            Self::Uncertain => "uncertain",
        }
    }

    /// Whether the message certainly does not arrive by another.
    fn is_a_loss(self) -> bool {
        matches!(self, Self::OptedOut | Self::TooLate | Self::OverBudget | Self::NoText | Self::Erased | Self::Refused)
    }
}

/// What is due of one source.
#[derive(Clone, Debug, Default)]
pub struct DueResends {
    pub ids: Vec<i64>,
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
pub enum Begun {
    /// The provider is to be asked, once.
    Send(ToSend),
    /// The provider is not asked.
    Ended(ResendResult),
    /// It was not waiting.
    Gone,
}

/// What the provider answered.
#[derive(Clone, Debug)]
pub enum End {
    /// It has sent the message; its answer as the webhook that it looks like, where it can be read.
    Sent(Option<Box<Submission>>),
    /// Nothing was sent, and may be later.
    Again(Timestamp),
    Refused,
    Uncertain,
}

/// One step of a resend that waits to be done.
#[derive(Debug)]
pub enum ResendStep {
    Begin(i64),
    End(i64, End),
}

impl Store {
    /// Up to `limit` resends of a source that are due at `now`, the longest due first. Blocks on the disk: not for async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn due_resends(&self, source: &SourceName, now: Timestamp, limit: usize) -> Result<DueResends, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        due(&reader, source, now, limit).map_err(|error| error.to_string())
    }

    /// Moves when there is another failure to be answered.
    pub fn resends_changed(&self) -> watch::Receiver<u64> {
        self.shared.resends.subscribe()
    }

    /// Decides what becomes of a resend that is due, and notes it: after [`Begun::Send`] the provider has to be asked, once.
    ///
    /// # Errors
    /// Nothing was decided.
    pub async fn begin_resend(&self, id: i64) -> Result<Begun, Refusal> {
        self.resend(ResendStep::Begin(id)).await
    }

    /// Notes what the provider has answered.
    ///
    /// # Errors
    /// It was not noted.
    pub async fn end_resend(&self, id: i64, end: End) -> Result<(), Refusal> {
        self.resend(ResendStep::End(id, end)).await.map(drop)
    }

    async fn resend(&self, step: ResendStep) -> Result<Begun, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Resend(Resending { step, answer }))?;
        answered.await.unwrap_or(Err(Refusal::CannotWrite))
    }
}

impl Open<'_> {
    /// The series of each rule exist from the start. What waited for a rule or a source that is gone is needless; what was being asked for when
    /// smscope ended is uncertain.
    pub fn open_resends(&mut self, sources: &[SourceName]) -> rusqlite::Result<()> {
        for rule in self.resends {
            for result in ResendResult::ALL {
                self.postings.add(Metric::Resends, &[rule.name.as_str(), result.as_str()], 0);
            }
            for outcome in Outcome::ALL {
                self.postings.add(Metric::ResendOutcomes, &[rule.name.as_str(), outcome.as_str()], 0);
            }
            self.postings.add(Metric::ResendsPending, &[rule.name.as_str()], 0);
        }
        let left: Vec<(i64, String, String, bool)> = self
            .connection
            .prepare("SELECT id, rule, source, state = 'sending' FROM resends WHERE state IN ('waiting', 'sending')")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (id, rule, source, was_asked) in left {
            let source = sources.iter().find(|one| one.as_str() == source);
            let takes = |one: &ResendRule| {
                one.name.as_str() == rule && source.is_some_and(|source| one.filter.takes_source(source))
            };
            let is_configured = self.resends.iter().any(takes);
            if was_asked {
                self.set_state(id, "asked")?;
                self.count_resend(&rule, ResendResult::Uncertain);
            } else if !is_configured {
                self.set_state(id, "ended")?;
                self.count_resend(&rule, ResendResult::Cancelled);
            }
        }
        Ok(())
    }

    /// Does a step; `now` is the time by which ages are measured.
    pub fn resend(&mut self, step: &ResendStep, now: Timestamp) -> rusqlite::Result<Begun> {
        match step {
            ResendStep::Begin(id) => self.begin(*id, now),
            ResendStep::End(id, end) => self.end(*id, end, now).map(|()| Begun::Gone),
        }
    }

    fn end(&mut self, id: i64, end: &End, now: Timestamp) -> rusqlite::Result<()> {
        let found: Option<(String, i64)> = self
            .connection
            .prepare_cached("SELECT rule, until FROM resends WHERE id = ?1 AND state = 'sending'")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((rule, until)) = found else { return Ok(()) };
        match end {
            End::Sent(submission) => {
                self.set_state(id, "asked")?;
                self.count_resend(&rule, ResendResult::Sent);
                if let Some(submission) = submission {
                    self.linking = Some(id);
                    self.submit(submission)?;
                    self.linking = None;
                }
            }
            // Too late is looked at when it is due.
            End::Again(at) if at.as_millisecond() <= until.max(now.as_millisecond()) => {
                self.connection
                    .prepare_cached(
                        "UPDATE resends SET state = 'waiting', due_at = ?2, asked_at = NULL, expects = NULL, replacement = NULL \
                         WHERE id = ?1",
                    )?
                    .execute([id, at.as_millisecond()])?;
                self.resends_changed = true;
            }
            End::Again(_) => self.give_up(id, &rule, ResendResult::TooLate)?,
            End::Refused => self.give_up(id, &rule, ResendResult::Refused)?,
            End::Uncertain => {
                self.set_state(id, "asked")?;
                self.count_resend(&rule, ResendResult::Uncertain);
            }
        }
        Ok(())
    }

    /// Nothing was sent, and nothing will be.
    fn give_up(&mut self, id: i64, rule: &str, result: ResendResult) -> rusqlite::Result<()> {
        let outcome = result.is_a_loss().then(|| Outcome::Lost.as_str());
        self.connection
            .prepare_cached(
                "UPDATE resends SET state = 'ended', asked_at = NULL, expects = NULL, outcome = ?2 WHERE id = ?1",
            )?
            .execute(params![id, outcome])?;
        self.count_resend(rule, result);
        if let Some(outcome) = outcome {
            self.postings.add(Metric::ResendOutcomes, &[rule, outcome], 1);
        }
        Ok(())
    }

    /// What has waited waits no more.
    fn count_resend(&mut self, rule: &str, result: ResendResult) {
        self.postings.add(Metric::Resends, &[rule, result.as_str()], 1);
        self.postings.add(Metric::ResendsPending, &[rule], -1);
    }

    fn set_state(&self, id: i64, state: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE resends SET state = ?2 WHERE id = ?1")?
            .execute(params![id, state])
            .map(drop)
    }
}

fn due(connection: &Connection, source: &SourceName, now: Timestamp, limit: usize) -> rusqlite::Result<DueResends> {
    let misdated = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    let ids = connection
        .prepare_cached(
            "SELECT id FROM resends WHERE source = ?1 AND state = 'waiting' AND (due_at <= ?2 OR due_at > ?3) \
             ORDER BY due_at LIMIT ?4",
        )?
        .query_map(params![source.as_str(), now.as_millisecond(), misdated.as_millisecond(), limit as i64], |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due_at) FROM resends WHERE source = ?1 AND state = 'waiting' AND due_at > ?2")?
        .query_row(params![source.as_str(), now.as_millisecond()], |row| row.get(0))?;
    Ok(DueResends { ids, next: next.map(timestamp).transpose()? })
}

#[cfg(test)]
mod tests;
