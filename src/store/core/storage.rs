//! What the rules need of a database: [`Storage`], and its rows.
//!
//! A method says what is meant, never how a database does it, and decides nothing: what a row becomes is decided above. All methods
//! of one value belong to one open transaction and see what was written through it before. Nothing else writes meanwhile, so there
//! are no locks and no retries here: SQLite's writer has the only writing connection, and a fleet's leader holds the lease.
//!
//! Two drivers use the rules. SQLite's writer runs them in the transaction of the answer. A leader that works through an inbox can
//! run them on a batch that it has read ahead, with the rows of the batch behind this trait, and write what has changed in one go:
//! every write names a whole row.

use std::time::Duration;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use crate::event::{Reason, SourceName, Status};
use crate::ledger::accounting::MessageLabels;
use crate::lifecycle::Message;
use crate::record::{Position, Record};
use crate::route::RelayName;
use crate::store::ids::{DeliveryId, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, ReceiptKey, ResendId};
use crate::store::opt_outs::OptOut;
use crate::store::resends::ChainOutcome;
use crate::store::{Raw, Reprocessed};

/// One open transaction on a store. An error of any method of it ends the transaction, which leaves nothing.
pub trait Transaction {
    type Error;

    /// Notes that people are being erased, so that what is left of their rows is overwritten.
    fn note_erasure(&mut self, at: Timestamp) -> Result<(), Self::Error>;
}

/// What is known of each message.
pub trait Messages: Transaction {
    /// The message with this identity. `part`: the recipient, of a legacy message that names one, or what stands for it; else empty.
    fn find_message(
        &self,
        source: &SourceName,
        message_id: &str,
        part: &str,
    ) -> Result<Option<(MessageRowId, MessageRow)>, Self::Error>;

    /// The messages of a legacy id, which many recipients share.
    fn find_sharing_id(&self, source: &SourceName, message_id: &str) -> Result<SharingId, Self::Error>;

    fn message(&self, id: MessageRowId) -> Result<Option<MessageRow>, Self::Error>;

    /// Adds a message, to be found by its identity from now on.
    fn insert_message(&mut self, row: &MessageRow) -> Result<MessageRowId, Self::Error>;

    /// Writes all of a row but its identity.
    fn put_message(&mut self, id: MessageRowId, row: &MessageRow) -> Result<(), Self::Error>;

    /// A user's search finds a message by its new number and reference, no more by the former ones: to be called where `put_message`
    /// changed one of them. A store without an index of searches does nothing.
    fn put_search_keys(&mut self, _id: MessageRowId, _from: &MessageRow, _to: &MessageRow) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Writes another `part` than the stored one; the message is found by the new identity alone from now on, and by its shared id.
    fn set_part(&mut self, id: MessageRowId, row: &MessageRow) -> Result<(), Self::Error>;
}

/// Which replies and unrecognized requests are stored already. The receipts of a message are in its row.
pub trait DedupKeys: Transaction {
    /// Whether an earlier version of smscope, which knew a receipt by how it was written, stored this one. Of stores that no such
    /// version has written, never.
    fn has_receipt_as_written(
        &self,
        message: MessageRowId,
        row: &MessageRow,
        status: &Status,
    ) -> Result<bool, Self::Error>;

    /// What is known of the key of a reply or an unrecognized request.
    fn event_key(&self, source: &SourceName, key: &str) -> Result<EventKey, Self::Error>;

    /// `false`: the key is known.
    fn take_event_key(&mut self, source: &SourceName, key: &str, arrived_at: Timestamp) -> Result<bool, Self::Error>;

    /// Marks a key as one of an erased person.
    fn erase_event_key(&mut self, source: &SourceName, key: &str) -> Result<(), Self::Error>;

    /// The same of all unrecognized requests that arrived at a moment.
    fn erase_unrecognized_keys(&mut self, source: &SourceName, arrived_at: Timestamp) -> Result<(), Self::Error>;
}

/// The events, in the order in which they were stored, and the requests that brought them.
pub trait Journal: Transaction {
    /// The position of the event that is appended next.
    fn next_position(&self) -> Position;

    /// Appends an event to the journal.
    fn append(&mut self, event: &NewEvent<'_>) -> Result<Position, Self::Error>;

    /// A stored event; `None` where it has expired.
    fn event(&self, position: Position) -> Result<Option<EventRow>, Self::Error>;

    /// The source of a stored event, and the event that holds its request, where it does not; `None` where it has expired.
    fn event_source(&self, position: Position) -> Result<Option<(SourceName, Option<Position>)>, Self::Error>;

    /// As [`Storage::event`], and `None` as well where the record cannot be read.
    fn readable_record(&self, position: Position) -> Result<Option<Record>, Self::Error>;

    fn put_record(&mut self, position: Position, record: &Record) -> Result<(), Self::Error>;

    /// The request that is stored with an event.
    fn request_body(&self, position: Position) -> Result<Option<StoredBody>, Self::Error>;

    /// Replaces the body of a stored request, and forgets its query.
    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> Result<(), Self::Error>;

    /// Notes that unrecognized events are understood now.
    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> Result<(), Self::Error>;
}

/// What the relays have to deliver.
pub trait Outbox: Transaction {
    fn insert_delivery(&mut self, row: &DeliveryRow) -> Result<(), Self::Error>;

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Self::Error>;

