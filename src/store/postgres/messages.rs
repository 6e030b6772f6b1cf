//! The table `messages`, and `pending` beside it.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PgError;
use super::keys;
use super::session::{Pipeline, columns, params};
use super::texts::without_nul;
use super::transaction::PgTx;
use super::values::{Columns, int4};
use crate::event::{Reason, SourceName};
use crate::ledger::accounting::MessageLabels;
use crate::lifecycle::{Message, State};
use crate::store::core::storage::{MessageRow, Messages, SharingId};
use crate::store::ids::{MessageRowId, ReceiptKey};

/// The columns of `messages AS m` that [`MessageRows::admit`] reads, in this order.
macro_rules! message_columns {
    () => {
        "m.id, m.key, m.message_id, m.part, m.state, m.reason, m.first_seen, m.pending_since, m.source, m.channel, m.flow, \
         m.country, m.number, m.ref_client, m.campaign_id, m.mccmnc, m.parts, m.cost_micros, m.currency, m.accepted_at, \
         m.last_event, m.settled_at, m.erased_at, m.receipts, m.newest_event"
    };
}
pub(super) use message_columns;

/// Up to two messages of each of some legacy ids, the id's key first.
pub(super) const SHARING_ID: &str = concat!(
    "SELECT k.key, ",
    message_columns!(),
    " FROM unnest($1::uuid[]) AS k (key) \
     CROSS JOIN LATERAL (SELECT * FROM smscope.messages WHERE id_key = k.key LIMIT 2) AS m"
);

/// What is known of the table: rows, and keys that have none.
#[derive(Default)]
pub(super) struct MessageRows {
    rows: HashMap<MessageRowId, Option<Slot>>,
    by_key: HashMap<Uuid, Option<MessageRowId>>,
    /// The first two messages of a legacy id.
    by_id: HashMap<Uuid, Vec<MessageRowId>>,
    changed: Vec<MessageRowId>,
    /// Keys that messages have in the table, and not in memory any more.
    left: HashSet<Uuid>,
}

struct Slot {
    row: MessageRow,
    key: Uuid,
    /// As the tables have it; `None`: they do not.
    stored: Option<Stored>,
    is_changed: bool,
}

struct Stored {
    key: Uuid,
    pending: Option<Pending>,
}

/// A row of `pending`.
#[derive(Clone, Copy, PartialEq)]
struct Pending {
    state: State,
    first_seen: Timestamp,
    since: Timestamp,
}

impl Pending {
    fn of(row: &MessageRow) -> Option<Self> {
        let Message { state, first_seen, pending_since } = row.message;
        state.is_pending().then_some(Self { state, first_seen, since: pending_since })
    }
}

impl MessageRows {
    /// There is no message with these keys, unless one is admitted.
    pub fn ask_for(&mut self, keys: &[Uuid]) {
        for key in keys {
            self.by_key.entry(*key).or_insert(None);
        }
    }

    /// Of these legacy ids there is no message, unless one is admitted.
    pub fn ask_for_ids(&mut self, keys: &[Uuid]) {
        for key in keys {
            self.by_id.entry(*key).or_default();
        }
    }

    /// A row of the table, whose first column is `column`.
    pub fn admit(&mut self, row: &Row, column: usize) -> Result<MessageRowId, PgError> {
        let (id, key, row) = read(row, column)?;
        // What memory has is newer.
        self.rows.entry(id).or_insert_with(|| {
            let stored = Some(Stored { key, pending: Pending::of(&row) });
            self.by_key.insert(key, Some(id));
            Some(Slot { row, key, stored, is_changed: false })
        });
        Ok(id)
    }

    /// A row of [`SHARING_ID`].
    pub fn admit_sharing(&mut self, row: &Row) -> Result<(), PgError> {
        let key: Uuid = Columns::of("messages", row, 0).get()?;
        let id = self.admit(row, 1)?;
        let sharing = self.by_id.entry(key).or_default();
        if !sharing.contains(&id) {
            sharing.push(id);
        }
        Ok(())
    }

    /// Those of the messages with some keys that are known.
    pub fn with_keys(&self, keys: &[Uuid]) -> impl Iterator<Item = MessageRowId> {
        keys.iter().filter_map(|key| self.by_key.get(key).copied().flatten())
    }

