//! One open transaction: each event with its duplicate key, its message's state, its journal row and its postings.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::erase::{Marks, redacted_receipt};
use super::floods::FirstSight;
use super::lookup::{self, Lookup};
use super::messages::{self, Origin, Row};
use super::opt_outs::Scope;
use super::records::{blank, delivery_ms, receipt_key, receipt_record, reply_key, unrecognized_key};
use super::{Raw, Submission, Verdict, conversations, unrecognized};
use crate::event::{Event, Receipt, Reply, ReplyKind, Status, Unrecognized};
use crate::ledger::accounting::{Accounts, MessageLabels, NetworkLabels};
use crate::ledger::caps::{Label, LabelCaps, UNKNOWN};
use crate::ledger::{Exemplar, Ledger, Postings};
use crate::lifecycle::{self, Change, Sighting};
use crate::record::{Kind, Record};
use crate::route::{RelayName, ResendRule, Route};

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
    pub lookup: &'a mut Lookup,
    pub marks: &'a Marks,
    pub routes: &'a [Route],
    pub resends: &'a [ResendRule],
    /// The resend whose answer is being taken.
    pub linking: Option<i64>,
    /// The last message that may have receipts which an earlier version knew by their spelling.
    pub spelled_to: i64,
    /// `None` where no list of opt-outs is kept.
    pub opt_outs: Option<Scope>,
    /// How long a number's last message may be answered without being named; `None` where conversations are not followed.
    pub conversations: Option<Duration>,
    pub postings: Postings,
    pub observations: Vec<Observation>,
    pub first_sights: Vec<FirstSight>,
    /// A relay has something to do.
    pub relays_changed: bool,
    /// There is another failure to be answered.
    pub resends_changed: bool,
    /// The place of the latest opt-out, if there was one.
    pub opt_outs_changed: Option<i64>,
}

/// A request that is being taken.
pub(super) struct Taking<'a> {
    submission: &'a Submission,
    /// What is kept of it with its first event; nothing where an erased person is in it.
    raw: Option<&'a Raw>,
    /// The journal row of that event, once there is one.
    kept_in: Option<i64>,
    /// The relays that pass the request on as it came, and have it.
    raw_taken: Vec<RelayName>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Novelty {
    New,
    Known,
    NewButUnrecognized,
}

