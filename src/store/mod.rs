//! The store: the only writer. Journal, message state, counters and cursors change together, in one transaction.
//!
//! - `core`: the rules, over a small trait; no SQL.
//! - `sqlite`: the embedded store, which is the default. Nothing outside it knows that there is SQLite.
//! - `postgres`: the store of a fleet.
//! - The handles: [`Store`], in this file, for async code, and [`BlockingStore`], in `blocking.rs`, for threads that may wait for the disk.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::event::SourceName;
use crate::ledger::Exemplar;
use crate::ledger::catalogue::Metric;
use crate::ledger::snapshot::LabelValues;
use crate::record::Position;
use crate::route::{ResendRule, Route};
use crate::tasks::{Leadership, Task, Thread};

mod backlog;
mod blocking;
mod clock;
mod commands;
pub mod copy;
mod core;
mod erasure;
mod floods;
mod hash;
pub mod ids;
mod packing;
mod postgres;
mod publish;
mod read;
mod shared;
mod sqlite;
mod submission;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub use blocking::BlockingStore;
pub use clock::CLOCK_SKEW;
pub use core::{opt_outs, relays, resends};
pub use floods::{Flood, FloodRule};
pub use postgres::{ClaimedTask, Connector, Identity, RemoteTask, TaskError, TaskLine, metrics};
pub use read::{Overdue, cohorts, query, search};
pub use submission::{IngestOutcome, Raw, Reprocessed, Submission, Unrecognized};

/// The database of a fleet, for the commands that manage it.
pub mod database {
    pub use super::postgres::error::PgError;
    pub use super::postgres::schema::{SchemaError, VERSION, migrate, plan, version};
    pub use super::postgres::server_check::{Checked, Declared, Finding, Severity};
    pub use super::postgres::session::Session;
    pub use super::postgres::status;
}

/// Erasing people.
pub mod erase {
    pub use super::core::erase::{Regions, Subjects};
    pub use super::erasure::{EraseError, Erased, Phase, Progress, ProgressSink};
    pub use super::sqlite::erase::erase_offline;
}

use backlog::Backlog;
use commands::{Alone, Command, FleetCommand, Reply};
use ids::{OptOutSeq, ResendId};
use opt_outs::Scope;
use postgres::{Opened, PgReaders};
use read::Reader;
use relays::AttemptOutcome;
use resends::{ResendStep, SendDecision, SendResult};
use shared::Shared;
use sqlite::Readers;

/// How many requests may wait for the writer, however fast it is.
const QUEUE: usize = 4096;

/// What the store is given once, when it is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long events are stored.
    pub retention: Duration,
    /// How long a message may stay pending.
    pub horizon: Duration,
    /// How long events that were not exported are stored for it.
    pub export_retention: Duration,
    /// Bytes in use at which the oldest exported events are deleted early and, when that is not enough, new ones are rejected.
    pub size_limit: Option<u64>,
    /// Whose series exist from the start.
    pub sources: Vec<SourceName>,
    /// Whether the events are exported: a cursor exists only then, and first starts at the newest event.
    pub exports_logs: bool,
    /// Which relays receive which events.
    pub relays: Vec<Route>,
    /// Which failed messages are resent.
    pub resends: Vec<ResendRule>,
    /// What an opt-out is about; `None`: there is no list of them.
    pub opt_outs: Option<Scope>,
    /// How long a number's last message may be answered without being named; `None`: a reply answers what it names, or nothing.
    pub conversations: Option<Duration>,
    /// When a recipient is flooded.
    pub flood: FloodRule,
}

/// Why the store did not do what was asked. What it did not store the provider sends again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("too many requests are waiting")]
    QueueFull,
    #[error("the store has reached its size limit")]
    SizeLimit,
    #[error("the store cannot write")]
    CannotWrite,
    /// It cannot be read; the database says why.
    #[error("{0}")]
    Database(String),
}

/// Why a store cannot be opened: an operator has to check.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database is not one of smscope's")]
    NotOurs,
    #[error("the database has schema {found}, newer than {newest}, the newest that this smscope knows")]
    Newer { found: i64, newest: i64 },
    #[error("the database has schema {found}; it is brought to {newest} when smscope is started on it")]
    Older { found: i64, newest: i64 },
    /// The server loses what it acknowledges, or lacks something.
    #[error("{0}")]
    Unsuitable(String),
    #[error("a copy into the database is not complete; expected smscope store copy to be run to its end")]
    HalfCopied,
    /// The database says why.
    #[error("{0}")]
    Database(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A handle on the open store, for async code: nothing here waits for the disk but a future. Clones share it; the writer ends, with a
/// last checkpoint, when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    // Before the sender, whose end is the writer's: it has to be the last to close the database, to empty the write-ahead log.
    readers: Arc<dyn Reader>,
    engine: Engine,
    commands: SyncSender<Command>,
    backlog: Arc<Backlog>,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
}

