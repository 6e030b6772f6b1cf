//! The store of a fleet: replicas that share a PostgreSQL database. All SQL for it is here.
//!
//! # Design
//!
//! - Every replica takes webhooks: one statement stores dedup keys, requests and entries of the inbox (`front.rs`).
//! - One replica leads (`lease.rs`). It alone processes the inbox, with the rules that the embedded store uses, and writes everything
//!   else: messages, journal, counters, deliveries (`leader.rs`, `term.rs`, `transaction.rs`). So there is one writer, as there is with
//!   SQLite, and a count follows its acknowledgement instead of sharing its transaction.
//! - Each of the leader's transactions locks and renews the lease first. One that has been deposed finds no row and stops; no clock
//!   decides that.
//! - What the leader knows (counters, label values, ids) is read at the start of its term and belongs to it.
//! - A commit whose answer was lost has an unknown outcome. The front door asks the same again, and finds its keys; the leader ends its
//!   term and reads everything again.
//! - What is written for each event is sent as arrays, one per column, with an `unnest` each in the SELECT. In FROM, PostgreSQL would
//!   write out each array first and read it back.
//! - No statement depends on a session: a pooler in transaction mode is fine.

use std::sync::atomic::AtomicI64;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::{Builder, Handle};

use super::backlog::Backlog;
use super::clock::SteadyClock;
use super::commands::Command;
use super::publish::Publisher;
use super::shared::Shared;
use super::{OpenError, Settings, StoreThreads};
use crate::diagnostics::LogThrottle;
use crate::ledger::Ledger;
use crate::record::Position;
use crate::tasks::{Leadership, Task, Thread};

mod connect;
mod conversations;
mod copy;
mod decoded;
mod dedup;
pub mod error;
mod fleet;
mod front;
#[cfg(test)]
pub mod harness;
mod inbox;
mod journal;
mod keys;
mod leader;
mod lease;
mod ledger;
mod maintenance;
mod messages;
mod meta;
pub mod metrics;
mod outbox;
mod packed;
mod prefetch;
mod pruning;
mod read;
mod resends;
mod retention;
mod rewrites;
pub mod schema;
pub mod server_check;
pub mod session;
pub mod status;
mod stuck;
mod tasks;
mod term;
mod texts;
mod transaction;
#[cfg(test)]
mod transaction_tests;
mod values;
mod wait;

pub use connect::Connector;
pub use copy::PgEnd;
use error::PgError;
use fleet::Replica;
use front::Front;
pub use front::Request;
use leader::Leader;
pub use meta::Identity;
pub use read::PgReaders;
pub use rewrites::{Driver, Due, Rewrite, erase};
use schema::SchemaError;
use server_check::Watch;
pub use tasks::{RemoteTask, Task as ClaimedTask, TaskError, TaskLine};
use wait::Wait;

/// How long a start waits for a database that cannot be reached.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open store, and what its handles need.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub identity: Identity,
    pub front: tokio::sync::mpsc::Sender<Request>,
    pub runtime: Handle,
    /// How many replicas live, as the leader sees it.
    pub live: Arc<AtomicI64>,
    pub threads: StoreThreads,
}

/// Makes or migrates the tables, and starts the front door and the thread that leads or waits to. Blocks until that is done.
///
/// # Errors
/// The database cannot be reached, or cannot be used.
pub fn open(
    connector: Connector,
    settings: Settings,
    queue: Receiver<Command>,
    capacity: usize,
    backlog: Arc<Backlog>,
) -> Result<Opened, OpenError> {
    // Of its own: threads that may block drive it, and no other work delays what a webhook waits for.
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("store-io").enable_all().build()?;
    let handle = runtime.handle().clone();
    let replica = Replica::new(&settings);
    let (identity, seen, watch) = match on_a_thread(|| handle.wait(prepare(&connector))) {
        Ok(prepared) => prepared,
        Err(error) => {
            // The caller may be on a runtime itself, where to wait for the end of another one is a panic.
            runtime.shutdown_background();
            return Err(error);
        }
    };
    handle.spawn(watch.run(connector.clone()));
    let clock = SteadyClock::from(seen.unwrap_or_else(Timestamp::now), Instant::now());
    let shared = Arc::new(Shared::new(identity.created_at, clock, None, Ledger::default(), Position(0)));
    shared.leadership().send_replace(Leadership::No);

    let (front, requests) = tokio::sync::mpsc::channel(capacity);
    let (intake_ends, intake_ended) = mpsc::channel::<()>();
    let door = Front::new(connector.clone(), replica.clone(), requests, backlog.clone(), shared.clone());
    let intake = Thread::spawn("intake", {
        let handle = handle.clone();
        move || {
            let _dropped_at_the_end = intake_ends;
            handle.wait(door.run());
        }
    })?;
    let publisher = Publisher::new(shared.clone(), &settings);
    let (live, failures) = (Arc::new(AtomicI64::new(1)), LogThrottle::default());
    let leader = Leader {
        connector,
        runtime: handle.clone(),
        replica,
        settings,
        shared: shared.clone(),
        backlog,
        live: live.clone(),
        publisher,
        failures,
    };
    let writer = Thread::spawn("store", move || {
        leader.run(&queue);
        // The intake needs the runtime for as long as it works.
        let _ended = intake_ended.recv();
        drop(runtime);
    })?;
    let threads = StoreThreads(vec![(Task::Intake, intake), (Task::Writer, writer)]);
    Ok(Opened { shared, identity, front, runtime: handle, live, threads })
}

/// What `work` returns. A thread of a runtime must not block on another one.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Gives what the fleet has once, until when it was in use, and what keeps an eye on the server.
async fn prepare(connector: &Connector) -> Result<(Identity, Option<Timestamp>, Watch), OpenError> {
    let patient_until = Instant::now() + PATIENCE;
    let session = loop {
        match connector.connect_for_long().await {
            Ok(session) => break session,
            Err(error) if Instant::now() < patient_until => {
                tracing::warn!(%error, "cannot reach the store yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    // Nothing is written to a server that is not fit. How the role commits is set with the tables, for sessions that begin later.
    let declared = connector.declared();
    let checked = declared.check(&session).await?;
    if let Some(fatal) = checked.fatal().next() {
        return Err(OpenError::Unsuitable(fatal.line.clone()));
    }
    schema::migrate(&session).await?;
    let session = connector.connect().await?;
    copy::check_complete(&session).await?;
    let mut watch = Watch::new(declared);
    if let Some(fatal) = watch.check(&session).await?.fatal().next() {
        return Err(OpenError::Unsuitable(fatal.line.clone()));
    }
    Ok((meta::identity(&session).await?, meta::seen_at(&session).await?, watch))
}

impl From<PgError> for OpenError {
    fn from(error: PgError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<SchemaError> for OpenError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Newer { found } => Self::Newer { found: found.into(), newest: schema::VERSION.into() },
            SchemaError::Database(error) => error.into(),
        }
    }
}
