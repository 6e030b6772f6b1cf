//! What front doors have stored and the leader has not processed yet: a set of requests, in whatever order they were committed.
//!
//! An id is drawn before its transaction commits, so ids do not appear in their order. That is no matter for a set; but a leader that
//! always began at the lowest id would walk over all that was deleted while an old transaction of somebody keeps it from being
//! cleaned up. So it begins above what it has found empty for a minute, and looks at the whole now and then.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_postgres::Row;

use super::decoded::{self, Decoded};
use super::error::PgError;
use super::packed::{self, RequestId};
use super::session::{Pipeline, Session, columns, params};
use super::values::Columns;
use crate::store::{Raw, Submission};

/// Requests that one transaction takes, and the rest of the last one's batch.
const TAKEN: i64 = 512;
/// Bytes of packed requests, and again the rest of a batch.
const BYTES: i64 = 16 << 20;
/// Events at which it stops: a request may have a thousand.
const EVENTS: usize = 2_048;
/// Requests of a transaction by which its rate is measured.
const FEWEST: usize = 64;
/// How long the leader lets requests gather, and how often it looks for them when none came.
const GATHER: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(250);
/// How late a transaction may become visible that is not held up by a standby.
const LATE: Duration = Duration::from_secs(60);
/// How often the leader looks for those that are.
const WHOLE: Duration = Duration::from_secs(30);
const SAMPLE: Duration = Duration::from_secs(10);

const TAKE: &str = "SELECT id, day, indexes, requests FROM (SELECT r.id, r.day, i.requests AS indexes, r.requests, \
      sum(pg_column_size(r.requests)) OVER (ORDER BY r.id) - pg_column_size(r.requests) AS bytes_before \
      FROM (SELECT id, day, requests, sum(cardinality(requests)) OVER (ORDER BY id) - cardinality(requests) AS before \
        FROM (SELECT id, day, requests FROM smscope.inbox WHERE id > $1 ORDER BY id LIMIT $2) AS oldest) AS i \
      JOIN smscope.received AS r ON r.id = i.id AND r.day = i.day WHERE i.before < $2 AND r.format <= $3) AS batches \
    WHERE bytes_before < $4 ORDER BY id";
const TAKE_ONE: &str =
    "SELECT id, day, ARRAY[$3], requests FROM smscope.received WHERE id = $1 AND day = $2 AND format <= $4";
const DONE: &str = "DELETE FROM smscope.inbox WHERE id = ANY($1)";
const ONE_DONE: &str = "UPDATE smscope.inbox SET requests = array_remove(requests, $2) WHERE id = $1";
const ALL_DONE: &str = "DELETE FROM smscope.inbox WHERE id = $1 AND requests = '{}'";
const SET_ASIDE: &str =
    "INSERT INTO smscope.inbox_stuck (id, day, request, error, content) VALUES ($1, $2, $3, $4, $5)";

/// Where the leader stands in the inbox.
pub struct Inbox {
    next_look: Instant,
    last_look: Instant,
    next_whole: Instant,
    found_any: bool,
    newest: i64,
    /// The newest id that had been processed at some moments.
    samples: Vec<(Instant, i64)>,
    floor: i64,
}

/// What a transaction has taken.
#[derive(Debug, Default)]
pub struct Taken {
    newest: i64,
    pub requests: usize,
    is_full: bool,
}

impl Inbox {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            next_look: now,
            last_look: now,
            next_whole: now,
            found_any: true,
            newest: 0,
            samples: Vec::new(),
            floor: 0,
        }
    }

    pub fn next_look(&self) -> Instant {
        self.next_look
    }

    pub fn look_now(&mut self) {
        self.next_look = Instant::now();
    }

    /// The last look found nothing, so the next one is a cheap one.
    pub fn is_idle(&self) -> bool {
        !self.found_any
    }

    /// Whether there is something, without a transaction.
    pub async fn has_any(&mut self, session: &Session) -> Result<bool, PgError> {
        let from = self.from();
        let found =
            session.query_opt("SELECT 1 FROM smscope.inbox WHERE id > $1 LIMIT 1", params![from => INT8]).await?;
        if found.is_none() {
            self.looked(from);
        }
        self.end(found.is_some(), false);
        Ok(found.is_some())
    }

    /// Takes the oldest requests.
    pub fn take(&mut self) -> Pipeline {
        let from = self.from();
        self.looked(from);
        Pipeline::of(TAKE, columns![from => INT8, TAKEN => INT8, decoded::FORMAT => INT2, BYTES => INT8])
    }

    /// A take has committed. `true`: there may be more.
    pub fn taken(&mut self, taken: &Taken) -> bool {
        self.newest = self.newest.max(taken.newest);
        self.end(taken.requests > 0, taken.is_full);
        taken.is_full
    }

    /// The oldest requests.
    pub async fn waiting(&self, session: &Session) -> Result<Vec<RequestId>, PgError> {
        let sql =
            "SELECT id, day, request FROM smscope.inbox, unnest(requests) AS request ORDER BY id, request LIMIT $1";
        let rows = session.query(sql, params![TAKEN => INT8]).await?;
        let read = |row: &Row| RequestId { batch: row.get(0), day: row.get(1), index: row.get(2) };
        Ok(rows.iter().map(read).collect())
    }

    /// The id above which it looks: of the whole, when that is due.
    fn from(&self) -> i64 {
        if Instant::now() >= self.next_whole { 0 } else { self.floor }
    }

    /// What is above `from` has been taken, or there is nothing.
    fn looked(&mut self, from: i64) {
        if from == 0 {
            self.next_whole = Instant::now() + WHOLE;
        }
    }

    fn end(&mut self, found_any: bool, is_full: bool) {
        let now = Instant::now();
        self.found_any = found_any;
        self.last_look = now;
        self.next_look = now
            + if is_full {
                Duration::ZERO
            } else if found_any {
                GATHER
            } else {
                IDLE
            };
        if self.samples.last().is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE) {
            self.samples.push((now, self.newest));
            let late = self.samples.iter().take_while(|(at, _)| now.duration_since(*at) >= LATE).count();
            if let Some((_, newest)) = late.checked_sub(1).and_then(|last| self.samples.get(last)) {
                self.floor = *newest;
                self.samples.drain(..late);
            }
        }
    }
}

