//! The writer thread: takes what has queued, keeps it in one transaction, answers; keeps house in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::retention::{self, EventLimits};
use super::shared::{Gauges, Shared};
use super::transaction::{Observation, Open, timestamp};
use super::{OpenError, Refusal, Settings, Submission, Verdict};
use crate::diagnostics::Throttle;
use crate::ledger::accounting::Accounts;
use crate::ledger::caps::{Label, LabelCaps};
use crate::ledger::catalogue::Metric;
use crate::ledger::{Ledger, Postings, Series};
use crate::meters::{self, SourceMeters, StoreMeters};

/// Events of one transaction, give or take the last request's.
const BATCH: usize = 1024;
/// How often the writer looks for something to expire or prune.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// How often the oldest messages are looked through for ones that may go.
const MESSAGE_ROUND: Duration = Duration::from_secs(60);

const CURSOR: &str = "otlp-logs";

pub enum Job {
    Keep(Box<Submission>, oneshot::Sender<Result<Verdict, Refusal>>),
    Advance(i64, oneshot::Sender<Result<(), Refusal>>),
}

pub struct Writer {
    connection: Connection,
    settings: Settings,
    shared: Arc<Shared>,
    caps: LabelCaps,
    checkpointer: Checkpointer,
    meters: StoreMeters,
    source_meters: HashMap<String, SourceMeters>,
    /// Committed since the checkpointer was last asked.
    uncheckpointed: usize,
    message_round: MessageRound,
}

/// Where the walk through the oldest messages stands.
enum MessageRound {
    At(i64),
    NextFrom(Instant),
}

/// What a transaction gives besides its result.
struct Done<T> {
    result: T,
    postings: Postings,
    observations: Vec<Observation>,
}

/// Reads what the writer and its shared view start from; makes what a new store lacks.
pub fn load(connection: &Connection, settings: &Settings) -> Result<(Shared, LabelCaps), OpenError> {
    let created_at: i64 = {
        connection.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('created_at', ?1)",
            [Timestamp::now().as_millisecond()],
        )?;
        connection.query_row("SELECT value FROM meta WHERE key = 'created_at'", [], |row| row.get(0))?
    };
    let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
    let cursor = if settings.exports_logs {
        connection
            .execute("INSERT OR IGNORE INTO cursors (name, position) VALUES (?1, ?2)", params![CURSOR, newest])?;
        connection.query_row("SELECT position FROM cursors WHERE name = ?1", [CURSOR], |row| row.get(0)).optional()?
    } else {
        connection.execute("DELETE FROM cursors WHERE name = ?1", [CURSOR])?;
        None
    };
    let ledger = load_ledger(connection)?;
    let values: Vec<(String, String)> = connection
        .prepare("SELECT label, value FROM label_values")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let gauges = gauges(connection, settings)?;
    let shared = Shared::new(timestamp(created_at)?, cursor, ledger, gauges);
    Ok((shared, LabelCaps::new(values)))
}

impl Writer {
    /// The series that are known in advance exist when this returns.
    pub fn new(
        connection: Connection,
        settings: Settings,
        shared: Arc<Shared>,
        caps: LabelCaps,
        checkpointer: Checkpointer,
    ) -> Result<Self, OpenError> {
        let message_round = MessageRound::At(0);
        let source_meters =
            settings.sources.iter().map(|name| (name.to_string(), SourceMeters::new(name.as_str()))).collect();
        let mut writer = Self {
            connection,
            settings,
            shared,
            caps,
            checkpointer,
            meters: StoreMeters::new(),
            source_meters,
            uncheckpointed: 0,
            message_round,
        };
        let sources = writer.settings.sources.clone();
        let done = writer.transaction(|open| {
            let mut accounts = Accounts { ledger: open.ledger, postings: &mut open.postings };
            for source in &sources {
                accounts.open_reply_kinds(source.as_str(), "SMS");
            }
            Ok(())
        })?;
        writer.show(done);
        Ok(writer)
    }