    fn get(&self, id: MessageRowId) -> Option<MessageRow> {
        self.rows.get(&id)?.as_ref().map(|slot| slot.row.clone())
    }

    fn change(&mut self, id: MessageRowId, change: impl FnOnce(&mut Slot)) {
        let Some(Some(slot)) = self.rows.get_mut(&id) else { return };
        change(slot);
        if !slot.is_changed {
            slot.is_changed = true;
            self.changed.push(id);
        }
    }

    fn insert(&mut self, id: MessageRowId, row: MessageRow) {
        let key = key_of(&row);
        self.by_key.insert(key, Some(id));
        if let Some(sharing) = id_key_of(&row).and_then(|key| self.by_id.get_mut(&key)) {
            sharing.push(id);
        }
        self.rows.insert(id, Some(Slot { row, key, stored: None, is_changed: true }));
        self.changed.push(id);
    }

    fn set_part(&mut self, id: MessageRowId, part: &str) {
        let mut moved = None;
        self.change(id, |slot| {
            part.clone_into(&mut slot.row.part);
            let from = std::mem::replace(&mut slot.key, key_of(&slot.row));
            moved = Some((from, slot.key, id_key_of(&slot.row), slot.stored.as_ref().map(|stored| stored.key)));
        });
        let Some((from, to, id_key, stored)) = moved else { return };
        self.by_key.insert(from, None);
        self.by_key.insert(to, Some(id));
        self.left.extend(stored);
        if let Some(sharing) = id_key.and_then(|key| self.by_id.get_mut(&key))
            && !sharing.contains(&id)
        {
            sharing.push(id);
        }
    }

    /// Adds the statements that make the tables what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        self.left.clear();
        let changed = std::mem::take(&mut self.changed);
        let slots: Vec<(MessageRowId, &Slot)> =
            changed.iter().filter_map(|id| Some((*id, self.rows.get(id)?.as_ref()?))).collect();
        let (stored, new): (Vec<_>, Vec<_>) = slots.iter().partition(|(_, slot)| slot.stored.is_some());
        let is_moved = |(_, slot): &&(MessageRowId, &Slot)| slot.stored.as_ref().is_some_and(|old| old.key != slot.key);
        write_identities(&stored.iter().filter(is_moved).copied().collect::<Vec<_>>(), writes);
        insert_all(&new, writes);
        update_all(&stored, writes);
        write_pending(&slots, writes);
        for id in changed {
            if let Some(Some(slot)) = self.rows.get_mut(&id) {
                slot.stored = Some(Stored { key: slot.key, pending: Pending::of(&slot.row) });
                slot.is_changed = false;
            }
        }
    }
}

