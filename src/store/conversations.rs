//! Which message a reply answers: the one that it names, else the last one with its refClient, else the last one to its number
//! within a window.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::Submission;
use super::lookup;
use super::messages::{self, Origin};
use super::transaction::Open;
use crate::event::{Receipt, Reply, SourceName};
use crate::number;
use crate::record::{Answers, MatchedBy};

impl Open<'_> {
    /// Remembers a message, seen for the first time, as the last one of its number and of its refClient.
    pub fn may_be_answered(&self, source: &SourceName, receipt: &Receipt, message: i64) -> rusqlite::Result<()> {
        if self.conversations.is_none() {
            return Ok(());
        }
        let keys = [("number", &receipt.number), ("refClient", &receipt.ref_client)];
        for (what, value) in keys.into_iter().filter_map(|(what, value)| Some((what, value.as_ref()?))) {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO conversation_keys (key, message) VALUES (?1, ?2)")?
                .execute([self.marks.key(&[what, source.as_str(), value]), message])?;
        }
        Ok(())
    }

    /// The message that a reply answers, and how that is known.
    pub fn answered_by(&self, submission: &Submission, reply: &Reply) -> rusqlite::Result<Option<(Origin, MatchedBy)>> {
        if let Some(message_id) = &reply.origin_message_id {
            // A legacy id has the recipient beside it, who is the one that writes.
            let recipient = reply.number.as_deref().map(number::plain);
            for part in [Some(String::new()), recipient].into_iter().flatten() {
                let key = lookup::key(&submission.source, message_id, &part);
                let at = |id| messages::origin(self.connection, id, &submission.source, message_id, &part);
                if let Some(origin) = self.first_that(key, at)? {
                    return Ok(Some((origin, MatchedBy::MessageId)));
                }
            }
        }
        let Some(window) = self.conversations else { return Ok(None) };
        let source = submission.source.as_str();
        if let Some(reference) = &reply.ref_client
            && let Some(origin) = self.remembered(&["refClient", source, reference])?
        {
            return Ok(Some((origin, MatchedBy::RefClient)));
        }
        let Some(number) = &reply.number else { return Ok(None) };
        let origin = self.remembered(&["number", source, number])?;
        let at = reply.time.unwrap_or(submission.arrived_at);
        let is_recent = |origin: &Origin| origin.accepted_at.is_some_and(|accepted| is_within(accepted, at, window));
        Ok(origin.filter(is_recent).map(|origin| (origin, MatchedBy::Number)))
    }

    fn remembered(&self, what: &[&str]) -> rusqlite::Result<Option<Origin>> {
        let message: Option<i64> = self
            .connection
            .prepare_cached("SELECT message FROM conversation_keys WHERE key = ?1")?
            .query_row(params![self.marks.key(what)], |row| row.get(0))
            .optional()?;
        match message {
            Some(message) => messages::origin_by_row(self.connection, message),
            None => Ok(None),
        }
    }
}

/// A reply that seems to come before its message is one whose clock differs a little.
fn is_within(accepted: Timestamp, at: Timestamp, window: Duration) -> bool {
    Duration::try_from(at.duration_since(accepted)).unwrap_or_default() <= window
}

/// What a reply's record says of the message that it answers.
pub fn answers(origin: &Origin, matched_by: MatchedBy, at: Timestamp) -> Option<Answers> {
    let accepted_at = origin.accepted_at?;
    Some(Answers {
        message_id: origin.message_id.clone(),
        ref_client: origin.ref_client.clone(),
        campaign_id: origin.campaign_id.clone(),
        accepted_at,
        after_ms: (at.as_millisecond() - accepted_at.as_millisecond()).max(0),
        matched_by,
    })
}
