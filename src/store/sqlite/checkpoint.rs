//! Moves the write-ahead log into the database file, away from the path of a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::connection::PAGE_SIZE;
use super::retention::page_size;
use crate::diagnostics::LogThrottle;
use crate::tasks::Thread;

/// Bytes of WAL at which the writer has to help: under constant load the log is never wholly copied at the moment of a
/// commit, so it would not start over by itself.
const TOO_LONG: i64 = 64 << 20;

/// The checkpointer as the writer has it.
pub struct Checkpointer {
    bell: SyncSender<()>,
    state: Arc<State>,
    closed: Receiver<()>,
}

/// What the last checkpoint has found.
#[derive(Default)]
struct State {
    help_wanted: AtomicBool,
    has_copied_all: AtomicBool,
}

/// Starts the thread, which ends when its [`Checkpointer`] is dropped.
pub fn start(connection: Connection) -> std::io::Result<(Checkpointer, Thread)> {
    let (bell, rings) = sync_channel(1);
    let (closing, closed) = channel();
    let state = Arc::<State>::default();
    let found = state.clone();
    let thread = Thread::spawn("checkpoint", move || run(connection, &rings, &found, closing))?;
    Ok((Checkpointer { bell, state, closed }, thread))
}

fn run(connection: Connection, rings: &Receiver<()>, found: &State, closing: Sender<()>) {
    let page = page_size(&connection).unwrap_or(PAGE_SIZE);
    while rings.recv().is_ok() {
        #[cfg(test)]
        crate::tasks::fault::point(crate::tasks::Task::Checkpointer);
        match checkpoint(&connection, "PASSIVE") {
            Ok((pages, copied)) => {
                found.help_wanted.store(pages * page > TOO_LONG, Ordering::Relaxed);
                found.has_copied_all.store(pages == copied, Ordering::Relaxed);
            }
            Err(error) => put_off(&error),
        }
    }
    drop(connection);
    drop(closing);
}

impl Checkpointer {
    /// Asks for a checkpoint soon. Never waits.
    pub fn ring(&self) {
        let _already_rung = self.bell.try_send(());
    }

    /// Whether the last checkpoint left nothing to copy: no reader of an old state was in its way.
    pub fn has_copied_all(&self) -> bool {
        self.state.has_copied_all.load(Ordering::Relaxed)
    }

    /// Has the thread end, and waits until its connection is closed.
    pub fn end(self) {
        drop(self.bell);
        let _closed = self.closed.recv();
    }

    /// To be called by the writer between transactions: copies the rest of a log that has grown too long, so that it starts over.
    /// Passive as well: it does nothing, rather than wait, while the checkpointer is at it.
    pub fn help(&self, connection: &Connection) {
        if self.state.help_wanted.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection, "PASSIVE")
        {
            put_off(&error);
        }
    }
}

/// A reader in the way is nothing. A disk in the way lets the log grow until it is full: commits go on meanwhile, so this is the
/// only sign of it.
fn put_off(error: &rusqlite::Error) {
    static FAILURES: LogThrottle = LogThrottle::new(Duration::from_secs(600));
    if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        tracing::debug!(%error, "checkpoint put off");
    } else if let Some(suppressed) = FAILURES.permit() {
        tracing::error!(%error, suppressed, "cannot copy the write-ahead log into the database; it grows meanwhile");
    }
}

/// Copies the whole log into the database and cuts its file to nothing, so that no earlier state of a page is left in it. `false`
/// when someone is in the way: another checkpoint, a transaction, a reader of an old state.
pub fn cut(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Gives the length of the log in pages, and how many of them are copied.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
}
