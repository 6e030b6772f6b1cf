//! The store: the one place that writes. Journal, message state, counters and cursors change together, in one transaction.
//!
//! # Design
//!
//! - One writer thread owns the only writing connection. Requests queue up while a transaction is being synced, and the next
//!   transaction takes all that has queued (group commit): one fsync serves many answers.
//! - SQLite in WAL mode with `synchronous=FULL`: a transaction is on disk when `COMMIT` returns, and only then is anyone answered.
//! - The counters live in memory ([`crate::ledger`]) and are saved, as absolute values, by the transaction that changes them. The
//!   copy in memory moves after the commit. A kill at any moment leaves events and counters in agreement.
//! - Checkpoints (WAL to database file) run on a connection and thread of their own, so that they do not delay a commit.
//! - Housekeeping (expiry, retention) is done by the writer in small transactions, between those of requests.
//! - Each transaction looks whether the files are where they were: what is written to a deleted file is nowhere after a restart.
//! - A database that is found damaged takes no more writes, until it has been looked through and is sound.
//! - Recovery is SQLite's own. Opening reads the ledger, the label values and the cursors: no scan of events or messages.
//!
//! Nothing outside this module knows that it is SQLite.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::event::{Event, SourceName, TraceParent};
use crate::ledger::Exemplar;
use crate::ledger::snapshot::{LabelValues, Snapshot};
use crate::record::Entry;
use crate::route::{RelayName, ResendRule, Route};
use crate::tasks::Thread;

mod backlog;
mod checkpoint;
mod clock;
pub mod cohorts;
mod connection;
mod conversations;
pub mod erase;
mod failure;
mod files;
mod floods;
mod housekeeping;
mod jobs;
mod journal;
pub mod look;
mod lookup;
mod messages;
mod network_names;
pub mod opt_outs;
mod overdue;
mod records;
pub mod relays;
pub mod resends;
mod retention;
mod rows;
mod schema;
mod scrub;
pub mod search;
mod shared;
mod transaction;
mod unrecognized;
mod writer;

#[cfg(test)]
mod tests;

pub use clock::MARGIN;
pub use floods::{Flood, FloodRule};
pub use overdue::Overdue;
pub use unrecognized::{Reprocessed, Unrecognized};

use backlog::Backlog;
use connection::{DATABASE, connect};
use erase::{Changes, EraseError, Erased, Marks, People, Performed, Step, Told};
use files::Files;
use jobs::{CursorMove, Erasing, Job, OptingOut, Redriving, Request, Settling};
use opt_outs::{OptOut, OptOutChange, Scope};
use relays::{DeadLetterFilter, Due, RedriveStep, Settlement};
use shared::Shared;
use writer::Writer;

/// How many requests may wait for the writer, whatever else is said of it.
const QUEUE: usize = 4096;

/// What the store is told once, when it is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long raw events are kept.
    pub retention: Duration,
    /// How long a message may stay pending.
    pub horizon: Duration,
    /// How long events that were not exported are kept for it.
    pub export_retention: Duration,
    /// Bytes in use at which the oldest exported events go early and, when that is not enough, new ones are refused.
    pub size_limit: Option<u64>,
    /// Whose series exist from the start.
    pub sources: Vec<SourceName>,
    /// Whether the events are exported: a cursor exists only then, and first starts at the newest event.
    pub exports_logs: bool,
    /// Which relays take which events.
    pub relays: Vec<Route>,
    /// Which failed messages are sent again.
    pub resends: Vec<ResendRule>,
    /// What an opt-out is about; `None`: no list of them is kept.
    pub opt_outs: Option<Scope>,
    /// How long a number's last message may be answered without being named; `None`: a reply answers what it names, or nothing.
    pub conversations: Option<Duration>,
    /// When a recipient is flooded.
    pub flood: FloodRule,
}

/// One request, decoded, to be kept whole or not at all.
#[derive(Clone, Debug)]
pub struct Submission {
    pub source: SourceName,
    pub arrived_at: Timestamp,
    pub trace: Option<TraceParent>,
    /// It did not come by a webhook: the provider was asked for it.
    pub reconciled: bool,
    /// Its JSON was damaged, and was read leniently.
    pub repaired: bool,
    /// It did not come now: a stored request, which arrived then, is read again.
    pub reprocessed: Option<Reprocessed>,
    pub raw: Raw,
    /// In the order of the request.
    pub events: Vec<Event>,
}

impl Submission {
    fn weight(&self) -> backlog::Weight {
        backlog::Weight { events: self.events.len(), bytes: self.raw.body.len() + self.raw.query.len() }
    }
}

/// The request as it came, without anything secret, its body decompressed.
#[derive(Clone, Debug)]
pub struct Raw {
    pub method: String,
    pub query: String,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// What became of a submission that is on disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one recognized event was new.
    Accepted,
    /// All events were known.
    Duplicate,
    /// Something was new, but nothing of that was recognized.
    Unrecognized,
}

