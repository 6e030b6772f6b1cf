//! The table `messages`, and finding a row of it.

use rusqlite::{OptionalExtension, Row, params};

use super::lookup::{self, Rekeyed};
use super::search_index;
use super::transaction::SqliteTx;
use super::values::{timestamp, unreadable};
use crate::event::{Reason, SourceName};
use crate::ledger::accounting::MessageLabels;
use crate::lifecycle::{Message, State};
use crate::store::core::storage::{MessageRow, Messages, SharingId};
use crate::store::ids::{MessageRowId, ReceiptKey};

impl Messages for SqliteTx<'_> {
    fn find_message(
        &self,
        source: &SourceName,
        message_id: &str,
        part: &str,
    ) -> rusqlite::Result<Option<(MessageRowId, MessageRow)>> {
        for id in self.lookup.candidates(self.connection, lookup::key(source.as_str(), message_id, part))? {
            let is_it = |row: &MessageRow| is_of_id(row, source, message_id) && row.part == part;
            if let Some(row) = self.message(id)?.filter(is_it) {
                return Ok(Some((id, row)));
            }
        }
        Ok(None)
    }

    fn find_sharing_id(&self, source: &SourceName, message_id: &str) -> rusqlite::Result<SharingId> {
        let key = lookup::id_key(source.as_str(), message_id);
        Ok(match self.lookup.first_two(self.connection, key)?[..] {
            [] => SharingId::None,
            [id] => match self.message(id)?.filter(|row| is_of_id(row, source, message_id)) {
                Some(row) => SharingId::One(id, Box::new(row)),
                None => SharingId::None,
            },
            _ => SharingId::Several,
        })
    }

    fn message(&self, id: MessageRowId) -> rusqlite::Result<Option<MessageRow>> {
        self.connection
            .prepare_cached(
                "SELECT message_id, part, state, reason, first_seen, pending_since, source, channel, flow, country, number, \
                 ref_client, campaign_id, mccmnc, parts, cost_micros, currency, accepted_at, last_event, settled_at, erased_at, \
                 receipts, newest_event FROM messages WHERE id = ?1",
            )?
            .query_row([id], read)
            .optional()
    }

    fn insert_message(&mut self, row: &MessageRow) -> rusqlite::Result<MessageRowId> {
        let key = lookup::key(&row.labels.source, &row.message_id, &row.part);
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO messages (key, source, message_id, part, state, reason, channel, flow, country, number, \
                 ref_client, campaign_id, mccmnc, parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, \
                 settled_at, receipts, newest_event) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
            )?
            .insert(params![
                key,
                row.labels.source,
                row.message_id,
                row.part,
                row.message.state.as_str(),
                row.failure.map(Reason::as_str),
                row.labels.channel,
                row.labels.flow,
                row.labels.country,
                row.number,
                row.ref_client,
                row.campaign_id,
                row.mccmnc,
                row.parts,
                row.cost.as_ref().map(|cost| cost.0),
                row.cost.as_ref().map(|cost| &cost.1),
                row.accepted_at.as_millisecond(),
                row.message.first_seen.as_millisecond(),
                row.message.pending_since.as_millisecond(),
                row.last_event.as_millisecond(),
                row.settled_at.map(|at| at.as_millisecond()),
                to_blob(&row.receipts),
                row.newest_event,
            ])
            .map(MessageRowId)?;
        self.lookup.insert(key, id);
        if !row.part.is_empty() {
            self.lookup.insert(lookup::id_key(&row.labels.source, &row.message_id), id);
        }
        Ok(id)
    }

    fn put_message(&mut self, id: MessageRowId, row: &MessageRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET state = ?2, reason = ?3, number = ?4, ref_client = ?5, campaign_id = ?6, mccmnc = ?7, \
                 parts = ?8, cost_micros = ?9, currency = ?10, pending_since = ?11, last_event = ?12, settled_at = ?13, \
                 erased_at = ?14, receipts = ?15, newest_event = ?16 WHERE id = ?1",
            )?
            .execute(params![
                id,
                row.message.state.as_str(),
                row.failure.map(Reason::as_str),
                row.number,
                row.ref_client,
                row.campaign_id,
                row.mccmnc,
                row.parts,
                row.cost.as_ref().map(|cost| cost.0),
                row.cost.as_ref().map(|cost| &cost.1),
                row.message.pending_since.as_millisecond(),
                row.last_event.as_millisecond(),
                row.settled_at.map(|at| at.as_millisecond()),
                row.erased_at.map(|at| at.as_millisecond()),
                to_blob(&row.receipts),
                row.newest_event,
            ])
            .map(drop)
    }

    fn put_search_keys(&mut self, id: MessageRowId, from: &MessageRow, to: &MessageRow) -> rusqlite::Result<()> {
        search_index::replace(self.connection, id, from, to)
    }

    fn set_part(&mut self, id: MessageRowId, row: &MessageRow) -> rusqlite::Result<()> {
        let (source, message_id) = (&row.labels.source, &row.message_id);
        let to = lookup::key(source, message_id, &row.part);
        let from: i64 = self
            .connection
            .prepare_cached("SELECT key FROM messages WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        self.connection
            .prepare_cached("UPDATE messages SET part = ?2, key = ?3 WHERE id = ?1")?
            .execute(params![id, row.part, to])?;
        // The hash of a recipient tells of the recipient.
        self.connection
            .prepare_cached("DELETE FROM message_keys WHERE key = ?1 AND message = ?2")?
            .execute(params![from, id])?;
        for key in [to, lookup::id_key(source, message_id)] {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO message_keys (key, message) VALUES (?1, ?2)")?
                .execute(params![key, id])?;
        }
        self.rekeyed.push(Rekeyed { message: id, from, to });
        Ok(())
    }
}

