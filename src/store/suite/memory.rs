//! A store in memory: the simplest thing that does what [`Storage`] says, for the rules to be tested on.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{SourceName, Status};
use crate::record::{Position, Record};
use crate::route::RelayName;
use crate::store::Reprocessed;
use crate::store::core::storage::*;
use crate::store::ids::{DeliveryId, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, ResendId};
use crate::store::opt_outs::OptOut;

type Done<T> = Result<T, Infallible>;

/// An open transaction is a copy.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    messages: BTreeMap<MessageRowId, MessageRow>,
    event_keys: HashMap<(SourceName, String), (Timestamp, EventKey)>,
    events: BTreeMap<Position, StoredEvent>,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
    newest_delivery: DeliveryId,
    /// The id of the newest delivery is used again once that has been deleted.
    pub reuses_ids: bool,
    resends: BTreeMap<ResendId, ResendRow>,
    opt_outs: Vec<(String, OptOut)>,
    newest_opt_out: OptOutSeq,
    conversations: HashMap<KeyedHash, MessageRowId>,
    pub has_erased: bool,
}

#[derive(Clone, Debug)]
struct StoredEvent {
    row: EventRow,
    request: Option<Position>,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

impl Transaction for Memory {
    type Error = Infallible;

    fn note_erasure(&mut self, _: Timestamp) -> Done<()> {
        self.has_erased = true;
        Ok(())
    }
}

impl Messages for Memory {
    fn find_message(&self, source: &SourceName, id: &str, part: &str) -> Done<Option<(MessageRowId, MessageRow)>> {
        let is_it = |row: &MessageRow| row.labels.source == source.as_str() && row.message_id == id && row.part == part;
        Ok(self.messages.iter().find(|(_, row)| is_it(row)).map(|(id, row)| (*id, row.clone())))
    }

    fn find_sharing_id(&self, source: &SourceName, message_id: &str) -> Done<SharingId> {
        let shares = |row: &MessageRow| {
            row.labels.source == source.as_str() && row.message_id == message_id && !row.part.is_empty()
        };
        let mut sharing = self.messages.iter().filter(|(_, row)| shares(row));
        Ok(match (sharing.next(), sharing.next()) {
            (None, _) => SharingId::None,
            (Some((id, row)), None) => SharingId::One(*id, Box::new(row.clone())),
            _ => SharingId::Several,
        })
    }

    fn message(&self, id: MessageRowId) -> Done<Option<MessageRow>> {
        Ok(self.messages.get(&id).cloned())
    }

    fn insert_message(&mut self, row: &MessageRow) -> Done<MessageRowId> {
        let id = MessageRowId(self.messages.len() as i64 + 1);
        self.messages.insert(id, row.clone());
        Ok(id)
    }

    fn put_message(&mut self, id: MessageRowId, row: &MessageRow) -> Done<()> {
        if let Some(stored) = self.messages.get_mut(&id) {
            *stored = MessageRow { part: stored.part.clone(), ..row.clone() };
        }
        Ok(())
    }

    fn set_part(&mut self, id: MessageRowId, row: &MessageRow) -> Done<()> {
        if let Some(stored) = self.messages.get_mut(&id) {
            stored.part.clone_from(&row.part);
        }
        Ok(())
    }
}

impl DedupKeys for Memory {
    fn has_receipt_as_written(&self, _: MessageRowId, _: &MessageRow, _: &Status) -> Done<bool> {
        Ok(false)
    }

    fn event_key(&self, source: &SourceName, key: &str) -> Done<EventKey> {
        let found = self.event_keys.get(&(source.clone(), key.to_owned()));
        Ok(found.map_or(EventKey::Unknown, |(_, key)| *key))
    }

    fn take_event_key(&mut self, source: &SourceName, key: &str, arrived_at: Timestamp) -> Done<bool> {
        let key = (source.clone(), key.to_owned());
        let is_new = !self.event_keys.contains_key(&key);
        self.event_keys.entry(key).or_insert((arrived_at, EventKey::Known));
        Ok(is_new)
    }

    fn erase_event_key(&mut self, source: &SourceName, key: &str) -> Done<()> {
        if let Some((_, key)) = self.event_keys.get_mut(&(source.clone(), key.to_owned())) {
            *key = EventKey::Erased;
        }
        Ok(())
    }

    fn erase_unrecognized_keys(&mut self, source: &SourceName, arrived_at: Timestamp) -> Done<()> {
        for ((of, text), (at, key)) in &mut self.event_keys {
            if of == source && *at == arrived_at && text.starts_with("sha256:") {
                *key = EventKey::Erased;
            }
        }
        Ok(())
    }
}

impl Journal for Memory {
    fn next_position(&self) -> Position {
        Position(self.events.len() as i64 + 1)
    }

