//! The thread that leads, or waits to: everything but the front door is its work, one transaction after the other.
//!
//! While another replica leads it only shows that this one lives, and asks for the lease once a second. As the leader it processes the
//! inbox, runs the commands of this process's jobs, and does maintenance, as the writer of the embedded store does.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_postgres::error::SqlState;

use super::connect::Connector;
use super::error::{PgError, Remedy};
use super::fleet::{self, Replica};
use super::inbox::{self, Inbox, Requests, Taken};
use super::lease::Lease;
use super::maintenance::Maintenance;
use super::session::{Pipeline, Session};
use super::term::{Rules, Term, Work};
use super::wait::Wait;
use super::{meta, metrics, rewrites, stuck, tasks};
use crate::diagnostics::LogThrottle;
use crate::record::Position;
use crate::store::backlog::Backlog;
use crate::store::commands::{Alone, Command, FleetCommand, Reply};
use crate::store::ids::DeliveryId;
use crate::store::publish::Publisher;
use crate::store::relays::AttemptOutcome;
use crate::store::shared::Shared;
use crate::store::sqlite::ErasureWork;
use crate::store::{IngestOutcome, Settings, StoreError, Submission};
use crate::tasks::Leadership;

/// How often a follower asks for the lease.
const CAMPAIGN: Duration = Duration::from_secs(1);
/// Attempts to process the inbox when somebody is in the way.
const RETRIES: u32 = 5;

pub struct Leader {
    pub connector: Connector,
    pub runtime: Handle,
    pub replica: Replica,
    pub settings: Settings,
    pub shared: Arc<Shared>,
    pub backlog: Arc<Backlog>,
    /// How many replicas live, as the leader sees it.
    pub live: Arc<AtomicI64>,
    pub publisher: Publisher,
    pub failures: LogThrottle,
}

/// Why the leader stopped doing something.
enum Stop {
    /// Nobody has a handle on the store any more.
    Ended,
    Failed(PgError),
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Failed(error)
    }
}

impl Leader {
    /// Works until every handle on the store is dropped.
    pub fn run(mut self, queue: &Receiver<Command>) {
        let mut session = None;
        metrics::leader(false);
        // Exists at 0 from here on.
        metrics::inbox_stuck().increment(0);
        loop {
            let term = match self.follow(&mut session, queue) {
                Ok(term) => term,
                Err(Stop::Ended) => return,
                Err(Stop::Failed(error)) => {
                    session = None;
                    self.shared.set_healthy(false);
                    self.log("cannot reach the store", &error);
                    continue;
                }
            };
            let stopped = self.lead(term, queue);
            match stopped {
                Stop::Ended => return,
                Stop::Failed(PgError::Deposed) => tracing::warn!("another replica leads now"),
                Stop::Failed(error) => self.log("this replica has stopped leading", &error),
            }
        }
    }

    /// Until this replica leads.
    fn follow(&mut self, session: &mut Option<Session>, queue: &Receiver<Command>) -> Result<Term, Stop> {
        loop {
            let until = Instant::now() + CAMPAIGN;
            let acquired = self.campaign(session);
            match acquired {
                Ok(Some(term)) => return Ok(term),
                Ok(None) => {}
                Err(error) => {
                    reject_until(until, queue)?;
                    return Err(error.into());
                }
            }
            reject_until(until, queue)?;
        }
    }

    fn campaign(&mut self, session: &mut Option<Session>) -> Result<Option<Term>, PgError> {
        let runtime = self.runtime.clone();
        if session.as_ref().is_none_or(Session::is_closed) {
            *session = Some(runtime.wait(self.connector.connect())?);
        }
        let Some(open) = session else { return Ok(None) };
        let acquired = runtime.wait(async {
            if !fleet::may_wait_for_standby(open).await? {
                return Err(PgError::StandbyHangs);
            }
            fleet::beat(open, &self.replica).await?;
            fleet::show_inbox(open, &self.backlog).await?;
            Lease::acquire(open, self.replica.id).await
        })?;
        if !self.shared.set_healthy(true) {
            tracing::info!("the store can write again");
        }
        let Some(lease) = acquired else { return Ok(None) };
        let session = runtime.wait(self.connector.connect_to_lead())?;
        let (term, ledger, cursor) = Term::begin(session, lease, runtime.clone(), &self.settings)?;
        self.shared.replace(ledger, cursor, term.newest());
        self.shared.opt_outs.send_replace(term.newest_opt_out());
        Ok(Some(term))
    }

