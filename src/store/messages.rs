//! The rows of `messages`: what is known of each outbound message.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::Submission;
use crate::event::{Reason, Receipt, SourceName};
use crate::ledger::accounting::MessageLabels;
use crate::ledger::caps::UNKNOWN;
use crate::lifecycle::{Message, State};
use crate::record::{Kind, Record};

/// A message as it stands in the store.
pub struct Row {
    pub id: i64,
    /// The recipient, of a legacy message that was said to have one.
    pub part: String,
    pub message: Message,
    pub labels: MessageLabels,
    pub mccmnc: Option<String>,
    pub parts: Option<u32>,
    /// Millionths, and the currency as a label.
    pub cost: Option<(i64, String)>,
    /// The reason of a failure stays in the row when the message is delivered after all.
    pub ever_failed: bool,
    /// Nothing of its recipient may be written any more.
    pub erased: bool,
}

/// What is known of a receipt's message, if it is the one with this id. `part` is the receipt's, or what stands for it; `None` for
/// whichever it is.
pub fn find(
    connection: &Connection,
    id: i64,
    submission: &Submission,
    receipt: &Receipt,
    part: Option<&str>,
) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(
            "SELECT id, state, reason, first_seen, pending_since, channel, flow, country, mccmnc, parts, \
             cost_micros, currency, erased_at IS NOT NULL, part FROM messages \
             WHERE id = ?1 AND source = ?2 AND message_id = ?3 AND part = coalesce(?4, part)",
        )?
        .query_row(params![id, submission.source.as_str(), receipt.message_id, part], |row| {
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
                ever_failed: reason.is_some(),
                erased: row.get(12)?,
                part: row.get(13)?,
            })
        })
        .optional()
}

/// Gives the new message's id; `row.id` is not looked at.
pub fn insert(
    connection: &Connection,
    key: i64,
    submission: &Submission,
    receipt: &Receipt,
    row: &Row,
) -> rusqlite::Result<i64> {
    let now = submission.arrived_at.as_millisecond();
    let accepted_at =
        receipt.accepted_at.or(receipt.sent_at).unwrap_or(submission.arrived_at).min(submission.arrived_at);
    connection
        .prepare_cached(
            "INSERT INTO messages (key, source, message_id, part, state, reason, channel, flow, country, number, \
             ref_client, campaign_id, mccmnc, parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, \
             settled_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?18, ?20)",
        )?
        .insert(params![
            key,
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
            accepted_at.as_millisecond(),
            now,
            row.message.pending_since.as_millisecond(),
            (!row.message.state.is_pending()).then_some(now),
        ])
}

/// Saves what a further receipt has changed.
pub fn update(connection: &Connection, submission: &Submission, receipt: &Receipt, row: &Row) -> rusqlite::Result<()> {
    connection
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

/// Notes the recipient of a legacy message whose first receipt named none, and the keys by which it is found from now on.
pub fn adopt(connection: &Connection, row: &Row, part: &str, [key, id_key]: [i64; 2]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE messages SET part = ?2, key = ?3 WHERE id = ?1")?
        .execute(params![row.id, part, key])?;
    for key in [key, id_key] {
        connection
            .prepare_cached("INSERT OR IGNORE INTO message_keys (key, message) VALUES (?1, ?2)")?
            .execute([key, row.id])?;
    }
    Ok(())
}

/// The message that a reply answers: its id here, and what a reply may take from it.
#[derive(Default)]
pub struct Origin {
    pub id: Option<i64>,
    pub ref_client: Option<String>,
    pub campaign_id: Option<String>,
    pub message_id: String,
    pub accepted_at: Option<Timestamp>,
}

/// What a reply to the message with this number here may take from it, if that is the one with the provider's id.
pub fn origin(
    connection: &Connection,
    id: i64,
    source: &SourceName,
    message_id: &str,
    part: &str,
) -> rusqlite::Result<Option<Origin>> {
    connection
        .prepare_cached(
            "SELECT id, ref_client, campaign_id, message_id, accepted_at FROM messages \
             WHERE id = ?1 AND source = ?2 AND message_id = ?3 AND part = ?4",
        )?
        .query_row(params![id, source.as_str(), message_id, part], read_origin)
        .optional()
}

/// The same of the message with this number here, whichever it is; not of one whose recipient has been erased.
pub fn origin_by_row(connection: &Connection, id: i64) -> rusqlite::Result<Option<Origin>> {
    connection
        .prepare_cached(
            "SELECT id, ref_client, campaign_id, message_id, accepted_at FROM messages WHERE id = ?1 AND erased_at IS NULL",
        )?
        .query_row([id], read_origin)
        .optional()
}

fn read_origin(row: &rusqlite::Row<'_>) -> rusqlite::Result<Origin> {
    Ok(Origin {
        id: row.get(0)?,
        ref_client: row.get(1)?,
        campaign_id: row.get(2)?,
        message_id: row.get(3)?,
        accepted_at: Some(timestamp(row.get(4)?)?),
    })
}

/// Marks a message as expired.
pub fn expire(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE messages SET state = 'expired', settled_at = ?2, last_event = ?2 WHERE id = ?1")?
        .execute([id, now.as_millisecond()])
        .map(drop)
}

/// What is known of a message, with the record of its expiry.
pub fn for_expiry(connection: &Connection, id: i64) -> rusqlite::Result<Option<(Row, Record)>> {
    connection
        .prepare_cached(
            "SELECT state, reason, first_seen, pending_since, source, channel, flow, country, message_id, number, \
             ref_client, campaign_id, mccmnc, erased_at IS NOT NULL FROM messages WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let reason: Option<String> = row.get(1)?;
            let labels =
                MessageLabels { source: row.get(4)?, channel: row.get(5)?, flow: row.get(6)?, country: row.get(7)? };
            let record = Record {
                channel: Some(labels.channel.clone()),
                flow: Some(labels.flow.clone()),
                country: known(&labels.country),
                message_id: row.get(8)?,
                number: row.get(9)?,
                ref_client: row.get(10)?,
                campaign_id: row.get(11)?,
                mccmnc: row.get(12)?,
                erased: row.get(13)?,
                ..Record::new(Kind::Expired, source_name(&labels.source)?)
            };
            let message = message_from(row.get_ref(0)?.as_str()?, reason.as_deref(), row.get(2)?, row.get(3)?)?;
            let (ever_failed, erased) = (reason.is_some(), record.erased);
            let part = String::new();
            let row = Row { id, part, message, labels, mccmnc: None, parts: None, cost: None, ever_failed, erased };
            Ok((row, record))
        })
        .optional()
}

fn message_from(state: &str, reason: Option<&str>, first_seen: i64, pending_since: i64) -> rusqlite::Result<Message> {
    let reason = reason.and_then(Reason::from_name);
    let state = State::from_parts(state, reason)
        .ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("no such message state: {state}")))?;
    Ok(Message { state, first_seen: timestamp(first_seen)?, pending_since: timestamp(pending_since)? })
}

/// Reads a time column.
pub fn timestamp(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

fn source_name(name: &str) -> rusqlite::Result<SourceName> {
    SourceName::new(name).ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("no source name: {name}")))
}

/// The value of the `reason` column.
fn reason_of(state: State) -> Option<&'static str> {
    match state {
        State::Failed(reason) => Some(reason.as_str()),
        _ => None,
    }
}

/// A label's value, `None` where it is not known.
pub fn known(label: &str) -> Option<String> {
    (label != UNKNOWN).then(|| label.to_owned())
}
