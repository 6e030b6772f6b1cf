//! What the store makes of an event: its dedup key and its record in the journal.

use jiff::Timestamp;

use super::storage::{Journal, MessageRow};
use crate::event::{Outcome, Price, Receipt, Status, Unrecognized, hex};
use crate::ledger::accounting::MessageLabels;
use crate::ledger::caps::UNKNOWN;
use crate::lifecycle::{Change, State};
use crate::record::{Kind, Record};
use crate::store::Submission;
use crate::store::hash::short_hash;
use crate::store::ids::ReceiptKey;

pub fn reply_key(id: &str) -> String {
    format!("reply:{id}")
}

pub fn unrecognized_key(event: &Unrecognized) -> String {
    format!("sha256:{}", hex(&event.digest))
}

/// A receipt is the same as another of its message when status value, detail and status time are, however they are written. A time
/// counts to the millisecond; one that cannot be read is its text.
pub fn receipt_key(status: &Status) -> ReceiptKey {
    let detail = status.detail.as_deref().unwrap_or_default().to_ascii_uppercase();
    ReceiptKey(match status.time {
        Some(time) => short_hash(&[&status.value, &detail, &format!("@{}", time.as_millisecond())]),
        None => short_hash(&[&status.value, &detail, &status.time_text]),
    })
}

/// Whether a message has a receipt that an earlier version knew by its spelling: in the same spelling by its key, in another one by
/// what the journal says.
///
/// # Errors
/// Those of the storage.
pub fn has_receipt_as_written<S: Journal>(storage: &S, row: &MessageRow, status: &Status) -> Result<bool, S::Error> {
    let detail = status.detail.as_deref().unwrap_or_default();
    let value = status.value_text.as_ref().unwrap_or(&status.value);
    let key = ReceiptKey(short_hash(&[value, detail, &status.time_text]));
    if key != receipt_key(status) && row.receipts.contains(&key) {
        return Ok(true);
    }
    let Some(time) = status.time else { return Ok(false) };
    let is_it = |record: &Record| {
        record.occurred_at.is_some_and(|at| at.as_millisecond() == time.as_millisecond())
            && record.status.as_deref().unwrap_or_default().eq_ignore_ascii_case(&status.value)
            && record.detail.as_deref().unwrap_or_default().eq_ignore_ascii_case(detail)
    };
    let mut next = row.newest_event;
    while let Some(event) = next.map(|position| storage.event(position)).transpose()?.flatten() {
        if is_it(&event.record) {
            return Ok(true);
        }
        next = event.previous;
    }
    Ok(false)
}

/// When a message left its pending state, now that it is in `state`.
pub fn settled_at(earlier: Option<&MessageRow>, state: State, at: Timestamp) -> Option<Timestamp> {
    if state.is_pending() {
        return None;
    }
    let stays = earlier.filter(|row| row.message.state.as_str() == state.as_str());
    stays.map_or(Some(at), |row| row.settled_at)
}

/// A label's value, `None` where it is not known.
pub fn known(label: &str) -> Option<String> {
    (label != UNKNOWN).then(|| label.to_owned())
}

/// Sent (else accepted) to delivered, where this receipt made the message delivered. Not when the clocks say less than nothing.
pub fn delivery_ms(receipt: &Receipt, changes: &[Change]) -> Option<i64> {
    if receipt.status.outcome != Outcome::Delivered || !changes.contains(&Change::Delivered) {
        return None;
    }
    let start = receipt.sent_at.or(receipt.accepted_at)?;
    let milliseconds = receipt.status.time?.as_millisecond() - start.as_millisecond();
    (milliseconds >= 0).then_some(milliseconds)
}

/// Whether an event has a number or a reference that its message has not.
pub fn needs_own_keys(record: &Record, message: Option<&MessageRow>) -> bool {
    let is_its = |value: &Option<String>, its: fn(&MessageRow) -> &Option<String>| {
        value.is_none() || message.is_some_and(|row| its(row) == value)
    };
    !(is_its(&record.number, |row| &row.number) && is_its(&record.ref_client, |row| &row.ref_client))
}

pub fn blank(submission: &Submission, kind: Kind) -> Record {
    Record {
        trace: submission.trace.map(|trace| trace.to_string()),
        reconciled: submission.reconciled,
        repaired: submission.repaired,
        reprocessed: submission.reprocessed.is_some(),
        arrived_at: submission.reprocessed.as_ref().map(|_| submission.arrived_at),
        ..Record::new(kind, submission.source.clone())
    }
}

pub fn receipt_record(
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
