//! The handle on the store for threads that may wait for the disk, and for other work of the writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::commands::{Alone, Command, FleetCommand, Reply};
use super::core::erase::Step;
use super::erase::{EraseError, Erased, ProgressSink, Subjects};
use super::ids::{DeliveryId, OptOutSeq};
use super::opt_outs::{OptOut, OptOutChange};
use super::postgres::{self, Due as DueRewrites, Rewrite};
use super::relays::{DeadLetterFilter, Due, RedriveStep};
use super::resends::DueResends;
use super::sqlite::{self, ErasureWork};
use super::{Engine, IngestOutcome, Overdue, Store, StoreError, Submission, Unrecognized};
use crate::diagnostics::LogThrottle;
use crate::event::SourceName;
use crate::ledger::catalogue::gauge;
use crate::ledger::snapshot::{Family, LabelValues, Sample, Snapshot};
use crate::record::{Entry, Position};
use crate::route::RelayName;

/// How long a snapshot waits for the inbox.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The store of a [`Store`] for threads that may wait: each method blocks until the disk has answered.
pub struct BlockingStore<'a>(pub(super) &'a Store);

impl BlockingStore<'_> {
    /// As [`Store::commit`].
    ///
    /// # Errors
    /// Nothing of it was stored.
    pub fn commit(&self, submission: Submission) -> Result<IngestOutcome, StoreError> {
        self.0.submit(submission)?.blocking_recv().unwrap_or(Err(StoreError::CannotWrite))
    }

    /// Redrives dead letters, step by step between the requests of others; gives how many.
    ///
    /// # Errors
    /// It was not done to its end. What was done stays done.
    pub fn redrive(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let (mut redriven, mut after) = (0, DeliveryId::default());
        loop {
            let step = self.redrive_step(filter, after)?;
            redriven += step.redriven;
            match step.reached {
                Some(reached) => after = reached,
                None => return Ok(redriven),
            }
        }
    }

    pub(super) fn redrive_step(&self, filter: &DeadLetterFilter, after: DeliveryId) -> Result<RedriveStep, StoreError> {
        self.ask(|reply| Command::Alone(Alone::Redrive(filter.clone(), after, reply)))
    }

    /// Changes the list of opt-outs; gives how many of the changes were any.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn change_opt_outs(&self, changes: Vec<OptOutChange>) -> Result<u64, StoreError> {
        self.ask(|reply| Command::Alone(Alone::ChangeOptOuts(changes, reply)))
    }

    /// Erases people, beside everything else.
    ///
    /// # Errors
    /// The database cannot be read or written. What was done stays done.
    pub fn erase(&self, subjects: &Subjects, sink: impl ProgressSink) -> Result<Erased, EraseError> {
        match &self.0.engine {
            Engine::Embedded { folder } => sqlite::erase(folder, subjects, &mut ViaWriter(self), sink),
            Engine::Fleet { .. } => postgres::erase(&*self.0.readers, subjects, &mut ViaWriter(self), sink),
        }
    }

    /// What a number, as it is stored, has said to senders of a source.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn opt_outs_of(&self, source: &SourceName, number: &str) -> Result<Vec<OptOut>, StoreError> {
        self.0.readers.opt_outs_of(source, number)
    }

    /// Up to `limit` changes of the list of opt-outs after `seq`, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError> {
        self.0.readers.opt_outs_after(seq, limit)
    }

    /// Up to `limit` deliveries of a relay that are due at `now`, those aside that are `in_flight`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn due(
        &self,
        relay: &RelayName,
        now: Timestamp,
        in_flight: &[DeliveryId],
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.0.readers.due(relay, now, in_flight, limit)
    }

    /// Up to `limit` resends of a source that are due at `now`, the longest due first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn due_resends(&self, source: &SourceName, now: Timestamp, limit: usize) -> Result<DueResends, StoreError> {
        self.0.readers.due_resends(source, now, limit)
    }

    /// Up to `limit` entries after `position`, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, position: Position, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.readers.entries_after(position, limit)
    }

    /// The same from memory: events that were committed lately, each once; none if those after `position` are not there.
    pub fn take_recent(&self, position: Position, limit: usize) -> Vec<Entry> {
        self.0.shared.take_recent(position, limit)
    }

    /// The next request after the event `position` and up to `newest` that was not understood, and the last of its events that were
    /// not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unrecognized_after(
        &self,
        position: Position,
        newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError> {
        self.0.readers.unrecognized_after(position, newest)
    }

    /// Up to `limit` messages of a source that are pending since `before` or longer, the longest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn overdue(&self, source: &SourceName, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, StoreError> {
        self.0.readers.overdue(source, before, limit)
    }

    /// The durable series, as of the last commit, and the store's own gauges: as last read, where the store cannot be read. In a fleet
    /// the leader alone has them, and all that was acknowledged before this was called is counted, if that takes a second at most.
    pub fn snapshot(&self) -> Snapshot {
        static FAILURES: LogThrottle = LogThrottle::new(Duration::from_secs(600));
        if let Engine::Fleet { runtime, .. } = &self.0.engine {
            self.catch_up(runtime);
        }
        let gauges = self.0.readers.gauges(&self.0.settings);
        if let Err(error) = &gauges
            && let Some(suppressed) = FAILURES.permit()
        {
            tracing::error!(%error, suppressed, "cannot read the gauges of the store; those of the last reading are shown");
        }
        let mut snapshot = self.0.shared.snapshot(gauges.ok());
        if let Engine::Fleet { identity, live, .. } = &self.0.engine {
            let single = |description, labels: LabelValues, value| Family {
                description,
                samples: vec![Sample { labels, value }],
            };
            let fleet = Arc::new([identity.fleet.to_string().into()]);
            snapshot.families.push(single(&gauge::FLEET_INFO, fleet, 1));
            let live = live.load(Ordering::Relaxed);
            snapshot.families.push(single(&gauge::FLEET_REPLICAS, Arc::new([]), live));
        }
        // Last: another replica may lead by now, and shows them.
        if self.0.shared.leadership().borrow().holds() { snapshot } else { Snapshot::default() }
    }

    /// As [`Self::snapshot`], for people: a replica that does not lead reads what is stored.
    pub fn page_snapshot(&self) -> Snapshot {
        match &self.0.engine {
            Engine::Fleet { pg, .. } if !self.0.shared.leadership().borrow().holds() => {
                let gauges = self.0.readers.gauges(&self.0.settings).ok();
                let ledger = pg.ledger().unwrap_or_default();
                self.0.shared.snapshot_of(&ledger.reading(), gauges)
            }
            _ => self.snapshot(),
        }
    }

    /// The newest `limit` events, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn latest(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        // Positions have no gaps, so the newest events are those after the position that many before the newest.
        self.0.readers.entries_after(self.0.readers.newest()?.minus(limit), limit)
    }

    /// The time of a push of the durable series. In a fleet it is the database's, and later than that of any push before.
    ///
    /// # Errors
    /// Another replica leads, or the store cannot be written.
    pub fn push_time(&self) -> Result<Timestamp, StoreError> {
        match &self.0.engine {
            Engine::Embedded { .. } => Ok(Timestamp::now()),
            Engine::Fleet { .. } => self.ask(|reply| Command::Alone(Alone::PushTime(reply))),
        }
    }

    /// Waits until all is counted that any replica has acknowledged, however long that takes.
    ///
    /// # Errors
    /// Another replica leads, or the store cannot be written.
    pub fn process_inbox(&self) -> Result<(), StoreError> {
        self.ask(|reply| Command::Alone(Alone::CatchUp(reply)))
    }

    /// Waits until what has been acknowledged by any replica is counted, for a second at most.
    fn catch_up(&self, runtime: &Handle) {
        let (reply, answered) = oneshot::channel();
        if self.0.commands.try_send(Command::Alone(Alone::CatchUp(reply))).is_ok() {
            let _late = runtime.block_on(async { tokio::time::timeout(CATCH_UP, answered).await });
        }
    }

    /// Waits for its turn among the requests, which have to be answered in time.
    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answered) = oneshot::channel();
        self.0.commands.send(command(reply)).map_err(|_| StoreError::CannotWrite)?;
        answered.blocking_recv().unwrap_or(Err(StoreError::CannotWrite))
    }
}

