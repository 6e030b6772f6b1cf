//! What the rules ask the storage about submissions, known before they run: a database behind a network is asked once for all of them.

use std::borrow::Cow;

use super::conversations::{number_key, origin_parts, ref_client_key};
use super::ingest::erased_parts;
use super::records::{reply_key, unrecognized_key};
use super::relays::reply_ordering_key;
use super::resends::expected_key;
use super::{Pseudonymizer, Settings};
use crate::event::{Event, Receipt, Reply, SourceName};
use crate::store::Submission;
use crate::store::ids::{KeyedHash, OrderingKey};

/// The arguments of the storage's methods. A receipt or a reply may need fewer of them in the end, and rarely one more.
#[derive(Debug, Default)]
pub struct Lookups<'a> {
    /// Source, message id and part.
    pub messages: Vec<(&'a SourceName, &'a str, Cow<'a, str>)>,
    /// Source and message id, of legacy messages.
    pub shared_ids: Vec<(&'a SourceName, &'a str)>,
    pub event_keys: Vec<(&'a SourceName, String)>,
    /// Of replies.
    pub conversations: Vec<KeyedHash>,
    /// Whose opt-outs are asked for.
    pub people: Vec<(&'a SourceName, String)>,
    /// What is perhaps the replacement of a failed message.
    pub expectations: Vec<KeyedHash>,
    /// Of replies. Those of receipts are their messages.
    pub ordering_keys: Vec<OrderingKey>,
    /// Deliveries are asked for at all.
    pub has_relays: bool,
    /// So are resends.
    pub has_resends: bool,
}

impl<'a> Lookups<'a> {
    pub(super) fn of(
        submissions: impl IntoIterator<Item = &'a Submission>,
        settings: &Settings,
        pseudonymizer: &Pseudonymizer,
    ) -> Self {
        let (has_relays, has_resends) = (!settings.relays.is_empty(), !settings.resends.is_empty());
        let mut all = Self { has_relays, has_resends, ..Self::default() };
        for submission in submissions {
            let source = &submission.source;
            for event in &submission.events {
                match event {
                    Event::Receipt(receipt) => all.receipt(source, receipt, settings, pseudonymizer),
                    Event::Reply(reply) => all.reply(source, reply, settings, pseudonymizer),
                    Event::Unrecognized(event) => all.event_keys.push((source, unrecognized_key(event))),
                }
            }
        }
        all
    }

    fn receipt(
        &mut self,
        source: &'a SourceName,
        receipt: &'a Receipt,
        settings: &Settings,
        pseudonymizer: &Pseudonymizer,
    ) {
        let (message_id, part) = (receipt.message_id.as_str(), receipt.message_part.as_str());
        self.messages.push((source, message_id, part.into()));
        if receipt.shares_id {
            self.shared_ids.push((source, message_id));
            if !part.is_empty() {
                self.messages.push((source, message_id, "".into()));
                let erased = pseudonymizer.has_erased.then(|| erased_parts(pseudonymizer, receipt));
                self.messages.extend(erased.into_iter().flatten().map(|part| (source, message_id, part.into())));
            }
        }
        let is_sent = receipt.accepted_at.or(receipt.sent_at).is_some();
        if let (Some(_), true, Some(number)) = (settings.opt_outs, is_sent, &receipt.number) {
            self.people.push((source, pseudonymizer.person(number)));
        }
        if !settings.resends.is_empty() {
            self.expectations.extend(expected_key(pseudonymizer, source, receipt));
        }
    }

    fn reply(&mut self, source: &'a SourceName, reply: &'a Reply, settings: &Settings, pseudonymizer: &Pseudonymizer) {
        for id in [Some(&reply.reply_id), reply.former_id.as_ref()].into_iter().flatten() {
            self.event_keys.push((source, reply_key(id)));
        }
        if let Some(message_id) = &reply.origin_message_id {
            self.messages.extend(origin_parts(reply).map(|part| (source, message_id.as_str(), part.into())));
        }
        if settings.conversations.is_some() {
            self.conversations
                .extend(reply.ref_client.as_ref().map(|text| ref_client_key(pseudonymizer, source, text)));
            self.conversations.extend(reply.number.as_ref().map(|number| number_key(pseudonymizer, source, number)));
        }
        if let (Some(_), Some(number)) = (settings.opt_outs, &reply.number) {
            self.people.push((source, pseudonymizer.person(number)));
        }
        if !settings.relays.is_empty() {
            self.ordering_keys.push(reply_ordering_key(source, reply.number.as_deref(), &reply.reply_id));
        }
    }
}
