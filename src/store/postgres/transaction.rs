//! The leader's open transaction on PostgreSQL, as the rules see it: [`Storage`](crate::store::core::storage::Storage), implemented
//! beside the statements of each table.
//!
//! A round trip takes far longer than a rule, so the rows of a batch are read ahead ([`PgTx::prefetch`]), the rules run on them in
//! memory, and what has changed is written by one statement per table ([`PgTx::into_writes`]), which travels with the COMMIT. A row
//! that was not read ahead is read by a statement of its own. A query that memory cannot answer is preceded by the writes to its
//! table, so that it sees them.
//!
//! Ids are given out in memory: the leader is the only one that writes these tables.

use std::cell::RefCell;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio_postgres::Row;

use super::conversations::{ConversationRows, OptOutRows};
use super::dedup::EventKeyRows;
use super::error::PgError;
use super::journal::JournalRows;
use super::messages::MessageRows;
use super::outbox::DeliveryRows;
use super::packed::RequestId;
use super::resends::ResendRows;
use super::rewrites::Redacted;
use super::session::{Param, Pipeline, Session, columns};
use super::values::Columns;
use super::wait::Wait;
use crate::record::Position;
use crate::store::core::storage::Transaction;
use crate::store::ids::{DeliveryId, MessageRowId, OptOutSeq, ResendId};

/// The newest id of each table. A transaction works on a copy, so that one that does not commit leaves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub position: Position,
    pub message: MessageRowId,
    pub delivery: DeliveryId,
    pub resend: ResendId,
    pub opt_out: OptOutSeq,
    /// The last message that may have receipts which an earlier version knew by their spelling: of a store that came from SQLite.
    pub spelled_to: MessageRowId,
}

impl Ids {
    /// As the tables have them, at the beginning of a term.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load(session: &Session) -> Result<Self, PgError> {
        // What is deleted with the newest rows of a table is remembered in `meta`, so that no id is used twice.
        let sql = "WITH known AS (SELECT key, value::bigint AS id FROM smscope.meta \
             WHERE key IN ('journal_head', 'delivery_head', 'resend_head', 'spelled_to')) \
             SELECT greatest((SELECT max(position) FROM smscope.journal), \
                             (SELECT id FROM known WHERE key = 'journal_head'), 0), \
             coalesce((SELECT max(id) FROM smscope.messages), 0), \
             greatest((SELECT max(id) FROM smscope.relay_deliveries), \
                      (SELECT id FROM known WHERE key = 'delivery_head'), 0), \
             greatest((SELECT max(id) FROM smscope.resends), (SELECT id FROM known WHERE key = 'resend_head'), 0), \
             coalesce((SELECT max(id) FROM smscope.opt_outs), 0), \
             coalesce((SELECT id FROM known WHERE key = 'spelled_to'), 0)";
        let Some(row) = session.query_opt(sql, &[]).await? else { return Ok(Self::default()) };
        let mut columns = Columns::of("meta", &row, 0);
        Ok(Self {
            position: columns.get()?,
            message: columns.get()?,
            delivery: columns.get()?,
            resend: columns.get()?,
            opt_out: columns.get()?,
            spelled_to: columns.get()?,
        })
    }
}

/// A row in memory: as it is to be, and whether the table has it so.
#[derive(Clone, Debug)]
pub(super) struct Slot<R> {
    /// `None`: it is to be deleted, or there is none.
    pub row: Option<R>,
    /// The table has a row with this id.
    pub is_stored: bool,
    pub is_changed: bool,
}

impl<R> Slot<R> {
    pub fn stored(row: Option<R>) -> Self {
        Self { is_stored: row.is_some(), row, is_changed: false }
    }
}

pub struct PgTx<'a> {
    pub(super) session: &'a Session,
    pub(super) runtime: &'a Handle,
    pub(super) day: i32,
    /// Before this transaction: what is newer is not in any table.
    pub(super) begun: Ids,
    pub(super) ids: Ids,
    pub(super) messages: RefCell<MessageRows>,
    pub(super) event_keys: RefCell<EventKeyRows>,
    pub(super) journal: RefCell<JournalRows>,
    pub(super) deliveries: RefCell<DeliveryRows>,
    pub(super) resends: RefCell<ResendRows>,
    pub(super) opt_outs: RefCell<OptOutRows>,
    pub(super) conversations: RefCell<ConversationRows>,
    pub(super) redacted: RefCell<Redacted>,
    erased_at: Option<Timestamp>,
}