impl Messages for PgTx<'_> {
    fn find_message(
        &self,
        source: &SourceName,
        message_id: &str,
        part: &str,
    ) -> Result<Option<(MessageRowId, MessageRow)>, PgError> {
        let key = keys::message(source.as_str(), message_id, part);
        let known = self.messages.borrow().by_key.get(&key).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let sql = concat!("SELECT ", message_columns!(), " FROM smscope.messages AS m WHERE m.key = $1");
                let found = self.query_opt(sql, params![key => UUID])?;
                let mut messages = self.messages.borrow_mut();
                messages.ask_for(&[key]);
                found.map(|row| messages.admit(&row, 0)).transpose()?
            }
        };
        Ok(id.and_then(|id| Some((id, self.messages.borrow().get(id)?))))
    }

    fn find_sharing_id(&self, source: &SourceName, message_id: &str) -> Result<SharingId, PgError> {
        let key = keys::id(source.as_str(), message_id);
        if !self.messages.borrow().by_id.contains_key(&key) {
            self.flush(|writes| self.messages.borrow_mut().write(writes))?;
            let keys = [key];
            let found = self.query(SHARING_ID, params![&keys[..] => UUID_ARRAY])?;
            let mut messages = self.messages.borrow_mut();
            messages.ask_for_ids(&keys);
            found.iter().try_for_each(|row| messages.admit_sharing(row))?;
        }
        let messages = self.messages.borrow();
        Ok(match messages.by_id.get(&key).map(Vec::as_slice) {
            None | Some([]) => SharingId::None,
            Some([id]) => messages.get(*id).map_or(SharingId::None, |row| SharingId::One(*id, Box::new(row))),
            Some(_) => SharingId::Several,
        })
    }

    fn message(&self, id: MessageRowId) -> Result<Option<MessageRow>, PgError> {
        if id <= self.begun.message && !self.messages.borrow().rows.contains_key(&id) {
            let sql = concat!("SELECT ", message_columns!(), " FROM smscope.messages AS m WHERE m.id = $1");
            let found = self.query_opt(sql, params![id => INT8])?;
            let mut messages = self.messages.borrow_mut();
            match found {
                Some(row) => messages.admit(&row, 0).map(drop)?,
                None => drop(messages.rows.insert(id, None)),
            }
        }
        Ok(self.messages.borrow().get(id))
    }

    fn insert_message(&mut self, row: &MessageRow) -> Result<MessageRowId, PgError> {
        self.ids.message.0 += 1;
        self.messages.get_mut().insert(self.ids.message, row.clone());
        Ok(self.ids.message)
    }

    fn put_message(&mut self, id: MessageRowId, row: &MessageRow) -> Result<(), PgError> {
        // It may not have been read.
        self.message(id)?;
        self.messages.get_mut().change(id, |slot| {
            let part = std::mem::take(&mut slot.row.part);
            slot.row = MessageRow { part, ..row.clone() };
        });
        if self.is_erasure() {
            self.redacted.get_mut().table("messages");
        }
        Ok(())
    }

    fn set_part(&mut self, id: MessageRowId, row: &MessageRow) -> Result<(), PgError> {
        self.message(id)?;
        if self.messages.get_mut().left.contains(&key_of(row)) {
            // The message that had this key has to leave it first.
            self.flush(|writes| self.messages.borrow_mut().write(writes))?;
        }
        self.messages.get_mut().set_part(id, &row.part);
        Ok(())
    }
}

fn key_of(row: &MessageRow) -> Uuid {
    keys::message(&row.labels.source, &row.message_id, &row.part)
}

fn id_key_of(row: &MessageRow) -> Option<Uuid> {
    (!row.part.is_empty()).then(|| keys::id(&row.labels.source, &row.message_id))
}

fn each<T>(slots: &[(MessageRowId, &Slot)], column: impl Fn(MessageRowId, &Slot) -> T) -> Vec<T> {
    slots.iter().map(|(id, slot)| column(*id, slot)).collect()
}

fn text(text: &str) -> String {
    without_nul(text).into_owned()
}

fn optional(value: Option<&String>) -> Option<String> {
    value.map(|value| text(value))
}

fn write_identities(moved: &[(MessageRowId, &Slot)], writes: &mut Pipeline) {
    if moved.is_empty() {
        return;
    }
    writes.add(
        "UPDATE smscope.messages AS m SET key = u.key, id_key = u.id_key, part = u.part \
         FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[]) AS u (id, key, id_key, part) WHERE m.id = u.id",
        columns![
            each(moved, |id, _| id) => INT8_ARRAY,
            each(moved, |_, slot| slot.key) => UUID_ARRAY,
            each(moved, |_, slot| id_key_of(&slot.row)) => UUID_ARRAY,
            each(moved, |_, slot| text(&slot.row.part)) => TEXT_ARRAY,
        ],
    );
}