    fn append(&mut self, event: &NewEvent<'_>) -> Done<Position> {
        let position = self.next_position();
        let (raw, request) = match event.request {
            EventRequest::Own(raw) => (Some(raw), None),
            EventRequest::StoredWith(position) => (None, Some(position)),
            EventRequest::None | EventRequest::Redacted(_) => (None, None),
        };
        let (received_at, record, previous) = (event.received_at, event.record.clone(), event.previous);
        let row = EventRow { received_at, record, previous };
        let (query, body) = (raw.map(|raw| raw.query.clone()), raw.map(|raw| raw.body.to_vec()));
        self.events.insert(position, StoredEvent { row, request, query, body });
        Ok(position)
    }

    fn event(&self, position: Position) -> Done<Option<EventRow>> {
        Ok(self.events.get(&position).map(|event| event.row.clone()))
    }

    fn event_source(&self, position: Position) -> Done<Option<(SourceName, Option<Position>)>> {
        Ok(self.events.get(&position).map(|event| (event.row.record.source.clone(), event.request)))
    }

    fn readable_record(&self, position: Position) -> Done<Option<Record>> {
        Ok(self.event(position)?.map(|row| row.record))
    }

    fn put_record(&mut self, position: Position, record: &Record) -> Done<()> {
        if let Some(event) = self.events.get_mut(&position) {
            event.row.record = record.clone();
        }
        Ok(())
    }

    fn request_body(&self, position: Position) -> Done<Option<StoredBody>> {
        Ok(self.events.get(&position).map(|event| (event.row.received_at, event.body.clone())))
    }

    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> Done<()> {
        if let Some(event) = self.events.get_mut(&position) {
            (event.query, event.body) = (None, body.map(<[u8]>::to_vec));
        }
        Ok(())
    }

    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> Done<()> {
        for position in &reprocessed.resolves {
            if let Some(event) = self.events.get_mut(position) {
                event.row.record.reprocessed = true;
            }
        }
        Ok(())
    }
}

impl Outbox for Memory {
    fn insert_delivery(&mut self, row: &DeliveryRow) -> Done<()> {
        if self.reuses_ids {
            self.newest_delivery = self.deliveries.keys().next_back().copied().unwrap_or_default();
        }
        self.newest_delivery.0 += 1;
        self.deliveries.insert(self.newest_delivery, row.clone());
        Ok(())
    }

    fn delivery(&self, id: DeliveryId) -> Done<Option<DeliveryRow>> {
        Ok(self.deliveries.get(&id).cloned())
    }

    fn put_delivery(&mut self, id: DeliveryId, row: &DeliveryRow) -> Done<()> {
        self.deliveries.insert(id, row.clone());
        Ok(())
    }

    fn delete_delivery(&mut self, id: DeliveryId) -> Done<()> {
        self.deliveries.remove(&id);
        Ok(())
    }

    fn is_queued(&self, relay: &RelayName, key: OrderingKey) -> Done<bool> {
        let is_it = |row: &DeliveryRow| row.relay == *relay && row.ordering_key == key;
        Ok(self.deliveries.values().any(|row| is_it(row) && row.state != DeliveryState::Dead))
    }

    fn first_in_order(&self, relay: &RelayName, key: OrderingKey, state: DeliveryState) -> Done<Option<DeliveryId>> {
        let is_it = |row: &DeliveryRow| row.relay == *relay && row.ordering_key == key && row.state == state;
        Ok(self.deliveries.iter().find(|(_, row)| is_it(row)).map(|(id, _)| *id))
    }

    fn waiting_since(&self, relay: &RelayName, before: Timestamp, _: usize) -> Done<Vec<DeliveryId>> {
        let mut waiting = Vec::new();
        for state in [DeliveryState::Due, DeliveryState::Blocked] {
            let is_it = |row: &DeliveryRow| row.relay == *relay && row.state == state && row.since < before;
            waiting.extend(self.deliveries.iter().filter(|(_, row)| is_it(row)).map(|(id, _)| *id));
        }
        Ok(waiting)
    }

    fn promote(&mut self, relay: &RelayName, now: Timestamp, after: Timestamp) -> Done<usize> {
        let mut promoted = 0;
        for row in self.deliveries.values_mut() {
            if row.relay == *relay && row.state == DeliveryState::Due && row.due_at > after {
                (row.due_at, row.since) = (now, row.since.min(now));
                promoted += 1;
            }
        }
        Ok(promoted)
    }

    fn dead_letters_after(&self, after: DeliveryId, limit: usize) -> Done<Vec<(DeliveryId, DeliveryRow)>> {
        let dead = self.deliveries.iter().filter(|(id, row)| **id > after && row.state == DeliveryState::Dead);
        Ok(dead.take(limit).map(|(id, row)| (*id, row.clone())).collect())
    }

    fn dead_letters_without_event(&self, _: usize) -> Done<Vec<(DeliveryId, RelayName)>> {
        Ok(Vec::new())
    }