    /// Works until every handle on the store is gone.
    pub fn run(mut self, queue: &Receiver<Job>) {
        let mut next_housekeeping = Instant::now();
        loop {
            let wait = next_housekeeping.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait) {
                Ok(first) => self.serve(first, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_housekeeping {
                let more = self.keep_house();
                next_housekeeping = Instant::now() + if more { Duration::from_millis(5) } else { HOUSEKEEPING };
            }
        }
        // The last connection to close checkpoints the log and removes it.
        drop(self.checkpointer);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
    }

    fn serve(&mut self, first: Job, queue: &Receiver<Job>) {
        let mut keep = Vec::new();
        let mut advance = Vec::new();
        let mut events = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Keep(submission, answer) => {
                    events += submission.events.len();
                    keep.push((submission, answer));
                }
                Job::Advance(position, answer) => advance.push((position, answer)),
            }
            next = if events < BATCH { queue.try_recv().ok() } else { None };
        }
        self.make_room(&mut keep);
        let position = advance.iter().map(|(position, _)| *position).max();
        self.keep_batch(keep, position, advance);
    }

    /// Keeps a batch whole; or, when one request cannot be kept for a reason of its own, each by itself.
    fn keep_batch(
        &mut self,
        keep: Vec<(Box<Submission>, oneshot::Sender<Result<Verdict, Refusal>>)>,
        position: Option<i64>,
        advance: Vec<(i64, oneshot::Sender<Result<(), Refusal>>)>,
    ) {
        if keep.is_empty() && position.is_none() {
            return;
        }
        let outcome = self.transaction(|open| {
            if let Some(position) = position {
                save_cursor(open.connection, position)?;
            }
            keep.iter().map(|(submission, _)| open.submit(submission)).collect::<rusqlite::Result<Vec<_>>>()
        });
        match outcome {
            Ok(done) => {
                self.uncheckpointed += keep.len();
                if let Some(position) = position {
                    self.shared.advance_cursor(position);
                }
                let verdicts = self.show(done);
                for ((_, answer), verdict) in keep.into_iter().zip(verdicts) {
                    let _gone = answer.send(Ok(verdict));
                }
                for (_, answer) in advance {
                    let _gone = answer.send(Ok(()));
                }
                self.checkpoint_when_due();
            }
            Err(error) if keep.len() > 1 && !is_of_the_environment(&error) => {
                for (_, answer) in advance {
                    let _gone = answer.send(Err(Refusal::CannotWrite));
                }
                for one in keep {
                    self.keep_batch(vec![one], None, Vec::new());
                }
            }
            Err(_) => {
                for (_, answer) in keep {
                    let _gone = answer.send(Err(Refusal::CannotWrite));
                }
                for (_, answer) in advance {
                    let _gone = answer.send(Err(Refusal::CannotWrite));
                }
            }
        }
    }

    /// Runs `work` in a transaction that is on disk when this returns `Ok`, and has left nothing otherwise.
    fn transaction<T>(&mut self, work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Done<T>> {
        let started = Instant::now();
        let outcome = run_transaction(&mut self.connection, &self.shared.visible().ledger, &mut self.caps, work);
        match &outcome {
            Ok(_) => {
                self.meters.committed(started.elapsed());
                for label in self.caps.settle() {
                    meters::labels_capped(label.as_str()).increment(1);
                }
                if !self.shared.set_healthy(true) {
                    tracing::info!("the store can write again");
                }
            }
            Err(error) => {
                self.caps.take_back();
                self.shared.set_healthy(false);
                static FAILURES: Throttle = Throttle::new(Duration::from_secs(10));
                if let Some(suppressed) = FAILURES.permit() {
                    tracing::error!(%error, suppressed, "cannot write to the store; webhooks are answered 503 meanwhile");
                }
            }
        }
        outcome
    }

    /// Shows everyone what a transaction has changed.
    fn show<T>(&mut self, done: Done<T>) -> T {
        let gauges = match gauges(&self.connection, &self.settings) {
            Ok(gauges) => gauges,
            Err(error) => {
                tracing::warn!(%error, "cannot read the store's gauges");
                self.shared.visible().gauges.clone()
            }
        };
        self.shared.show(done.postings, gauges);
        for Observation { labels, delivered_in, delayed } in done.observations {
            let Some(meters) = self.source_meters.get(&labels.source) else { continue };
            if let Some(took) = delivered_in {
                meters.delivered_in(&labels.channel, &labels.country, took);
            }
            if let Some(delay) = delayed {
                meters.receipt_delayed(delay);
            }
        }
        done.result
    }

    /// Refuses what would go beyond the size limit, once pruning of what was exported is not enough.
    fn make_room(&mut self, keep: &mut Vec<(Box<Submission>, oneshot::Sender<Result<Verdict, Refusal>>)>) {
        let Some(limit) = self.settings.size_limit else { return };
        if keep.is_empty() || !self.is_over(limit) {
            return;
        }
        let limits = EventLimits {
            received_before: i64::MAX,
            exported_to: self.shared.export_cursor(),
            given_up_before: i64::MIN,
        };
        for _ in 0..10 {
            match self.house_transaction(|open| retention::prune_events(open.connection, limits)) {
                Some(1..) if self.is_over(limit) => {}
                _ => break,
            }
        }
        if self.is_over(limit) {
            for (_, answer) in keep.drain(..) {
                let _gone = answer.send(Err(Refusal::SizeLimit));
            }
        }
    }

    fn is_over(&self, limit: u64) -> bool {
        retention::bytes_in_use(&self.connection).is_ok_and(|bytes| bytes as u64 > limit)
    }

    /// One step of each chore. `true`: there is more to do at once.
    fn keep_house(&mut self) -> bool {
        if !self.shared.is_healthy() {
            // Finds out whether writing works again, also when nobody calls.
            let now = Timestamp::now().as_millisecond();
            self.house_transaction(|open| {
                open.connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('probed_at', ?1)", [now])
            });
            return false;
        }
        let now = Timestamp::now();
        let expired = self.expire(now);
        let pruned = self.prune(now);
        if self.uncheckpointed > 0 {
            self.uncheckpointed = 0;
            self.checkpointer.ring();
        }
        expired || pruned
    }

    fn expire(&mut self, now: Timestamp) -> bool {
        let horizon = self.settings.horizon;
        let Ok(before) = now.checked_sub(horizon) else { return false };
        let Ok(ids) = retention::past_horizon(&self.connection, before) else { return false };
        if ids.is_empty() {
            return false;
        }
        let full = ids.len() as i64 == retention::STEP;
        let done = self.house_transaction(|open| {
            for id in ids {
                open.expire(id, now, horizon)?;
            }
            Ok(())
        });
        self.uncheckpointed += 1;
        done.is_some() && full
    }

    fn prune(&mut self, now: Timestamp) -> bool {
        let limits = EventLimits {
            received_before: retention::before(now, self.settings.retention),
            exported_to: self.shared.export_cursor(),
            given_up_before: retention::before(now, self.settings.retention.max(self.settings.export_retention)),
        };
        let state_before =
            retention::before(now, retention::state_retention(self.settings.retention, self.settings.horizon));
        let from = match self.message_round {
            MessageRound::At(from) => Some(from),
            MessageRound::NextFrom(time) => (time <= Instant::now()).then_some(0),
        };
        let oldest = self
            .connection
            .prepare_cached("SELECT min(received_at) FROM (SELECT received_at FROM events ORDER BY id LIMIT 1)")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<i64>>(0)));
        let events_due = matches!(oldest, Ok(Some(oldest)) if oldest < limits.received_before);
        if !events_due && from.is_none() {
            return false;
        }
        let done = self.house_transaction(|open| {
            let mut gone = if events_due { retention::prune_events(open.connection, limits)? } else { 0 };
            let mut reached = None;
            if let Some(from) = from {
                gone += retention::prune_event_keys(open.connection, state_before)?;
                reached = retention::prune_messages(open.connection, from, state_before)?;
            }
            Ok((gone, reached))
        });
        let Some((gone, reached)) = done else { return false };
        if from.is_some() {
            self.message_round = match reached {
                Some(place) => MessageRound::At(place),
                None => MessageRound::NextFrom(Instant::now() + MESSAGE_ROUND),
            };
        }
        gone as i64 >= retention::STEP || reached.is_some()
    }

    fn house_transaction<T>(&mut self, work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>) -> Option<T> {
        let done = self.transaction(work).ok()?;
        Some(self.show(done))
    }

    fn checkpoint_when_due(&mut self) {
        /// Requests between two checkpoints: a few MiB of log.
        const EVERY: usize = 2_000;
        if self.uncheckpointed >= EVERY {
            self.uncheckpointed = 0;
            self.checkpointer.ring();
        }
        self.checkpointer.help(&self.connection);
    }
}