    /// Leads until the lease is lost, the database fails, or nobody has a handle on the store any more.
    fn lead(&mut self, mut term: Term, queue: &Receiver<Command>) -> Stop {
        tracing::info!(epoch = term.lease.epoch, "this replica leads the fleet");
        let stopped = match self.lead_until_stopped(&mut term, queue) {
            Ok(()) => Stop::Ended,
            Err(error) => Stop::Failed(error),
        };
        self.shared.leadership().send_replace(Leadership::No);
        metrics::leader(false);
        if let Stop::Ended = stopped {
            let Term { session, lease, .. } = term;
            if let Err(error) = self.runtime.wait(lease.release(&session)) {
                tracing::debug!(%error, "the lease was not released; it ends by itself");
            }
        }
        stopped
    }

    fn lead_until_stopped(&mut self, term: &mut Term, queue: &Receiver<Command>) -> Result<(), PgError> {
        self.write(term, |rules| rules.start())?;
        let (mut inbox, mut maintenance) = (Inbox::new(), Maintenance::new());
        // Who waits until all is processed that has been acknowledged.
        let mut waiting = Vec::new();
        loop {
            #[cfg(test)]
            crate::tasks::fault::point(crate::tasks::Task::Writer);
            metrics::leader(true);
            self.show(term);
            let wait = inbox.next_look().min(maintenance.next()).saturating_duration_since(Instant::now());
            let mut batch = Batch::default();
            let mut next = match queue.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            while let Some(command) = next {
                match command {
                    Command::Ingest(submission, reply) => batch.ingest.push((submission, reply)),
                    Command::Advance(position, reply) => batch.advance.push((position, reply)),
                    Command::SaveAttempt(attempt, reply) => batch.attempts.push((attempt, reply)),
                    Command::Alone(Alone::CatchUp(reply)) => {
                        inbox.look_now();
                        waiting.push(reply);
                    }
                    Command::Alone(command) => self.serve_alone(term, command)?,
                }
                next = queue.try_recv().ok();
            }
            self.commit_batch(term, batch)?;
            if Instant::now() >= inbox.next_look() && !self.process_inbox(term, &mut inbox)? {
                for reply in waiting.drain(..) {
                    let _gone = reply.send(Ok(()));
                }
            }
            term.renew()?;
            if Instant::now() >= maintenance.next() {
                maintenance.step(self, term)?;
            }
        }
    }