/// How many requests the leader processes per second while it does nothing else.
#[derive(Default)]
pub struct Rate {
    measured: f64,
    saved: f64,
}

impl Rate {
    /// A transaction has processed requests. Of a few the time says little: most of it is the transaction's own.
    pub fn processed(&mut self, requests: usize, took: Duration) {
        if requests < FEWEST {
            return;
        }
        let per_second = requests as f64 / took.as_secs_f64().max(1e-6);
        self.measured = if self.measured > 0.0 { (7.0 * self.measured + per_second) / 8.0 } else { per_second };
    }

    /// The rate, if it is another than what was given before.
    pub fn changed(&mut self) -> Option<u64> {
        if (self.measured - self.saved).abs() <= 0.1 * self.saved {
            return None;
        }
        self.saved = self.measured;
        Some(self.measured as u64)
    }
}

/// Takes one request.
pub fn take_one(request: RequestId) -> Pipeline {
    let RequestId { batch, day, index } = request;
    Pipeline::of(TAKE_ONE, columns![batch => INT8, day => INT4, index => INT2, decoded::FORMAT => INT2])
}

/// Moves a request out of the way, with what can be read of it.
pub async fn set_aside(session: &Session, request: RequestId, error: &PgError) -> Result<Pipeline, PgError> {
    let RequestId { batch, day, index } = request;
    let sql = "SELECT requests[$3] FROM smscope.received WHERE id = $1 AND day = $2";
    let row = session.query_opt(sql, params![batch => INT8, day => INT4, index => INT2]).await?;
    let packed: Option<&[u8]> = row.as_ref().and_then(|row| row.get(0));
    let content = packed.and_then(|packed| packed::unpack(packed).ok()).map(|unpacked| unpacked.readable());
    let mut moved = one_done(request);
    moved.add(
        SET_ASIDE,
        columns![batch => INT8, day => INT4, index => INT2, error.to_string() => TEXT, content => TEXT],
    );
    Ok(moved)
}

fn one_done(request: RequestId) -> Pipeline {
    let RequestId { batch, index, .. } = request;
    let mut done = Pipeline::of(ONE_DONE, columns![batch => INT8, index => INT2]);
    done.add(ALL_DONE, columns![batch => INT8]);
    done
}

/// Requests that were taken, and where each is stored.
pub struct Requests {
    pub ids: Vec<RequestId>,
    pub submissions: Vec<Submission>,
    is_full: bool,
}

impl Requests {
    pub fn taken(&self) -> Taken {
        let newest = self.ids.last().map_or(0, |id| id.batch);
        Taken { newest, requests: self.ids.len(), is_full: self.is_full }
    }

    /// Deletes their batches, of which they are all that was left.
    pub fn batches_done(&self) -> Pipeline {
        let mut batches: Vec<i64> = self.ids.iter().map(|id| id.batch).collect();
        batches.dedup();
        Pipeline::of(DONE, columns![batches => INT8_ARRAY])
    }

    /// Deletes each from its batch.
    pub fn each_done(&self) -> Pipeline {
        let mut done = Pipeline::default();
        self.ids.iter().for_each(|id| done.append(one_done(*id)));
        done
    }
}

/// Reads the rows of a take, as many as one transaction is to process.
///
/// # Errors
/// One cannot be read.
pub fn requests(rows: Vec<Row>) -> Result<Requests, PgError> {
    let (mut is_full, mut ids, mut submissions, mut events) = (false, Vec::new(), Vec::new(), 0);
    for row in rows {
        if events >= EVENTS {
            is_full = true;
            break;
        }
        let mut columns = Columns::of("received", &row, 0);
        let (batch, day) = (columns.get()?, columns.get()?);
        let (indexes, packed): (Vec<i16>, Vec<Option<&[u8]>>) = (columns.get()?, columns.get()?);
        for index in indexes {
            let request = usize::try_from(index - 1).ok().and_then(|at| *packed.get(at)?);
            let unpacked = packed::unpack(request.ok_or_else(|| packed::unreadable("the request is not stored"))?)?;
            // The request itself is stored already.
            let none = Raw { method: String::new(), query: String::new(), content_type: None, body: Bytes::new() };
            let decoded = Decoded::from_json(unpacked.decoded()?).map_err(packed::unreadable)?;
            let submission = decoded.into_submission(none);
            events += submission.events.len();
            ids.push(RequestId { batch, day, index });
            submissions.push(submission);
        }
    }
    is_full |= ids.len() as i64 >= TAKEN;
    Ok(Requests { ids, submissions, is_full })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_visible_late_is_taken_by_a_look_at_the_whole() {
        let mut inbox = Inbox { floor: 7, ..Inbox::new() };
        let late = inbox.from();
        assert_eq!(late, 0);
        // A look has found something there, and leaves it to be taken.
        inbox.end(true, false);
        assert_eq!(inbox.from(), 0);
        inbox.take();
        assert_eq!(inbox.from(), 7, "until it is due again");
    }
}
