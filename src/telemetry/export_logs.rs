//! The durable log exporter: from the journal to the OTLP endpoint, in order, at least once.
//!
//! The cursor moves only once the endpoint has accepted (or finally rejected) the records before it. A record may be sent twice (after
//! a response that was lost, or a kill between response and cursor), with the same `log.record.uid`.

use std::future::Future;
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::losses::Losses;
use super::logs::LogEncoder;
use super::sender::{ExportOutcome, Sender};
use crate::diagnostics::LogThrottle;
use crate::ledger::catalogue::gauge;
use crate::ledger::snapshot::{Family, Sample};
use crate::outbound::Backoff;
use crate::process_metrics::ExportMetrics;
use crate::record::{Entry, Position};

mod losses;

/// Most records in one request.
pub const BATCH: usize = 512;

/// The stored events and the exporter's cursor, as the exporter needs them.
///
/// Errors are one line for the diagnostics; the exporter backs off and retries.
pub trait Journal: Send + Sync {
    /// The position of the newest committed entry; 0 if there was never one.
    fn newest(&self) -> Position;

    /// The position up to which all records are exported or dropped.
    fn cursor(&self) -> Position;

    /// Up to `limit` entries with positions above `after`, in their order.
    fn read(&self, after: Position, limit: usize) -> impl Future<Output = Result<Vec<Entry>, String>> + Send;

    /// Makes `to` the cursor, durably.
    fn advance(&self, to: Position) -> impl Future<Output = Result<(), String>> + Send;

    /// The time by which the age of an entry is measured.
    fn now(&self) -> Timestamp;

    /// Resolves once [`Journal::newest`] is `position` or higher; at once if it is already.
    fn reached(&self, position: Position) -> impl Future<Output = ()> + Send;
}

/// The time-outs and waits of the exporter.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The shortest time between two requests that are not full.
    pub gather: Duration,
    pub backoff: Backoff,
    /// Between two attempts at an endpoint that rejects every request.
    pub rejected: Duration,
    /// How long the endpoint has to fail at the same records before they are suspected, and not the endpoint.
    pub doubt: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather: Duration::from_secs(1),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            rejected: Duration::from_secs(30),
            doubt: Duration::from_secs(300),
        }
    }
}

/// The backlog, for its gauges.
#[derive(Debug, Default)]
pub struct ExportStatus {
    oldest: Mutex<Option<Timestamp>>,
}

impl ExportStatus {
    /// Arrival of the oldest entry in the backlog, as far as the exporter has read; `None` if it is empty.
    pub fn oldest(&self) -> Option<Timestamp> {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gauges of the backlog, for the snapshot. `newest` and `cursor` are the journal's.
    pub fn families(&self, newest: Position, cursor: Position) -> [Family; 2] {
        let sample = |value| Sample { labels: Arc::new(["logs".into()]), value };
        [
            Family { description: &gauge::EXPORT_BACKLOG, samples: vec![sample(newest.since(cursor) as i64)] },
            Family {
                description: &gauge::EXPORT_OLDEST,
                samples: self.oldest().map(|time| sample(time.as_millisecond())).into_iter().collect(),
            },
        ]
    }

    fn set(&self, oldest: Option<Timestamp>) {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
    }
}

/// The parts of the log exporter.
#[derive(Debug)]
pub struct LogExport<J> {
    pub journal: Arc<J>,
    pub sender: Sender,
    pub encoder: LogEncoder,
    /// Entries that are older are dropped unsent.
    pub retention: Duration,
    pub metrics: ExportMetrics,
    pub status: Arc<ExportStatus>,
    pub pace: Pace,
}

/// Exports until `shutdown` resolves, then flushes the backlog, for no longer than `flush_limit`.
///
/// The flush ends early if the endpoint does not accept a request. The rest stays in the journal for the next start.
pub async fn run<J: Journal>(export: LogExport<J>, shutdown: impl Future<Output = ()>, flush_limit: Duration) {
    let (stop, stopped) = watch::channel(false);
    let work = Worker::new(export, stopped).work();
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = shutdown => {
            stop.send_replace(true);
            if timeout(flush_limit, work).await.is_err() {
                tracing::warn!("log records were not all exported within {flush_limit:?}; they wait for the next start");
            }
        }
    }
}

enum Step {
    /// There may be more records.
    More,
    /// All records are exported.
    Idle,
    /// An attempt failed; the next one comes after this time.
    Wait(Duration),
}

/// For how long an endpoint that has accepted a request is known to be the right one. Before that, and after, it may be a gateway that
/// answers 400 to everything.
const PROVEN_FOR: Duration = Duration::from_secs(600);

/// Among how many records the exporter searches for one that the endpoint accepts.
const COMPARED: u32 = 64;

/// The suspicion that the endpoint fails because of a record, and not because it is unhealthy.
struct Doubt {
    since: Instant,
    failures: u32,
    compared: u32,
    /// How often another record was accepted while the one in question was not.
    others_accepted: u32,
}

impl Doubt {
    fn begins() -> Self {
        Self { since: Instant::now(), failures: 0, compared: 0, others_accepted: 0 }
    }

