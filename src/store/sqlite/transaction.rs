//! An open transaction of SQLite, as the rules see it: [`Storage`](crate::store::core::Storage), implemented beside the statements of
//! each table.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::journal;
use super::lookup::{Lookup, Rekeyed};
use crate::record::Position;
use crate::store::core::storage::Transaction;
use crate::store::ids::MessageRowId;

pub struct SqliteTx<'a> {
    pub connection: &'a Connection,
    pub lookup: &'a mut Lookup,
    /// The last message that may have receipts which an earlier version knew by their spelling.
    pub spelled_to: MessageRowId,
    /// Messages that are found by another key once this has committed.
    pub rekeyed: Vec<Rekeyed>,
    /// The position of the event that is appended next.
    pub next_position: Position,
}

impl<'a> SqliteTx<'a> {
    pub fn new(connection: &'a Connection, lookup: &'a mut Lookup, spelled_to: MessageRowId) -> rusqlite::Result<Self> {
        let next_position = journal::newest(connection)?.plus(1);
        Ok(Self { connection, lookup, spelled_to, rekeyed: Vec::new(), next_position })
    }
}

impl Transaction for SqliteTx<'_> {
    type Error = rusqlite::Error;

    fn note_erasure(&mut self, at: Timestamp) -> rusqlite::Result<()> {
        for key in ["erasures", "scrub_due"] {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute(params![key, at.as_millisecond()])?;
        }
        Ok(())
    }
}
