//! Erasing a person (GDPR, article 17): number, text, request, reference and whatever else tells of them goes from every event and
//! every message of theirs, and from the bytes of the files. Keys, outcome and labels stay, so that counts hold and what comes again
//! is known.
//!
//! # Design
//!
//! 1. Their messages are searched and marked. A marked message has no number; what comes of it later is kept without the person
//!    (`transaction.rs`). From then on there is nothing new to be found.
//! 2. Their events are searched, by number and by message, and redacted with the requests that brought them.
//! 3. Their opt-outs lose the number, and are still honoured by its keyed hash (`opt_outs.rs`).
//! 4. What has been left of rows between others is overwritten (`scrub.rs`).
//! 5. The write-ahead log is copied into the database and cut to nothing.
//!
//! Searching reads, a thousand rows at a time, beside the writer. Each change is a [`Step`], a short transaction: of the writer's
//! where smscope is running, between two of requests, else of a connection of its own. A kill in between loses nothing but the rest
//! of the work, which the same command does when it is run again.
//!
//! A legacy message is identified by its recipient too. Of an erased one a hash stands there, with a key that is in the database:
//! whoever has the whole database could try all numbers on it. That is the price of knowing a repetition.

mod person;
mod redact;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

pub use person::{People, Regions};
pub use redact::receipt as redacted_receipt;
use steps::{Found, Who};
pub use steps::{Performed, Rekeyed, Step, perform};

use super::connection::{self, DATABASE};
use super::{OpenError, Refusal, scrub};
use crate::event::hex;
use crate::record::Kind;

/// Rows that are read at once.
const SEARCHED: usize = 1_000;

/// Rows that are changed in one transaction.
const CHANGED: usize = 100;

/// How long to wait for readers of an old state, who keep the log from being cut.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an erasure has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub messages: u64,
    pub events: u64,
    /// The write-ahead log holds nothing any more.
    pub log_is_cut: bool,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub doing: Doing,
    pub done: u64,
    pub of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    SearchingMessages,
    SearchingEvents,
    Overwriting,
}

/// Why not all was erased. What was done stays done, and the same command does the rest.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("smscope is ending")]
    Stopped,
}