/// The database, for what differs.
#[derive(Clone)]
enum Engine {
    Embedded {
        folder: Arc<Path>,
    },
    /// One of the replicas on PostgreSQL. Requests are stored by its front door; the writer is the leader's.
    Fleet {
        front: mpsc::Sender<postgres::Request>,
        identity: Arc<Identity>,
        runtime: Handle,
        live: Arc<AtomicI64>,
        pg: Arc<PgReaders>,
    },
}

/// The threads of an open store. They end when the last handle on it is dropped and everything is stored.
pub struct StoreThreads(pub Vec<(Task, Thread)>);

impl StoreThreads {
    /// Blocks until all have ended.
    pub fn wait(self) {
        for (_, thread) in self.0 {
            thread.join();
        }
    }
}

impl Store {
    /// Opens the database in `folder`, making or migrating it as needed.
    ///
    /// # Errors
    /// A folder that cannot be written, or a database that is not ours, newer or damaged.
    pub fn open(folder: &Path, settings: Settings) -> Result<(Self, StoreThreads), OpenError> {
        let (commands, queue) = sync_channel(QUEUE);
        let backlog = Arc::new(Backlog::default());
        let (shared, threads) = sqlite::open(folder, settings.clone(), queue, backlog.clone())?;
        let readers = Arc::new(Readers::of(folder));
        let engine = Engine::Embedded { folder: folder.into() };
        Ok((Self { readers, engine, commands, backlog, shared, settings: Arc::new(settings) }, threads))
    }

    /// Joins the fleet on a PostgreSQL database, making or migrating its tables as needed.
    ///
    /// # Errors
    /// The database cannot be reached, its tables are newer, or the role may not make them.
    pub fn join(connector: Connector, settings: Settings) -> Result<(Self, StoreThreads), OpenError> {
        let (commands, queue) = sync_channel(QUEUE);
        let backlog = Arc::new(Backlog::default());
        let opened = postgres::open(connector.clone(), settings.clone(), queue, QUEUE, backlog.clone())?;
        let Opened { shared, identity, front, runtime, live, threads } = opened;
        let readers = Arc::new(PgReaders::new(connector, runtime.clone()));
        let engine = Engine::Fleet { front, identity: Arc::new(identity), runtime, live, pg: readers.clone() };
        Ok((Self { readers, engine, commands, backlog, shared, settings: Arc::new(settings) }, threads))
    }

    /// What the replicas of a fleet have in common; `None` of an embedded store.
    pub fn fleet(&self) -> Option<&Identity> {
        match &self.engine {
            Engine::Embedded { .. } => None,
            Engine::Fleet { identity, .. } => Some(identity),
        }
    }

