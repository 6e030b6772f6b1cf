//! The writer thread: commits what has queued in one transaction, answers, and does maintenance in between.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::failure::{Failure, Recovery, is_damage, is_of_the_environment};
use super::files::Files;
use super::gathering::Gathering;
use super::ledger::SeriesIds;
use super::lookup::Lookup;
use super::maintenance::MessageRound;
use super::startup::State;
use super::transaction::SqliteTx;
use super::{erase, ledger, meta};
use crate::diagnostics::LogThrottle;
use crate::ledger::caps::LabelCaps;
use crate::process_metrics::{self, LazyHistogram};
use crate::record::Position;
use crate::store::backlog::Backlog;
use crate::store::commands::{Alone, Command, Reply};
use crate::store::core::{Outcome, Pseudonymizer, Tx};
use crate::store::ids::MessageRowId;
use crate::store::publish::Publisher;
use crate::store::relays::AttemptOutcome;
use crate::store::shared::Shared;
use crate::store::{IngestOutcome, OpenError, Settings, StoreError, Submission};

/// Events of one transaction, give or take the last request's.
const BATCH: usize = 1024;
/// How often the writer checks for something to expire or prune.
const MAINTENANCE: Duration = Duration::from_millis(500);
/// How often the same failure is logged: while it flaps, and while it lasts.
const LOGGED_AGAIN: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(600)];

/// When a database that was found damaged is checked, at first and at the latest.
const FIRST_CHECK: Duration = Duration::from_secs(1);
const LONGEST_CHECK: Duration = Duration::from_secs(600);

pub struct Writer {
    pub(super) connection: Connection,
    pub(super) files: Files,
    /// When it is checked again, where it has been found damaged. Parts of it may still take writes, which is no reason to trust it
    /// with any.
    damaged: Option<Instant>,
    pub(super) recovery: Recovery,
    /// How long after it has been found damaged that is.
    check_after: Duration,
    gathering: Gathering,
    /// Time spent on the present batch, syncs aside.
    worked: Duration,
    failures: LogThrottle,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    caps: LabelCaps,
    pub(super) lookup: Lookup,
    series: SeriesIds,
    pseudonymizer: Pseudonymizer,
    spelled_to: MessageRowId,
    pub(super) checkpointer: Checkpointer,
    commits: LazyHistogram,
    pub(super) publisher: Publisher,
    /// Committed since the checkpointer was last asked.
    pub(super) uncheckpointed: usize,
    pub(super) message_round: MessageRound,
    /// Rows were deleted since the write-ahead log was last cut.
    pub(super) log_holds_deleted: bool,
    pub(super) next_cut: Instant,
    pub(super) next_expiry: Instant,
}

/// A committed transaction that is not published yet.
pub(super) struct Committed<T> {
    result: T,
    outcome: Outcome,
}

/// What one transaction has to do.
#[derive(Default)]
struct Batch {
    ingest: Vec<(Box<Submission>, Reply<IngestOutcome>)>,
    advance: Vec<(Position, Reply<()>)>,
    attempts: Vec<(AttemptOutcome, Reply<()>)>,
}

/// An open transaction, which leaves nothing unless it is committed. As rusqlite's own, but for its statements, which are prepared
/// once.
struct Open<'a>(&'a Connection);

impl<'a> Open<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // SQLite has rolled back by itself where it says so.
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction that failed was not rolled back");
        }
    }
}

/// The rules on an open transaction.
pub(super) type Rules<'a> = Tx<'a, SqliteTx<'a>>;

impl Writer {
    /// The series that are known in advance exist when this returns.
    pub fn new(
        connection: Connection,
        files: Files,
        settings: Settings,
        shared: Arc<Shared>,
        state: State,
        checkpointer: Checkpointer,
    ) -> Result<Self, OpenError> {
        let publisher = Publisher::new(shared.clone(), &settings);
        let mut writer = Self {
            connection,
            files,
            damaged: None,
            recovery: Recovery::default(),
            check_after: FIRST_CHECK,
            gathering: Gathering::default(),
            worked: Duration::ZERO,
            failures: LogThrottle::default(),
            settings,
            shared,
            caps: state.caps,
            lookup: state.lookup,
            series: state.series,
            pseudonymizer: state.pseudonymizer,
            spelled_to: state.spelled_to,
            checkpointer,
            commits: LazyHistogram::new(&process_metrics::STORE_COMMIT, Vec::new()),
            publisher,
            uncheckpointed: 0,
            message_round: MessageRound::At(MessageRowId::default()),
            log_holds_deleted: false,
            next_cut: Instant::now(),
            next_expiry: Instant::now(),
        };
        let started = writer.transaction(|rules| rules.start())?;
        writer.publish(started);
        Ok(writer)
    }

