//! Moves the write-ahead log into the database file, away from the path of a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Pages of WAL (64 MiB) at which the writer has to help: under constant load the log is never wholly copied at the moment of a
/// commit, so it would not start over by itself.
const TOO_LONG: i64 = 16_384;

pub struct Checkpointer {
    bell: Option<SyncSender<()>>,
    help_wanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (bell, rings) = sync_channel::<()>(1);
        let help_wanted = Arc::new(AtomicBool::new(false));
        let flag = help_wanted.clone();
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            while rings.recv().is_ok() {
                match checkpoint(&connection, "PASSIVE") {
                    Ok(pages) => flag.store(pages > TOO_LONG, Ordering::Relaxed),
                    Err(error) => tracing::debug!(%error, "checkpoint put off"),
                }
            }
        })?;
        Ok(Self { bell: Some(bell), help_wanted, thread: Some(thread) })
    }

    /// Asks for a checkpoint soon. Never waits.
    pub fn ring(&self) {
        if let Some(bell) = &self.bell {
            let _already_rung = bell.try_send(());
        }
    }

    /// To be called by the writer between transactions: copies the rest of a log that has grown too long, so that it starts over.
    /// Passive as well: it does nothing, rather than wait, while the checkpointer is at it.
    pub fn help(&self, connection: &Connection) {
        if self.help_wanted.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection, "PASSIVE")
        {
            tracing::debug!(%error, "checkpoint put off");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.bell.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Copies the whole log into the database and cuts its file to nothing, so that no earlier state of a page is left in it. `false`
/// when someone is in the way: another checkpoint, a transaction, a reader of an old state.
pub fn cut(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Gives the length of the log in pages.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
}
