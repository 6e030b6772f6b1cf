//! A request: each event with its dedup key, its message's state, its journal row and its counters.

use std::time::Duration;

use super::erase::redacted_receipt;
use super::records::{
    blank, delivery_ms, needs_own_keys, receipt_key, receipt_record, reply_key, settled_at, unrecognized_key,
};
use super::storage::{EventKey, EventRequest, MessageRow, NewEvent, SharingId, Storage};
use super::{Observation, Pseudonymizer, Tx, conversations};
use crate::event::{Event, Receipt, Reply, ReplyKind, Unrecognized};
use crate::ledger::Exemplar;
use crate::ledger::accounting::{Counters, MessageLabels, NetworkLabels};
use crate::ledger::caps::{Label, UNKNOWN};
use crate::lifecycle::{self, Change, Sighting, State};
use crate::record::{Kind, Position, Record};
use crate::route::RelayName;
use crate::store::floods::FirstSight;
use crate::store::ids::{MessageRowId, ResendId};
use crate::store::{IngestOutcome, Submission};

/// A request that is being ingested.
pub(super) struct RequestContext<'a> {
    pub(super) submission: &'a Submission,
    /// An erased person is in it, so nothing but its method and content type is stored, at most.
    is_redacted: bool,
    /// The event that it is stored with, once there is one.
    stored_with: Option<Position>,
    /// The relays that pass the request on as it came, and have it.
    pub(super) raw_relayed: Vec<RelayName>,
    /// The resend whose answer this is, until its message is known.
    pub(super) answers: Option<ResendId>,
}

/// Whether an event is new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dedup {
    New,
    Duplicate,
    NewButUnrecognized,
}