    /// Whether the endpoint has had its time to recover.
    fn is_due(&self, patience: Duration) -> bool {
        const FAILURES: u32 = 5;
        self.failures >= FAILURES && self.since.elapsed() >= patience
    }

    /// Whether chance no longer explains it: a server may fail at every second request.
    fn is_settled(&self) -> bool {
        const TIMES: u32 = 3;
        self.others_accepted >= TIMES
    }
}

struct Worker<J> {
    export: LogExport<J>,
    stopped: watch::Receiver<bool>,
    /// Exported or dropped, though the cursor may still be behind.
    done: Position,
    /// Records in one request at present.
    limit: usize,
    /// While the cursor is before this position, one of the entries up to it is known to be bad.
    suspect: Position,
    failures: u32,
    /// When the endpoint last accepted a request: it is the right one then, and the credentials are valid.
    accepted_at: Option<Instant>,
    doubt: Option<Doubt>,
    /// For lines about failures of the endpoint or the store.
    throttle: LogThrottle,
    /// Records that were dropped.
    losses: Losses,
}

impl<J: Journal> Worker<J> {
    fn new(export: LogExport<J>, stopped: watch::Receiver<bool>) -> Self {
        let done = export.journal.cursor();
        Self {
            export,
            stopped,
            done,
            limit: BATCH,
            suspect: done,
            failures: 0,
            accepted_at: None,
            doubt: None,
            throttle: LogThrottle::default(),
            losses: Losses::default(),
        }
    }

    async fn work(mut self) {
        self.export_all().await;
        if let Some(line) = self.losses.line() {
            tracing::error!("{line}");
        }
    }