fn run_transaction<T>(
    connection: &mut Connection,
    ledger: &Ledger,
    caps: &mut LabelCaps,
    work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Done<T>> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let mut open =
        Open { connection: &transaction, ledger, caps, postings: Postings::default(), observations: Vec::new() };
    let result = work(&mut open)?;
    let Open { postings, observations, caps, .. } = open;
    save_ledger(&transaction, ledger, &postings)?;
    save_label_values(&transaction, caps.fresh())?;
    transaction.commit()?;
    Ok(Done { result, postings, observations })
}

/// Whether trying each request by itself would be of no use.
fn is_of_the_environment(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
        )
    )
}

fn load_ledger(connection: &Connection) -> rusqlite::Result<Ledger> {
    let mut postings = Postings::default();
    let mut statement = connection.prepare("SELECT metric, labels, value FROM ledger")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A metric or label that this version does not have stays in the table, out of sight.
        let Some(metric) = Metric::from_name(row.get_ref(0)?.as_str()?) else { continue };
        let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(row.get_ref(1)?.as_str()?) else { continue };
        let values: Option<Vec<&str>> =
            metric.description().labels.iter().map(|&name| labels.get(name).map(String::as_str)).collect();
        if let Some(values) = values {
            postings.add(metric, &values, row.get(2)?);
        }
    }
    let mut ledger = Ledger::default();
    ledger.apply(postings);
    Ok(ledger)
}