/// Runs the work of an erasure by the writer.
struct ViaWriter<'a, 'b>(&'a BlockingStore<'b>);

impl postgres::Driver for ViaWriter<'_, '_> {
    fn catch_up(&mut self) -> Result<(), EraseError> {
        Ok(self.0.process_inbox()?)
    }

    fn perform(&mut self, step: Step) -> Result<u64, EraseError> {
        Ok(self.0.ask(|reply| Command::Alone(Alone::Erase(ErasureWork::Step(step), reply)))?)
    }

    fn erase_stuck(&mut self, subjects: Arc<Subjects>) -> Result<u64, EraseError> {
        Ok(self.0.ask(|reply| Command::Alone(Alone::Fleet(FleetCommand::EraseStuck(subjects, reply))))?)
    }

    fn due_rewrites(&mut self) -> Result<DueRewrites, EraseError> {
        Ok(self.0.ask(|reply| Command::Alone(Alone::Fleet(FleetCommand::DueRewrites(reply))))?)
    }

    fn rewrite(&mut self) -> Result<Rewrite, EraseError> {
        Ok(self.0.ask(|reply| Command::Alone(Alone::Fleet(FleetCommand::Rewrite(reply))))?)
    }
}

impl sqlite::erase::Driver for ViaWriter<'_, '_> {
    fn run(&mut self, work: ErasureWork) -> Result<u64, EraseError> {
        Ok(self.0.ask(|reply| Command::Alone(Alone::Erase(work, reply)))?)
    }
}
