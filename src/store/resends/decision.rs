//! What becomes of a failure when its time has come: sent again, or not and why.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{Begun, LONGEST_WAIT, ResendResult, ToSend};
use crate::record::{Kind, Record, Resend, Through};
use crate::route::ResendRule;
use crate::store::messages::timestamp;
use crate::store::opt_outs::Scope;
use crate::store::retention;
use crate::store::transaction::Open;

const HOUR: Duration = Duration::from_secs(3600);

/// A row that waits.
struct Waiting {
    rule: String,
    source: String,
    message: i64,
    event: i64,
    attempt: u32,
    until: i64,
}

impl Open<'_> {
    pub(super) fn begin(&mut self, id: i64, now: Timestamp) -> rusqlite::Result<Begun> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT rule, source, message, event, attempt, until FROM resends WHERE id = ?1 AND state = 'waiting'",
            )?
            .query_row([id], |row| {
                Ok(Waiting {
                    rule: row.get(0)?,
                    source: row.get(1)?,
                    message: row.get(2)?,
                    event: row.get(3)?,
                    attempt: row.get(4)?,
                    until: row.get(5)?,
                })
            })
            .optional()?;
        let Some(waiting) = found else { return Ok(Begun::Gone) };
        let rules = self.resends;
        let Some(rule) = rules.iter().find(|rule| rule.name.as_str() == waiting.rule) else {
            return self.ended(id, &waiting, ResendResult::Cancelled);
        };
        let (to_send, failure) = match self.may_be_sent(&waiting, rule, now)? {
            Ok(may_be_sent) => may_be_sent,
            Err(result) => return self.ended(id, &waiting, result),
        };
        self.request(&waiting, rule, &to_send, failure, now)?;
        let (state, result) = match rule.acts_through() {
            Through::Api => ("sending", None),
            Through::Relay => ("asked", Some(ResendResult::Requested)),
            Through::DryRun => ("ended", Some(ResendResult::DryRun)),
        };
        let expects = (!rule.is_dry_run).then(|| {
            let (reference, text) =
                (to_send.ref_client.as_deref(), Some(&*to_send.text).filter(|text| !text.is_empty()));
            self.expectation(&waiting.source, &to_send.number, reference, text)
        });
        self.connection
            .prepare_cached("UPDATE resends SET state = ?2, asked_at = ?3, expects = ?4 WHERE id = ?1")?
            .execute(params![id, state, now.as_millisecond(), expects.flatten()])?;
        match result {
            Some(result) => {
                self.count_resend(&waiting.rule, result);
                Ok(Begun::Ended(result))
            }
            None => Ok(Begun::Send(to_send)),
        }
    }

    /// What is to be sent, with the record of the failure; or why it is not.
    fn may_be_sent(
        &self,
        waiting: &Waiting,
        rule: &ResendRule,
        now: Timestamp,
    ) -> rusqlite::Result<Result<(ToSend, Record), ResendResult>> {
        let message: Option<(bool, bool)> = self
            .connection
            .prepare_cached("SELECT state = 'failed', erased_at IS NOT NULL FROM messages WHERE id = ?1")?
            .query_row([waiting.message], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match message {
            Some((_, true)) => return Ok(Err(ResendResult::Erased)),
            Some((true, false)) => {}
            _ => return Ok(Err(ResendResult::Cancelled)),
        }
        // The text has arrived by an earlier message of the chain, whose receipt was late.
        let has_arrived = self
            .connection
            .prepare_cached(
                "WITH RECURSIVE chain (message) AS (SELECT ?1 UNION \
                 SELECT r.message FROM resends AS r JOIN chain AS c ON r.replacement = c.message) \
                 SELECT 1 FROM chain AS c JOIN messages AS m ON m.id = c.message WHERE m.state IN ('delivered', 'read')",
            )?
            .exists([waiting.message])?;
        if has_arrived {
            return Ok(Err(ResendResult::Cancelled));
        }
        let until = timestamp(waiting.until)?;
        if now > until || until > now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX) {
            return Ok(Err(ResendResult::TooLate));
        }
        let Some(failure) = self.failure(waiting.event)? else { return Ok(Err(ResendResult::NoText)) };
        let (Some(number), Some(message_id)) = (failure.number.clone(), failure.message_id.clone()) else {
            return Ok(Err(ResendResult::NoText));
        };
        if self.has_opted_out(&waiting.source, &number, failure.originator.as_deref())? {
            return Ok(Err(ResendResult::OptedOut));
        }
        let text = match &failure.text {
            Some(text) => Some(text.clone()),
            None => self.text_of(waiting.message)?,
        };
        if text.is_none() && rule.through == Through::Api {
            return Ok(Err(ResendResult::NoText));
        }
        let asked: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM resends WHERE rule = ?1 AND asked_at > ?2")?
            .query_row(params![waiting.rule, retention::before(now, HOUR)], |row| row.get(0))?;
        if asked >= rule.budget {
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

    fn failure(&self, event: i64) -> rusqlite::Result<Option<Record>> {
        let record: Option<String> = self
            .connection
            .prepare_cached("SELECT event FROM events WHERE id = ?1")?
            .query_row([event], |row| row.get(0))
            .optional()?;
        // A row that cannot be read is one that is not there.
        Ok(record.and_then(|record| serde_json::from_str(&record).ok()))
    }

    fn text_of(&self, message: i64) -> rusqlite::Result<Option<String>> {
        self.connection
            .prepare_cached(
                "SELECT event ->> '$.text' FROM events WHERE message = ?1 AND kind LIKE 'message.%' \
                 AND event ->> '$.text' IS NOT NULL ORDER BY id DESC LIMIT 1",
            )?
            .query_row([message], |row| row.get(0))
            .optional()
    }

    fn has_opted_out(&self, source: &str, number: &str, sender: Option<&str>) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT 1 FROM opt_outs WHERE source = ?1 AND person = ?2 AND state = 'out' AND (?3 OR sender IN ('', ?4))",
            )?
            .exists(params![
                source,
                self.marks.person(number),
                // Without a sender the channel's own is used, which may be any.
                self.opt_outs != Some(Scope::Sender) || sender.is_none(),
                sender.unwrap_or_default()
            ])
    }

    /// Keeps the event that says so, once however often the provider puts it off, and has it relayed to who asks for such.
    fn request(
        &mut self,
        waiting: &Waiting,
        rule: &ResendRule,
        to_send: &ToSend,
        failure: Record,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let was_kept = self
            .connection
            .prepare_cached("SELECT 1 FROM events WHERE message = ?1 AND kind = ?2")?
            .exists(params![waiting.message, Kind::Resend.as_str()])?;
        if was_kept {
            return Ok(());
        }
        let record = Record {
            kind: Kind::Resend,
            occurred_at: None,
            text: Some(to_send.text.clone()).filter(|text| !text.is_empty()),
            resend: Some(Resend {
                rule: waiting.rule.clone(),
                attempt: waiting.attempt,
                attempts: rule.attempts,
                through: rule.acts_through(),
                until: timestamp(waiting.until)?,
            }),
            // Of the failed message, and counted with it.
            parts: None,
            cost_micros: None,
            currency: None,
            reconciled: false,
            repaired: false,
            ..failure
        };
        let event = self.journal(&record, Some(waiting.message), now, None)?;
        if rule.acts_through() == Through::Relay {
            self.relay(&record, event, Some(waiting.message), now, None)?;
        }
        Ok(())
    }

    fn ended(&mut self, id: i64, waiting: &Waiting, result: ResendResult) -> rusqlite::Result<Begun> {
        self.give_up(id, &waiting.rule, result)?;
        Ok(Begun::Ended(result))
    }
}
