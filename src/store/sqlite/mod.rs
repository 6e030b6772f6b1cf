//! The embedded store: SQLite in WAL mode. All SQL is here.
//!
//! # Design
//!
//! - One writer thread owns the only writing connection. Requests queue up while a transaction is being synced, and the next
//!   transaction takes all that has queued (group commit): one fsync serves many answers.
//! - `synchronous=FULL`: a transaction is on disk when `COMMIT` returns, and only then is a request answered.
//! - The counters are in memory ([`crate::ledger`]) and are saved, as absolute values, by the transaction that changes them. The copy
//!   in memory changes after the commit. A kill at any moment leaves events and counters in agreement.
//! - Checkpoints (WAL to database file) run on a connection and thread of their own, so that they do not delay a commit.
//! - Maintenance (expiry, retention) is done by the writer in small transactions, between those of requests.
//! - Reads have connections of their own, one per reader at a time.
//! - Each transaction checks that the files are where they were: what is written to a deleted file is lost with the process.
//! - A database that is found damaged takes no more writes, until a check finds it sound.
//! - Recovery is SQLite's own. Opening reads the ledger, the label values and the cursors: no scan of events or messages.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

mod checkpoint;
mod cohorts;
mod connection;
mod conversations;
mod copy;
mod dedup;
pub mod erase;
mod failure;
mod files;
mod gathering;
mod gauges;
pub mod journal;
pub mod ledger;
pub mod lookup;
mod maintenance;
mod messages;
pub mod meta;
mod network_names;
pub mod outbox;
mod overdue;
mod own_keys;
mod packing;
mod query;
mod reader;
mod receipt_keys;
pub mod resends;
mod retention;
pub mod schema;
mod scrub;
mod search;
mod search_index;
mod startup;
pub mod transaction;
pub mod unrecognized;
mod values;
mod writer;

#[cfg(test)]
mod erase_tests;
#[cfg(test)]
pub mod harness;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod writer_tests;

pub use copy::SqliteEnd;
pub use erase::{ErasureWork, erase};
pub use reader::Readers;

use rusqlite::types::FromSqlError;

use super::backlog::Backlog;
use super::commands::Command;
use super::shared::Shared;
use super::{OpenError, Settings, StoreError, StoreThreads};
use crate::tasks::{Task, Thread};
use connection::{DATABASE, connect};
use files::Files;
use writer::Writer;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<FromSqlError> for StoreError {
    fn from(error: FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Opens the database in `folder`, making or migrating it as needed, and starts the writer.
pub fn open(
    folder: &Path,
    settings: Settings,
    queue: Receiver<Command>,
    backlog: Arc<Backlog>,
) -> Result<(Arc<Shared>, StoreThreads), OpenError> {
    let path = folder.join(DATABASE);
    let mut connection = connect(&path)?;
    schema::migrate(&mut connection)?;
    // The database file's name has to survive a power cut too.
    File::open(folder)?.sync_all()?;

    let (shared, state) = startup::load(&connection, &settings)?;
    let shared = Arc::new(shared);
    shared.set_log_size(0);
    let (checkpointer, checkpoints) = checkpoint::start(connect(&path)?)?;
    let files = Files::of(&path)?;
    let writer = Writer::new(connection, files, settings, shared.clone(), state, checkpointer)?;
    let writer = Thread::spawn("store", move || writer.run(&queue, &backlog))?;
    Ok((shared, StoreThreads(vec![(Task::Writer, writer), (Task::Checkpointer, checkpoints)])))
}