impl From<FromSqlError> for EraseError {
    fn from(error: FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

/// Who changes the database.
pub trait Changes {
    /// Does a step in a transaction that is on disk when this returns.
    ///
    /// # Errors
    /// Nothing of the step was done.
    fn make(&mut self, step: Step) -> Result<Performed, EraseError>;
}

/// Is told how far an erasure is, and says whether it is to go on.
pub trait Told: FnMut(Progress) -> bool {}
impl<T: FnMut(Progress) -> bool> Told for T {}

/// What stands for the recipient in the identity of erased messages.
#[derive(Clone, Debug)]
pub struct Marks {
    keyed: Hmac<Sha256>,
    /// Whether anything was ever erased.
    pub exist: bool,
}

impl Marks {
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let salt: Vec<u8> =
            connection.query_row("SELECT value FROM meta WHERE key = 'erasure_salt'", [], |row| row.get(0))?;
        let exist =
            connection.query_row("SELECT 1 FROM meta WHERE key = 'erasures'", [], |_| Ok(())).optional()?.is_some();
        let keyed =
            Hmac::new_from_slice(&salt).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(Self { keyed, exist })
    }

    /// Stands for a person in the list of opt-outs.
    pub fn person(&self, number: &str) -> String {
        let mut mac = self.keyed.clone();
        // Another hash than that of a recipient, so that the two cannot be joined.
        mac.update(b"opt-out:");
        mac.update(number.as_bytes());
        hex(&mac.finalize().into_bytes()[..16])
    }

    /// A key under which something of a person is found.
    pub fn key(&self, parts: &[&str]) -> i64 {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let bytes = mac.finalize().into_bytes();
        bytes[..8].iter().fold(0, |key, byte| key << 8 | i64::from(*byte))
    }

    /// Stands for the recipient of a legacy message. It is no number: those have no `~`.
    pub fn part(&self, recipient: &str) -> String {
        if recipient.starts_with('~') {
            return recipient.to_owned();
        }
        let mut mac = self.keyed.clone();
        mac.update(recipient.as_bytes());
        format!("~{}", hex(&mac.finalize().into_bytes()[..16]))
    }
}

/// Erases `people`. Blocks for as long as it takes, some twenty seconds for a million messages.
///
/// # Errors
/// The database cannot be read, or `changes` failed. What was done stays done.
pub fn erase(
    reader: &Connection,
    people: People,
    changes: &mut impl Changes,
    mut tell: impl Told,
) -> Result<Erased, EraseError> {
    let mut erased = Erased::default();
    let mut search = Search { reader, messages: HashSet::new(), erased_before: HashSet::new(), ids: HashSet::new() };
    let mut fresh = search.messages(&people, &mut tell)?;
    loop {
        for step in fresh.chunks(CHANGED) {
            erased.messages += changes.make(Step::Messages(step.to_vec()))?.count;
        }
        let who = Arc::new(Who { people: people.clone(), ids: search.ids.clone() });
        let (events, others) = search.events(&who, &mut tell)?;
        for step in events.chunks(CHANGED) {
            erased.events += changes.make(Step::Events { events: step.to_vec(), who: who.clone() })?.count;
        }
        // Messages whose own row names someone else, or nobody.
        fresh = others;
        if fresh.is_empty() {
            break;
        }
    }
    let opt_outs = search.opt_outs(&people)?;
    for step in opt_outs.chunks(CHANGED) {
        changes.make(Step::OptOuts(step.to_vec()))?;
    }
    overwrite(reader, changes, &mut tell)?;
    erased.log_is_cut = cut_log(reader)?;
    Ok(erased)
}

/// Erases in a store that no smscope has open.
///
/// # Errors
/// As [`erase`]; or the database cannot be opened.
pub fn erase_offline(folder: &Path, people: People, tell: impl Told) -> Result<Erased, EraseError> {
    let path = folder.join(DATABASE);
    let mut connection = connection::connect(&path)?;
    super::schema::migrate(&mut connection)?;
    let marks = Marks::load(&connection)?;
    let reader = connection::connect(&path)?;
    let mut changes = Own { connection, marks };
    erase(&reader, people, &mut changes, tell)
}

/// Changes by a connection of one's own, where there is no writer.
struct Own {
    connection: Connection,
    marks: Marks,
}

impl Changes for Own {
    fn make(&mut self, step: Step) -> Result<Performed, EraseError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let performed = perform(&transaction, &self.marks, &step)?;
        transaction.commit()?;
        Ok(performed)
    }
}

struct Search<'a> {
    reader: &'a Connection,
    /// Theirs, as far as they are known.
    messages: HashSet<i64>,
    /// Those of earlier erasures: one may have been broken off before their events were reached.
    erased_before: HashSet<i64>,
    /// The provider's ids of their messages and replies.
    ids: HashSet<String>,
}

