//! The front door of a replica: stores requests durably, and tells a retry from what is new.
//!
//! A batch is one statement, which commits by itself: dedup keys, requests and the leader's inbox in one round trip. It reads no state
//! of messages and takes no lock that outlives it, so replicas do not wait for one another, and for the leader never. A key that
//! another replica is just inserting makes it wait for that one's commit: "duplicate" is never said of what is not on disk.
//!
//! The statement always writes, the replica's own row if nothing else: a repetition that wrote nothing would have no commit of its
//! own to wait for on a synchronous standby, and would be acknowledged although the first one is on the primary alone. Where that row
//! has been deleted meanwhile, it is made again before the answer.
//!
//! Two lanes with a connection each: one prepares a batch while that of the other is being synced. But a statement has a price of its own
//! and so has a sync, so a small batch waits for the other one to end: what arrives meanwhile joins it.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::connect::Connector;
use super::decoded::{self, Decoded};
use super::error::{PgError, Remedy};
use super::fleet::{self, Replica};
use super::keys;
use super::packed;
use super::schema;
use super::session::{Session, params};
use crate::diagnostics::LogThrottle;
use crate::event::Event;
use crate::process_metrics::{self, LazyHistogram};
use crate::store::backlog::Backlog;
use crate::store::commands::Reply;
use crate::store::core::{receipt_key, reply_key, unrecognized_key};
use crate::store::shared::Shared;
use crate::store::{IngestOutcome, StoreError, Submission};

/// Events of one statement, give or take the last request's, and requests.
const BATCH: usize = 1_024;
const LANES: usize = 2;
/// Events for which a statement is worthwhile while another one is under way, and how long fewer wait for it.
const WORTHWHILE: usize = 64;
const PATIENCE: Duration = Duration::from_millis(20);
/// How long after its arrival a request is rejected: the provider retries, and may find another replica.
const DEADLINE: Duration = Duration::from_millis(1_300);
/// How long a batch is tried at least, whenever its requests came.
const TRY: Duration = Duration::from_millis(100);
/// Attempts when somebody is in the way.
const RETRIES: u32 = 3;
const MILLISECONDS_OF_A_DAY: i64 = 86_400_000;

const STORE: &str = "
WITH t AS MATERIALIZED (SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::int AS today, nextval('smscope.received_id') AS id),
 k AS MATERIALIZED (SELECT CASE WHEN e.day BETWEEN t.today - 3 AND t.today THEN e.day ELSE 0 END AS bucket, e.key, e.request
   FROM t, (SELECT unnest($2) AS day, unnest($3) AS key, unnest($4) AS request) AS e),
 fresh AS (INSERT INTO smscope.dedup (bucket, key, received) SELECT k.bucket, k.key, t.id FROM k, t ORDER BY bucket, key
   ON CONFLICT DO NOTHING RETURNING key),
 new AS MATERIALIZED (SELECT array(SELECT DISTINCT request FROM k WHERE (key IN (SELECT key FROM fresh)) IS TRUE ORDER BY request) AS requests),
 stored AS (INSERT INTO smscope.received (day, id, format, requests)
   SELECT t.today, t.id, $5, CASE WHEN cardinality(new.requests) = cardinality($1) THEN $1
     ELSE array(SELECT CASE WHEN u.index = ANY (new.requests) THEN u.request END
       FROM unnest($1) WITH ORDINALITY AS u (request, index) ORDER BY u.index) END
   FROM t, new WHERE new.requests <> '{}'),
 queued AS (INSERT INTO smscope.inbox (id, day, received_at, requests) SELECT t.id, t.today, clock_timestamp(), new.requests
   FROM t, new WHERE new.requests <> '{}'),
 beat AS (UPDATE smscope.replicas SET seen = clock_timestamp() WHERE id = $6 AND NOT EXISTS (SELECT FROM fresh) RETURNING id)
SELECT key, false AS is_beat FROM k WHERE (key IN (SELECT key FROM fresh)) IS NOT TRUE UNION ALL SELECT id, true FROM beat";

/// A submission to be stored.
pub struct Request {
    pub submission: Box<Submission>,
    pub arrived: Instant,
    pub reply: Reply<IngestOutcome>,
}

/// What both lanes share.
pub struct Front {
    connector: Connector,
    replica: Replica,
    queue: Mutex<mpsc::Receiver<Request>>,
    /// How many batches are under way.
    under_way: watch::Sender<usize>,
    backlog: Arc<Backlog>,
    shared: Arc<Shared>,
    commits: LazyHistogram,
    failures: LogThrottle,
}

/// The key of an event, and the day of its status.
struct Key {
    day: i32,
    key: Uuid,
    is_recognized: bool,
}

