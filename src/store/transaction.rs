//! One open transaction: each event with its duplicate key, its message's state, its journal row and its postings.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{Submission, Verdict};
use crate::event::{Event, Outcome, Price, Reason, Receipt, Reply, ReplyKind, Status, Unrecognised, hex};
use crate::ledger::accounting::{Accounts, MessageLabels};
use crate::ledger::caps::{Label, LabelCaps, UNKNOWN};
use crate::ledger::{Ledger, Postings};
use crate::lifecycle::{self, Change, Message, Sighting, State};
use crate::record::{Kind, Record};

/// What one receipt lets us observe, once the transaction has committed.
#[derive(Debug, PartialEq)]
pub struct Observation {
    pub labels: MessageLabels,
    /// From sent to delivered, by the provider's clock.
    pub delivered_in: Option<Duration>,
    /// From the provider's status time to the arrival here.
    pub delayed: Option<Duration>,
}

/// A transaction in the making.
pub struct Open<'a> {
    pub connection: &'a Connection,
    pub ledger: &'a Ledger,
    pub caps: &'a mut LabelCaps,
    pub postings: Postings,
    pub observations: Vec<Observation>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Novelty {
    New,
    Known,
    NewButUnrecognised,
}

/// A message as it stands in the store.
struct Row {
    id: i64,
    message: Message,
    labels: MessageLabels,
    mccmnc: Option<String>,
    parts: Option<u32>,
    cost: Option<(i64, String)>,
    ever_failed: bool,
}

