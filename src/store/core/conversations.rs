//! Which message a reply answers: the one that it names, else the last one with its refClient, else the last one to its number
//! within a window.

use std::time::Duration;

use jiff::Timestamp;

use super::storage::{MessageRow, Storage};
use super::{Pseudonymizer, Tx};
use crate::event::{Receipt, Reply, SourceName};
use crate::number;
use crate::record::{Answers, MatchedBy};
use crate::store::Submission;
use crate::store::ids::{KeyedHash, MessageRowId};

impl<S: Storage> Tx<'_, S> {
    /// Remembers a message, seen for the first time, as the last one of its number and of its refClient.
    pub(super) fn remember_conversation(
        &mut self,
        source: &SourceName,
        receipt: &Receipt,
        message: MessageRowId,
    ) -> Result<(), S::Error> {
        if self.settings.conversations.is_none() {
            return Ok(());
        }
        let by_number = receipt.number.as_ref().map(|number| number_key(self.pseudonymizer, source, number));
        let by_reference = receipt.ref_client.as_ref().map(|text| ref_client_key(self.pseudonymizer, source, text));
        for key in [by_number, by_reference].into_iter().flatten() {
            self.storage.put_conversation(key, message)?;
        }
        Ok(())
    }

    /// The message that a reply answers, and how that is known.
    pub(super) fn match_reply(
        &self,
        submission: &Submission,
        reply: &Reply,
    ) -> Result<Option<(MessageRowId, MessageRow, MatchedBy)>, S::Error> {
        let source = &submission.source;
        if let Some(message_id) = &reply.origin_message_id {
            for part in origin_parts(reply) {
                if let Some((id, row)) = self.storage.find_message(source, message_id, &part)? {
                    return Ok(Some((id, row, MatchedBy::MessageId)));
                }
            }
        }
        let Some(window) = self.settings.conversations else { return Ok(None) };
        if let Some(reference) = &reply.ref_client
            && let Some((id, row)) = self.conversation(ref_client_key(self.pseudonymizer, source, reference))?
        {
            return Ok(Some((id, row, MatchedBy::RefClient)));
        }
        let Some(number) = &reply.number else { return Ok(None) };
        let found = self.conversation(number_key(self.pseudonymizer, source, number))?;
        let at = reply.time.unwrap_or(submission.arrived_at);
        let recent = found.filter(|(_, row)| is_within(row.accepted_at, at, window));
        Ok(recent.map(|(id, row)| (id, row, MatchedBy::Number)))
    }

    /// The last message under a key; not one whose recipient has been erased.
    fn conversation(&self, key: KeyedHash) -> Result<Option<(MessageRowId, MessageRow)>, S::Error> {
        let Some(id) = self.storage.conversation(key)? else { return Ok(None) };
        let row = self.storage.message(id)?.filter(|row| row.erased_at.is_none());
        Ok(row.map(|row| (id, row)))
    }
}

/// The parts that the message which a reply names may have: a legacy id has the recipient beside it, who is the one that writes.
pub(super) fn origin_parts(reply: &Reply) -> impl Iterator<Item = String> {
    [Some(String::new()), reply.number.as_deref().map(number::plain)].into_iter().flatten()
}

/// The key of the last message to a number.
pub(super) fn number_key(pseudonymizer: &Pseudonymizer, source: &SourceName, number: &str) -> KeyedHash {
    pseudonymizer.key(&["number", source.as_str(), number])
}

/// The key of the last message with a refClient.
pub(super) fn ref_client_key(pseudonymizer: &Pseudonymizer, source: &SourceName, ref_client: &str) -> KeyedHash {
    pseudonymizer.key(&["refClient", source.as_str(), ref_client])
}

/// A reply that seems to come before its message is one whose clock differs a little.
fn is_within(accepted: Timestamp, at: Timestamp, window: Duration) -> bool {
    Duration::try_from(at.duration_since(accepted)).unwrap_or_default() <= window
}

/// What a reply's record says of the message that it answers.
pub(super) fn answers(message: &MessageRow, matched_by: MatchedBy, at: Timestamp) -> Answers {
    Answers {
        message_id: message.message_id.clone(),
        ref_client: message.ref_client.clone(),
        campaign_id: message.campaign_id.clone(),
        accepted_at: message.accepted_at,
        after_ms: (at.as_millisecond() - message.accepted_at.as_millisecond()).max(0),
        matched_by,
    }
}
