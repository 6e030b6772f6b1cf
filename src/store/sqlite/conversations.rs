//! The tables `opt_outs` and `conversation_keys`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::transaction::SqliteTx;
use super::values::timestamp;
use crate::event::SourceName;
use crate::store::core::storage::{Conversations, NewOptOut, OptOuts};
use crate::store::ids::{KeyedHash, MessageRowId, OptOutSeq};
use crate::store::opt_outs::OptOut;

/// A query of opt-outs, as [`read`] takes them.
macro_rules! select {
    ($condition:literal) => {
        concat!("SELECT id, number, source, sender, state = 'out', since, origin FROM opt_outs WHERE ", $condition)
    };
}

impl OptOuts for SqliteTx<'_> {
    fn opt_outs_of(&self, source: &SourceName, person: &str) -> rusqlite::Result<Vec<OptOut>> {
        opt_outs_of(self.connection, source, person)
    }

    fn put_opt_out(&mut self, person: &str, opt_out: &NewOptOut<'_>) -> rusqlite::Result<OptOutSeq> {
        let source = opt_out.source.as_str();
        self.connection
            .prepare_cached("DELETE FROM opt_outs WHERE source = ?1 AND person = ?2 AND sender = ?3")?
            .execute(params![source, person, opt_out.sender])?;
        self.connection
            .prepare_cached(
                "INSERT INTO opt_outs (source, person, sender, number, state, since, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![
                source,
                person,
                opt_out.sender,
                opt_out.number,
                if opt_out.opted_out { "out" } else { "in" },
                opt_out.since.as_millisecond(),
                opt_out.origin
            ])
            .map(OptOutSeq)
    }

    fn forget_number(&mut self, opt_out: OptOutSeq) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("UPDATE opt_outs SET number = NULL WHERE id = ?1 AND number IS NOT NULL")?
            .execute([opt_out])
            .map(|changed| changed == 1)
    }
}

impl Conversations for SqliteTx<'_> {
    fn put_conversation(&mut self, key: KeyedHash, message: MessageRowId) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO conversation_keys (key, message) VALUES (?1, ?2)")?
            .execute(params![key, message])
            .map(drop)
    }

    fn conversation(&self, key: KeyedHash) -> rusqlite::Result<Option<MessageRowId>> {
        self.connection
            .prepare_cached("SELECT message FROM conversation_keys WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()
    }

    fn forget_conversations(&mut self, message: MessageRowId) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM conversation_keys WHERE message = ?1")?.execute([message]).map(drop)
    }
}

/// All that a person has said to senders of `source`.
pub fn opt_outs_of(connection: &Connection, source: &SourceName, person: &str) -> rusqlite::Result<Vec<OptOut>> {
    connection
        .prepare_cached(select!("source = ?1 AND person = ?2 ORDER BY id"))?
        .query_map(params![source.as_str(), person], read)?
        .collect()
}

/// Up to `limit` changes after `seq`, in their order. Of one person to one sender only the latest is there.
pub fn opt_outs_after(connection: &Connection, seq: OptOutSeq, limit: usize) -> rusqlite::Result<Vec<OptOut>> {
    connection
        .prepare_cached(select!("id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![seq, limit as i64], read)?
        .collect()
}

/// The latest change.
pub fn newest_opt_out(connection: &Connection) -> rusqlite::Result<OptOutSeq> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM opt_outs", [], |row| row.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<OptOut> {
    Ok(OptOut {
        seq: row.get(0)?,
        number: row.get(1)?,
        source: row.get(2)?,
        sender: row.get(3)?,
        opted_out: row.get(4)?,
        since: timestamp(row.get(5)?)?,
        origin: row.get(6)?,
    })
}