impl Open<'_> {
    /// Takes all events of one request.
    pub fn submit(&mut self, submission: &Submission) -> rusqlite::Result<Verdict> {
        let mut kept_in = None;
        let mut novelties = Vec::with_capacity(submission.events.len());
        for event in &submission.events {
            novelties.push(match event {
                Event::Receipt(receipt) => self.receipt(submission, receipt, &mut kept_in)?,
                Event::Reply(reply) => self.reply(submission, reply, &mut kept_in)?,
                Event::Unrecognised(event) => self.unrecognised(submission, event, &mut kept_in)?,
            });
        }
        Ok(if novelties.contains(&Novelty::New) {
            Verdict::Accepted
        } else if novelties.iter().all(|novelty| *novelty == Novelty::Known) {
            Verdict::Duplicate
        } else {
            Verdict::Unrecognised
        })
    }

    /// Expires one message that is pending past its horizon; `None` when it no longer is.
    pub fn expire(&mut self, id: i64, now: Timestamp, horizon: Duration) -> rusqlite::Result<Option<()>> {
        let Some((row, mut record)) = self.message_for_expiry(id)? else { return Ok(None) };
        let Some((message, changes)) = lifecycle::expire(row.message, now, horizon) else { return Ok(None) };
        self.accounts().message(&row.labels, None, &changes);
        self.connection
            .prepare_cached("UPDATE messages SET state = ?2, settled_at = ?3, last_event = ?3 WHERE id = ?1")?
            .execute(params![id, message.state.as_str(), now.as_millisecond()])?;
        record.occurred_at = row.message.pending_since.checked_add(horizon).ok();
        self.journal(&record, Some(id), now, None)?;
        Ok(Some(()))
    }

    fn accounts(&mut self) -> Accounts<'_> {
        Accounts { ledger: self.ledger, postings: &mut self.postings }
    }

    fn receipt(
        &mut self,
        submission: &Submission,
        receipt: &Receipt,
        kept_in: &mut Option<i64>,
    ) -> rusqlite::Result<Novelty> {
        let known = self.find_message(submission, receipt)?;
        let key = receipt_key(&receipt.status);
        if let Some(row) = &known
            && !self.take_receipt_key(row.id, key)?
        {
            return Ok(Novelty::Known);
        }

        let sighting =
            Sighting { outcome: receipt.status.outcome, arrived_at: submission.arrived_at, sent_at: receipt.sent_at };
        let (message, changes) = lifecycle::receive(known.as_ref().map(|row| row.message), sighting);
        let is_first = known.is_none();
        let mut row = known.unwrap_or_else(|| Row {
            id: 0,
            message,
            labels: self.first_labels(submission, receipt),
            mccmnc: None,
            parts: None,
            cost: None,
            ever_failed: false,
        });
        row.message = message;
        if receipt.network.mccmnc.is_some() {
            row.mccmnc.clone_from(&receipt.network.mccmnc);
        }
        self.count_receipt(receipt, &mut row, &changes);

        if is_first {
            row.id = self.insert_message(submission, receipt, &row)?;
            self.take_receipt_key(row.id, key)?;
        } else {
            self.update_message(submission, receipt, &row)?;
        }
        let record = receipt_record(submission, receipt, &row.labels, delivery_ms(receipt, &changes));
        self.observe(submission, receipt, &row.labels, record.delivery_ms);
        self.keep(submission, &record, Some(row.id), kept_in)?;
        Ok(Novelty::New)
    }

    fn reply(
        &mut self,
        submission: &Submission,
        reply: &Reply,
        kept_in: &mut Option<i64>,
    ) -> rusqlite::Result<Novelty> {
        if !self.take_event_key(submission, &format!("reply:{}", reply.reply_id))? {
            return Ok(Novelty::Known);
        }
        let channel = self.caps.admit(Label::Channel, reply.channel.as_deref());
        self.accounts().reply(submission.source.as_str(), &channel, reply.kind);
        let origin = match &reply.origin_message_id {
            Some(message_id) => self.origin(submission, message_id)?,
            None => None,
        };
        let (message, ref_client, campaign_id) = origin.unwrap_or_default();
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
            channel: Some(channel.into_owned()),
            ..blank(submission, if reply.kind == ReplyKind::Stop { Kind::Stop } else { Kind::Reply })
        };
        self.keep(submission, &record, message, kept_in)?;
        Ok(Novelty::New)
    }

    fn unrecognised(
        &mut self,
        submission: &Submission,
        event: &Unrecognised,
        kept_in: &mut Option<i64>,
    ) -> rusqlite::Result<Novelty> {
        if !self.take_event_key(submission, &format!("sha256:{}", hex(&event.digest)))? {
            return Ok(Novelty::Known);
        }
        let record = Record { why: Some(event.why.to_owned()), ..blank(submission, Kind::Unrecognised) };
        self.keep(submission, &record, None, kept_in)?;
        Ok(Novelty::NewButUnrecognised)
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
    fn count_receipt(&mut self, receipt: &Receipt, row: &mut Row, changes: &[Change]) {
        let network = row.mccmnc.clone();
        let network = network.as_deref().map(|mccmnc| self.caps.admit(Label::Network, Some(mccmnc)));
        let status = self.caps.admit(Label::Status, Some(&receipt.status.value));
        let currency = receipt
            .price
            .as_ref()
            .map(|price| self.caps.admit(Label::Currency, price.currency.as_deref()).into_owned());

        let mut accounts = Accounts { ledger: self.ledger, postings: &mut self.postings };
        accounts.receipt(&row.labels.source, &row.labels.channel, &status, receipt.status.outcome);
        accounts.message(&row.labels, network.as_deref(), changes);
        if let (None, Some(parts)) = (row.parts, receipt.parts) {
            accounts.parts(&row.labels, parts);
            row.parts = Some(parts);
        }
        let failed_now = changes.iter().any(|change| matches!(change, Change::Failed(_)));
        match (&row.cost, &receipt.price, currency) {
            (None, Some(price), Some(currency)) => {
                accounts.cost(&row.labels, price, &currency);
                if failed_now || row.ever_failed {
                    accounts.failed_cost(&row.labels, price.micros, &currency);
                }
                row.cost = Some((price.micros, currency));
            }
            (Some((micros, currency)), _, _) if failed_now => accounts.failed_cost(&row.labels, *micros, currency),
            _ => {}
        }
    }

    fn observe(&mut self, submission: &Submission, receipt: &Receipt, labels: &MessageLabels, delivery: Option<i64>) {
        let delivered_in =
            delivery.and_then(|milliseconds| u64::try_from(milliseconds).ok()).map(Duration::from_millis);
        // Clocks differ: what seems to come from the future says nothing.
        let delayed = receipt.status.time.and_then(|time| submission.arrived_at.duration_since(time).try_into().ok());
        if delivered_in.is_some() || delayed.is_some() {
            self.observations.push(Observation { labels: labels.clone(), delivered_in, delayed });
        }
    }

    fn find_message(&self, submission: &Submission, receipt: &Receipt) -> rusqlite::Result<Option<Row>> {
        self.connection
            .prepare_cached(
                "SELECT id, state, reason, first_seen, pending_since, channel, flow, country, mccmnc, parts, \
                 cost_micros, currency FROM messages WHERE source = ?1 AND message_id = ?2 AND part = ?3",
            )?
            .query_row(params![submission.source.as_str(), receipt.message_id, receipt.message_part], |row| {
                let reason: Option<String> = row.get(2)?;
                let labels = MessageLabels {
                    source: submission.source.as_str().to_owned(),
                    channel: row.get(5)?,
                    flow: row.get(6)?,
                    country: row.get(7)?,
                };
                let cost: Option<i64> = row.get(10)?;
                let currency: Option<String> = row.get(11)?;
                Ok(Row {
                    id: row.get(0)?,
                    message: message_from(row.get_ref(1)?.as_str()?, reason.as_deref(), row.get(3)?, row.get(4)?)?,
                    labels,
                    mccmnc: row.get(8)?,
                    parts: row.get(9)?,
                    cost: cost.zip(currency),
                    // The reason of a failure stays in the row when the message is delivered after all.
                    ever_failed: reason.is_some(),
                })
            })
            .optional()
    }

    fn insert_message(&self, submission: &Submission, receipt: &Receipt, row: &Row) -> rusqlite::Result<i64> {
        let now = submission.arrived_at.as_millisecond();
        self.connection
            .prepare_cached(
                "INSERT INTO messages (source, message_id, part, state, reason, channel, flow, country, number, \
                 ref_client, campaign_id, mccmnc, parts, cost_micros, currency, first_seen, pending_since, last_event, \
                 settled_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?16, ?18)",
            )?
            .insert(params![
                submission.source.as_str(),
                receipt.message_id,
                receipt.message_part,
                row.message.state.as_str(),
                reason_of(row.message.state),
                row.labels.channel,
                row.labels.flow,
                row.labels.country,
                receipt.number,
                receipt.ref_client,
                receipt.campaign_id,
                row.mccmnc,
                row.parts,
                row.cost.as_ref().map(|cost| cost.0),
                row.cost.as_ref().map(|cost| &cost.1),
                now,
                row.message.pending_since.as_millisecond(),
                (!row.message.state.is_pending()).then_some(now),
            ])
    }

    fn update_message(&self, submission: &Submission, receipt: &Receipt, row: &Row) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET state = ?2, reason = coalesce(?3, reason), number = coalesce(number, ?4), \
                 ref_client = coalesce(ref_client, ?5), campaign_id = coalesce(campaign_id, ?6), mccmnc = ?7, parts = ?8, \
                 cost_micros = ?9, currency = ?10, pending_since = ?11, last_event = ?12, \
                 settled_at = CASE WHEN ?2 IN ('scheduled', 'enroute') THEN NULL WHEN state = ?2 THEN settled_at ELSE ?12 END \
                 WHERE id = ?1",
            )?
            .execute(params![
                row.id,
                row.message.state.as_str(),
                reason_of(row.message.state),
                receipt.number,
                receipt.ref_client,
                receipt.campaign_id,
                row.mccmnc,
                row.parts,
                row.cost.as_ref().map(|cost| cost.0),
                row.cost.as_ref().map(|cost| &cost.1),
                row.message.pending_since.as_millisecond(),
                submission.arrived_at.as_millisecond(),
            ])
            .map(drop)
    }

    /// `false` when it was taken before.
    fn take_receipt_key(&self, message: i64, key: i64) -> rusqlite::Result<bool> {
        let taken = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO receipt_keys (message, key) VALUES (?1, ?2)")?
            .execute([message, key])?;
        Ok(taken == 1)
    }

    fn take_event_key(&self, submission: &Submission, key: &str) -> rusqlite::Result<bool> {
        let taken = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO event_keys (received_at, source, key) VALUES (?1, ?2, ?3)")?
            .execute(params![submission.arrived_at.as_millisecond(), submission.source.as_str(), key])?;
        Ok(taken == 1)
    }

    #[allow(clippy::type_complexity)]
    fn origin(
        &self,
        submission: &Submission,
        message_id: &str,
    ) -> rusqlite::Result<Option<(Option<i64>, Option<String>, Option<String>)>> {
        self.connection
            .prepare_cached(
                "SELECT id, ref_client, campaign_id FROM messages WHERE source = ?1 AND message_id = ?2 LIMIT 1",
            )?
            .query_row([submission.source.as_str(), message_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
    }

    fn message_for_expiry(&self, id: i64) -> rusqlite::Result<Option<(Row, Record)>> {
        self.connection
            .prepare_cached(
                "SELECT state, reason, first_seen, pending_since, source, channel, flow, country, message_id, number, \
                 ref_client, campaign_id, mccmnc FROM messages WHERE id = ?1",
            )?
            .query_row([id], |row| {
                let reason: Option<String> = row.get(1)?;
                let labels = MessageLabels {
                    source: row.get(4)?,
                    channel: row.get(5)?,
                    flow: row.get(6)?,
                    country: row.get(7)?,
                };
                let record = Record {
                    channel: Some(labels.channel.clone()),
                    flow: Some(labels.flow.clone()),
                    country: known(&labels.country),
                    message_id: row.get(8)?,
                    number: row.get(9)?,
                    ref_client: row.get(10)?,
                    campaign_id: row.get(11)?,
                    mccmnc: row.get(12)?,
                    ..Record::new(Kind::Expired, source_name(&labels.source)?)
                };
                let message = message_from(row.get_ref(0)?.as_str()?, reason.as_deref(), row.get(2)?, row.get(3)?)?;
                let row =
                    Row { id, message, labels, mccmnc: None, parts: None, cost: None, ever_failed: reason.is_some() };
                Ok((row, record))
            })
            .optional()
    }

    /// Writes the journal row; the request itself goes with the first event of it that is kept.
    fn keep(
        &self,
        submission: &Submission,
        record: &Record,
        message: Option<i64>,
        kept_in: &mut Option<i64>,
    ) -> rusqlite::Result<()> {
        let id = self.journal(record, message, submission.arrived_at, Some((submission, *kept_in)))?;
        kept_in.get_or_insert(id);
        Ok(())
    }

    fn journal(
        &self,
        record: &Record,
        message: Option<i64>,
        received_at: Timestamp,
        request: Option<(&Submission, Option<i64>)>,
    ) -> rusqlite::Result<i64> {
        let decoded = serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        let kept_in = request.and_then(|(_, kept_in)| kept_in);
        let raw = request.and_then(|(submission, kept_in)| kept_in.is_none().then_some(&submission.raw));
        self.connection
            .prepare_cached(
                "INSERT INTO events (received_at, source, kind, message, event, request, method, query, content_type, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .insert(params![
                received_at.as_millisecond(),
                record.source.as_str(),
                record.kind.as_str(),
                message,
                decoded,
                kept_in,
                raw.map(|raw| raw.method.as_str()),
                raw.map(|raw| raw.query.as_str()),
                raw.and_then(|raw| raw.content_type.as_deref()),
                raw.map(|raw| &raw.body[..]),
            ])
    }
}

