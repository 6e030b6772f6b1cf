//! An erasure in SQLite's database: finding what is to be erased, the drivers of its steps, and the bytes of the files.
//!
//! After the steps of [`crate::store::core::erase`],
//!
//! 4. what has been left of rows between others is overwritten (`scrub.rs`),
//! 5. the write-ahead log is copied into the database and cut to nothing.
//!
//! Searching reads, a thousand rows at a time, beside the writer. Each change is a transaction of the writer where smscope is running,
//! between two of requests, else of a connection of its own.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::connection::{self, DATABASE};
use super::journal::record_columns;
use super::lookup::Lookup;
use super::transaction::SqliteTx;
use super::{checkpoint, journal, meta, schema, scrub};
use crate::record::{Kind, Position};
use crate::store::core::Pseudonymizer;
use crate::store::core::erase::{Eraser, Found, Step, Subjects, Target, may_hold_several, names_one_of};
use crate::store::ids::{MessageRowId, OptOutSeq};
use crate::store::read::Person;
use crate::store::{OpenError, StoreError};

/// Rows that are read at once.
const SEARCHED: usize = 1_000;

/// Rows that are changed in one transaction.
const CHANGED: usize = 100;

/// How long to wait for readers of an old state, who keep the log from being cut.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub phase: Phase,
    pub done: u64,
    pub of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
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
    Store(#[from] StoreError),
    #[error("smscope is ending")]
    Stopped,
}

impl From<rusqlite::Error> for EraseError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<FromSqlError> for EraseError {
    fn from(error: FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

/// One transaction's work.
pub enum ErasureWork {
    Step(Step),
    /// Overwrites what is left of rows where they have moved away.
    Scrub(Vec<scrub::Leaf>),
    /// All of that is done.
    Finish,
}

/// Does it; gives how many rows had something of the person.
pub fn perform(eraser: &mut Eraser<'_, SqliteTx<'_>>, work: &ErasureWork, now: Timestamp) -> rusqlite::Result<u64> {
    let connection = eraser.storage.connection;
    match work {
        ErasureWork::Step(step) => eraser.perform(step, now),
        ErasureWork::Scrub(leaves) => scrub::overwrite_all(connection, leaves).map(|()| 0),
        ErasureWork::Finish => connection.execute("DELETE FROM meta WHERE key = 'scrub_due'", []).map(|_| 0),
    }
}

/// Runs the work of an erasure, in transactions that are on disk when it returns.
pub trait Driver {
    /// # Errors
    /// Nothing of the work was done.
    fn run(&mut self, work: ErasureWork) -> Result<u64, EraseError>;
}

/// Gets the progress of an erasure, and returns whether it continues.
pub trait ProgressSink: FnMut(Progress) -> bool {}
impl<T: FnMut(Progress) -> bool> ProgressSink for T {}

/// Erases `subjects`. Blocks for as long as it takes, some twenty seconds for a million messages.
///
/// # Errors
/// The database cannot be read, or `driver` failed. What was done stays done.
pub fn erase(
    reader: &Connection,
    subjects: Subjects,
    driver: &mut impl Driver,
    mut sink: impl ProgressSink,
) -> Result<Erased, EraseError> {
    let mut erased = Erased::default();
    let mut search = Search { reader, messages: HashSet::new(), erased_before: HashSet::new(), ids: HashSet::new() };
    let mut fresh = search.messages(&subjects, &mut sink)?;
    loop {
        for step in fresh.chunks(CHANGED) {
            erased.messages += driver.run(ErasureWork::Step(Step::Messages(step.to_vec())))?;
        }
        let target = Arc::new(Target { subjects: subjects.clone(), ids: search.ids.clone() });
        let (events, others) = search.events(&target, &mut sink)?;
        for step in events.chunks(CHANGED) {
            erased.events +=
                driver.run(ErasureWork::Step(Step::Events { events: step.to_vec(), target: target.clone() }))?;
        }
        // Messages whose own row names someone else, or nobody.
        fresh = others;
        if fresh.is_empty() {
            break;
        }
    }
    let opt_outs = search.opt_outs(&subjects)?;
    for step in opt_outs.chunks(CHANGED) {
        driver.run(ErasureWork::Step(Step::OptOuts(step.to_vec())))?;
    }
    overwrite(reader, driver, &mut sink)?;
    erased.log_is_cut = cut_log(reader)?;
    Ok(erased)
}

/// Erases in a store that no smscope has open.
///
/// # Errors
/// As [`erase`]; or the database cannot be opened.
pub fn erase_offline(folder: &Path, subjects: Subjects, sink: impl ProgressSink) -> Result<Erased, EraseError> {
    let path = folder.join(DATABASE);
    let mut connection = connection::connect(&path)?;
    schema::migrate(&mut connection)?;
    let reader = connection::connect(&path)?;
    let (lookup, pseudonymizer) = (Lookup::load(&connection)?, meta::pseudonymizer(&connection)?);
    erase(&reader, subjects, &mut OwnConnection { connection, lookup, pseudonymizer }, sink)
}

/// A connection of one's own, where there is no writer.
pub struct OwnConnection {
    pub connection: Connection,
    pub lookup: Lookup,
    pub pseudonymizer: Pseudonymizer,
}

impl Driver for OwnConnection {
    fn run(&mut self, work: ErasureWork) -> Result<u64, EraseError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // No receipts are ingested here, whose spelling would matter.
        let mut storage = SqliteTx::new(&transaction, &mut self.lookup, MessageRowId::default())?;
        let mut eraser = Eraser { storage: &mut storage, pseudonymizer: &self.pseudonymizer };
        let count = perform(&mut eraser, &work, Timestamp::now())?;
        let rekeyed = storage.rekeyed;
        transaction.commit()?;
        self.lookup.commit(rekeyed);
        Ok(count)
    }
}

struct Search<'a> {
    reader: &'a Connection,
    /// Theirs, as far as they are known.
    messages: HashSet<MessageRowId>,
    /// Those of earlier erasures: one may have been broken off before their events were reached.
    erased_before: HashSet<MessageRowId>,
    /// The provider's ids of their messages and replies.
    ids: HashSet<String>,
}

