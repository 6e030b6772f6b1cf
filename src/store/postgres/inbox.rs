//! What front doors have stored and the leader has not processed yet: a set of requests, in whatever order they were committed.
//!
//! An id is drawn before its transaction commits, so ids do not appear in their order. That is no matter for a set; but a leader that
//! always began at the lowest id would walk over all that was deleted while an old transaction of somebody keeps it from being
//! cleaned up. So it begins above what it has found empty for a minute, and looks at the whole now and then.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::decoded::{self, Decoded};
use super::error::PgError;
use super::session::{Pipeline, Session, columns, params};
use crate::store::{Raw, Submission};

/// Requests that one transaction takes.
const TAKEN: i64 = 512;
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

const TAKE: &str = "SELECT r.id, r.day, r.decoded FROM (SELECT id, day FROM smscope.inbox WHERE id > $1 ORDER BY id LIMIT $2) AS i \
    JOIN smscope.received AS r ON r.id = i.id AND r.day = i.day WHERE r.format <= $3 ORDER BY r.id";
pub const DONE: &str = "DELETE FROM smscope.inbox WHERE id = ANY($1)";
const SET_ASIDE: &str = "WITH stuck AS (DELETE FROM smscope.inbox WHERE id = $1 RETURNING id, day) \
    INSERT INTO smscope.inbox_stuck (id, day, error) SELECT id, day, $2 FROM stuck";

/// Where a request is stored: the id and the day of its row.
pub type Place = (i64, i32);

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
        let mut take = Pipeline::default();
        take.add(TAKE, columns![from => INT8, TAKEN => INT8, decoded::FORMAT => INT2]);
        take
    }

    /// A take has committed. `true`: there may be more.
    pub fn taken(&mut self, taken: &Taken) -> bool {
        self.newest = self.newest.max(taken.newest);
        self.end(taken.requests > 0, taken.is_full);
        taken.is_full
    }

    /// The ids of the oldest requests.
    pub async fn waiting(&self, session: &Session) -> Result<Vec<i64>, PgError> {
        let rows = session.query("SELECT id FROM smscope.inbox ORDER BY id LIMIT $1", params![TAKEN => INT8]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
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
pub fn take_one(id: i64) -> Pipeline {
    let mut take = Pipeline::default();
    take.add(TAKE, columns![id - 1 => INT8, 1i64 => INT8, decoded::FORMAT => INT2]);
    take
}

/// Moves a request out of the way.
pub fn set_aside(id: i64, error: &PgError) -> Pipeline {
    let mut moved = Pipeline::default();
    moved.add(SET_ASIDE, columns![id => INT8, error.to_string() => TEXT]);
    moved
}

/// The parameters of [`DONE`].
pub fn ids(places: &[Place]) -> Vec<(Box<dyn ToSql + Sync + Send>, Type)> {
    columns![places.iter().map(|(id, _)| *id).collect::<Vec<i64>>() => INT8_ARRAY]
}

/// Requests that were taken, and where each is stored.
pub struct Requests {
    pub places: Vec<Place>,
    pub submissions: Vec<Submission>,
    is_full: bool,
}

impl Requests {
    pub fn taken(&self) -> Taken {
        let newest = self.places.last().map_or(0, |(id, _)| *id);
        Taken { newest, requests: self.places.len(), is_full: self.is_full }
    }
}

/// Reads the rows of a take, as many as one transaction is to process.
///
/// # Errors
/// One cannot be read.
pub fn requests(rows: Vec<Row>) -> Result<Requests, PgError> {
    let mut is_full = rows.len() as i64 == TAKEN;
    let (mut places, mut submissions, mut events) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        if events >= EVENTS {
            is_full = true;
            break;
        }
        let decoded: &str = row.get(2);
        let unreadable = |error: serde_json::Error| PgError::Unreadable { table: "received", why: error.to_string() };
        // The request itself is stored already.
        let none = Raw { method: String::new(), query: String::new(), content_type: None, body: Bytes::new() };
        let submission = Decoded::from_json(decoded).map_err(unreadable)?.into_submission(none);
        events += submission.events.len();
        places.push((row.get(0), row.get(1)));
        submissions.push(submission);
    }
    Ok(Requests { places, submissions, is_full })
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