fn message_from(state: &str, reason: Option<&str>, first_seen: i64, pending_since: i64) -> rusqlite::Result<Message> {
    let reason = reason.and_then(Reason::from_name);
    let state = State::from_parts(state, reason)
        .ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("no such message state: {state}")))?;
    Ok(Message { state, first_seen: timestamp(first_seen)?, pending_since: timestamp(pending_since)? })
}

/// Reads a time column.
pub(super) fn timestamp(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

fn source_name(name: &str) -> rusqlite::Result<crate::event::SourceName> {
    crate::event::SourceName::new(name)
        .ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("no source name: {name}")))
}

fn reason_of(state: State) -> Option<&'static str> {
    match state {
        State::Failed(reason) => Some(reason.as_str()),
        _ => None,
    }
}

fn known(label: &str) -> Option<String> {
    (label != UNKNOWN).then(|| label.to_owned())
}

/// A receipt is the same as another of its message when status value, detail and status time are.
fn receipt_key(status: &Status) -> i64 {
    let mut hash = Sha256::new();
    for part in [&status.value, status.detail.as_deref().unwrap_or_default(), &status.time_text] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

/// Sent (else accepted) to delivered, where this receipt made the message delivered. Not when the clocks say less than nothing.
fn delivery_ms(receipt: &Receipt, changes: &[Change]) -> Option<i64> {
    if receipt.status.outcome != Outcome::Delivered || !changes.contains(&Change::Delivered) {
        return None;
    }
    let start = receipt.sent_at.or(receipt.accepted_at)?;
    let milliseconds = receipt.status.time?.as_millisecond() - start.as_millisecond();
    (milliseconds >= 0).then_some(milliseconds)
}

fn blank(submission: &Submission, kind: Kind) -> Record {
    Record { trace: submission.trace.map(|trace| trace.to_string()), ..Record::new(kind, submission.source.clone()) }
}

fn receipt_record(
    submission: &Submission,
    receipt: &Receipt,
    labels: &MessageLabels,
    delivery_ms: Option<i64>,
) -> Record {
    let (kind, reason) = match receipt.status.outcome {
        Outcome::Scheduled => (Kind::Scheduled, None),
        Outcome::Enroute => (Kind::Enroute, None),
        Outcome::Delivered => (Kind::Delivered, None),
        Outcome::Failed(reason) => (Kind::Failed, Some(reason)),
        Outcome::Read => (Kind::Read, None),
        Outcome::Unknown => (Kind::Unknown, None),
    };
    let Price { micros, currency } = receipt.price.clone().unwrap_or(Price { micros: 0, currency: None });
    Record {
        occurred_at: receipt.status.time.or(match receipt.status.outcome {
            Outcome::Scheduled => receipt.accepted_at,
            Outcome::Enroute => receipt.sent_at.or(receipt.accepted_at),
            _ => None,
        }),
        channel: Some(labels.channel.clone()),
        flow: Some(labels.flow.clone()),
        country: known(&labels.country),
        message_id: Some(receipt.message_id.clone()),
        ref_client: receipt.ref_client.clone(),
        origin_message_id: receipt.origin_message_id.clone(),
        campaign_id: receipt.campaign_id.clone(),
        status: Some(receipt.status.value.clone()),
        detail: receipt.status.detail.clone(),
        reason,
        number: receipt.number.clone(),
        originator: receipt.originator.clone(),
        mccmnc: receipt.network.mccmnc.clone(),
        network: receipt.network.name.clone(),
        parts: receipt.parts,
        cost_micros: receipt.price.as_ref().map(|_| micros),
        currency,
        delivery_ms,
        text: receipt.text.clone(),
        ..blank(submission, kind)
    }
}