    /// Processes what is in the inbox, a batch of it. `true`: there may be more.
    fn process_inbox(&mut self, term: &mut Term, inbox: &mut Inbox) -> Result<bool, PgError> {
        if inbox.is_idle() && !term.block_on(inbox.has_any(&term.session))? {
            return Ok(false);
        }
        let mut retries = 0;
        loop {
            match self.process(term, inbox.take(), Requests::batches_done) {
                Ok(taken) => return Ok(inbox.taken(&taken)),
                Err(error) if error.remedy() == Remedy::Retry && retries < RETRIES => {
                    retries += 1;
                    // The one in the way may hold its lock for longer than a lease.
                    term.renew()?;
                }
                // A partition is missing: of a day that has come too early, or dropped by somebody.
                Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) && retries < RETRIES => {
                    retries += 1;
                    term.turn_day()?;
                }
                Err(error) if error.remedy() == Remedy::Isolate => return self.isolate(term, inbox, &error),
                Err(error) => return Err(error),
            }
        }
    }

    fn process(&mut self, term: &mut Term, take: Pipeline, done: fn(&Requests) -> Pipeline) -> Result<Taken, PgError> {
        let began = Instant::now();
        let work = Work { read: Some(take), shared: &self.shared, settings: &self.settings };
        let (taken, outcome) = term.transaction(work, |rules, rows, own| {
            let requests = inbox::requests(rows)?;
            rules.storage.prefetch(rules.lookups(&requests.submissions))?;
            for (id, submission) in requests.ids.iter().zip(&requests.submissions) {
                rules.storage.request_in(Some(*id));
                rules.ingest(submission, None)?;
            }
            own.append(done(&requests));
            Ok(requests.taken())
        })?;
        term.inbox_rate.processed(taken.requests, began.elapsed());
        self.publisher.publish(outcome);
        Ok(taken)
    }

    /// One request of a batch cannot be processed: each by itself, and the one to blame out of the way of the others.
    fn isolate(&mut self, term: &mut Term, inbox: &mut Inbox, error: &PgError) -> Result<bool, PgError> {
        tracing::debug!(%error, "a request of the inbox cannot be processed");
        let waiting = term.block_on(inbox.waiting(&term.session))?;
        for request in waiting {
            match self.process(term, inbox::take_one(request), Requests::each_done) {
                Ok(_) => {}
                Err(error) if error.remedy() == Remedy::Isolate => {
                    let moved = term.block_on(inbox::set_aside(&term.session, request, &error))?;
                    let work = Work { read: None, shared: &self.shared, settings: &self.settings };
                    term.transaction(work, |_, _, own| {
                        own.append(moved);
                        Ok(())
                    })?;
                    tracing::error!(%error, batch = request.batch, request = request.index, "a request cannot be processed; it is in inbox_stuck");
                    metrics::inbox_stuck().increment(1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn commit_batch(&mut self, term: &mut Term, batch: Batch) -> Result<(), PgError> {
        let Batch { ingest, advance, attempts } = batch;
        for (submission, reply) in ingest {
            self.answer(term, reply, |rules| {
                rules.storage.request_in(None);
                rules.ingest(&submission, None)
            })?;
        }
        let position = advance.iter().map(|(position, _)| *position).max();
        if position.is_none() && attempts.is_empty() {
            return Ok(());
        }
        let now = self.shared.now();
        let work = Work { read: None, shared: &self.shared, settings: &self.settings };
        let done = term.transaction(work, |rules, _, own| {
            let deliveries: Vec<DeliveryId> = attempts.iter().map(|(attempt, _)| attempt.delivery).collect();
            rules.storage.prefetch_deliveries(&deliveries)?;
            attempts.iter().try_for_each(|(attempt, _)| rules.save_attempt(attempt, now))?;
            if let Some(position) = position {
                meta::save_cursor(own, position);
            }
            Ok(())
        });
        let replies = advance.into_iter().map(|(_, reply)| reply).chain(attempts.into_iter().map(|(_, reply)| reply));
        let saved = done.as_ref().map(drop).map_err(|_| StoreError::CannotWrite);
        if let (Ok(()), Some(position)) = (&saved, position) {
            self.shared.advance_cursor(position);
        }
        for reply in replies {
            let _gone = reply.send(saved.clone());
        }
        match done {
            Ok(((), outcome)) => {
                self.publisher.publish(outcome);
                Ok(())
            }
            Err(error) => self.unless_it_ends_the_term(error),
        }
    }

    fn serve_alone(&mut self, term: &mut Term, command: Alone) -> Result<(), PgError> {
        let now = self.shared.now();
        match command {
            Alone::Erase(work, reply) => {
                let done = self.answer(term, reply, |rules| match &work {
                    ErasureWork::Step(step) => rules.eraser().perform(step, now),
                    ErasureWork::Scrub(_) | ErasureWork::Finish => Ok(0),
                });
                term.pseudonymizer.has_erased = true;
                self.shared.forget_events();
                done
            }
            Alone::Redrive(filter, after, reply) => {
                self.answer(term, reply, |rules| rules.redrive(&filter, after, now))
            }
            Alone::PushTime(reply) => {
                let time = term.block_on(term.lease.push_time(&term.session));
                let _gone = reply.send(time.as_ref().map(|time| *time).map_err(|_| StoreError::CannotWrite));
                time.map(drop)
            }
            Alone::CatchUp(reply) => self.reply(reply, Ok(())),
            Alone::Fleet(command) => self.serve_fleet(term, command),
            Alone::Resend(step, reply) => self.answer(term, reply, |rules| rules.resend(&step, now)),
            Alone::ChangeOptOuts(changes, reply) => self.answer(term, reply, |rules| {
                let mut changed = 0;
                for change in &changes {
                    changed += u64::from(rules.change_opt_out(change, "command")?);
                }
                Ok(changed)
            }),
        }
    }

    fn serve_fleet(&mut self, term: &mut Term, command: FleetCommand) -> Result<(), PgError> {
        match command {
            FleetCommand::ClaimTasks(reply) => {
                let claimed = tasks::claim(self, term);
                self.reply(reply, claimed)
            }
            FleetCommand::TellTask(line, reply) => {
                let told = tasks::tell(self, term, line);
                self.reply(reply, told)
            }
            FleetCommand::EraseStuck(subjects, reply) => {
                let erased = stuck::erase(self, term, &subjects);
                self.reply(reply, erased)
            }
            FleetCommand::DueRewrites(reply) => self.reply(reply, rewrites::due(term)),
            FleetCommand::Rewrite(reply) => {
                let done = rewrites::rewrite_next(self, term, Duration::ZERO);
                self.reply(reply, done)
            }
        }
    }

    /// That this replica leads, until its lease may have ended.
    pub fn show(&self, term: &Term) {
        let leads = Leadership::Until { epoch: term.lease.epoch, until: term.lease.shown_until() };
        self.shared.leadership().send_replace(leads);
    }

    /// Runs a transaction, and tells the caller what came of it.
    fn answer<T>(
        &mut self,
        term: &mut Term,
        reply: Reply<T>,
        work: impl FnOnce(&mut Rules<'_>) -> Result<T, PgError>,
    ) -> Result<(), PgError> {
        let done = self.write(term, work);
        self.reply(reply, done)
    }

    fn reply<T>(&self, reply: Reply<T>, done: Result<T, PgError>) -> Result<(), PgError> {
        match done {
            Ok(result) => {
                let _gone = reply.send(Ok(result));
                Ok(())
            }
            Err(error) => {
                let _gone = reply.send(Err(StoreError::CannotWrite));
                self.unless_it_ends_the_term(error)
            }
        }
    }

    /// Runs a transaction of rules, and publishes it.
    pub fn write<T>(
        &mut self,
        term: &mut Term,
        work: impl FnOnce(&mut Rules<'_>) -> Result<T, PgError>,
    ) -> Result<T, PgError> {
        let asked = Work { read: None, shared: &self.shared, settings: &self.settings };
        let (result, outcome) = term.transaction(asked, |rules, _, _| work(rules))?;
        self.publisher.publish(outcome);
        Ok(result)
    }

    /// What was known not to be written is the caller's to repeat.
    fn unless_it_ends_the_term(&self, error: PgError) -> Result<(), PgError> {
        match error.remedy() {
            Remedy::Retry | Remedy::Isolate => {
                tracing::warn!(%error, "the store did not do what was asked");
                Ok(())
            }
            Remedy::Reconnect | Remedy::Wait => Err(error),
        }
    }

    fn log(&self, what: &str, error: &PgError) {
        let text = error.to_string();
        if self.failures.is_due(&text) {
            tracing::error!(error = text, "{what}");
        }
    }
}

/// What one transaction has to do.
#[derive(Default)]
struct Batch {
    ingest: Vec<(Box<Submission>, Reply<IngestOutcome>)>,
    advance: Vec<(Position, Reply<()>)>,
    attempts: Vec<(AttemptOutcome, Reply<()>)>,
}

/// Nothing but the front door works here: what is asked of a leader fails until then.
fn reject_until(until: Instant, queue: &Receiver<Command>) -> Result<(), Stop> {
    loop {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            // The caller sees that the reply is gone.
            Ok(command) => drop(command),
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(Stop::Ended),
        }
    }
}