    /// Works until every handle on the store is dropped.
    pub fn run(mut self, queue: &Receiver<Command>, backlog: &Backlog) {
        let mut next_maintenance = Instant::now();
        loop {
            #[cfg(test)]
            crate::tasks::fault::point(crate::tasks::Task::Writer);
            let wait = next_maintenance.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    if matches!(first, Command::Ingest(..))
                        && let Some(wait) = self.gathering.wait(backlog.events(), Instant::now())
                    {
                        std::thread::sleep(wait);
                    }
                    self.serve(first, queue, backlog);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_maintenance {
                let more = self.run_maintenance();
                next_maintenance = Instant::now() + if more { Duration::from_millis(5) } else { MAINTENANCE };
            }
        }
        // The last connection to close checkpoints the log and removes it.
        self.checkpointer.end();
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
    }

    pub(super) fn serve(&mut self, first: Command, queue: &Receiver<Command>, backlog: &Backlog) {
        let mut batch = Batch::default();
        let mut alone = Vec::new();
        let mut events = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Ingest(submission, reply) => {
                    backlog.remove(submission.weight());
                    events += submission.events.len();
                    batch.ingest.push((submission, reply));
                }
                Command::Advance(position, reply) => batch.advance.push((position, reply)),
                Command::SaveAttempt(attempt, reply) => {
                    events += 1;
                    batch.attempts.push((attempt, reply));
                }
                Command::Alone(command) => alone.push(command),
            }
            next = if events < BATCH { queue.try_recv().ok() } else { None };
        }
        if !batch.ingest.is_empty() && !self.enforce_size_limit() {
            for (_, reply) in batch.ingest.drain(..) {
                let _gone = reply.send(Err(StoreError::SizeLimit));
            }
        }
        self.gathering.gathered(events);
        self.worked = Duration::ZERO;
        self.commit_batch(batch);
        backlog.worked(events, self.worked);
        for command in alone {
            self.serve_alone(command);
        }
    }

    fn serve_alone(&mut self, command: Alone) {
        let now = self.shared.now();
        match command {
            Alone::Erase(work, reply) => {
                self.answer(reply, |rules| erase::perform(&mut rules.eraser(), &work, now));
                self.pseudonymizer.has_erased = true;
                self.shared.forget_events();
                // As many requests as a step writes pages, more or less.
                self.uncheckpointed += 100;
                self.checkpoint_when_due();
            }
            Alone::Redrive(filter, after, reply) => self.answer(reply, |rules| rules.redrive(&filter, after, now)),
            Alone::Resend(step, reply) => self.answer(reply, |rules| rules.resend(&step, now)),
            Alone::PushTime(reply) => {
                let _gone = reply.send(Ok(Timestamp::now()));
            }
            // What it acknowledges it has counted.
            Alone::CatchUp(reply) => {
                let _gone = reply.send(Ok(()));
            }
            // Nobody asks it of this store, and the caller would see that the reply is gone.
            Alone::Fleet(_) => {}
            Alone::ChangeOptOuts(changes, reply) => self.answer(reply, |rules| {
                let mut changed = 0;
                for change in &changes {
                    changed += u64::from(rules.change_opt_out(change, "command")?);
                }
                Ok(changed)
            }),
        }
    }

    /// Runs a transaction, and tells the caller what came of it.
    fn answer<T>(&mut self, reply: Reply<T>, work: impl FnOnce(&mut Rules<'_>) -> rusqlite::Result<T>) {
        let committed = self.transaction(work);
        let _gone = reply.send(self.acknowledge(committed));
    }

    /// The result of a transaction for its caller.
    fn acknowledge<T>(&mut self, committed: Result<Committed<T>, Failure>) -> Result<T, StoreError> {
        let result = committed.map(|committed| self.publish(committed)).map_err(|_| StoreError::CannotWrite)?;
        // A restart does not find what was moved away during the sync: a caller that got a success would not retry.
        if self.files.are_in_place() { Ok(result) } else { Err(StoreError::CannotWrite) }
    }

    /// Commits a batch whole; or, when one request cannot be stored for a reason of its own, each by itself.
    fn commit_batch(&mut self, batch: Batch) {
        let Batch { ingest, advance, attempts } = batch;
        let position = advance.iter().map(|(position, _)| *position).max();
        if ingest.is_empty() && position.is_none() && attempts.is_empty() {
            return;
        }
        let now = self.shared.now();
        let committed = self.transaction(|rules| {
            if let Some(position) = position {
                meta::save_cursor(rules.storage.connection, position)?;
            }
            for (attempt, _) in &attempts {
                rules.save_attempt(attempt, now)?;
            }
            ingest.iter().map(|(submission, _)| rules.ingest(submission, None)).collect::<rusqlite::Result<Vec<_>>>()
        });
        let replies = advance.into_iter().map(|(_, reply)| reply);
        let replies: Vec<Reply<()>> = replies.chain(attempts.into_iter().map(|(_, reply)| reply)).collect();
        // A caller may have timed out by now: its event is stored all the same.
        match committed {
            Ok(committed) => {
                self.uncheckpointed += ingest.len() + replies.len();
                let outcomes = self.acknowledge(Ok(committed));
                if let (Some(position), Ok(_)) = (position, &outcomes) {
                    self.shared.advance_cursor(position);
                }
                let acknowledged = outcomes.as_ref().map(|_| ()).map_err(Clone::clone);
                let mut outcomes = outcomes.unwrap_or_default().into_iter();
                for (_, reply) in ingest {
                    let _gone = reply.send(outcomes.next().ok_or(StoreError::CannotWrite));
                }
                for reply in replies {
                    let _gone = reply.send(acknowledged.clone());
                }
                self.checkpoint_when_due();
            }
            Err(failure) => {
                let one_is_to_blame = ingest.len() + replies.len() > 1 && !is_of_the_environment(&failure);
                for reply in replies {
                    let _gone = reply.send(Err(StoreError::CannotWrite));
                }
                for request in ingest {
                    if one_is_to_blame {
                        self.commit_batch(Batch { ingest: vec![request], ..Batch::default() });
                    } else {
                        let _gone = request.1.send(Err(StoreError::CannotWrite));
                    }
                }
            }
        }
    }

    /// Runs `work` in a transaction that is on disk when this returns `Ok`, and has left nothing otherwise.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Rules<'_>) -> rusqlite::Result<T>,
    ) -> Result<Committed<T>, Failure> {
        let started = Instant::now();
        let committed = if self.damaged.is_some() { Err(Failure::Damaged) } else { self.try_transaction(work) };
        match &committed {
            Ok(_) => {
                self.commits.record(started.elapsed());
                for label in self.caps.commit() {
                    process_metrics::labels_capped(label.as_str()).increment(1);
                }
            }
            Err(failure) => {
                self.caps.rollback();
                self.lookup.rollback();
                let was_healthy = self.shared.set_healthy(false);
                self.recovery.failed(was_healthy, Instant::now());
                self.log_failure(failure, was_healthy);
            }
        }
        committed
    }

    fn try_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Rules<'_>) -> rusqlite::Result<T>,
    ) -> Result<Committed<T>, Failure> {
        let started = Instant::now();
        let durable = self.shared.ledger();
        let transaction = Open::begin(&self.connection)?;
        let storage = SqliteTx::new(transaction.0, &mut self.lookup, self.spelled_to)?;
        let mut rules = Tx::new(storage, &self.settings, &durable, &mut self.caps, &self.pseudonymizer);
        if self.shared.collects_events() {
            rules.collect_events();
        }
        let result = work(&mut rules)?;
        let (storage, outcome) = rules.finish();
        let rekeyed = storage.rekeyed;
        ledger::save(transaction.0, &durable, &outcome.counters, &mut self.series)?;
        ledger::save_label_values(transaction.0, self.caps.uncommitted())?;
        if !self.files.are_in_place() {
            return Err(Failure::NotInPlace);
        }
        self.worked += started.elapsed();
        transaction.commit()?;
        self.lookup.commit(rekeyed);
        Ok(Committed { result, outcome })
    }

    fn found_damaged(&mut self) {
        self.damaged = Some(Instant::now() + self.check_after);
        self.check_after = LONGEST_CHECK.min(2 * self.check_after);
    }

    /// Whether the database can be trusted. SQLite says of a read that fails what it says of a page that makes no sense, so one that
    /// was found damaged is checked, now and then: the disk may be healthy again.
    pub(super) fn is_sound(&mut self) -> bool {
        let Some(check_at) = self.damaged else { return true };
        if Instant::now() < check_at {
            return false;
        }
        // Not what has been read before.
        let checked = self
            .connection
            .release_memory()
            .and_then(|()| self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
        if checked.is_ok_and(|found| found == "ok") {
            self.damaged = None;
        } else {
            self.found_damaged();
        }
        self.damaged.is_none()
    }

    fn log_failure(&mut self, failure: &Failure, was_healthy: bool) {
        if matches!(failure, Failure::Sqlite(error) if is_damage(error)) {
            self.found_damaged();
        }
        let text = if self.damaged.is_some() { Failure::Damaged.to_string() } else { failure.to_string() };
        let [flapping, lasting] = LOGGED_AGAIN;
        let again = if was_healthy { flapping } else { lasting };
        if self.failures.is_due_after(again, &text) {
            tracing::error!(error = text, "cannot write to the store; webhooks are answered 503 meanwhile");
        }
    }

    /// Shows everyone what a transaction has changed.
    pub(super) fn publish<T>(&mut self, Committed { result, outcome }: Committed<T>) -> T {
        self.publisher.publish(outcome);
        result
    }

    fn checkpoint_when_due(&mut self) {
        /// Requests between two checkpoints under load: a MiB or so, so that the sync of one does not hold up that of a commit for long.
        const EVERY: usize = 500;
        if self.uncheckpointed >= EVERY {
            self.uncheckpointed = 0;
            self.checkpointer.ring();
        }
        self.checkpointer.help(&self.connection);
    }
}