    fn put_delivery(&mut self, id: DeliveryId, row: &DeliveryRow) -> Result<(), Self::Error>;

    fn delete_delivery(&mut self, id: DeliveryId) -> Result<(), Self::Error>;

    /// Whether a delivery with an ordering key is not dead.
    fn is_queued(&self, relay: &RelayName, key: OrderingKey) -> Result<bool, Self::Error>;

    /// The oldest delivery with an ordering key in a state.
    fn first_in_order(
        &self,
        relay: &RelayName,
        key: OrderingKey,
        state: DeliveryState,
    ) -> Result<Option<DeliveryId>, Self::Error>;

    /// Up to `limit` deliveries of each state but dead, that have waited since before `before`, the oldest first.
    fn waiting_since(&self, relay: &RelayName, before: Timestamp, limit: usize)
    -> Result<Vec<DeliveryId>, Self::Error>;

    /// Makes due at `now` what is due after `after`. Gives how many.
    fn promote(&mut self, relay: &RelayName, now: Timestamp, after: Timestamp) -> Result<usize, Self::Error>;

    /// Up to `limit` dead letters after `id`, in order.
    fn dead_letters_after(&self, id: DeliveryId, limit: usize) -> Result<Vec<(DeliveryId, DeliveryRow)>, Self::Error>;

    /// Up to `limit` dead letters whose event has expired, and their relays.
    fn dead_letters_without_event(&self, limit: usize) -> Result<Vec<(DeliveryId, RelayName)>, Self::Error>;

    /// How many deliveries of each relay are not dead.
    fn pending_deliveries(&self) -> Result<Vec<(RelayName, i64)>, Self::Error>;

    /// Makes dead letters of all deliveries of a relay.
    fn bury_deliveries(&mut self, relay: &RelayName, error: &str) -> Result<(), Self::Error>;
}

/// Failed messages that are to be resent, or were.
pub trait Resends: Transaction {
    /// `false`: the message has one.
    fn insert_resend(&mut self, row: &ResendRow) -> Result<bool, Self::Error>;

    fn resend(&self, id: ResendId) -> Result<Option<ResendRow>, Self::Error>;

    fn put_resend(&mut self, id: ResendId, row: &ResendRow) -> Result<(), Self::Error>;

    /// The resend whose replacement is this message.
    fn resend_replaced_by(&self, message: MessageRowId) -> Result<Option<(ResendId, ResendRow)>, Self::Error>;

    /// The oldest resend that expects a message under `key`, sent between the request, less `skew`, and the deadline, plus `skew`.
    fn resend_expecting(&self, key: KeyedHash, at: Timestamp, skew: Duration) -> Result<Option<ResendId>, Self::Error>;

    /// Those that wait or are being sent.
    fn unfinished_resends(&self) -> Result<Vec<(ResendId, ResendRow)>, Self::Error>;

    /// How many resends of a rule were requested after `since`.
    fn resends_requested_after(&self, rule: &RelayName, since: Timestamp) -> Result<u32, Self::Error>;

    /// The resend of a message expects nothing any more.
    fn forget_expectation(&mut self, message: MessageRowId) -> Result<(), Self::Error>;
}

/// The latest word of each person to each sender.
pub trait OptOuts: Transaction {
    /// All that a person, a pseudonym, has said to senders of a source.
    fn opt_outs_of(&self, source: &SourceName, person: &str) -> Result<Vec<OptOut>, Self::Error>;

    /// Writes the latest word of a person to a sender, instead of an earlier one.
    fn put_opt_out(&mut self, person: &str, opt_out: &NewOptOut<'_>) -> Result<OptOutSeq, Self::Error>;

    /// Takes the number out of an opt-out. `false`: it has none.
    fn forget_number(&mut self, opt_out: OptOutSeq) -> Result<bool, Self::Error>;
}

/// The last message to a number, and the last with a refClient.
pub trait Conversations: Transaction {
    /// Remembers the last message under a key.
    fn put_conversation(&mut self, key: KeyedHash, message: MessageRowId) -> Result<(), Self::Error>;

    fn conversation(&self, key: KeyedHash) -> Result<Option<MessageRowId>, Self::Error>;