impl Search<'_> {
    /// Finds the messages to them.
    fn messages(&mut self, subjects: &Subjects, sink: &mut impl ProgressSink) -> Result<Vec<MessageRowId>, EraseError> {
        let mut found = Vec::new();
        let newest = self.newest("messages")?;
        let sql = "SELECT id, source, message_id, number, part, erased_at IS NOT NULL FROM messages WHERE id > ?1 \
                   ORDER BY id LIMIT ?2";
        let told = |place| report(sink, Phase::SearchingMessages, place, newest);
        walk(self.reader, sql, told, |place, row| {
            let source = row.get_ref(1)?.as_str()?;
            let number = row.get_ref(3)?.as_str_or_null()?;
            let part = row.get_ref(4)?.as_str()?;
            if row.get(5)? {
                self.erased_before.insert(MessageRowId(place));
            } else if number.is_some_and(|number| subjects.have(source, number)) || subjects.have(source, part) {
                self.ids.insert(row.get(2)?);
                self.messages.insert(MessageRowId(place));
                found.push(MessageRowId(place));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Finds the events that have something of them; and messages of theirs that are only known by these.
    fn events(
        &mut self,
        target: &Target,
        sink: &mut impl ProgressSink,
    ) -> Result<(Vec<Found>, Vec<MessageRowId>), EraseError> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        let newest = self.newest("events")?;
        let sql = concat!(
            "SELECT id, source, kind, message, coalesce(method, ''), coalesce(query, ''), content_type, body, packed, ",
            record_columns!(),
            " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2"
        );
        let told = |place| report(sink, Phase::SearchingEvents, place, newest);
        walk(self.reader, sql, told, |place, row| {
            let source = row.get_ref(1)?.as_str()?;
            let kind = row.get_ref(2)?.as_str()?;
            let message: Option<MessageRowId> = row.get(3)?;
            let raw = journal::request(row, 4)?;
            let (query, body) = raw.as_ref().map_or(("", &[][..]), |raw| (&raw.query, &raw.body));
            let record = Person::of(&journal::record_json(row, 9)?);
            let by_number = record.number.is_some_and(|number| target.subjects.have(source, &number));
            let is_reply = [Kind::Reply.as_str(), Kind::Stop.as_str()].contains(&kind);
            // What is written to us after an erasure is another matter.
            let was_left = !is_reply && !record.erased;
            let by_message = message.is_some_and(|message| {
                self.messages.contains(&message) || (was_left && self.erased_before.contains(&message))
            });
            let has_others = may_hold_several(body);
            let is_unrecognized = kind == Kind::Unrecognized.as_str();
            let in_request =
                || target.subjects.are_in(source, body) || target.subjects.are_in(source, query.as_bytes());
            let is_theirs = by_number || by_message || (is_unrecognized && !has_others && in_request());
            if !is_theirs && !(has_others && (in_request() || names_one_of(body, &target.ids))) {
                return Ok(());
            }
            found.push(Found { position: Position(place), is_theirs });
            if is_reply && is_theirs {
                self.ids.extend(record.message_id.clone());
            }
            if let Some(message) = message.filter(|_| by_number && !is_reply)
                && self.messages.insert(message)
            {
                others.push(message);
                self.ids.extend(record.message_id);
            }
            Ok(())
        })?;
        Ok((found, others))
    }

    /// Finds the opt-outs that have their number.
    fn opt_outs(&self, subjects: &Subjects) -> Result<Vec<OptOutSeq>, EraseError> {
        let sql = "SELECT id, source, number FROM opt_outs WHERE number IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2";
        let mut found = Vec::new();
        walk(
            self.reader,
            sql,
            |_| Ok(()),
            |place, row| {
                if subjects.have(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?) {
                    found.push(OptOutSeq(place));
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

/// Calls `look` for each row of a query that begins after an id and has a limit; `told` gets the last id of each step.
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

fn report(sink: &mut impl ProgressSink, phase: Phase, done: i64, of: i64) -> Result<(), EraseError> {
    let progress = Progress { phase, done: done.unsigned_abs(), of: of.unsigned_abs() };
    if sink(progress) { Ok(()) } else { Err(EraseError::Stopped) }
}

/// Overwrites what is left of rows, where this or an earlier erasure that was broken off has redacted any.
fn overwrite(reader: &Connection, driver: &mut impl Driver, sink: &mut impl ProgressSink) -> Result<(), EraseError> {
    let due = reader.query_row("SELECT 1 FROM meta WHERE key = 'scrub_due'", [], |_| Ok(())).optional()?;
    if due.is_none() {
        return Ok(());
    }
    let leaves = scrub::leaves(reader)?;
    let mut done = 0;
    for step in leaves.chunks(CHANGED) {
        driver.run(ErasureWork::Scrub(step.to_vec()))?;
        done += step.len();
        report(sink, Phase::Overwriting, done as i64, leaves.len() as i64)?;
    }
    driver.run(ErasureWork::Finish).map(drop)
}

/// Copies the write-ahead log into the database and cuts it to nothing; `false` if readers of an old state prevented that.
fn cut_log(connection: &Connection) -> rusqlite::Result<bool> {
    let given_up = Instant::now() + LOG_TIMEOUT;
    // The writer waits meanwhile, so a short time each.
    connection.busy_timeout(Duration::from_millis(50))?;
    loop {
        if checkpoint::cut(connection)? {
            return Ok(true);
        }
        if Instant::now() > given_up {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