    async fn export_all(&mut self) {
        let mut not_before = Instant::now();
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(why) => {
                    self.failures += 1;
                    if self.throttle.is_due(&why) {
                        tracing::error!("log records cannot be exported from the store: {why}");
                    }
                    Step::Wait(self.export.pace.backoff.after(self.failures))
                }
            };
            let stopping = *self.stopped.borrow_and_update();
            if let Some(line) = self.losses.due(!matches!(step, Step::More)) {
                tracing::error!("{line}");
            }
            match step {
                Step::More => {}
                Step::Wait(_) if stopping => return,
                Step::Idle if stopping && self.export.journal.newest() <= self.done => return,
                Step::Idle => {
                    self.export.status.set(None);
                    self.news(not_before).await;
                    not_before = Instant::now() + self.export.pace.gather;
                }
                Step::Wait(time) => self.unless_stopped(sleep(time)).await,
            }
        }
    }

    /// Waits for an entry, and then for a full batch of them or until `not_before`.
    async fn news(&mut self, not_before: Instant) {
        let (journal, done, full) = (self.export.journal.clone(), self.done, self.done.plus(self.limit));
        self.unless_stopped(async {
            journal.reached(done.plus(1)).await;
            tokio::select! {
                () = journal.reached(full) => {}
                () = sleep_until(not_before) => {}
            }
        })
        .await;
    }

    async fn unless_stopped(&mut self, wait: impl Future<Output = ()>) {
        tokio::select! {
            () = wait => {}
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    /// Exports one batch.
    async fn step(&mut self) -> Result<Step, String> {
        if self.export.journal.cursor() < self.done {
            self.export.journal.advance(self.done).await?;
        }
        let mut entries = self.export.journal.read(self.done, self.limit).await?;
        let Some(first) = entries.first() else { return Ok(Step::Idle) };
        self.export.status.set(Some(first.received_at));
        if let Some(step) = self.drop_expired(&entries).await? {
            return Ok(step);
        }
        if self.done < self.suspect {
            let suspects = entries.partition_point(|entry| entry.position <= self.suspect);
            entries.truncate(suspects.div_ceil(2).max(1));
        }
        let answer = self.export.sender.send(self.export.encoder.encode(&entries)).await;
        self.settle(&entries, answer).await
    }

    /// Drops the leading entries that are too old.
    async fn drop_expired(&mut self, entries: &[Entry]) -> Result<Option<Step>, String> {
        let now = self.export.journal.now();
        let expired = |entry: &&Entry| {
            let age = Duration::try_from(now.duration_since(entry.received_at));
            age.is_ok_and(|age| age > self.export.retention)
        };
        let old = entries.iter().take_while(expired).count();
        let Some(last) = entries[..old].last() else { return Ok(None) };
        self.losses.add(old as u64, "it had waited for the OTLP endpoint for too long");
        self.export.metrics.dropped.increment(old as u64);
        self.advance(last.position).await?;
        Ok(Some(Step::More))
    }

    async fn settle(&mut self, entries: &[Entry], answer: ExportOutcome) -> Result<Step, String> {
        let Some(last) = entries.last() else { return Ok(Step::Idle) };
        let count = entries.len() as u64;
        match answer {
            ExportOutcome::Accepted => {
                self.export.metrics.records.increment(count);
                self.accepted(entries.len(), last.position).await
            }
            ExportOutcome::Partial { rejected, message } => {
                let rejected = rejected.min(count);
                self.export.metrics.records.increment(count - rejected);
                self.export.metrics.dropped.increment(rejected);
                self.losses.add(rejected, &format!("the OTLP endpoint rejected it: {message}"));
                self.accepted(entries.len(), last.position).await
            }
            ExportOutcome::Retry { after, why } => {
                self.failed();
                Ok(Step::Wait(self.wait(after, &why)))
            }
            ExportOutcome::Fault { after, why } => {
                self.failed();
                let wait = self.wait(after, &why);
                let doubt = self.doubt.get_or_insert_with(Doubt::begins);
                doubt.failures += 1;
                if !doubt.is_due(self.export.pace.doubt) {
                    Ok(Step::Wait(wait))
                } else if count > 1 {
                    self.suspect = last.position;
                    Ok(Step::Wait(self.export.pace.backoff.first))
                } else if doubt.is_settled() {
                    self.drop_one(last.position, &why).await
                } else if self.accepts_another(last.position).await? {
                    self.doubt.get_or_insert_with(Doubt::begins).others_accepted += 1;
                    Ok(Step::Wait(self.export.pace.backoff.first))
                } else {
                    Ok(Step::Wait(wait))
                }
            }
            ExportOutcome::Rejected { why } => {
                self.failed();
                self.doubt = None;
                if self.throttle.is_due(&why) {
                    tracing::error!(
                        "log records wait, the OTLP endpoint rejects every request: {why}; check its URL and headers"
                    );
                }
                Ok(Step::Wait(self.export.pace.rejected))
            }
            ExportOutcome::Bad { why } if count == 1 => {
                self.failed();
                if self.accepted_at.is_some_and(|when| when.elapsed() < PROVEN_FOR) {
                    return self.drop_one(last.position, &why).await;
                }
                if self.accepts_another(last.position).await? {
                    return Ok(Step::More);
                }
                if self.throttle.is_due(&why) {
                    tracing::error!("log records wait, the OTLP endpoint accepts none of them: {why}; check its URL");
                }
                Ok(Step::Wait(self.export.pace.rejected))
            }
            ExportOutcome::Bad { why } => {
                self.failed();
                tracing::debug!(
                    "the OTLP endpoint cannot accept {count} log records at once, the next request has fewer: {why}"
                );
                self.suspect = last.position;
                Ok(Step::More)
            }
        }
    }

    /// Whether the endpoint accepts a record that comes after the one that it does not accept: another one at each call, for there may be
    /// several bad ones. It is sent again at its position.
    async fn accepts_another(&mut self, position: Position) -> Result<bool, String> {
        let doubt = self.doubt.get_or_insert_with(Doubt::begins);
        let ahead = (doubt.compared % COMPARED) as usize;
        doubt.compared += 1;
        let mut others = self.export.journal.read(position.plus(ahead), 1).await?;
        if others.is_empty() {
            others = self.export.journal.read(position, 1).await?;
        }
        if others.is_empty() {
            return Ok(false);
        }
        match self.export.sender.send(self.export.encoder.encode(&others)).await {
            ExportOutcome::Accepted => {
                self.accepted_at = Some(Instant::now());
                Ok(true)
            }
            _ => {
                self.failed();
                Ok(false)
            }
        }
    }

    async fn drop_one(&mut self, position: Position, why: &str) -> Result<Step, String> {
        self.export.metrics.dropped.increment(1);
        self.losses.add(1, &format!("the OTLP endpoint accepts others but not this one: {why}"));
        self.failures = 0;
        if let Some(doubt) = &mut self.doubt {
            doubt.others_accepted = 0;
        }
        self.suspect = position;
        self.advance(position).await?;
        Ok(Step::More)
    }

    /// How long to wait after one more failure.
    fn wait(&mut self, after: Option<Duration>, why: &str) -> Duration {
        self.failures += 1;
        if self.throttle.is_due(why) {
            tracing::warn!("log records wait, the OTLP endpoint does not accept them now: {why}");
        }
        let wait = self.export.pace.backoff.after(self.failures);
        after.map_or(wait, |after| after.max(self.export.pace.backoff.first))
    }

    fn failed(&self) {
        self.export.metrics.failures.increment(1);
    }

    async fn accepted(&mut self, count: usize, position: Position) -> Result<Step, String> {
        let all = count < self.limit && position > self.suspect;
        self.failures = 0;
        self.accepted_at = Some(Instant::now());
        if position >= self.suspect {
            self.doubt = None;
        }
        if self.throttle.recovered() {
            tracing::info!("log records are exported again");
        }
        if position == self.suspect {
            // Every part of the bad request was accepted: it was too large.
            self.limit = (self.limit / 2).max(1);
        } else if position > self.suspect {
            self.limit = (self.limit + 1 + self.limit / 16).min(BATCH);
        }
        self.advance(position).await?;
        Ok(if all { Step::Idle } else { Step::More })
    }

    async fn advance(&mut self, position: Position) -> Result<(), String> {
        self.done = position;
        self.export.journal.advance(position).await
    }
}

#[cfg(test)]
mod tests;