impl Front {
    pub fn new(
        connector: Connector,
        replica: Replica,
        queue: mpsc::Receiver<Request>,
        backlog: Arc<Backlog>,
        shared: Arc<Shared>,
    ) -> Self {
        let commits = LazyHistogram::new(&process_metrics::STORE_COMMIT, Vec::new());
        let (queue, under_way, failures) = (Mutex::new(queue), watch::Sender::new(0), LogThrottle::default());
        Self { connector, replica, queue, under_way, backlog, shared, commits, failures }
    }

    /// Works until every sender of requests is dropped.
    pub async fn run(self) {
        let front = Arc::new(self);
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let front = front.clone();
            lanes.spawn(async move { Lane { front, session: None, is_slow: false }.run().await });
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                resume_unwind(panic);
            }
        }
    }

    /// All that has queued up, as a batch that is under way from now on; empty when there will be nothing more.
    async fn batch(&self) -> Vec<Request> {
        let mut queue = self.queue.lock().await;
        let mut next = queue.recv().await;
        let mut under_way = self.under_way.subscribe();
        let mut alone = pin!(timeout(PATIENCE, under_way.wait_for(|batches| *batches == 0)));
        let (mut batch, mut events, mut waits) = (Vec::new(), 0, true);
        while let Some(request) = next {
            self.backlog.remove(request.submission.weight());
            events += request.submission.events.len();
            batch.push(request);
            if events.max(batch.len()) >= BATCH {
                break;
            }
            next = match queue.try_recv() {
                Err(_) if waits && events < WORTHWHILE => tokio::select! {
                    biased;
                    _ = &mut alone => {
                        waits = false;
                        queue.try_recv().ok()
                    }
                    request = queue.recv() => request,
                },
                tried => tried.ok(),
            };
        }
        self.under_way.send_modify(|batches| *batches += 1);
        batch
    }
}

struct Lane {
    front: Arc<Front>,
    session: Option<Session>,
    /// The last statement took too long. Its session may wait for a standby yet, and nothing ends that.
    is_slow: bool,
}

impl Lane {
    async fn run(mut self) {
        loop {
            let batch = self.front.batch().await;
            if batch.is_empty() {
                return;
            }
            let oldest = batch.iter().map(|request| request.arrived).min();
            let deadline = oldest.map_or_else(Instant::now, |arrived| arrived + DEADLINE).max(Instant::now() + TRY);
            let (mut seen, mut rows) = (HashSet::new(), Vec::with_capacity(batch.len()));
            for Request { submission, reply, .. } in batch {
                match Row::of(*submission, &mut seen) {
                    Ok(row) => rows.push((row, reply)),
                    Err(error) => {
                        let _gone = reply.send(Err(error));
                    }
                }
            }
            self.store(rows, deadline).await;
            self.front.under_way.send_modify(|batches| *batches -= 1);
        }
    }