impl<'a> PgTx<'a> {
    /// On a session that has begun a transaction. `runtime` runs its connection: a method of the storage blocks on it, so it may not be
    /// called by one of its tasks. `day`: in whose partition the events of this transaction are.
    pub fn new(session: &'a Session, runtime: &'a Handle, ids: Ids, day: i32) -> Self {
        Self {
            session,
            runtime,
            day,
            begun: ids,
            ids,
            messages: RefCell::default(),
            event_keys: RefCell::default(),
            journal: RefCell::default(),
            deliveries: RefCell::default(),
            resends: RefCell::default(),
            opt_outs: RefCell::default(),
            conversations: RefCell::default(),
            redacted: RefCell::default(),
            erased_at: None,
        }
    }

    /// Where the request of what is ingested next is stored; `None`: nowhere yet, since it came by no front door.
    ///
    /// One from which no event was stored is deleted: nothing refers to it.
    pub fn request_in(&mut self, received: Option<RequestId>) {
        self.journal.get_mut().request_in(received);
    }

    /// The statements that write everything, to be sent with the COMMIT, and the newest ids once that has succeeded.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn into_writes(mut self) -> Result<(Pipeline, Ids), PgError> {
        self.request_in(None);
        let mut writes = Pipeline::default();
        self.write(&mut writes);
        self.write_meta(&mut writes);
        self.redacted.take().write(self.is_erasure(), &mut writes);
        Ok((writes, self.ids))
    }

    fn write(&self, writes: &mut Pipeline) {
        self.messages.borrow_mut().write(writes);
        self.event_keys.borrow_mut().write(writes);
        self.journal.borrow_mut().write(self.day, &mut self.redacted.borrow_mut(), writes);
        self.deliveries.borrow_mut().write(writes);
        self.resends.borrow_mut().write(writes);
        self.opt_outs.borrow_mut().write(writes);
        self.conversations.borrow_mut().write(writes);
    }

    /// Runs queries that see everything that was written, in one round trip.
    pub(super) fn read_ahead(&self, statements: &Pipeline) -> Result<Vec<Vec<Row>>, PgError> {
        self.flush(|writes| self.write(writes))?;
        self.runtime.wait(self.session.run(None, statements, None))
    }

    fn write_meta(&self, writes: &mut Pipeline) {
        let heads = [
            ("delivery_head", self.begun.delivery.0, self.ids.delivery.0),
            ("resend_head", self.begun.resend.0, self.ids.resend.0),
        ];
        let moved = heads.into_iter().filter(|(_, begun, now)| begun != now);
        let (keys, values): (Vec<_>, Vec<_>) = moved.map(|(key, _, now)| (key, now.to_string())).unzip();
        if !keys.is_empty() {
            writes.add(
                "INSERT INTO smscope.meta (key, value) SELECT * FROM unnest($1::text[], $2::text[]) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                columns![keys => TEXT_ARRAY, values => TEXT_ARRAY],
            );
        }
        if let Some(at) = self.erased_at {
            let sql = "INSERT INTO smscope.meta (key, value) VALUES ('erasures', $1) ON CONFLICT DO NOTHING";
            writes.add(sql, columns![at.as_millisecond().to_string() => TEXT]);
        }
    }

    /// Statements of the open transaction that concern no row which the rules have read or written.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn run<T>(&self, work: impl AsyncFnOnce(&Session) -> Result<T, PgError>) -> Result<T, PgError> {
        self.runtime.wait(work(self.session))
    }

    /// People are being erased.
    pub(super) fn is_erasure(&self) -> bool {
        self.erased_at.is_some()
    }

    pub(super) fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, PgError> {
        self.runtime.wait(self.session.query(sql, params))
    }

    pub(super) fn query_opt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, PgError> {
        self.runtime.wait(self.session.query_opt(sql, params))
    }

    pub(super) fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, PgError> {
        self.runtime.wait(self.session.execute(sql, params))
    }

    /// Sends writes now, because something is asked that has to see them.
    pub(super) fn flush(&self, write: impl FnOnce(&mut Pipeline)) -> Result<(), PgError> {
        let mut writes = Pipeline::default();
        write(&mut writes);
        if writes.is_empty() {
            return Ok(());
        }
        self.runtime.wait(self.session.run(None, &writes, None)).map(drop)
    }
}

impl Transaction for PgTx<'_> {
    type Error = PgError;

    fn note_erasure(&mut self, at: Timestamp) -> Result<(), PgError> {
        self.erased_at.get_or_insert(at);
        Ok(())
    }
}