/// A key is a hash: two identities may have the same.
fn is_of_id(row: &MessageRow, source: &SourceName, message_id: &str) -> bool {
    row.labels.source == source.as_str() && row.message_id == message_id
}

/// The further keys that a legacy message with a recipient may have: that of its id, and that which it had before its recipient was known.
pub fn legacy_keys(source: &str, message_id: &str) -> [i64; 2] {
    [lookup::id_key(source, message_id), lookup::key(source, message_id, "")]
}

/// The column `receipts`: eight bytes per key, the least significant first.
pub fn to_blob(keys: &[ReceiptKey]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.0.to_le_bytes()).collect()
}

fn from_blob(blob: &[u8]) -> Vec<ReceiptKey> {
    blob.as_chunks().0.iter().map(|key| ReceiptKey(i64::from_le_bytes(*key))).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let time = |column| row.get::<_, Option<i64>>(column)?.map(timestamp).transpose();
    let failure = row.get_ref(3)?.as_str_or_null()?.and_then(Reason::from_name);
    let state = row.get_ref(2)?.as_str()?;
    let state = State::from_parts(state, failure).ok_or_else(|| unreadable(2, format!("unexpected {state:?}")))?;
    let (first_seen, pending_since) = (timestamp(row.get(4)?)?, timestamp(row.get(5)?)?);
    Ok(MessageRow {
        message_id: row.get(0)?,
        part: row.get(1)?,
        message: Message { state, first_seen, pending_since },
        failure,
        labels: MessageLabels { source: row.get(6)?, channel: row.get(7)?, flow: row.get(8)?, country: row.get(9)? },
        number: row.get(10)?,
        ref_client: row.get(11)?,
        campaign_id: row.get(12)?,
        mccmnc: row.get(13)?,
        parts: row.get(14)?,
        cost: row.get::<_, Option<i64>>(15)?.zip(row.get(16)?),
        accepted_at: timestamp(row.get(17)?)?,
        last_event: timestamp(row.get(18)?)?,
        settled_at: time(19)?,
        erased_at: time(20)?,
        receipts: from_blob(row.get_ref(21)?.as_blob()?),
        newest_event: row.get(22)?,
    })
}