fn insert_all(new: &[(MessageRowId, &Slot)], writes: &mut Pipeline) {
    if new.is_empty() {
        return;
    }
    writes.add(
        "INSERT INTO smscope.messages (id, key, id_key, source, message_id, part, state, reason, channel, flow, country, number, \
         ref_client, campaign_id, mccmnc, parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, \
         settled_at, erased_at, newest_event, receipts) \
         SELECT unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::text[]), \
         unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]), \
         unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]), \
         unnest($16::int[]), unnest($17::bigint[]), unnest($18::text[]), unnest($19::bigint[]), unnest($20::bigint[]), \
         unnest($21::bigint[]), unnest($22::bigint[]), unnest($23::bigint[]), unnest($24::bigint[]), unnest($25::bigint[]), \
         unnest($26::bytea[])",
        columns![
            each(new, |id, _| id) => INT8_ARRAY,
            each(new, |_, slot| slot.key) => UUID_ARRAY,
            each(new, |_, slot| id_key_of(&slot.row)) => UUID_ARRAY,
            each(new, |_, slot| text(&slot.row.labels.source)) => TEXT_ARRAY,
            each(new, |_, slot| text(&slot.row.message_id)) => TEXT_ARRAY,
            each(new, |_, slot| text(&slot.row.part)) => TEXT_ARRAY,
            each(new, |_, slot| slot.row.message.state.as_str()) => TEXT_ARRAY,
            each(new, |_, slot| slot.row.failure.map(Reason::as_str)) => TEXT_ARRAY,
            each(new, |_, slot| text(&slot.row.labels.channel)) => TEXT_ARRAY,
            each(new, |_, slot| text(&slot.row.labels.flow)) => TEXT_ARRAY,
            each(new, |_, slot| text(&slot.row.labels.country)) => TEXT_ARRAY,
            each(new, |_, slot| optional(slot.row.number.as_ref())) => TEXT_ARRAY,
            each(new, |_, slot| optional(slot.row.ref_client.as_ref())) => TEXT_ARRAY,
            each(new, |_, slot| optional(slot.row.campaign_id.as_ref())) => TEXT_ARRAY,
            each(new, |_, slot| optional(slot.row.mccmnc.as_ref())) => TEXT_ARRAY,
            each(new, |_, slot| slot.row.parts.map(int4)) => INT4_ARRAY,
            each(new, |_, slot| slot.row.cost.as_ref().map(|cost| cost.0)) => INT8_ARRAY,
            each(new, |_, slot| optional(slot.row.cost.as_ref().map(|cost| &cost.1))) => TEXT_ARRAY,
            each(new, |_, slot| slot.row.accepted_at.as_millisecond()) => INT8_ARRAY,
            each(new, |_, slot| slot.row.message.first_seen.as_millisecond()) => INT8_ARRAY,
            each(new, |_, slot| slot.row.message.pending_since.as_millisecond()) => INT8_ARRAY,
            each(new, |_, slot| slot.row.last_event.as_millisecond()) => INT8_ARRAY,
            each(new, |_, slot| slot.row.settled_at.map(|at| at.as_millisecond())) => INT8_ARRAY,
            each(new, |_, slot| slot.row.erased_at.map(|at| at.as_millisecond())) => INT8_ARRAY,
            each(new, |_, slot| slot.row.newest_event) => INT8_ARRAY,
            each(new, |_, slot| to_bytes(&slot.row.receipts)) => BYTEA_ARRAY,
        ],
    );
}

fn update_all(stored: &[(MessageRowId, &Slot)], writes: &mut Pipeline) {
    if stored.is_empty() {
        return;
    }
    writes.add(
        "UPDATE smscope.messages AS m SET state = u.state, reason = u.reason, number = u.number, ref_client = u.ref_client, \
         campaign_id = u.campaign_id, mccmnc = u.mccmnc, parts = u.parts, cost_micros = u.cost_micros, currency = u.currency, \
         pending_since = u.pending_since, last_event = u.last_event, settled_at = u.settled_at, erased_at = u.erased_at, \
         newest_event = u.newest_event, receipts = u.receipts \
         FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::text[]) AS state, unnest($3::text[]) AS reason, \
           unnest($4::text[]) AS number, unnest($5::text[]) AS ref_client, unnest($6::text[]) AS campaign_id, \
           unnest($7::text[]) AS mccmnc, unnest($8::int[]) AS parts, unnest($9::bigint[]) AS cost_micros, \
           unnest($10::text[]) AS currency, unnest($11::bigint[]) AS pending_since, unnest($12::bigint[]) AS last_event, \
           unnest($13::bigint[]) AS settled_at, unnest($14::bigint[]) AS erased_at, unnest($15::bigint[]) AS newest_event, \
           unnest($16::bytea[]) AS receipts) AS u WHERE m.id = u.id",
        columns![
            each(stored, |id, _| id) => INT8_ARRAY,
            each(stored, |_, slot| slot.row.message.state.as_str()) => TEXT_ARRAY,
            each(stored, |_, slot| slot.row.failure.map(Reason::as_str)) => TEXT_ARRAY,
            each(stored, |_, slot| optional(slot.row.number.as_ref())) => TEXT_ARRAY,
            each(stored, |_, slot| optional(slot.row.ref_client.as_ref())) => TEXT_ARRAY,
            each(stored, |_, slot| optional(slot.row.campaign_id.as_ref())) => TEXT_ARRAY,
            each(stored, |_, slot| optional(slot.row.mccmnc.as_ref())) => TEXT_ARRAY,
            each(stored, |_, slot| slot.row.parts.map(int4)) => INT4_ARRAY,
            each(stored, |_, slot| slot.row.cost.as_ref().map(|cost| cost.0)) => INT8_ARRAY,
            each(stored, |_, slot| optional(slot.row.cost.as_ref().map(|cost| &cost.1))) => TEXT_ARRAY,
            each(stored, |_, slot| slot.row.message.pending_since.as_millisecond()) => INT8_ARRAY,
            each(stored, |_, slot| slot.row.last_event.as_millisecond()) => INT8_ARRAY,
            each(stored, |_, slot| slot.row.settled_at.map(|at| at.as_millisecond())) => INT8_ARRAY,
            each(stored, |_, slot| slot.row.erased_at.map(|at| at.as_millisecond())) => INT8_ARRAY,
            each(stored, |_, slot| slot.row.newest_event) => INT8_ARRAY,
            each(stored, |_, slot| to_bytes(&slot.row.receipts)) => BYTEA_ARRAY,
        ],
    );
}

