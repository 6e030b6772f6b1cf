//! The writer thread: takes what has queued, keeps it in one transaction, answers; keeps house in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::backlog::Backlog;
use super::checkpoint::Checkpointer;
use super::erase::{self, Marks};
use super::failure::{Failure, Recovery, is_damage, is_of_the_environment};
use super::files::Files;
use super::floods::{FirstSight, Floods};
use super::housekeeping::MessageRound;
use super::jobs::{CursorMove, Erasing, Job, OptingOut, Redriving, Request, Resending, Settling};
use super::lookup::Lookup;
use super::rows;
use super::shared::Shared;
use super::transaction::{Observation, Open};
use super::{OpenError, Refusal, Settings};
use crate::ledger::Postings;
use crate::ledger::accounting::Accounts;
use crate::ledger::caps::LabelCaps;
use crate::ledger::catalogue::Metric;
use crate::meters::{self, SourceMeters, StoreMeters};

/// Events of one transaction, give or take the last request's.
const BATCH: usize = 1024;
/// How often the writer looks for something to expire or prune.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// How often the same failure is worth a line: when it comes and goes, and while it stays.
const SAID_AGAIN: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(600)];

/// When a database that was found damaged is looked through, at first and at the latest.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(600);

pub struct Writer {
    pub(super) connection: Connection,
    pub(super) files: Files,
    /// When it is looked at again, where it has been found damaged. Parts of it may still take writes, which is no reason to trust it
    /// with any.
    damaged: Option<Instant>,
    pub(super) recovery: Recovery,
    /// How long after it has been found damaged that is.
    look_after: Duration,
    /// Time spent on the present batch, syncs aside.
    worked: Duration,
    /// The last failure that was told of.
    said: Option<(String, Instant)>,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    caps: LabelCaps,
    pub(super) lookup: Lookup,
    marks: Marks,
    spelled_to: i64,
    pub(super) checkpointer: Checkpointer,
    meters: StoreMeters,
    source_meters: HashMap<String, SourceMeters>,
    pub(super) floods: Floods,
    /// Committed since the checkpointer was last asked.
    pub(super) uncheckpointed: usize,
    pub(super) message_round: MessageRound,
    /// Deleted since the write-ahead log was last cut.
    pub(super) log_holds_what_went: bool,
    pub(super) next_cut: Instant,
}

/// What a transaction gives besides its result.
pub(super) struct Done<T> {
    result: T,
    postings: Postings,
    observations: Vec<Observation>,
    first_sights: Vec<FirstSight>,
    relays_changed: bool,
    resends_changed: bool,
    opt_outs_changed: Option<i64>,
}

/// What one transaction has to do.
#[derive(Default)]
struct Batch {
    keep: Vec<Request>,
    advance: Vec<CursorMove>,
    settle: Vec<Settling>,
}

impl Writer {
    /// The series that are known in advance exist when this returns.
    pub fn new(
        connection: Connection,
        files: Files,
        settings: Settings,
        shared: Arc<Shared>,
        caps: LabelCaps,
        checkpointer: Checkpointer,
    ) -> Result<Self, OpenError> {
        let message_round = MessageRound::At(0);
        let lookup = Lookup::load(&connection)?;
        let marks = Marks::load(&connection)?;
        let spelled_to = rows::spelled_to(&connection)?;
        let source_meters =
            settings.sources.iter().map(|name| (name.to_string(), SourceMeters::new(name.as_str()))).collect();
        let floods = Floods::new(settings.flood.clone(), &settings.sources);
        let mut writer = Self {
            connection,
            files,
            damaged: None,
            recovery: Recovery::default(),
            look_after: FIRST_LOOK,
            worked: Duration::ZERO,
            said: None,
            settings,
            shared,
            caps,
            lookup,
            marks,
            spelled_to,
            checkpointer,
            meters: StoreMeters::new(),
            source_meters,
            floods,
            uncheckpointed: 0,
            message_round,
            log_holds_what_went: false,
            next_cut: Instant::now(),
        };
        let sources = writer.settings.sources.clone();
        let done = writer.transaction(|open| {
            let mut accounts = Accounts { ledger: open.ledger, postings: &mut open.postings };
            for source in &sources {
                accounts.open_reply_kinds(source.as_str(), "SMS");
                accounts.open_reconciled(source.as_str());
            }
            if open.opt_outs.is_some() {
                for source in &sources {
                    open.postings.add(Metric::OptOuts, &[source.as_str()], 0);
                }
            }
            open.open_relays()?;
            open.open_resends(&sources)
        })?;
        writer.show(done);
        Ok(writer)
    }

