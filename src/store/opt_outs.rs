//! Who wants no messages: fed by STOP and START in the transaction of the reply, and by the operator's commands.
//!
//! A number is found by a keyed hash of it, so that an erased person, whose number is gone, is still not written to. The key is in
//! the database: whoever has the whole of it could try all numbers on it. That is the price of honouring a STOP after an erasure.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::erase::Marks;
use super::messages::timestamp;
use super::transaction::Open;
use crate::event::{Receipt, Reply, ReplyKind, SourceName};
use crate::ledger::accounting::{Accounts, MessageLabels};
use crate::ledger::catalogue::Metric;
pub use crate::route::OptOutScope as Scope;

/// The latest word of a number to a sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// The place of this change.
    pub seq: i64,
    /// Digits of E.164; `None` once the person has been erased.
    pub number: Option<String>,
    pub source: String,
    /// What was written to; empty where that is not known, and then all of the source is meant.
    pub sender: String,
    pub opted_out: bool,
    pub since: Timestamp,
    /// `reply` or `command`.
    pub origin: String,
}

/// A change that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOutChange {
    pub source: SourceName,
    /// As it is stored: digits of E.164.
    pub number: String,
    pub sender: String,
    pub opted_out: bool,
    pub since: Timestamp,
}

const OUT: &str = "out";
const COLUMNS: &str = "id, number, source, sender, state = 'out', since, origin";

impl Open<'_> {
    /// Takes a person's word from a reply.
    pub fn hear(&mut self, source: &SourceName, reply: &Reply, arrived_at: Timestamp) -> rusqlite::Result<()> {
        let (Some(_), Some(number)) = (self.opt_outs, &reply.number) else { return Ok(()) };
        let opted_out = reply.kind == ReplyKind::Stop;
        if !opted_out && !reply.opts_in {
            return Ok(());
        }
        let change = OptOutChange {
            source: source.clone(),
            number: number.clone(),
            sender: reply.originator.clone().unwrap_or_default(),
            opted_out,
            since: reply.time.unwrap_or(arrived_at).min(arrived_at),
        };
        self.change_opt_out(&change, "reply").map(drop)
    }

    /// `false` when it changes nothing: the same has been said, or something later.
    pub fn change_opt_out(&mut self, change: &OptOutChange, origin: &str) -> rusqlite::Result<bool> {
        let person = self.marks.person(&change.number);
        let source = change.source.as_str();
        let since = change.since.as_millisecond();
        let earlier: Option<(bool, i64)> = self
            .connection
            .prepare_cached(
                "SELECT state = 'out', since FROM opt_outs WHERE source = ?1 AND person = ?2 AND sender = ?3",
            )?
            .query_row(params![source, person, change.sender], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let was_out = earlier.is_some_and(|(was_out, _)| was_out);
        // Replies may come out of order. Who never opted out has nothing to take back.
        if was_out == change.opted_out || earlier.is_some_and(|(_, known)| known > since) {
            return Ok(false);
        }
        self.connection
            .prepare_cached("DELETE FROM opt_outs WHERE source = ?1 AND person = ?2 AND sender = ?3")?
            .execute(params![source, person, change.sender])?;
        let seq = self
            .connection
            .prepare_cached(
                "INSERT INTO opt_outs (source, person, sender, number, state, since, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![
                source,
                person,
                change.sender,
                change.number,
                if change.opted_out { OUT } else { "in" },
                since,
                origin
            ])?;
        self.opt_outs_changed = Some(seq);
        self.postings.add(Metric::OptOuts, &[source], if change.opted_out { 1 } else { -1 });
        Ok(true)
    }

    /// Counts a message, seen for the first time, that was accepted or sent after its recipient had opted out. Where the provider
    /// tells no such time, as the legacy API does, it cannot be known.
    pub fn count_after_opt_out(
        &mut self,
        source: &SourceName,
        receipt: &Receipt,
        labels: &MessageLabels,
    ) -> rusqlite::Result<()> {
        let Some(scope) = self.opt_outs else { return Ok(()) };
        let asked_at = receipt.accepted_at.or(receipt.sent_at);
        let is_after = match (asked_at, &receipt.number) {
            (Some(asked_at), Some(number)) => {
                let sender = receipt.originator.as_deref().unwrap_or_default();
                self.connection
                    .prepare_cached(
                        "SELECT 1 FROM opt_outs WHERE source = ?1 AND person = ?2 AND state = 'out' AND since < ?3 \
                         AND (?4 OR sender IN ('', ?5))",
                    )?
                    .exists(params![
                        source.as_str(),
                        self.marks.person(number),
                        asked_at.as_millisecond(),
                        scope == Scope::Source,
                        sender
                    ])?
            }
            _ => false,
        };
        Accounts { ledger: self.ledger, postings: &mut self.postings }.after_opt_out(labels, is_after);
        Ok(())
    }
}

/// All that a number has said to senders of `source`.
pub fn of_number(
    connection: &Connection,
    marks: &Marks,
    source: &SourceName,
    number: &str,
) -> rusqlite::Result<Vec<OptOut>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM opt_outs WHERE source = ?1 AND person = ?2 ORDER BY id"))?
        .query_map(params![source.as_str(), marks.person(number)], read)?
        .collect()
}

/// Up to `limit` changes after `seq`, in their order. Of one number to one sender only the latest is there.
pub fn after(connection: &Connection, seq: i64, limit: usize) -> rusqlite::Result<Vec<OptOut>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM opt_outs WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map([seq, limit as i64], read)?
        .collect()
}

/// The place of the latest change.
pub fn newest(connection: &Connection) -> rusqlite::Result<i64> {
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