impl Search<'_> {
    /// Finds the messages to them.
    fn messages(&mut self, people: &People, tell: &mut impl Told) -> Result<Vec<i64>, EraseError> {
        let mut found = Vec::new();
        let newest = self.newest("messages")?;
        let sql = "SELECT id, source, message_id, number, part, erased_at IS NOT NULL FROM messages WHERE id > ?1 \
                   ORDER BY id LIMIT ?2";
        let told = |place| report(tell, Doing::SearchingMessages, place, newest);
        walk(self.reader, sql, told, |place, row| {
            let source = row.get_ref(1)?.as_str()?;
            let number = row.get_ref(3)?.as_str_or_null()?;
            let part = row.get_ref(4)?.as_str()?;
            if row.get(5)? {
                self.erased_before.insert(place);
            } else if number.is_some_and(|number| people.have(source, number)) || people.have(source, part) {
                self.ids.insert(row.get(2)?);
                self.messages.insert(place);
                found.push(place);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Finds the events that have something of them; and messages of theirs that are only known by these.
    fn events(&mut self, who: &Who, tell: &mut impl Told) -> Result<(Vec<Found>, Vec<i64>), EraseError> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        let newest = self.newest("events")?;
        let sql = "SELECT id, source, kind, message, event ->> '$.number', query, body, event ->> '$.message_id', \
                   event ->> '$.erased' IS NOT NULL FROM events WHERE id > ?1 ORDER BY id LIMIT ?2";
        let told = |place| report(tell, Doing::SearchingEvents, place, newest);
        walk(self.reader, sql, told, |place, row| {
            let source = row.get_ref(1)?.as_str()?;
            let kind = row.get_ref(2)?.as_str()?;
            let message: Option<i64> = row.get(3)?;
            let number = row.get_ref(4)?.as_str_or_null()?;
            let query = row.get_ref(5)?.as_str_or_null()?.unwrap_or_default();
            let body = row.get_ref(6)?.as_blob_or_null()?.unwrap_or_default();
            let by_number = number.is_some_and(|number| who.people.have(source, number));
            let is_reply = [Kind::Reply.as_str(), Kind::Stop.as_str()].contains(&kind);
            // What is written to us after an erasure is another matter.
            let was_left = !is_reply && !row.get::<_, bool>(8)?;
            let by_message = message.is_some_and(|message| {
                self.messages.contains(&message) || (was_left && self.erased_before.contains(&message))
            });
            let has_others = redact::may_hold_several(body);
            let is_unrecognized = kind == Kind::Unrecognized.as_str();
            let in_request = || who.people.are_in(source, body) || who.people.are_in(source, query.as_bytes());
            let is_theirs = by_number || by_message || (is_unrecognized && !has_others && in_request());
            if !is_theirs && !(has_others && (in_request() || redact::names_one_of(body, &who.ids))) {
                return Ok(());
            }
            found.push(Found { id: place, is_theirs });
            if is_reply && is_theirs {
                self.ids.extend(row.get::<_, Option<String>>(7)?);
            }
            if let Some(message) = message.filter(|_| by_number && !is_reply)
                && self.messages.insert(message)
            {
                others.push(message);
                self.ids.extend(row.get::<_, Option<String>>(7)?);
            }
            Ok(())
        })?;
        Ok((found, others))
    }

    /// Finds the opt-outs that have their number.
    fn opt_outs(&self, people: &People) -> Result<Vec<i64>, EraseError> {
        let sql = "SELECT id, source, number FROM opt_outs WHERE number IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2";
        let mut found = Vec::new();
        walk(
            self.reader,
            sql,
            |_| Ok(()),
            |place, row| {
                if people.have(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?) {
                    found.push(place);
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    fn newest(&self, table: &str) -> rusqlite::Result<i64> {
        self.reader.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))
    }
}

/// Hands over each row of a query that begins after one place and has a limit, with its place; `told` has the last place of each step.
fn walk(
    reader: &Connection,
    sql: &str,
    mut told: impl FnMut(i64) -> Result<(), EraseError>,
    mut look: impl FnMut(i64, &Row<'_>) -> Result<(), EraseError>,
) -> Result<(), EraseError> {
    let mut statement = reader.prepare_cached(sql)?;
    let mut place = 0;
    loop {
        let mut rows = statement.query([place, SEARCHED as i64])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            place = row.get(0)?;
            look(place, row)?;
        }
        told(place)?;
        if read < SEARCHED {
            return Ok(());
        }
    }
}

fn report(tell: &mut impl Told, doing: Doing, done: i64, of: i64) -> Result<(), EraseError> {
    let progress = Progress { doing, done: done.unsigned_abs(), of: of.unsigned_abs() };
    if tell(progress) { Ok(()) } else { Err(EraseError::Stopped) }
}

/// Overwrites what is left of rows, where this or an earlier erasure that was broken off has redacted any.
fn overwrite(reader: &Connection, changes: &mut impl Changes, tell: &mut impl Told) -> Result<(), EraseError> {
    let due = reader.query_row("SELECT 1 FROM meta WHERE key = 'scrub_due'", [], |_| Ok(())).optional()?;
    if due.is_none() {
        return Ok(());
    }
    let leaves = scrub::leaves(reader)?;
    let mut done = 0;
    for step in leaves.chunks(CHANGED) {
        changes.make(Step::Scrub(step.to_vec()))?;
        done += step.len();
        report(tell, Doing::Overwriting, done as i64, leaves.len() as i64)?;
    }
    changes.make(Step::Finish).map(drop)
}

/// Copies the write-ahead log into the database and cuts it to nothing; `false` when readers of an old state kept it.
fn cut_log(connection: &Connection) -> rusqlite::Result<bool> {
    let given_up = Instant::now() + PATIENCE;
    // The writer waits meanwhile, so a short time each.
    connection.busy_timeout(Duration::from_millis(50))?;
    loop {
        if super::checkpoint::cut(connection)? {
            return Ok(true);
        }
        if Instant::now() > given_up {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