    fn pending_deliveries(&self) -> Done<Vec<(RelayName, i64)>> {
        let mut pending = BTreeMap::<RelayName, i64>::new();
        for row in self.deliveries.values().filter(|row| row.state != DeliveryState::Dead) {
            *pending.entry(row.relay.clone()).or_default() += 1;
        }
        Ok(pending.into_iter().collect())
    }

    fn bury_deliveries(&mut self, relay: &RelayName, error: &str) -> Done<()> {
        let pending = self.deliveries.values_mut().filter(|row| row.state != DeliveryState::Dead);
        for row in pending.filter(|row| row.relay == *relay) {
            (row.state, row.error) = (DeliveryState::Dead, Some(error.to_owned()));
        }
        Ok(())
    }
}

impl Resends for Memory {
    fn insert_resend(&mut self, row: &ResendRow) -> Done<bool> {
        if self.resends.values().any(|resend| resend.message == row.message) {
            return Ok(false);
        }
        self.resends.insert(ResendId(self.resends.len() as i64 + 1), row.clone());
        Ok(true)
    }

    fn resend(&self, id: ResendId) -> Done<Option<ResendRow>> {
        Ok(self.resends.get(&id).cloned())
    }

    fn put_resend(&mut self, id: ResendId, row: &ResendRow) -> Done<()> {
        self.resends.insert(id, row.clone());
        Ok(())
    }

    fn resend_replaced_by(&self, message: MessageRowId) -> Done<Option<(ResendId, ResendRow)>> {
        let found = self.resends.iter().find(|(_, row)| row.replacement == Some(message));
        Ok(found.map(|(id, row)| (*id, row.clone())))
    }

    fn resend_expecting(&self, key: KeyedHash, at: Timestamp, skew: Duration) -> Done<Option<ResendId>> {
        let is_within = |row: &ResendRow| {
            row.requested_at.is_some_and(|requested| at >= requested - skew && at <= row.deadline + skew)
        };
        Ok(self.resends.iter().find(|(_, row)| row.expects == Some(key) && is_within(row)).map(|(id, _)| *id))
    }

    fn unfinished_resends(&self) -> Done<Vec<(ResendId, ResendRow)>> {
        let unfinished = |row: &ResendRow| matches!(row.state, ResendState::Waiting | ResendState::Sending);
        Ok(self.resends.iter().filter(|(_, row)| unfinished(row)).map(|(id, row)| (*id, row.clone())).collect())
    }

    fn resends_requested_after(&self, rule: &RelayName, since: Timestamp) -> Done<u32> {
        let counts = |row: &&ResendRow| row.rule == *rule && row.requested_at.is_some_and(|at| at > since);
        Ok(self.resends.values().filter(counts).count() as u32)
    }

    fn forget_expectation(&mut self, message: MessageRowId) -> Done<()> {
        self.resends.values_mut().filter(|row| row.message == message).for_each(|row| row.expects = None);
        Ok(())
    }
}

impl OptOuts for Memory {
    fn opt_outs_of(&self, source: &SourceName, person: &str) -> Done<Vec<OptOut>> {
        let theirs = self.opt_outs.iter().filter(|(of, one)| of == person && one.source == source.as_str());
        Ok(theirs.map(|(_, one)| one.clone()).collect())
    }

    fn put_opt_out(&mut self, person: &str, opt_out: &NewOptOut<'_>) -> Done<OptOutSeq> {
        let source = opt_out.source.as_str();
        self.opt_outs.retain(|(of, one)| of != person || one.source != source || one.sender != opt_out.sender);
        self.newest_opt_out = OptOutSeq(self.newest_opt_out.0 + 1);
        let one = OptOut {
            seq: self.newest_opt_out,
            number: Some(opt_out.number.to_owned()),
            source: source.to_owned(),
            sender: opt_out.sender.to_owned(),
            opted_out: opt_out.opted_out,
            since: opt_out.since,
            origin: opt_out.origin.to_owned(),
        };
        self.opt_outs.push((person.to_owned(), one));
        Ok(self.newest_opt_out)
    }

    fn forget_number(&mut self, opt_out: OptOutSeq) -> Done<bool> {
        let found = self.opt_outs.iter_mut().find(|(_, one)| one.seq == opt_out);
        Ok(found.is_some_and(|(_, one)| one.number.take().is_some()))
    }
}

impl Conversations for Memory {
    fn put_conversation(&mut self, key: KeyedHash, message: MessageRowId) -> Done<()> {
        self.conversations.insert(key, message);
        Ok(())
    }

    fn conversation(&self, key: KeyedHash) -> Done<Option<MessageRowId>> {
        Ok(self.conversations.get(&key).copied())
    }

    fn forget_conversations(&mut self, message: MessageRowId) -> Done<()> {
        self.conversations.retain(|_, remembered| *remembered != message);
        Ok(())
    }
}