    /// Stores a batch whole; or, when one request cannot be stored for a reason of its own, each by itself.
    async fn store(&mut self, batch: Vec<(Row, Reply<IngestOutcome>)>, deadline: Instant) {
        let (rows, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let began = Instant::now();
        let inserted = tokio::time::timeout_at(deadline, self.insert(&rows)).await;
        if inserted.is_err() {
            // What it was asked may be done yet: nothing else is asked on this connection.
            (self.session, self.is_slow) = (None, true);
        }
        match inserted.unwrap_or(Err(PgError::Timeout(DEADLINE))) {
            Ok(stored_before) => {
                self.front.backlog.worked(rows.iter().map(|row| row.keys.len()).sum(), began.elapsed());
                self.front.commits.record(began.elapsed());
                self.front.shared.set_healthy(true);
                for (row, reply) in rows.iter().zip(replies) {
                    // A caller may have timed out by now: its event is stored all the same.
                    let _gone = reply.send(Ok(row.outcome(&stored_before)));
                }
            }
            Err(error) if error.remedy() == Remedy::Isolate && rows.len() > 1 => {
                for (row, reply) in rows.into_iter().zip(replies) {
                    Box::pin(self.store(vec![(row.by_itself(), reply)], deadline)).await;
                }
            }
            Err(error) => {
                if error.remedy() != Remedy::Isolate {
                    self.front.shared.set_healthy(false);
                }
                let text = error.to_string();
                if self.front.failures.is_due(&text) {
                    tracing::error!(error = text, "cannot write to the store; webhooks are answered 503 meanwhile");
                }
                for reply in replies {
                    let _gone = reply.send(Err(StoreError::CannotWrite));
                }
            }
        }
    }

    /// The keys that were stored before. After an error it is not known whether the batch was stored, so the same one is asked again: what was
    /// stored is found by its keys then.
    async fn insert(&mut self, rows: &[Row]) -> Result<HashSet<Uuid>, PgError> {
        let mut retries = 0;
        loop {
            let error = match self.try_insert(rows).await {
                Ok(stored_before) => return Ok(stored_before),
                Err(error) => error,
            };
            let no_partition = error.code() == Some(&SqlState::CHECK_VIOLATION);
            match error.remedy() {
                _ if no_partition && retries < RETRIES => {
                    if let Some(session) = &self.session {
                        schema::make_partitions(session).await?;
                    }
                }
                Remedy::Retry if retries < RETRIES => {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..5))).await;
                }
                Remedy::Reconnect => {
                    self.is_slow |= matches!(error, PgError::Timeout(_));
                    self.session = None;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                _ => {
                    self.session = None;
                    return Err(error);
                }
            }
            retries += 1;
        }
    }

    async fn try_insert(&mut self, rows: &[Row]) -> Result<HashSet<Uuid>, PgError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.session = Some(self.front.connector.connect().await?);
        }
        let Some(session) = &self.session else { return Ok(HashSet::new()) };
        while self.is_slow && !fleet::may_wait_for_standby(session).await? {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.is_slow = false;
        let keys = || (1i16..).zip(rows).flat_map(|(request, row)| row.keys.iter().map(move |key| (request, key)));
        let packed: Vec<&[u8]> = rows.iter().map(|row| &row.packed[..]).collect();
        let days: Vec<i32> = keys().map(|(_, key)| key.day).collect();
        let all: Vec<Uuid> = keys().map(|(_, key)| key.key).collect();
        let of: Vec<i16> = keys().map(|(request, _)| request).collect();
        let (format, replica) = (decoded::FORMAT, self.front.replica.id);
        let found = session
            .query(
                STORE,
                params![
                    packed => BYTEA_ARRAY, days => INT4_ARRAY, all => UUID_ARRAY, of => INT2_ARRAY, format => INT2,
                    replica => UUID,
                ],
            )
            .await?;
        let has_beaten = found.iter().any(|row| row.get(1));
        let known: HashSet<Uuid> = found.iter().filter(|row| !row.get::<_, bool>(1)).map(|row| row.get(0)).collect();
        if known.len() == all.len() && !has_beaten {
            fleet::beat(session, &self.front.replica).await?;
        }
        Ok(known)
    }
}

/// A request to be stored.
struct Row {
    packed: Vec<u8>,
    /// Those of its events that no earlier request of the batch has.
    keys: Vec<Key>,
    /// The others.
    repeated: Vec<Key>,
}

impl Row {
    /// `seen`: the keys of the batch so far.
    fn of(submission: Submission, seen: &mut HashSet<Uuid>) -> Result<Self, StoreError> {
        let source = submission.source.as_str();
        let keys: Vec<Key> = submission.events.iter().map(|event| key(source, event)).collect();
        let (decoded, raw) = Decoded::split(submission);
        let decoded = decoded.to_json().map_err(|error| StoreError::Database(error.to_string()))?;
        let packed = packed::pack(&decoded, &raw, true)?;
        // Only now, for a request that repeats another one's events is answered as that one is.
        let (keys, repeated) = keys.into_iter().partition(|key| seen.insert(key.key));
        Ok(Self { packed, keys, repeated })
    }

    /// Outside its batch: the request whose events it repeats may not be stored.
    fn by_itself(mut self) -> Self {
        self.keys.append(&mut self.repeated);
        self
    }

    fn outcome(&self, stored_before: &HashSet<Uuid>) -> IngestOutcome {
        let is_new = |key: &&Key| !stored_before.contains(&key.key);
        match self.keys.iter().find(is_new) {
            None => IngestOutcome::Duplicate,
            Some(_) if self.keys.iter().filter(is_new).any(|key| key.is_recognized) => IngestOutcome::Accepted,
            Some(_) => IngestOutcome::Unrecognized,
        }
    }
}

/// The same for every request that brings this event, as far as that can be told without the message.
fn key(source: &str, event: &Event) -> Key {
    match event {
        Event::Receipt(receipt) => {
            let key = receipt_key(&receipt.status).to_string();
            let key = keys::key(&["receipt", source, &receipt.message_id, &receipt.message_part, &key]);
            let day = receipt.status.time.map_or(0, |time| time.as_millisecond().div_euclid(MILLISECONDS_OF_A_DAY));
            Key { day: i32::try_from(day).unwrap_or(0), key, is_recognized: true }
        }
        Event::Reply(reply) => {
            Key { day: 0, key: keys::event(source, &reply_key(&reply.reply_id)), is_recognized: true }
        }
        Event::Unrecognized(event) => {
            Key { day: 0, key: keys::event(source, &unrecognized_key(event)), is_recognized: false }
        }
    }
}