/// Why a submission was not kept. The provider sends it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("too many requests are waiting")]
    QueueFull,
    #[error("the store has reached its size limit")]
    SizeLimit,
    #[error("the store cannot write")]
    CannotWrite,
}

/// Why a store cannot be opened: a person has to look.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database is not one of smscope's")]
    NotOurs,
    #[error("the database has schema {found}, newer than {newest}, the newest that this smscope knows")]
    Newer { found: i64, newest: i64 },
    #[error("the database has schema {found}; it is brought to {newest} when smscope is started on it")]
    Older { found: i64, newest: i64 },
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A handle on the open store. Clones share it; the writer ends, with a last checkpoint, when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    jobs: SyncSender<Job>,
    backlog: Arc<Backlog>,
    shared: Arc<Shared>,
    reader: Arc<Mutex<Connection>>,
    path: Arc<Path>,
}

/// The threads of an open store. Both end when the last handle on it is gone and everything is in the database file.
pub struct StoreThreads {
    pub writer: Thread,
    pub checkpointer: Thread,
}

impl StoreThreads {
    /// Blocks until both have ended.
    pub fn wait(self) {
        self.writer.join();
        self.checkpointer.join();
    }
}

impl Store {
    /// Opens the database in `folder`, making or migrating it as needed.
    ///
    /// # Errors
    /// A folder that cannot be written, or a database that is not ours, newer or damaged.
    pub fn open(folder: &Path, settings: Settings) -> Result<(Self, StoreThreads), OpenError> {
        let path = folder.join(DATABASE);
        let mut connection = connect(&path)?;
        schema::migrate(&mut connection)?;
        // The database file's name has to survive a power cut too.
        File::open(folder)?.sync_all()?;

        let (shared, state) = rows::load(&connection, &settings)?;
        let shared = Arc::new(shared);
        let (jobs, queue) = sync_channel(QUEUE);
        let (bell, checkpointer) = checkpoint::start(connect(&path)?)?;
        let reader = Arc::new(Mutex::new(connect(&path)?));
        let files = Files::of(&path)?;
        let backlog = Arc::new(Backlog::default());
        let writer = Writer::new(connection, files, settings, shared.clone(), state, bell)?;
        let taken = backlog.clone();
        let writer = Thread::spawn("store", move || writer.run(&queue, &taken))?;
        Ok((Self { jobs, backlog, shared, reader, path: path.into() }, StoreThreads { writer, checkpointer }))
    }

    /// Keeps a submission. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// Nothing of it was kept; or, when the writer is stuck, the caller gave up before knowing.
    pub async fn commit(&self, submission: Submission) -> Result<Verdict, Refusal> {
        let (answer, answered) = oneshot::channel();
        let weight = submission.weight();
        if !self.backlog.admit(weight) {
            return Err(Refusal::QueueFull);
        }
        let job = Job::Keep(Request { submission: Box::new(submission), answer });
        self.enqueue(job).inspect_err(|_| self.backlog.remove(weight))?;
        answered.await.unwrap_or(Err(Refusal::CannotWrite))
    }

    /// As [`Store::commit`]. Blocks: not for async code.
    ///
    /// # Errors
    /// Nothing of it was kept.
    pub fn commit_blocking(&self, submission: Submission) -> Result<Verdict, Refusal> {
        let (answer, answered) = oneshot::channel();
        let weight = submission.weight();
        if !self.backlog.admit(weight) {
            return Err(Refusal::QueueFull);
        }
        let job = Job::Keep(Request { submission: Box::new(submission), answer });
        self.enqueue(job).inspect_err(|_| self.backlog.remove(weight))?;
        answered.blocking_recv().unwrap_or(Err(Refusal::CannotWrite))
    }

