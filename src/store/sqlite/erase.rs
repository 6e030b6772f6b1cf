//! An erasure in SQLite's database: the drivers of its steps, and the bytes of the files.
//!
//! After the steps of [`crate::store::erasure`],
//!
//! 4. what has been left of rows between others is overwritten (`scrub.rs`),
//! 5. the write-ahead log is copied into the database and cut to nothing.
//!
//! Each change is a transaction of the writer where smscope is running,
//! between two of requests, else of a connection of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::connection::{self, DATABASE};
use super::lookup::Lookup;
use super::reader::Readers;
use super::transaction::SqliteTx;
use super::{checkpoint, meta, schema, scrub};
use crate::store::StoreError;
use crate::store::core::Pseudonymizer;
use crate::store::core::erase::{Eraser, Step, Subjects};
use crate::store::erasure::{CHANGED, EraseError, Erased, Phase, ProgressSink, redact, report};
use crate::store::ids::MessageRowId;

/// How long to wait for readers of an old state, who keep the log from being cut.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

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

/// Erases `subjects`. Blocks for as long as it takes, some twenty seconds for a million messages.
///
/// # Errors
/// The database cannot be read, or `driver` failed. What was done stays done.
pub fn erase(
    folder: &Path,
    subjects: &Subjects,
    driver: &mut impl Driver,
    mut sink: impl ProgressSink,
) -> Result<Erased, EraseError> {
    let perform = |step| driver.run(ErasureWork::Step(step));
    let erased = redact(&Readers::of(folder), subjects, perform, &mut sink)?;
    let connection = connection::connect(&folder.join(DATABASE))?;
    overwrite(&connection, driver, &mut sink)?;
    Ok(Erased { log_is_cut: cut_log(&connection)?, ..erased })
}

/// Erases in a store that no smscope has open.
///
/// # Errors
/// As [`erase`]; or the database cannot be opened.
pub fn erase_offline(folder: &Path, subjects: &Subjects, sink: impl ProgressSink) -> Result<Erased, EraseError> {
    let path = folder.join(DATABASE);
    let mut connection = connection::connect(&path)?;
    schema::migrate(&mut connection)?;
    let (lookup, pseudonymizer) = (Lookup::load(&connection)?, meta::pseudonymizer(&connection)?);
    erase(folder, subjects, &mut OwnConnection { connection, lookup, pseudonymizer }, sink)
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
