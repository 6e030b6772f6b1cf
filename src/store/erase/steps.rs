//! What one transaction of an erasure does. Each step that is done twice changes nothing the second time.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Marks, People, redact};
use crate::event::{SourceName, plain_id};
use crate::record::{Kind, Record};
use crate::store::{lookup, scrub};

/// One transaction's work.
pub enum Step {
    /// Marks messages, so that what comes of them from now on is kept without the person, and redacts their rows.
    Messages(Vec<i64>),
    /// Redacts events, and the requests that brought them.
    Events { events: Vec<Found>, who: Arc<Who> },
    /// Takes the number out of opt-outs.
    OptOuts(Vec<i64>),
    /// Overwrites what is left of rows where they have moved away.
    Scrub(Vec<scrub::Leaf>),
    /// All of that is done.
    Finish,
}

/// Whom the events are of.
pub struct Who {
    pub people: People,
    /// The provider's ids of their messages and replies.
    pub ids: HashSet<String>,
}

/// An event that has something of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: i64,
    /// Not only the request that it came with, which had other events too.
    pub is_theirs: bool,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Performed {
    pub count: u64,
    pub rekeyed: Vec<Rekeyed>,
}

/// A message that is found by another key from now on.
#[derive(Clone, Copy, Debug)]
pub struct Rekeyed {
    pub message: i64,
    pub from: i64,
    pub to: i64,
}

/// Does a step, in an open transaction.
pub fn perform(connection: &Connection, marks: &Marks, step: &Step) -> rusqlite::Result<Performed> {
    let mut performed = Performed::default();
    match step {
        Step::Messages(ids) => {
            note(connection, "erasures")?;
            note(connection, "scrub_due")?;
            for id in ids {
                performed.count += u64::from(message(connection, marks, *id, &mut performed.rekeyed)?);
            }
        }
        Step::Events { events, who } => {
            note(connection, "erasures")?;
            note(connection, "scrub_due")?;
            for found in events {
                performed.count += u64::from(event(connection, *found, who)?);
            }
        }
        Step::OptOuts(places) => {
            note(connection, "scrub_due")?;
            for place in places {
                let redacted = connection
                    .prepare_cached("UPDATE opt_outs SET number = NULL WHERE id = ?1 AND number IS NOT NULL")?
                    .execute([place])?;
                performed.count += redacted as u64;
            }
        }
        Step::Scrub(leaves) => {
            for leaf in leaves {
                performed.count += u64::from(scrub::overwrite(connection, leaf)?);
            }
        }
        Step::Finish => {
            connection.execute("DELETE FROM meta WHERE key = 'scrub_due'", [])?;
        }
    }
    Ok(performed)
}

fn note(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, Timestamp::now().as_millisecond()])
        .map(drop)
}

/// `false` when it has been erased before, or is gone.
fn message(connection: &Connection, marks: &Marks, id: i64, rekeyed: &mut Vec<Rekeyed>) -> rusqlite::Result<bool> {
    let row: Option<(String, String, String, i64)> = connection
        .prepare_cached("SELECT source, message_id, part, key FROM messages WHERE id = ?1 AND erased_at IS NULL")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((source, message_id, mut part, from)) = row else { return Ok(false) };
    let mut to = from;
    if !part.is_empty() {
        part = marks.part(&part);
        let source = SourceName::new(&source).ok_or_else(|| rusqlite::Error::InvalidColumnName(source.clone()))?;
        to = lookup::key(&source, &message_id, &part);
        connection.prepare_cached("DELETE FROM message_keys WHERE key = ?1 AND message = ?2")?.execute([from, id])?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO message_keys (key, message) VALUES (?1, ?2)")?
            .execute([to, id])?;
        rekeyed.push(Rekeyed { message: id, from, to });
    }
    connection.prepare_cached("DELETE FROM conversation_keys WHERE message = ?1")?.execute([id])?;
    connection.prepare_cached("UPDATE resends SET expects = NULL WHERE message = ?1")?.execute([id])?;
    connection
        .prepare_cached(
            "UPDATE messages SET number = NULL, ref_client = NULL, part = ?2, key = ?3, erased_at = ?4 WHERE id = ?1",
        )?
        .execute(params![id, part, to, Timestamp::now().as_millisecond()])?;
    Ok(true)
}

/// Whether the event itself was redacted now.
fn event(connection: &Connection, found: Found, who: &Who) -> rusqlite::Result<bool> {
    let row: Option<(String, i64, String, Option<i64>)> = connection
        .prepare_cached("SELECT source, received_at, event, request FROM events WHERE id = ?1")?
        .query_row([found.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((source, received_at, event, request)) = row else { return Ok(false) };
    forget_request(connection, request.unwrap_or(found.id), &source, found.is_theirs, who)?;
    if !found.is_theirs {
        return Ok(false);
    }
    let mut record: Record = serde_json::from_str(&event)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))?;
    forget_key(connection, &record, received_at)?;
    if record.erased {
        return Ok(false);
    }
    redact::record(&mut record, &who.people);
    let event = serde_json::to_string(&record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    connection.prepare_cached("UPDATE events SET event = ?2 WHERE id = ?1")?.execute(params![found.id, event])?;
    Ok(true)
}

/// The request that is kept with the event `id`: of an array or lines the elements that are theirs go, of anything else all of it.
fn forget_request(connection: &Connection, id: i64, source: &str, theirs: bool, who: &Who) -> rusqlite::Result<()> {
    let row: Option<(i64, Option<Vec<u8>>)> = connection
        .prepare_cached("SELECT received_at, body FROM events WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // Gone by its time, or what it held is.
    let Some((received_at, body)) = row.filter(|(_, body)| body.is_some() || theirs) else { return Ok(()) };
    let may_hold_several = body.as_deref().is_some_and(redact::may_hold_several);
    let rest = body.and_then(|body| redact::elements(source, &body, &who.people, &who.ids));
    if rest.is_some() || may_hold_several {
        forget_unrecognized(connection, source, received_at)?;
    }
    connection
        .prepare_cached("UPDATE events SET query = NULL, body = ?2 WHERE id = ?1")?
        .execute(params![id, rest])
        .map(drop)
}

/// Marks the duplicate key of a reply or an unrecognized request.
fn forget_key(connection: &Connection, record: &Record, received_at: i64) -> rusqlite::Result<()> {
    let source = record.source.as_str();
    match (record.kind, &record.message_id) {
        (Kind::Reply | Kind::Stop, Some(id)) => connection
            .prepare_cached("UPDATE event_keys SET erased = 1 WHERE source = ?1 AND key = ?2")?
            .execute(params![source, format!("reply:{}", plain_id(id.clone()))]),
        (Kind::Unrecognized, _) => return forget_unrecognized(connection, source, received_at),
        _ => return Ok(()),
    }
    .map(drop)
}

/// The digest is of what has just gone: all that came at that moment stands for it.
fn forget_unrecognized(connection: &Connection, source: &str, received_at: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE event_keys SET erased = 1 WHERE source = ?1 AND received_at = ?2 AND key LIKE 'sha256:%'",
        )?
        .execute(params![source, received_at])
        .map(drop)
}