fn write_pending(slots: &[(MessageRowId, &Slot)], writes: &mut Pipeline) {
    let (mut entered, mut left) = (Vec::new(), Vec::new());
    for (id, slot) in slots {
        let before = slot.stored.as_ref().and_then(|stored| stored.pending);
        match Pending::of(&slot.row) {
            now if now == before => {}
            Some(now) => entered.push((*id, slot.row.labels.source.clone(), now)),
            None => left.push(*id),
        }
    }
    if !left.is_empty() {
        writes.add("DELETE FROM smscope.pending WHERE message = ANY($1)", columns![left => INT8_ARRAY]);
    }
    if entered.is_empty() {
        return;
    }
    writes.add(
        "INSERT INTO smscope.pending (message, source, state, first_seen, pending_since) \
         SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[]), unnest($5::bigint[]) \
         ON CONFLICT (message) DO UPDATE SET state = excluded.state, pending_since = excluded.pending_since",
        columns![
            entered.iter().map(|(id, ..)| *id).collect::<Vec<_>>() => INT8_ARRAY,
            entered.iter().map(|(_, source, _)| source.clone()).collect::<Vec<_>>() => TEXT_ARRAY,
            entered.iter().map(|(_, _, now)| now.state.as_str()).collect::<Vec<_>>() => TEXT_ARRAY,
            entered.iter().map(|(_, _, now)| now.first_seen.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            entered.iter().map(|(_, _, now)| now.since.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
        ],
    );
}

/// The column `receipts`: eight bytes per key, the least significant first.
fn to_bytes(keys: &[ReceiptKey]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.0.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<ReceiptKey> {
    bytes.as_chunks().0.iter().map(|key| ReceiptKey(i64::from_le_bytes(*key))).collect()
}

fn read(row: &Row, column: usize) -> Result<(MessageRowId, Uuid, MessageRow), PgError> {
    let mut columns = Columns::of("messages", row, column);
    let (id, key) = (columns.get()?, columns.get()?);
    let (message_id, part, word) = (columns.get()?, columns.get()?, columns.get::<&str>()?);
    let failure = columns.get::<Option<&str>>()?.and_then(Reason::from_name);
    let state = State::from_parts(word, failure);
    let state = state.ok_or_else(|| columns.unreadable(&format_args!("unexpected {word:?}")))?;
    let message = Message { state, first_seen: columns.time()?, pending_since: columns.time()? };
    let labels = MessageLabels {
        source: columns.get()?,
        channel: columns.get()?,
        flow: columns.get()?,
        country: columns.get()?,
    };
    let row = MessageRow {
        message_id,
        part,
        message,
        failure,
        labels,
        number: columns.get()?,
        ref_client: columns.get()?,
        campaign_id: columns.get()?,
        mccmnc: columns.get()?,
        parts: columns.optional_count()?,
        cost: columns.get::<Option<i64>>()?.zip(columns.get()?),
        accepted_at: columns.time()?,
        last_event: columns.time()?,
        settled_at: columns.optional_time()?,
        erased_at: columns.optional_time()?,
        receipts: from_bytes(columns.get()?),
        newest_event: columns.get()?,
    };
    Ok((id, key, row))
}