    /// Works until every handle on the store is gone.
    pub fn run(mut self, queue: &Receiver<Job>, backlog: &Backlog) {
        let mut next_housekeeping = Instant::now();
        loop {
            #[cfg(test)]
            crate::tasks::fault::point(crate::tasks::Task::Writer);
            let wait = next_housekeeping.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait) {
                Ok(first) => self.serve(first, queue, backlog),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_housekeeping {
                let more = self.keep_house();
                next_housekeeping = Instant::now() + if more { Duration::from_millis(5) } else { HOUSEKEEPING };
            }
        }
        // The last connection to close checkpoints the log and removes it.
        self.checkpointer.end();
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
    }

    fn serve(&mut self, first: Job, queue: &Receiver<Job>, backlog: &Backlog) {
        let mut batch = Batch::default();
        let mut erase = Vec::new();
        let mut redrive = Vec::new();
        let mut opt_out = Vec::new();
        let mut resend = Vec::new();
        let mut events = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Keep(request) => {
                    backlog.remove(request.submission.weight());
                    events += request.submission.events.len();
                    batch.keep.push(request);
                }
                Job::Advance(step) => batch.advance.push(step),
                Job::Settle(step) => {
                    events += 1;
                    batch.settle.push(step);
                }
                Job::Erase(step) => erase.push(step),
                Job::Redrive(step) => redrive.push(step),
                Job::OptOut(step) => opt_out.push(step),
                Job::Resend(step) => resend.push(step),
            }
            next = if events < BATCH { queue.try_recv().ok() } else { None };
        }
        self.make_room(&mut batch.keep);
        self.worked = Duration::ZERO;
        self.keep_batch(batch);
        backlog.worked(events, self.worked);
        for erasing in erase {
            self.erase(erasing);
        }
        for redriving in redrive {
            self.redrive(redriving);
        }
        for opting_out in opt_out {
            self.opt_out(opting_out);
        }
        for resending in resend {
            self.resend(resending);
        }
    }

    fn opt_out(&mut self, OptingOut { changes, answer }: OptingOut) {
        let done = self.transaction(|open| {
            let mut changed = 0;
            for change in &changes {
                changed += u64::from(open.change_opt_out(change, "command")?);
            }
            Ok(changed)
        });
        let _gone = answer.send(self.acknowledged(done));
    }

    fn resend(&mut self, Resending { step, answer }: Resending) {
        let now = self.shared.now();
        let done = self.transaction(|open| open.resend(&step, now));
        let _gone = answer.send(self.acknowledged(done));
    }

    fn redrive(&mut self, Redriving { filter, after, answer }: Redriving) {
        let now = self.shared.now();
        let done = self.transaction(|open| open.redrive(&filter, after, now));
        let _gone = answer.send(self.acknowledged(done));
    }

    /// What the one who asked for a transaction hears of it.
    fn acknowledged<T>(&mut self, outcome: Result<Done<T>, Failure>) -> Result<T, Refusal> {
        let shown = outcome.map(|done| self.show(done)).map_err(|_| Refusal::CannotWrite)?;
        // What was moved away while it was being synced is not where a restart looks for it: a caller that hears of success would
        // not do it again.
        if self.files.are_in_place() { Ok(shown) } else { Err(Refusal::CannotWrite) }
    }

    fn erase(&mut self, Erasing { step, answer }: Erasing) {
        /// As many requests as a step writes pages, more or less.
        const AS_REQUESTS: usize = 100;
        let marks = self.marks.clone();
        let done = self.transaction(|open| erase::perform(open.connection, &marks, &step));
        let performed = match done {
            Ok(done) => {
                self.shared.forget_exemplars();
                self.show(done)
            }
            Err(_) => {
                let _gone = answer.send(Err(Refusal::CannotWrite));
                return;
            }
        };
        let in_place = self.files.are_in_place();
        self.marks.exist = true;
        for moved in &performed.rekeyed {
            self.lookup.rekey(moved.from, moved.to, moved.message);
        }
        self.uncheckpointed += AS_REQUESTS;
        let _gone = answer.send(if in_place { Ok(performed) } else { Err(Refusal::CannotWrite) });
        self.checkpoint_when_due();
    }

    /// Keeps a batch whole; or, when one request cannot be kept for a reason of its own, each by itself.
    fn keep_batch(&mut self, Batch { keep, advance, settle }: Batch) {
        let position = advance.iter().map(|step| step.position).max();
        if keep.is_empty() && position.is_none() && settle.is_empty() {
            return;
        }
        let settle_count = settle.len();
        let now = self.shared.now();
        let outcome = self.transaction(|open| {
            if let Some(position) = position {
                rows::save_cursor(open.connection, position)?;
            }
            for settling in &settle {
                open.settle(&settling.settlement, now)?;
            }
            keep.iter().map(|request| open.submit(&request.submission)).collect::<rusqlite::Result<Vec<_>>>()
        });
        // A caller that is gone by now has given up waiting: its event is kept all the same.
        match outcome {
            Ok(done) => {
                self.uncheckpointed += keep.len() + settle.len();
                let verdicts = self.acknowledged(Ok(done));
                if let (Some(position), Ok(_)) = (position, &verdicts) {
                    self.shared.advance_cursor(position);
                }
                let done = verdicts.as_ref().map(|_| ()).map_err(|refusal| *refusal);
                let mut verdicts = verdicts.unwrap_or_default().into_iter();
                for request in keep {
                    let _gone = request.answer.send(verdicts.next().ok_or(Refusal::CannotWrite));
                }
                for answer in
                    advance.into_iter().map(|step| step.answer).chain(settle.into_iter().map(|step| step.answer))
                {
                    let _gone = answer.send(done);
                }
                self.checkpoint_when_due();
            }
            Err(error) => {
                for step in advance {
                    let _gone = step.answer.send(Err(Refusal::CannotWrite));
                }
                for step in settle {
                    let _gone = step.answer.send(Err(Refusal::CannotWrite));
                }
                let one_is_to_blame = keep.len() + settle_count > 1 && !is_of_the_environment(&error);
                for request in keep {
                    if one_is_to_blame {
                        self.keep_batch(Batch { keep: vec![request], ..Batch::default() });
                    } else {
                        let _gone = request.answer.send(Err(Refusal::CannotWrite));
                    }
                }
            }
        }
    }

    /// Runs `work` in a transaction that is on disk when this returns `Ok`, and has left nothing otherwise.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>,
    ) -> Result<Done<T>, Failure> {
        let started = Instant::now();
        let outcome = if self.damaged.is_some() { Err(Failure::Damaged) } else { self.try_transaction(work) };
        match &outcome {
            Ok(_) => {
                self.meters.committed(started.elapsed());
                self.lookup.settle();
                for label in self.caps.settle() {
                    meters::labels_capped(label.as_str()).increment(1);
                }
            }
            Err(failure) => {
                self.caps.take_back();
                self.lookup.take_back();
                let was_healthy = self.shared.set_healthy(false);
                self.recovery.failed(was_healthy, Instant::now());
                self.complain(failure, was_healthy);
            }
        }
        outcome
    }

    fn try_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>,
    ) -> Result<Done<T>, Failure> {
        let started = Instant::now();
        let visible = self.shared.visible();
        let transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        let mut open = Open {
            connection: &transaction,
            ledger: &visible.ledger,
            caps: &mut self.caps,
            lookup: &mut self.lookup,
            marks: &self.marks,
            routes: &self.settings.relays,
            resends: &self.settings.resends,
            linking: None,
            spelled_to: self.spelled_to,
            opt_outs: self.settings.opt_outs,
            conversations: self.settings.conversations,
            postings: Postings::default(),
            observations: Vec::new(),
            first_sights: Vec::new(),
            relays_changed: false,
            resends_changed: false,
            opt_outs_changed: None,
        };
        let result = work(&mut open)?;
        let Open {
            postings, observations, first_sights, relays_changed, resends_changed, opt_outs_changed, caps, ..
        } = open;
        rows::save_ledger(&transaction, &visible.ledger, &postings)?;
        rows::save_label_values(&transaction, caps.fresh())?;
        if !self.files.are_in_place() {
            return Err(Failure::NotInPlace);
        }
        self.worked += started.elapsed();
        transaction.commit()?;
        Ok(Done { result, postings, observations, first_sights, relays_changed, resends_changed, opt_outs_changed })
    }

    fn found_damaged(&mut self) {
        self.damaged = Some(Instant::now() + self.look_after);
        self.look_after = LONGEST_LOOK.min(2 * self.look_after);
    }

    /// Whether the database can be trusted. SQLite says of a read that fails what it says of a page that makes no sense, so one that
    /// was found damaged is looked through, now and then: the disk may be well again.
    pub(super) fn is_sound(&mut self) -> bool {
        let Some(look_at) = self.damaged else { return true };
        if Instant::now() < look_at {
            return false;
        }
        // Not at what has been read before.
        let looked = self
            .connection
            .release_memory()
            .and_then(|()| self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
        if looked.is_ok_and(|found| found == "ok") {
            self.damaged = None;
        } else {
            self.found_damaged();
        }
        self.damaged.is_none()
    }

    fn complain(&mut self, failure: &Failure, was_healthy: bool) {
        if matches!(failure, Failure::Sqlite(error) if is_damage(error)) {
            self.found_damaged();
        }
        let text = if self.damaged.is_some() { Failure::Damaged.to_string() } else { failure.to_string() };
        let [flapping, lasting] = SAID_AGAIN;
        let again = if was_healthy { flapping } else { lasting };
        if self.said.as_ref().is_some_and(|(said, when)| *said == text && when.elapsed() < again) {
            return;
        }
        tracing::error!(error = text, "cannot write to the store; webhooks are answered 503 meanwhile");
        self.said = Some((text, Instant::now()));
    }

    /// Shows everyone what a transaction has changed.
    pub(super) fn show<T>(&mut self, done: Done<T>) -> T {
        let gauges = match rows::gauges(&self.connection, &self.settings) {
            Ok(gauges) => gauges,
            Err(error) => {
                self.complain(&error.into(), true);
                self.shared.visible().gauges.clone()
            }
        };
        self.shared.show(done.postings, gauges);
        if let Some(seq) = done.opt_outs_changed {
            self.shared.opt_outs.send_replace(seq);
        }
        if done.relays_changed {
            self.shared.relays.send_modify(|changes| *changes += 1);
        }
        if done.resends_changed {
            self.shared.resends.send_modify(|changes| *changes += 1);
        }
        let now = Instant::now();
        for Observation { labels, delivered_in, delayed } in done.observations {
            let Some(meters) = self.source_meters.get(&labels.source) else { continue };
            if let Some(took) = delivered_in {
                meters.delivered_in(&labels.channel, &labels.country, took);
            }
            if let Some(delay) = delayed {
                meters.receipt_delayed(delay);
            }
        }
        for message in &done.first_sights {
            self.floods.seen(message, now);
        }
        done.result
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

#[cfg(test)]
mod tests;
