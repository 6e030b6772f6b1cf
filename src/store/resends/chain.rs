//! Which message stands for which: failures that are noted, messages that are recognized, how it ended.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use crate::event::{Receipt, SourceName};
use crate::ledger::catalogue::Metric;
use crate::lifecycle::Change;
use crate::record::Record;
use crate::route::resend_rule;
use crate::store::MARGIN;
use crate::store::messages::timestamp;
use crate::store::transaction::Open;

/// How a chain of messages that stand for one another ended.
#[derive(Clone, Copy)]
pub enum Outcome {
    Recovered,
    Lost,
}

impl Outcome {
    pub const ALL: [Self; 2] = [Self::Recovered, Self::Lost];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Lost => "lost",
        }
    }
}

impl Open<'_> {
    /// Notes the failure of a message, where a rule wants it sent again; and what an outcome means for the message that it stands
    /// for. `event` is the journal row of the receipt.
    pub fn follow_resends(
        &mut self,
        receipt: &Receipt,
        record: &Record,
        message: i64,
        event: i64,
        changes: &[Change],
        arrived_at: Timestamp,
    ) -> rusqlite::Result<()> {
        if self.resends.is_empty() {
            return Ok(());
        }
        if changes.contains(&Change::Delivered) {
            return self.end_chain(message, Outcome::Recovered);
        }
        if !changes.iter().any(|change| matches!(change, Change::Failed(_))) {
            return Ok(());
        }
        let chain: Option<(String, u32, i64)> = self
            .connection
            .prepare_cached("SELECT rule, attempt, until FROM resends WHERE replacement = ?1")?
            .query_row([message], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let rules = self.resends;
        let rule = resend_rule(rules, record);
        // A chain goes on by the rule that began it, or ends.
        let rule = rule.filter(|rule| chain.as_ref().is_none_or(|(name, ..)| rule.name.as_str() == name));
        let attempt = chain.as_ref().map_or(1, |(_, attempt, _)| attempt + 1);
        let Some(rule) = rule.filter(|rule| attempt <= rule.attempts) else {
            return self.end_chain(message, Outcome::Lost);
        };
        let until = match chain {
            Some((.., until)) => until,
            None => {
                // The earliest that any receipt of it has told, else its first sight: this one may have no times.
                let known: i64 = self
                    .connection
                    .prepare_cached("SELECT min(accepted_at, first_seen) FROM messages WHERE id = ?1")?
                    .query_row([message], |row| row.get(0))?;
                let from = receipt
                    .sent_at
                    .map_or(known, |sent| sent.as_millisecond().clamp(known, arrived_at.as_millisecond().max(known)));
                timestamp(from)?.checked_add(rule.useful_for).unwrap_or(Timestamp::MAX).as_millisecond()
            }
        };
        let due_at = arrived_at.checked_add(rule.delay).unwrap_or(Timestamp::MAX).as_millisecond();
        let noted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO resends (rule, source, message, event, attempt, state, due_at, until) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7)",
            )?
            .execute(params![rule.name.as_str(), record.source.as_str(), message, event, attempt, due_at, until])?;
        if noted == 1 {
            self.postings.add(Metric::ResendsPending, &[rule.name.as_str()], 1);
            self.resends_changed = true;
        }
        Ok(())
    }

    /// A message that stands for another has expired.
    pub fn expired_unreplaced(&mut self, message: i64) -> rusqlite::Result<()> {
        if self.resends.is_empty() { Ok(()) } else { self.end_chain(message, Outcome::Lost) }
    }

    /// Recognizes, at its first sight, a message that somebody was asked to send; and tells for which other it stands, if any.
    pub fn replaced_by(
        &mut self,
        source: &SourceName,
        receipt: &Receipt,
        message: i64,
        is_first: bool,
        arrived_at: Timestamp,
    ) -> rusqlite::Result<Option<String>> {
        if self.resends.is_empty() {
            return Ok(None);
        }
        self.link_asked(message)?;
        let at = receipt.accepted_at.or(receipt.sent_at).unwrap_or(arrived_at);
        if is_first && let Some(key) = self.expected(source.as_str(), receipt) {
            let expecting: Option<i64> = self
                .connection
                .prepare_cached(
                    "SELECT min(id) FROM resends WHERE expects = ?1 AND ?2 BETWEEN asked_at - ?3 AND until + ?3",
                )?
                .query_row(params![key, at.as_millisecond(), MARGIN.as_millis() as i64], |row| row.get(0))?;
            if let Some(id) = expecting {
                self.link(id, message)?;
            }
        }
        self.connection
            .prepare_cached(
                "SELECT m.message_id FROM resends AS r JOIN messages AS m ON m.id = r.message WHERE r.replacement = ?1",
            )?
            .query_row([message], |row| row.get(0))
            .optional()
    }

    /// Links what the provider has just been asked for with the message that its answer is about, whatever looked like it before.
    pub fn link_asked(&mut self, message: i64) -> rusqlite::Result<()> {
        self.linking.take().map_or(Ok(()), |id| self.link(id, message))
    }

    fn link(&self, id: i64, message: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE OR IGNORE resends SET replacement = ?2, expects = NULL WHERE id = ?1")?
            .execute([id, message])
            .map(drop)
    }

    /// The key of what a receipt would be of, if somebody was asked to send it.
    fn expected(&self, source: &str, receipt: &Receipt) -> Option<i64> {
        let number = receipt.number.as_deref()?;
        self.expectation(source, number, receipt.ref_client.as_deref(), receipt.text.as_deref())
    }

    /// By refClient, which is kept, else by text; without either nothing can be told.
    pub(super) fn expectation(
        &self,
        source: &str,
        number: &str,
        ref_client: Option<&str>,
        text: Option<&str>,
    ) -> Option<i64> {
        let (what, value) = ref_client.map(|value| ("refClient", value)).or(text.map(|value| ("text", value)))?;
        Some(self.marks.key(&["resend", source, number, what, value]))
    }

    fn end_chain(&mut self, replacement: i64, outcome: Outcome) -> rusqlite::Result<()> {
        let rule: Option<String> = self
            .connection
            .prepare_cached(
                "UPDATE resends SET outcome = ?2 WHERE replacement = ?1 AND outcome IS NOT ?2 AND outcome IS NOT 'recovered' \
                 RETURNING rule",
            )?
            .query_row(params![replacement, outcome.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(rule) = rule {
            self.postings.add(Metric::ResendOutcomes, &[&rule, outcome.as_str()], 1);
        }
        Ok(())
    }
}