fn save_ledger(connection: &Connection, ledger: &Ledger, postings: &Postings) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO ledger (metric, labels, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT (metric, labels) DO UPDATE SET value = excluded.value",
    )?;
    for (series, amount) in postings.iter() {
        if amount != 0 || !ledger.contains(series) {
            let value = ledger.value(series) + amount;
            statement.execute(params![series.metric.description().name, labels_json(series), value])?;
        }
    }
    Ok(())
}

/// `{"source":"smsmode","channel":"SMS",…}`, the keys in the metric's order: the same text for the same series, always.
fn labels_json(series: &Series) -> String {
    let mut text = String::from("{");
    for (name, value) in series.metric.description().labels.iter().zip(series.labels.iter()) {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&serde_json::Value::from(&**value).to_string());
    }
    text.push('}');
    text
}

fn save_label_values(connection: &Connection, fresh: &[(Label, String)]) -> rusqlite::Result<()> {
    for (label, value) in fresh {
        connection
            .prepare_cached("INSERT OR IGNORE INTO label_values (label, value) VALUES (?1, ?2)")?
            .execute([label.as_str(), value])?;
    }
    Ok(())
}

fn save_cursor(connection: &Connection, position: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE cursors SET position = max(position, ?2) WHERE name = ?1")?
        .execute(params![CURSOR, position])
        .map(drop)
}

fn gauges(connection: &Connection, settings: &Settings) -> rusqlite::Result<Gauges> {
    let mut oldest_pending = Vec::new();
    for source in &settings.sources {
        let oldest: Option<i64> = connection
            .prepare_cached("SELECT min(first_seen) FROM messages WHERE source = ?1 AND state = 'enroute'")?
            .query_row([source.as_str()], |row| row.get(0))?;
        oldest_pending.extend(oldest.map(|oldest| (source.clone(), oldest)));
    }
    // Places in the journal are used without gaps and events go oldest first.
    let (oldest, newest): (i64, i64) = connection
        .prepare_cached("SELECT coalesce((SELECT min(id) FROM events), 1), coalesce((SELECT max(id) FROM events), 0)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Gauges {
        oldest_pending,
        newest,
        events: newest - oldest + 1,
        bytes_in_use: retention::bytes_in_use(connection)?,
        size_limit: settings.size_limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
    })
}