    fn forget_conversations(&mut self, message: MessageRowId) -> Result<(), Self::Error>;
}

/// All that the rules need.
pub trait Storage: Messages + DedupKeys + Journal + Outbox + Resends + OptOuts + Conversations {}

impl<T: Messages + DedupKeys + Journal + Outbox + Resends + OptOuts + Conversations> Storage for T {}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// The provider's.
    pub message_id: String,
    /// The recipient, of a legacy message that was said to have one, or what stands for an erased one; else empty.
    pub part: String,
    pub message: Message,
    /// The last failure, also of a message that was delivered after all.
    pub failure: Option<Reason>,
    pub labels: MessageLabels,
    /// The keys of its receipts, by which a retry is recognized.
    pub receipts: Vec<ReceiptKey>,
    /// The position of its newest event: the beginning of the chain of [`EventRow::previous`].
    pub newest_event: Option<Position>,
    pub number: Option<String>,
    pub ref_client: Option<String>,
    pub campaign_id: Option<String>,
    pub mccmnc: Option<String>,
    pub parts: Option<u32>,
    /// Millionths, and the currency as a label.
    pub cost: Option<(i64, String)>,
    /// The provider's time of acceptance, else of sending, else that of first arrival here.
    pub accepted_at: Timestamp,
    pub last_event: Timestamp,
    /// When it left its pending state.
    pub settled_at: Option<Timestamp>,
    /// Nothing of its recipient may be written any more.
    pub erased_at: Option<Timestamp>,
}

/// The messages of a legacy id.
#[derive(Debug)]
pub enum SharingId {
    None,
    One(MessageRowId, Box<MessageRow>),
    Several,
}

/// What is known of the key of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKey {
    Unknown,
    Known,
    /// Of a person who has been erased.
    Erased,
}

/// An event to be appended to the journal.
#[derive(Clone, Copy)]
pub struct NewEvent<'a> {
    pub record: &'a Record,
    pub message: Option<MessageRowId>,
    /// The event before it of the same message.
    pub previous: Option<Position>,
    pub received_at: Timestamp,
    pub request: EventRequest<'a>,
    /// It has a number or a reference that its message has not, so a user's search does not find it by its message.
    pub needs_own_keys: bool,
}

/// The request that an event came with.
#[derive(Clone, Copy)]
pub enum EventRequest<'a> {
    /// It came with none.
    None,
    /// This is stored with the event.
    Own(&'a Raw),
    /// An erased person is in it: method and content type are stored at most.
    Redacted(&'a Raw),
    /// It is stored with an earlier event.
    StoredWith(Position),
}

/// An event of the journal.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub received_at: Timestamp,
    pub record: Record,
    /// The event before it of the same message, which may have expired.
    pub previous: Option<Position>,
}

/// Arrival and body of a stored request; no body where it was erased.
pub type StoredBody = (Timestamp, Option<Vec<u8>>);

/// An event that a relay has to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRow {
    pub relay: RelayName,
    pub event: Position,
    pub ordering_key: OrderingKey,
    pub state: DeliveryState,
    pub due_at: Timestamp,
    /// From when its age counts.
    pub since: Timestamp,
    pub attempts: u32,
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum DeliveryState {
    /// It is the first with its ordering key.
    Due,
    /// It waits for another with its ordering key.
    Blocked,
    /// Given up, and stored until its event expires.
    Dead,
}

impl DeliveryState {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A failed message that is to be sent again, or was.
#[derive(Clone, Debug, PartialEq)]
pub struct ResendRow {
    pub rule: RelayName,
    pub source: SourceName,
    pub message: MessageRowId,
    /// The event of the failure.
    pub event: Position,
    /// From 1, along the chain of messages that stand for one another.
    pub attempt: u32,
    pub state: ResendState,
    pub due_at: Timestamp,
    /// It is of no use later.
    pub deadline: Timestamp,
    pub requested_at: Option<Timestamp>,
    /// A message that comes under this key is the replacement.
    pub expects: Option<KeyedHash>,
    pub replacement: Option<MessageRowId>,
    /// Once the end of the chain is known.
    pub outcome: Option<ChainOutcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ResendState {
    Waiting,
    /// The provider is being asked, or was when smscope ended.
    Sending,
    /// The provider, or the receiver of the relayed event, has been asked.
    Requested,
    /// Nobody was asked, and nobody will be.
    Ended,
}

impl ResendState {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The latest word of a person to a sender.
#[derive(Clone, Copy, Debug)]
pub struct NewOptOut<'a> {
    pub source: &'a SourceName,
    pub sender: &'a str,
    pub number: &'a str,
    pub opted_out: bool,
    pub since: Timestamp,
    /// `reply` or `command`.
    pub origin: &'a str,
}