    /// The next request after the event `position` and up to `newest` that was not understood, and the last of its events that were not.
    /// Blocks on the disk: not for async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn unrecognized_after(&self, position: i64, newest: i64) -> Result<Option<(Unrecognized, i64)>, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        unrecognized::next(&reader, position, newest).map_err(|error| error.to_string())
    }

    /// Saves how far the export of the journal has come.
    ///
    /// # Errors
    /// It was not saved: what was exported since will be exported again.
    pub async fn advance(&self, position: i64) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Advance(CursorMove { position, answer }))?;
        answered.await.unwrap_or(Err(Refusal::CannotWrite))
    }

    /// Saves what has become of a delivery.
    ///
    /// # Errors
    /// It was not saved: what was delivered will be delivered again.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Settle(Settling { settlement, answer }))?;
        answered.await.unwrap_or(Err(Refusal::CannotWrite))
    }

    /// Has dead letters tried again, step by step between the requests of others; gives how many. Blocks: not for async code.
    ///
    /// # Errors
    /// It was not done to its end. What was done stays done.
    pub fn redrive(&self, filter: DeadLetterFilter) -> Result<u64, Refusal> {
        let (mut redriven, mut after) = (0, 0);
        loop {
            let step = self.redrive_step(filter.clone(), after)?;
            redriven += step.redriven;
            match step.reached {
                Some(reached) => after = reached,
                None => return Ok(redriven),
            }
        }
    }

    fn redrive_step(&self, filter: DeadLetterFilter, after: i64) -> Result<RedriveStep, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Waits for its turn among the requests, which have to be answered in time.
        self.jobs.send(Job::Redrive(Redriving { filter, after, answer })).map_err(|_| Refusal::CannotWrite)?;
        answered.blocking_recv().unwrap_or(Err(Refusal::CannotWrite))
    }

    /// Changes the list of opt-outs; gives how many of the changes were any. Blocks: not for async code.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn change_opt_outs(&self, changes: Vec<OptOutChange>) -> Result<u64, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::OptOut(OptingOut { changes, answer }))?;
        answered.blocking_recv().unwrap_or(Err(Refusal::CannotWrite))
    }

    /// What a number, as it is stored, has said to senders of a source. Blocks on the disk: not for async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn opt_outs_of(&self, source: &SourceName, number: &str) -> Result<Vec<OptOut>, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Marks::load(&reader).and_then(|marks| opt_outs::of_number(&reader, &marks, source, number));
        found.map_err(|error| error.to_string())
    }

    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order. Blocks on the disk: not for async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn opt_outs_after(&self, seq: i64, limit: usize) -> Result<Vec<OptOut>, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        opt_outs::after(&reader, seq, limit).map_err(|error| error.to_string())
    }

    /// The place of the latest opt-out, and a way to wait for newer ones.
    pub fn newest_opt_out(&self) -> watch::Receiver<i64> {
        self.shared.opt_outs.subscribe()
    }

    /// Up to `limit` deliveries of a relay that are due at `now`, those aside that are `in_flight`. Blocks on the disk: not for async
    /// code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn due(&self, relay: &RelayName, now: Timestamp, in_flight: &[i64], limit: usize) -> Result<Due, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        relays::due(&reader, relay, now, in_flight, limit).map_err(|error| error.to_string())
    }

    /// Moves when a relay has something new to do.
    pub fn relays_changed(&self) -> watch::Receiver<u64> {
        self.shared.relays.subscribe()
    }

    /// Up to `limit` entries after `position`, oldest first. Blocks on the disk: not for async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn read(&self, position: i64, limit: usize) -> Result<Vec<Entry>, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        journal::read(&reader, position, limit).map_err(|error| error.to_string())
    }

    /// Up to `limit` messages of a source that are pending since `before` or longer, the longest first. Blocks on the disk: not for
    /// async code.
    ///
    /// # Errors
    /// The database could not be read; the text says why.
    pub fn overdue(&self, source: &SourceName, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, String> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        overdue::overdue(&reader, source, before, limit).map_err(|error| error.to_string())
    }

    /// Erases people, beside everything else. Blocks for as long as that takes: not for async code.
    ///
    /// # Errors
    /// The database cannot be read or written. What was done stays done.
    pub fn erase(&self, people: People, tell: impl Told) -> Result<Erased, EraseError> {
        let reader = connect(&self.path)?;
        erase::erase(&reader, people, &mut ByTheWriter(self), tell)
    }

    /// The place of the newest event, and a way to wait for newer ones.
    pub fn newest(&self) -> watch::Receiver<i64> {
        self.shared.newest.subscribe()
    }

    /// How far the export has come: the place of the last event that needs no export any more.
    pub fn cursor(&self) -> i64 {
        self.shared.cursor()
    }

    /// The durable series and the store's own gauges, as of the last commit.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The channels of the messages that a source has had.
    pub fn channels(&self, source: &SourceName) -> BTreeSet<String> {
        let snapshot = self.snapshot();
        let messages = snapshot.families.iter().filter(|family| family.description.name == "sms_messages_total");
        let labels = messages.flat_map(|family| &family.samples).map(|sample| &sample.labels);
        labels.filter(|labels| *labels[0] == *source.as_str()).map(|labels| labels[1].to_string()).collect()
    }

    /// The traces of deliveries and failures, by the names and label values of their series.
    pub fn exemplars(&self) -> HashMap<(&'static str, LabelValues), Exemplar> {
        let visible = self.shared.visible();
        let exemplars = visible.ledger.exemplars().iter();
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

    fn enqueue(&self, job: Job) -> Result<(), Refusal> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::QueueFull,
            TrySendError::Disconnected(_) => Refusal::CannotWrite,
        })
    }
}

/// Changes of an erasure, made by the writer.
struct ByTheWriter<'a>(&'a Store);

impl Changes for ByTheWriter<'_> {
    fn make(&mut self, step: Step) -> Result<Performed, EraseError> {
        let (answer, answered) = oneshot::channel();
        // Waits for its turn among the requests, which have to be answered in time.
        self.0.jobs.send(Job::Erase(Erasing { step, answer })).map_err(|_| Refusal::CannotWrite)?;
        Ok(answered.blocking_recv().unwrap_or(Err(Refusal::CannotWrite))?)
    }
}
