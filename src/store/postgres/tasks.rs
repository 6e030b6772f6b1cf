//! The tables `tasks` and `task_lines`: requests of commands to the leader, and the lines of its responses, both as text.
//!
//! A command cannot reach the leader, but the database: it inserts its request, and reads the lines as they appear. The leader claims
//! requests for its epoch. One that has no last line when the epoch ends is claimed by the next leader, and begins again.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::connect::Connector;
use super::error::{PgError, Remedy};
use super::leader::Leader;
use super::session::{Pipeline, Session, columns, params};
use super::term::{Term, Work};
use super::wait::Wait;
use crate::store::StoreError;

/// How long a command tries to reach the database, and waits while no replica leads.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

const CLAIM: &str = "UPDATE smscope.tasks SET begun_by = $1 WHERE ended_at IS NULL AND begun_by IS DISTINCT FROM $1 RETURNING id, request";
/// What an earlier leader has said of them, and what nobody has fetched.
const FORGET: &str = "DELETE FROM smscope.task_lines WHERE task IN (SELECT id FROM smscope.tasks \
    WHERE ended_at IS NULL OR ended_at < clock_timestamp() - interval '1 hour')";
const EXPIRE: &str = "DELETE FROM smscope.tasks WHERE ended_at < clock_timestamp() - interval '1 hour'";
const TELL: &str = "INSERT INTO smscope.task_lines (task, line) VALUES ($1, $2)";
const END: &str = "UPDATE smscope.tasks SET request = NULL, ended_at = clock_timestamp() WHERE id = $1";

/// A request that the leader of an epoch has claimed.
#[derive(Debug)]
pub struct Task {
    id: i64,
    epoch: i64,
    pub request: String,
}

/// A line of a response.
pub struct TaskLine {
    id: i64,
    epoch: i64,
    text: String,
    is_last: bool,
}

impl Task {
    pub fn line(&self, text: String, is_last: bool) -> TaskLine {
        TaskLine { id: self.id, epoch: self.epoch, text, is_last }
    }
}

/// Claims the requests that the leader does not execute yet.
///
/// # Errors
/// Those of the database.
pub fn claim(leader: &mut Leader, term: &mut Term) -> Result<Vec<Task>, PgError> {
    let epoch = term.lease.epoch;
    let unclaimed = "SELECT 1 FROM smscope.tasks WHERE ended_at IS NULL AND begun_by IS DISTINCT FROM $1 LIMIT 1";
    if term.block_on(term.session.query_opt(unclaimed, params![epoch => INT8]))?.is_none() {
        return Ok(Vec::new());
    }
    let claim = Pipeline::of(CLAIM, columns![epoch => INT8]);
    let work = Work { read: Some(claim), shared: &leader.shared, settings: &leader.settings };
    let (tasks, _) = term.transaction(work, |_, rows, own| {
        own.add(FORGET, Vec::new());
        own.add(EXPIRE, Vec::new());
        Ok(rows.iter().map(|row| Task { id: row.get(0), epoch, request: row.get(1) }).collect())
    })?;
    Ok(tasks)
}

/// Appends a line to a response. `false`: the request has been claimed by an earlier leader, whose lines are of no use.
///
/// # Errors
/// Those of the database.
pub fn tell(leader: &mut Leader, term: &mut Term, line: TaskLine) -> Result<bool, PgError> {
    if line.epoch != term.lease.epoch {
        return Ok(false);
    }
    let work = Work { read: None, shared: &leader.shared, settings: &leader.settings };
    term.transaction(work, |rules, _, own| {
        own.add(TELL, columns![line.id => INT8, line.text => TEXT]);
        if line.is_last {
            own.add(END, columns![line.id => INT8]);
            rules.storage.redacted.get_mut().table("tasks");
        }
        Ok(())
    })?;
    Ok(true)
}

/// A request of this process to the leader, wherever that is.
pub struct RemoteTask {
    connector: Connector,
    runtime: Runtime,
    session: Session,
    id: i64,
    /// The last line that was read.
    last: i64,
    led_at: Instant,
}

/// Why a request to the leader has no response.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no replica leads; nothing was done")]
    NoLeader,
    #[error("no replica leads any more; the next one begins again with it")]
    LeaderGone,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<PgError> for TaskError {
    fn from(error: PgError) -> Self {
        Self::Store(error.into())
    }
}

impl RemoteTask {
    /// # Errors
    /// The database cannot be reached, or has no store.
    pub fn submit(connector: Connector, request: &str) -> Result<Self, TaskError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (session, id) = runtime.wait(async {
            let session = connector.connect().await?;
            let sql = "INSERT INTO smscope.tasks (request) VALUES ($1) RETURNING id";
            let row = session.query_opt(sql, params![request => TEXT]).await?;
            let none = || PgError::Unreadable { table: "tasks", why: "it took no row".to_owned() };
            let id = row.ok_or_else(none)?.get(0);
            Ok::<_, PgError>((session, id))
        })?;
        Ok(Self { connector, runtime, session, id, last: 0, led_at: Instant::now() })
    }

    /// The lines since the last call; blocks until there are some.
    ///
    /// # Errors
    /// No replica leads, or the database cannot be reached, for a while.
    pub fn lines(&mut self) -> Result<Vec<String>, TaskError> {
        let reached = Instant::now();
        loop {
            match self.runtime.wait(poll(&self.session, self.id, self.last)) {
                Ok(Polled { lines, is_led, is_begun }) => {
                    if let Some((n, _)) = lines.last() {
                        self.last = *n;
                        return Ok(lines.into_iter().map(|(_, line)| line).collect());
                    }
                    if is_led {
                        self.led_at = Instant::now();
                    } else if self.led_at.elapsed() > PATIENCE {
                        return Err(if is_begun || !self.withdraw()? {
                            TaskError::LeaderGone
                        } else {
                            TaskError::NoLeader
                        });
                    }
                }
                Err(error) if matches!(error.remedy(), Remedy::Retry | Remedy::Reconnect) => {
                    if reached.elapsed() > PATIENCE {
                        return Err(error.into());
                    }
                    if let Ok(session) = self.runtime.wait(self.connector.connect()) {
                        self.session = session;
                    }
                }
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// `false`: a leader has begun it meanwhile.
    fn withdraw(&self) -> Result<bool, PgError> {
        let sql = "DELETE FROM smscope.tasks WHERE id = $1 AND begun_by IS NULL";
        Ok(self.runtime.wait(self.session.execute(sql, params![self.id => INT8]))? == 1)
    }
}

struct Polled {
    lines: Vec<(i64, String)>,
    is_led: bool,
    is_begun: bool,
}

async fn poll(session: &Session, id: i64, last: i64) -> Result<Polled, PgError> {
    let sql = "SELECT n, line FROM smscope.task_lines WHERE task = $1 AND n > $2 ORDER BY n";
    let lines = session.query(sql, params![id => INT8, last => INT8]).await?;
    let lines = lines.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sql = "SELECT until > clock_timestamp(), \
         (SELECT begun_by IS NOT NULL FROM smscope.tasks WHERE id = $1) FROM smscope.lease WHERE name = 'leader'";
    let state = session.query_opt(sql, params![id => INT8]).await?;
    let (is_led, is_begun) = state.map_or((false, None), |row| (row.get(0), row.get(1)));
    Ok(Polled { lines, is_led, is_begun: is_begun.unwrap_or(true) })
}