impl Open<'_> {
    /// Takes all events of one request.
    pub fn submit(&mut self, submission: &Submission) -> rusqlite::Result<Verdict> {
        let raw = (!self.brings_back_an_erased_person(submission)?).then_some(&submission.raw);
        // What is read again is stored already.
        let kept_in = submission.reprocessed.as_ref().map(|reprocessed| reprocessed.request);
        let raw_taken = match kept_in {
            Some(_) => self.raw_relays_of(&Record::new(Kind::Unrecognized, submission.source.clone())),
            None => Vec::new(),
        };
        let mut taking = Taking { submission, raw, kept_in, raw_taken };
        let mut novelties = Vec::with_capacity(submission.events.len());
        for event in &submission.events {
            novelties.push(match event {
                Event::Receipt(receipt) => self.receipt(&mut taking, receipt)?,
                Event::Reply(reply) => self.reply(&mut taking, reply)?,
                Event::Unrecognized(event) => self.unrecognized(&mut taking, event)?,
            });
            if let (true, Event::Receipt(receipt), Some(Novelty::New)) =
                (submission.reconciled, event, novelties.last())
            {
                self.accounts().reconciled(submission.source.as_str(), receipt.status.outcome);
            }
        }
        if let Some(reprocessed) = &submission.reprocessed {
            unrecognized::resolve(self.connection, reprocessed)?;
        }
        Ok(if novelties.contains(&Novelty::New) {
            Verdict::Accepted
        } else if novelties.iter().all(|novelty| *novelty == Novelty::Known) {
            Verdict::Duplicate
        } else {
            Verdict::Unrecognized
        })
    }

    /// Expires one message that is pending past its horizon; `None` when it no longer is.
    pub fn expire(&mut self, id: i64, now: Timestamp, horizon: Duration) -> rusqlite::Result<Option<()>> {
        let Some((row, mut record)) = messages::for_expiry(self.connection, id)? else { return Ok(None) };
        let Some((_, changes)) = lifecycle::expire(row.message, now, horizon) else { return Ok(None) };
        self.accounts().message(&row.labels, None, &changes);
        messages::expire(self.connection, id, now)?;
        record.occurred_at = row.message.pending_since.checked_add(horizon).ok();
        let event = self.journal(&record, Some(id), now, None)?;
        self.relay(&record, event, Some(id), now, None)?;
        self.expired_unreplaced(id)?;
        Ok(Some(()))
    }

    /// What `at` gives for the first message that has this key and is the one.
    pub(super) fn first_that<T>(
        &self,
        key: i64,
        at: impl Fn(i64) -> rusqlite::Result<Option<T>>,
    ) -> rusqlite::Result<Option<T>> {
        for id in self.lookup.candidates(self.connection, key)? {
            if let Some(found) = at(id)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What is known of a receipt's message.
    ///
    /// A legacy id covers many recipients. A receipt that names none is of the message with this id if there is one such message; and
    /// a message whose first receipt named none is that of the first recipient named. An erased message has a hash in the place
    /// of its recipient.
    fn earlier(&self, submission: &Submission, receipt: &Receipt) -> rusqlite::Result<Option<Row>> {
        let (source, message_id, part) = (&submission.source, &receipt.message_id, receipt.message_part.as_str());
        let find = |id, part: Option<&str>| messages::find(self.connection, id, submission, receipt, part);
        let with_part = |part: &str| {
            let key = lookup::key(source, message_id, part);
            self.first_that(key, |id| find(id, Some(part)))
        };
        if let Some(row) = with_part(part)? {
            return Ok(Some(row));
        }
        if !receipt.shares_id {
            return Ok(None);
        }
        let of_id = || self.lookup.first_two(self.connection, lookup::id_key(source.as_str(), message_id));
        if part.is_empty() {
            return match of_id()?[..] {
                [id] => find(id, None),
                _ => Ok(None),
            };
        }
        if self.marks.exist {
            // Earlier versions hashed the recipient as it was written.
            let forms = [part.to_owned(), format!("+{part}"), format!("00{part}")];
            for form in forms.iter().chain(&receipt.part_text) {
                if let Some(row) = with_part(&self.marks.part(form))? {
                    return Ok(Some(row));
                }
            }
        }
        if of_id()?.is_empty() { with_part("") } else { Ok(None) }
    }

    fn brings_back_an_erased_person(&self, submission: &Submission) -> rusqlite::Result<bool> {
        if !self.marks.exist {
            return Ok(false);
        }
        for event in &submission.events {
            let is_erased = match event {
                Event::Receipt(receipt) => self.earlier(submission, receipt)?.is_some_and(|row| row.erased),
                Event::Reply(reply) => {
                    self.is_erased(submission, &reply_key(&reply.reply_id))?
                        || match &reply.former_id {
                            Some(former) => self.is_erased(submission, &reply_key(former))?,
                            None => false,
                        }
                }
                Event::Unrecognized(event) => self.is_erased(submission, &unrecognized_key(event))?,
            };
            if is_erased {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_erased(&self, submission: &Submission, key: &str) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM event_keys WHERE source = ?1 AND key = ?2 AND erased = 1")?
            .exists(params![submission.source.as_str(), key])
    }

    fn accounts(&mut self) -> Accounts<'_> {
        Accounts { ledger: self.ledger, postings: &mut self.postings }
    }

    fn receipt(&mut self, taking: &mut Taking<'_>, receipt: &Receipt) -> rusqlite::Result<Novelty> {
        let submission = taking.submission;
        let earlier = self.earlier(submission, receipt)?;
        let redacted = earlier.as_ref().is_some_and(|row| row.erased).then(|| redacted_receipt(receipt));
        let receipt = redacted.as_ref().unwrap_or(receipt);
        let key = receipt_key(&receipt.status);
        if let Some(row) = &earlier {
            self.link_asked(row.id)?;
            if row.part.is_empty() && !receipt.message_part.is_empty() {
                self.adopt(submission, receipt, row)?;
            }
            if !self.take_receipt_key(row.id, key)? || self.was_taken_before(row.id, &receipt.status)? {
                return Ok(Novelty::Known);
            }
        }

        let sighting =
            Sighting { outcome: receipt.status.outcome, arrived_at: submission.arrived_at, sent_at: receipt.sent_at };
        let (message, changes) = lifecycle::receive(earlier.as_ref().map(|row| row.message), sighting);
        let is_first = earlier.is_none();
        let mut row = earlier.unwrap_or_else(|| Row {
            id: 0,
            part: receipt.message_part.clone(),
            message,
            labels: self.first_labels(submission, receipt),
            mccmnc: None,
            parts: None,
            cost: None,
            ever_failed: false,
            erased: false,
        });
        row.message = message;
        if receipt.network.mccmnc.is_some() {
            row.mccmnc.clone_from(&receipt.network.mccmnc);
        }
        self.count_receipt(receipt, &mut row, &changes);
        if let Some(exemplar) = Exemplar::of(submission.trace, submission.arrived_at).filter(|_| !row.erased) {
            self.accounts().exemplify(&row.labels, &changes, exemplar);
        }

        if is_first {
            let message_key = lookup::key(&submission.source, &receipt.message_id, &receipt.message_part);
            row.id = messages::insert(self.connection, message_key, submission, receipt, &row)?;
            self.lookup.insert(message_key, row.id);
            if !receipt.message_part.is_empty() {
                self.lookup.insert(lookup::id_key(submission.source.as_str(), &receipt.message_id), row.id);
            }
            self.take_receipt_key(row.id, key)?;
            self.may_be_answered(&submission.source, receipt, row.id)?;
            // What is learnt by asking was sent long ago.
            if let (Some(number), false) = (&receipt.number, submission.reconciled) {
                self.first_sights.push(FirstSight { source: submission.source.clone(), number: number.clone() });
            }
            self.count_after_opt_out(&submission.source, receipt, &row.labels)?;
        } else {
            messages::update(self.connection, submission, receipt, &row)?;
        }
        let mut record = receipt_record(submission, receipt, &row.labels, delivery_ms(receipt, &changes));
        if row.erased {
            record.trace = None;
            record.erased = true;
        }
        record.replaces = self.replaced_by(&submission.source, receipt, row.id, is_first, submission.arrived_at)?;
        self.observe(submission, receipt, &row.labels, record.delivery_ms);
        let event = self.keep(taking, &record, Some(row.id))?;
        self.follow_resends(receipt, &record, row.id, event, &changes, submission.arrived_at)?;
        Ok(Novelty::New)
    }

    fn reply(&mut self, taking: &mut Taking<'_>, reply: &Reply) -> rusqlite::Result<Novelty> {
        let submission = taking.submission;
        if let Some(former) = &reply.former_id
            && self.knows_event_key(submission, &reply_key(former))?
        {
            return Ok(Novelty::Known);
        }
        if !self.take_event_key(submission, &reply_key(&reply.reply_id))? {
            return Ok(Novelty::Known);
        }
        let channel = self.caps.admit(Label::Channel, reply.channel.as_deref());
        self.accounts().reply(submission.source.as_str(), &channel, reply.kind);
        self.hear(&submission.source, reply, submission.arrived_at)?;
        let (origin, answers) = match self.answered_by(submission, reply)? {
            Some((origin, matched_by)) => {
                let at = reply.time.unwrap_or(submission.arrived_at);
                let answers = conversations::answers(&origin, matched_by, at);
                (origin, answers)
            }
            None => (Origin::default(), None),
        };
        let record = Record {
            occurred_at: reply.time,
            flow: reply.flow.clone(),
            country: reply.country.map(|country| country.as_str().to_owned()),
            message_id: Some(reply.reply_id.clone()),
            ref_client: reply.ref_client.clone().or(origin.ref_client),
            origin_message_id: reply.origin_message_id.clone(),
            campaign_id: reply.campaign_id.clone().or(origin.campaign_id),
            number: reply.number.clone(),
            originator: reply.originator.clone(),
            mccmnc: reply.network.mccmnc.clone(),
            network: reply.network.name.clone(),
            text: reply.text.clone(),
            answers,
            channel: Some(channel.into_owned()),
            ..blank(submission, if reply.kind == ReplyKind::Stop { Kind::Stop } else { Kind::Reply })
        };
        self.keep(taking, &record, origin.id)?;
        Ok(Novelty::New)
    }

    fn unrecognized(&mut self, taking: &mut Taking<'_>, event: &Unrecognized) -> rusqlite::Result<Novelty> {
        let submission = taking.submission;
        if !self.take_event_key(submission, &unrecognized_key(event))? {
            return Ok(Novelty::Known);
        }
        // An element of a request that is read again is understood by another version, perhaps.
        let record =
            Record { why: Some(event.why.to_owned()), reprocessed: false, ..blank(submission, Kind::Unrecognized) };
        self.keep(taking, &record, None)?;
        Ok(Novelty::NewButUnrecognized)
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

        let mut accounts = Accounts { ledger: self.ledger, postings: &mut self.postings };
        accounts.receipt(&row.labels.source, &row.labels.channel, &status, receipt.status.outcome);
        let network = network.as_ref().map(|(network, name)| NetworkLabels { network, name });
        accounts.message(&row.labels, network, changes);
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
        let came_by_itself = receipt.status.time.filter(|_| !submission.reconciled && submission.reprocessed.is_none());
        let delayed = came_by_itself.and_then(|time| submission.arrived_at.duration_since(time).try_into().ok());
        if delivered_in.is_some() || delayed.is_some() {
            self.observations.push(Observation { labels: labels.clone(), delivered_in, delayed });
        }
    }

    /// The recipient of a message whose first receipt named none.
    fn adopt(&self, submission: &Submission, receipt: &Receipt, row: &Row) -> rusqlite::Result<()> {
        let part = match row.erased {
            true => &self.marks.part(&receipt.message_part),
            false => &receipt.message_part,
        };
        let source = &submission.source;
        let keys =
            [lookup::key(source, &receipt.message_id, part), lookup::id_key(source.as_str(), &receipt.message_id)];
        messages::adopt(self.connection, row, part, keys)
    }

    /// Whether an earlier version took this receipt, which it knew by the spelling of status and status time: in the same spelling by
    /// its key, in another one by what the journal says.
    fn was_taken_before(&self, message: i64, status: &Status) -> rusqlite::Result<bool> {
        if message > self.spelled_to {
            return Ok(false);
        }
        let detail = status.detail.as_deref().unwrap_or_default();
        let value = status.value_text.as_ref().unwrap_or(&status.value);
        let key = lookup::short_hash(&[value, detail, &status.time_text]);
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM receipt_keys WHERE message = ?1 AND key = ?2")?;
        if key != receipt_key(status) && statement.exists([message, key])? {
            return Ok(true);
        }
        let Some(time) = status.time else { return Ok(false) };
        let mut statement = self.connection.prepare_cached(
            "SELECT event ->> '$.occurred_at', event ->> '$.status', event ->> '$.detail' FROM events WHERE message = ?1",
        )?;
        let mut rows = statement.query([message])?;
        while let Some(row) = rows.next()? {
            let word = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?.unwrap_or_default());
            let occurred_at = word(0)?.parse::<Timestamp>().ok();
            if occurred_at.is_some_and(|at| at.as_millisecond() == time.as_millisecond())
                && word(1)?.eq_ignore_ascii_case(&status.value)
                && word(2)?.eq_ignore_ascii_case(detail)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `false` when it was taken before.
    fn take_receipt_key(&self, message: i64, key: i64) -> rusqlite::Result<bool> {
        let taken = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO receipt_keys (message, key) VALUES (?1, ?2)")?
            .execute([message, key])?;
        Ok(taken == 1)
    }

    fn knows_event_key(&self, submission: &Submission, key: &str) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM event_keys WHERE source = ?1 AND key = ?2")?
            .exists(params![submission.source.as_str(), key])
    }

    fn take_event_key(&self, submission: &Submission, key: &str) -> rusqlite::Result<bool> {
        let taken = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO event_keys (received_at, source, key) VALUES (?1, ?2, ?3)")?
            .execute(params![submission.arrived_at.as_millisecond(), submission.source.as_str(), key])?;
        Ok(taken == 1)
    }

    /// Writes the journal row, and gives its place; the request itself goes with the first event of it that is kept.
    fn keep(&mut self, taking: &mut Taking<'_>, record: &Record, message: Option<i64>) -> rusqlite::Result<i64> {
        let submission = taking.submission;
        let arrived_at = submission.reprocessed.as_ref().map_or(submission.arrived_at, |reprocessed| reprocessed.at);
        let id = self.journal(record, message, arrived_at, Some(taking))?;
        taking.kept_in.get_or_insert(id);
        self.relay(record, id, message, arrived_at, Some(&mut taking.raw_taken))?;
        Ok(id)
    }

    pub(super) fn journal(
        &self,
        record: &Record,
        message: Option<i64>,
        received_at: Timestamp,
        taking: Option<&Taking<'_>>,
    ) -> rusqlite::Result<i64> {
        let decoded = serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        let kept_in = taking.and_then(|taking| taking.kept_in);
        let request = taking.filter(|taking| taking.kept_in.is_none()).map(|taking| &taking.submission.raw);
        let raw = taking.and_then(|taking| taking.raw).filter(|_| kept_in.is_none());
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
                request.map(|raw| raw.method.as_str()),
                raw.map(|raw| raw.query.as_str()),
                request.and_then(|raw| raw.content_type.as_deref()),
                raw.map(|raw| &raw.body[..]),
            ])
    }
}