    /// Whether this process does what one of a fleet does. With an embedded store it always does.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership().subscribe()
    }

    /// The face of this store for threads that may wait.
    pub fn blocking(&self) -> BlockingStore<'_> {
        BlockingStore(self)
    }

    /// What `work` gives, on a thread that may wait.
    ///
    /// # Errors
    /// Those of `work`, or it panicked.
    pub async fn with_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(BlockingStore<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(store.blocking())).await;
        done.unwrap_or_else(|error| Err(StoreError::Database(error.to_string())))
    }

    /// Stores a submission. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// Nothing of it was stored; or, when the writer is stuck, the caller gave up before knowing.
    pub async fn commit(&self, submission: Submission) -> Result<IngestOutcome, StoreError> {
        self.submit(submission)?.await.unwrap_or(Err(StoreError::CannotWrite))
    }

    fn submit(
        &self,
        submission: Submission,
    ) -> Result<oneshot::Receiver<Result<IngestOutcome, StoreError>>, StoreError> {
        let weight = submission.weight();
        if !self.backlog.admit(weight) {
            return Err(StoreError::QueueFull);
        }
        let queued = match &self.engine {
            // What is read again is stored already: its events are the leader's to add.
            Engine::Fleet { front, .. } if submission.reprocessed.is_none() => {
                let (reply, answered) = oneshot::channel();
                let arrived = tokio::time::Instant::now();
                let queued = front.try_send(postgres::Request { submission: Box::new(submission), arrived, reply });
                queued.map(|()| answered).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => StoreError::QueueFull,
                    mpsc::error::TrySendError::Closed(_) => StoreError::CannotWrite,
                })
            }
            _ => self.enqueue(|reply| Command::Ingest(Box::new(submission), reply)),
        };
        queued.inspect_err(|_| self.backlog.remove(weight))
    }

    /// Saves how far the export of the journal has come.
    ///
    /// # Errors
    /// It was not saved: what was exported since will be exported again.
    pub async fn advance(&self, position: Position) -> Result<(), StoreError> {
        self.ask(|reply| Command::Advance(position, reply)).await
    }

    /// Saves what an attempt to deliver led to.
    ///
    /// # Errors
    /// It was not saved: what was delivered will be delivered again.
    pub async fn save_attempt(&self, attempt: AttemptOutcome) -> Result<(), StoreError> {
        self.ask(|reply| Command::SaveAttempt(attempt, reply)).await
    }

    /// Decides what becomes of a resend that is due, and notes it: after [`SendDecision::Send`] the provider has to be asked, once.
    ///
    /// # Errors
    /// Nothing was decided.
    pub async fn begin_resend(&self, id: ResendId) -> Result<SendDecision, StoreError> {
        self.ask(|reply| Command::Alone(Alone::Resend(ResendStep::Begin(id), reply))).await
    }

    /// Notes what the provider has answered.
    ///
    /// # Errors
    /// It was not noted.
    pub async fn end_resend(&self, id: ResendId, result: SendResult) -> Result<(), StoreError> {
        self.ask(|reply| Command::Alone(Alone::Resend(ResendStep::End(id, result), reply))).await.map(drop)
    }

    /// The requests of commands that this replica, as the leader, does not execute yet.
    ///
    /// # Errors
    /// Another replica leads, or the store cannot be written.
    pub async fn claim_tasks(&self) -> Result<Vec<ClaimedTask>, StoreError> {
        self.ask(|reply| Command::Alone(Alone::Fleet(FleetCommand::ClaimTasks(reply)))).await
    }

    /// Appends a line to the response to a command. `false`: it is another leader's to respond.
    ///
    /// # Errors
    /// Another replica leads, or the store cannot be written.
    pub async fn tell_task(&self, line: TaskLine) -> Result<bool, StoreError> {
        self.ask(|reply| Command::Alone(Alone::Fleet(FleetCommand::TellTask(line, reply)))).await
    }

    /// The latest opt-out, and a way to wait for newer ones.
    pub fn newest_opt_out(&self) -> watch::Receiver<OptOutSeq> {
        self.shared.opt_outs.subscribe()
    }

    /// Changes when a relay has something new to do.
    pub fn relays_changed(&self) -> watch::Receiver<u64> {
        self.shared.relays.subscribe()
    }

    /// Changes when there is another failure to be resent.
    pub fn resends_changed(&self) -> watch::Receiver<u64> {
        self.shared.resends.subscribe()
    }

    /// The position of the newest event, and a way to wait for newer ones.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.shared.newest.subscribe()
    }

    /// How far the export has come: the position of the last event that needs no export any more.
    pub fn cursor(&self) -> Position {
        self.shared.cursor()
    }

    /// The channels of the messages that a source has had.
    pub fn channels(&self, source: &SourceName) -> BTreeSet<String> {
        let messages = self.shared.ledger().series_of(Metric::Messages);
        let of_source = messages.into_iter().filter(|labels| *labels[0] == *source.as_str());
        of_source.map(|labels| labels[1].to_string()).collect()
    }

    /// The traces of deliveries and failures, by the names and label values of their series.
    pub fn exemplars(&self) -> HashMap<(&'static str, LabelValues), Exemplar> {
        let ledger = self.shared.ledger();
        let exemplars = ledger.exemplars().iter();
        exemplars.map(|(series, one)| ((series.metric.description().name, series.labels.clone()), *one)).collect()
    }

    /// Whether the last attempt to write succeeded.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy()
    }

    /// The time by which the age of an event is measured: that of the clock, unless it has just jumped ahead.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// When this store was made: the start time of the durable counters.
    pub fn created_at(&self) -> Timestamp {
        self.shared.created_at
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        self.enqueue(command)?.await.unwrap_or(Err(StoreError::CannotWrite))
    }

    fn enqueue<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answered) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::QueueFull,
            TrySendError::Disconnected(_) => StoreError::CannotWrite,
        })?;
        Ok(answered)
    }
}