impl<S: Storage> Tx<'_, S> {
    /// Ingests all events of one request. `answers`: the resend whose answer it is.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn ingest(&mut self, submission: &Submission, answers: Option<ResendId>) -> Result<IngestOutcome, S::Error> {
        let is_redacted = self.brings_back_an_erased_person(submission)?;
        // What is read again is stored already.
        let stored_with = submission.reprocessed.as_ref().map(|reprocessed| reprocessed.request);
        let raw_relayed = match stored_with {
            Some(_) => self.raw_relays_of(&Record::new(Kind::Unrecognized, submission.source.clone())),
            None => Vec::new(),
        };
        let mut request = RequestContext { submission, is_redacted, stored_with, raw_relayed, answers };
        let mut all = Vec::with_capacity(submission.events.len());
        for event in &submission.events {
            all.push(match event {
                Event::Receipt(receipt) => self.receipt(&mut request, receipt)?,
                Event::Reply(reply) => self.reply(&mut request, reply)?,
                Event::Unrecognized(event) => self.unrecognized(&mut request, event)?,
            });
            if let (true, Event::Receipt(receipt), Some(Dedup::New)) = (submission.reconciled, event, all.last()) {
                self.counters().reconciled(submission.source.as_str(), receipt.status.outcome);
            }
        }
        if let Some(reprocessed) = &submission.reprocessed {
            self.storage.resolve_unrecognized(reprocessed)?;
            self.outcome.events_changed = true;
        }
        Ok(if all.contains(&Dedup::New) {
            IngestOutcome::Accepted
        } else if all.iter().all(|dedup| *dedup == Dedup::Duplicate) {
            IngestOutcome::Duplicate
        } else {
            IngestOutcome::Unrecognized
        })
    }

    /// What is known of a receipt's message.
    ///
    /// A legacy id covers many recipients. A receipt that names none is of the message with this id if there is one such message; and
    /// a message whose first receipt named none is that of the first recipient named. An erased message has a pseudonym in the place
    /// of its recipient.
    fn earlier(
        &self,
        submission: &Submission,
        receipt: &Receipt,
    ) -> Result<Option<(MessageRowId, MessageRow)>, S::Error> {
        let (source, message_id, part) = (&submission.source, &receipt.message_id, receipt.message_part.as_str());
        if let Some(found) = self.storage.find_message(source, message_id, part)? {
            return Ok(Some(found));
        }
        if !receipt.shares_id {
            return Ok(None);
        }
        if part.is_empty() {
            return Ok(match self.storage.find_sharing_id(source, message_id)? {
                SharingId::One(id, row) => Some((id, *row)),
                SharingId::None | SharingId::Several => None,
            });
        }
        if self.pseudonymizer.has_erased {
            for part in erased_parts(self.pseudonymizer, receipt) {
                if let Some(found) = self.storage.find_message(source, message_id, &part)? {
                    return Ok(Some(found));
                }
            }
        }
        match self.storage.find_sharing_id(source, message_id)? {
            SharingId::None => self.storage.find_message(source, message_id, ""),
            SharingId::One(..) | SharingId::Several => Ok(None),
        }
    }

    fn brings_back_an_erased_person(&self, submission: &Submission) -> Result<bool, S::Error> {
        if !self.pseudonymizer.has_erased {
            return Ok(false);
        }
        let is_erased =
            |key: &str| Ok::<_, S::Error>(self.storage.event_key(&submission.source, key)? == EventKey::Erased);
        for event in &submission.events {
            let brings_back = match event {
                Event::Receipt(receipt) => {
                    self.earlier(submission, receipt)?.is_some_and(|(_, row)| row.erased_at.is_some())
                }
                Event::Reply(reply) => {
                    is_erased(&reply_key(&reply.reply_id))?
                        || match &reply.former_id {
                            Some(former) => is_erased(&reply_key(former))?,
                            None => false,
                        }
                }
                Event::Unrecognized(event) => is_erased(&unrecognized_key(event))?,
            };
            if brings_back {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn receipt(&mut self, request: &mut RequestContext<'_>, receipt: &Receipt) -> Result<Dedup, S::Error> {
        let submission = request.submission;
        let earlier = self.earlier(submission, receipt)?;
        let is_erased = earlier.as_ref().is_some_and(|(_, row)| row.erased_at.is_some());
        let redacted = is_erased.then(|| redacted_receipt(receipt));
        let receipt = redacted.as_ref().unwrap_or(receipt);
        let key = receipt_key(&receipt.status);
        if let Some((id, row)) = &earlier {
            if let Some(resend) = request.answers.take() {
                self.link(resend, *id)?;
            }
            if row.part.is_empty() && !receipt.message_part.is_empty() {
                self.adopt_recipient(*id, row, receipt)?;
            }
            if row.receipts.contains(&key) || self.storage.has_receipt_as_written(*id, row, &receipt.status)? {
                return Ok(Dedup::Duplicate);
            }
        }

        let sighting =
            Sighting { outcome: receipt.status.outcome, arrived_at: submission.arrived_at, sent_at: receipt.sent_at };
        let (message, changes) = lifecycle::receive(earlier.as_ref().map(|(_, row)| row.message), sighting);
        let (known_id, mut row) = match earlier {
            Some((id, row)) => (Some(id), row),
            None => (None, self.new_message(submission, receipt, message)),
        };
        row.receipts.push(key);
        let previous = self.set_newest_event(&mut row);
        if receipt.network.mccmnc.is_some() {
            row.mccmnc.clone_from(&receipt.network.mccmnc);
        }
        self.count_receipt(receipt, &mut row, &changes);
        if let Some(exemplar) = Exemplar::of(submission.trace, submission.arrived_at).filter(|_| !is_erased) {
            self.counters().exemplify(&row.labels, &changes, exemplar);
        }
        row.settled_at = settled_at(known_id.map(|_| &row), message.state, submission.arrived_at);
        row.message = message;
        if let State::Failed(reason) = message.state {
            row.failure = Some(reason);
        }
        let id = match known_id {
            Some(id) => {
                let learns = (row.number.is_none() && receipt.number.is_some())
                    || (row.ref_client.is_none() && receipt.ref_client.is_some());
                let before = learns.then(|| row.clone());
                row.number = row.number.or_else(|| receipt.number.clone());
                row.ref_client = row.ref_client.or_else(|| receipt.ref_client.clone());
                row.campaign_id = row.campaign_id.or_else(|| receipt.campaign_id.clone());
                row.last_event = submission.arrived_at;
                self.storage.put_message(id, &row)?;
                if let Some(before) = before {
                    self.storage.put_search_keys(id, &before, &row)?;
                }
                id
            }
            None => self.add_message(submission, receipt, &row)?,
        };

        let mut record = receipt_record(submission, receipt, &row.labels, delivery_ms(receipt, &changes));
        if is_erased {
            record.trace = None;
            record.erased = true;
        }
        record.replaces = self.replaced_by(request, receipt, id, known_id.is_none())?;
        self.observe(submission, receipt, &row.labels, record.delivery_ms);
        let event = self.store(request, &record, Some((id, &row)), previous)?;
        self.follow_resends(receipt, &record, id, &row, event, &changes)?;
        Ok(Dedup::New)
    }

    fn new_message(&mut self, submission: &Submission, receipt: &Receipt, message: lifecycle::Message) -> MessageRow {
        let at = submission.arrived_at;
        MessageRow {
            message_id: receipt.message_id.clone(),
            part: receipt.message_part.clone(),
            message,
            failure: None,
            labels: self.first_labels(submission, receipt),
            receipts: Vec::new(),
            newest_event: None,
            number: receipt.number.clone(),
            ref_client: receipt.ref_client.clone(),
            campaign_id: receipt.campaign_id.clone(),
            mccmnc: None,
            parts: None,
            cost: None,
            accepted_at: receipt.accepted_at.or(receipt.sent_at).unwrap_or(at).min(at),
            last_event: at,
            settled_at: None,
            erased_at: None,
        }
    }

    fn add_message(
        &mut self,
        submission: &Submission,
        receipt: &Receipt,
        row: &MessageRow,
    ) -> Result<MessageRowId, S::Error> {
        let id = self.storage.insert_message(row)?;
        self.remember_conversation(&submission.source, receipt, id)?;
        // What is learnt by asking was sent long ago.
        if let (Some(number), false) = (&receipt.number, submission.reconciled) {
            let sight = FirstSight { source: submission.source.clone(), number: number.clone() };
            self.outcome.first_sights.push(sight);
        }
        self.count_after_opt_out(&submission.source, receipt, &row.labels)?;
        Ok(id)
    }

    fn reply(&mut self, request: &mut RequestContext<'_>, reply: &Reply) -> Result<Dedup, S::Error> {
        let submission = request.submission;
        if let Some(former) = &reply.former_id
            && self.storage.event_key(&submission.source, &reply_key(former))? != EventKey::Unknown
        {
            return Ok(Dedup::Duplicate);
        }
        if !self.storage.take_event_key(&submission.source, &reply_key(&reply.reply_id), submission.arrived_at)? {
            return Ok(Dedup::Duplicate);
        }
        let channel = self.caps.admit(Label::Channel, reply.channel.as_deref()).into_owned();
        self.counters().reply(submission.source.as_str(), &channel, reply.kind);
        self.apply_keyword(&submission.source, reply, submission.arrived_at)?;
        let mut previous = None;
        let (origin, answers) = match self.match_reply(submission, reply)? {
            Some((id, mut origin, matched_by)) => {
                previous = self.set_newest_event(&mut origin);
                self.storage.put_message(id, &origin)?;
                let at = reply.time.unwrap_or(submission.arrived_at);
                let answers = conversations::answers(&origin, matched_by, at);
                (Some((id, origin)), Some(answers))
            }
            None => (None, None),
        };
        let (ref_client, campaign_id) =
            origin.as_ref().map_or((None, None), |(_, row)| (row.ref_client.clone(), row.campaign_id.clone()));
        let record = Record {
            occurred_at: reply.time,
            flow: reply.flow.clone(),
            country: reply.country.map(|country| country.as_str().to_owned()),
            message_id: Some(reply.reply_id.clone()),
            ref_client: reply.ref_client.clone().or(ref_client),
            origin_message_id: reply.origin_message_id.clone(),
            campaign_id: reply.campaign_id.clone().or(campaign_id),
            number: reply.number.clone(),
            originator: reply.originator.clone(),
            mccmnc: reply.network.mccmnc.clone(),
            network: reply.network.name.clone(),
            text: reply.text.clone(),
            answers,
            channel: Some(channel),
            ..blank(submission, if reply.kind == ReplyKind::Stop { Kind::Stop } else { Kind::Reply })
        };
        self.store(request, &record, origin.as_ref().map(|(id, row)| (*id, row)), previous)?;
        Ok(Dedup::New)
    }

    fn unrecognized(&mut self, request: &mut RequestContext<'_>, event: &Unrecognized) -> Result<Dedup, S::Error> {
        let submission = request.submission;
        if !self.storage.take_event_key(&submission.source, &unrecognized_key(event), submission.arrived_at)? {
            return Ok(Dedup::Duplicate);
        }
        // An element of a request that is read again is understood by another version, perhaps.
        let record = Record {
            why: Some(event.why.clone().into_owned()),
            reprocessed: false,
            ..blank(submission, Kind::Unrecognized)
        };
        self.store(request, &record, None, None)?;
        Ok(Dedup::NewButUnrecognized)
    }

    fn first_labels(&mut self, submission: &Submission, receipt: &Receipt) -> MessageLabels {
        MessageLabels {
            source: submission.source.as_str().to_owned(),
            channel: self.caps.admit(Label::Channel, receipt.channel.as_deref()).into_owned(),
            flow: self.caps.admit(Label::Flow, receipt.flow.as_deref()).into_owned(),
            country: receipt.country.map_or(UNKNOWN.to_owned(), |country| country.as_str().to_owned()),
        }
    }

    /// Counts the receipt, what it changed, and parts and cost where this is the first event that carries them.
    fn count_receipt(&mut self, receipt: &Receipt, row: &mut MessageRow, changes: &[Change]) {
        let network = row.mccmnc.as_deref().map(|mccmnc| {
            // A name belongs to the code that it came with.
            let reported = receipt.network.name.as_deref().filter(|_| receipt.network.mccmnc.is_some());
            self.caps.admit_network(mccmnc, reported)
        });
        let status = self.caps.admit(Label::Status, Some(&receipt.status.value));
        let currency = receipt
            .price
            .as_ref()
            .map(|price| self.caps.admit(Label::Currency, price.currency.as_deref()).into_owned());

        let mut counters = Counters { ledger: self.ledger, updates: &mut self.outcome.counters };
        counters.receipt(&row.labels.source, &row.labels.channel, &status, receipt.status.outcome);
        let network = network.as_ref().map(|(network, name)| NetworkLabels { network, name });
        counters.message(&row.labels, network, changes);
        if let (None, Some(parts)) = (row.parts, receipt.parts) {
            counters.parts(&row.labels, parts);
            row.parts = Some(parts);
        }
        let failed_now = changes.iter().any(|change| matches!(change, Change::Failed(_)));
        match (&row.cost, &receipt.price, currency) {
            (None, Some(price), Some(currency)) => {
                counters.cost(&row.labels, price, &currency);
                if failed_now || row.failure.is_some() {
                    counters.failed_cost(&row.labels, price.micros, &currency);
                }
                row.cost = Some((price.micros, currency));
            }
            (Some((micros, currency)), _, _) if failed_now => counters.failed_cost(&row.labels, *micros, currency),
            _ => {}
        }
    }

    fn observe(&mut self, submission: &Submission, receipt: &Receipt, labels: &MessageLabels, delivery: Option<i64>) {
        let delivered_in =
            delivery.and_then(|milliseconds| u64::try_from(milliseconds).ok()).map(Duration::from_millis);
        // Clocks differ: what seems to come from the future says nothing.
        let came_by_itself = receipt.status.time.filter(|_| !submission.reconciled && submission.reprocessed.is_none());
        let delayed = came_by_itself.and_then(|time| submission.arrived_at.duration_since(time).try_into().ok());
        if delivered_in.is_some() || delayed.is_some() {
            self.outcome.observations.push(Observation { labels: labels.clone(), delivered_in, delayed });
        }
    }

    /// The recipient of a message whose first receipt named none.
    fn adopt_recipient(&mut self, id: MessageRowId, row: &MessageRow, receipt: &Receipt) -> Result<(), S::Error> {
        let part = match row.erased_at {
            Some(_) => self.pseudonymizer.part(&receipt.message_part),
            None => receipt.message_part.clone(),
        };
        self.storage.set_part(id, &MessageRow { part, ..row.clone() })
    }

    /// Appends the event to the journal and queues it for the relays; the request itself is stored with the first of its events.
    fn store(
        &mut self,
        context: &mut RequestContext<'_>,
        record: &Record,
        message: Option<(MessageRowId, &MessageRow)>,
        previous: Option<Position>,
    ) -> Result<Position, S::Error> {
        let submission = context.submission;
        let received_at = submission.reprocessed.as_ref().map_or(submission.arrived_at, |reprocessed| reprocessed.at);
        let request = match context.stored_with {
            Some(position) => EventRequest::StoredWith(position),
            None if context.is_redacted => EventRequest::Redacted(&submission.raw),
            None => EventRequest::Own(&submission.raw),
        };
        let needs_own_keys = needs_own_keys(record, message.map(|(_, row)| row));
        let message = message.map(|(id, _)| id);
        let position = self.append(&NewEvent { record, message, previous, received_at, request, needs_own_keys })?;
        context.stored_with.get_or_insert(position);
        self.relay(record, position, message, received_at, Some(&mut context.raw_relayed))?;
        Ok(position)
    }
}

/// What may stand for the recipient of an erased legacy message: earlier versions hashed it as it was written.
pub(super) fn erased_parts(pseudonymizer: &Pseudonymizer, receipt: &Receipt) -> impl Iterator<Item = String> {
    let part = &receipt.message_part;
    let forms = [part.clone(), format!("+{part}"), format!("00{part}")];
    forms.into_iter().chain(receipt.part_text.clone()).map(|form| pseudonymizer.part(&form))
}
