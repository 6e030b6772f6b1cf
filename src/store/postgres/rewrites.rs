//! The table `rewrites`: tables in which something that was erased is left between rows.
//!
//! An UPDATE leaves the old row in its page, and VACUUM only frees its room. So a table is rewritten whole (`VACUUM FULL`): of the
//! partitions those whose day is over, which no front door writes any more, and those that only the leader writes. Whatever reads a
//! table that is being rewritten waits for it; the leader does nothing else meanwhile but renew its lease.
//!
//! A rewritten table still has the rows that an old transaction of somebody could see. Whether it has any is known from the
//! transaction id up to which it is frozen: before the transaction that erased something, or after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::PgError;
use super::leader::Leader;
use super::session::{Pipeline, columns, params};
use super::term::Term;
use crate::store::core::erase::Subjects;
use crate::store::erasure::{self, EraseError, Erased, Phase, ProgressSink};
use crate::store::read::Reader;

/// How soon maintenance tries again what it could not do.
pub const AGAIN: Duration = Duration::from_secs(600);

/// How often the leader looks whether a table is rewritten.
const PAUSE: Duration = Duration::from_millis(20);

const NOTE: &str = "INSERT INTO smscope.rewrites AS r (relation, day, is_due, changed_in) \
    SELECT u.relation, u.day, u.is_due, pg_current_xact_id() FROM unnest($1::text[], $2::int[], $3::boolean[]) AS u (relation, day, is_due) \
    ON CONFLICT (relation) DO UPDATE SET is_due = r.is_due OR excluded.is_due, changed_in = excluded.changed_in, tried_at = NULL";
const ALL_DUE: &str = "UPDATE smscope.rewrites SET is_due = true WHERE NOT is_due";

/// What can be rewritten: no transaction that is still open was open at the erasure.
const NEXT: &str = "SELECT relation, to_regclass('smscope.' || relation) IS NULL FROM smscope.rewrites \
    WHERE is_due AND (day IS NULL OR day < $1) AND changed_in < pg_snapshot_xmin(pg_current_snapshot()) \
    AND (tried_at IS NULL OR tried_at < clock_timestamp() - $2 * interval '1 second') ORDER BY tried_at NULLS FIRST, relation LIMIT 1";
const DONE: &str = "DELETE FROM smscope.rewrites AS r USING pg_class AS c WHERE r.relation = $1 \
    AND c.oid = to_regclass('smscope.' || r.relation) AND age(c.relfrozenxid) < age(r.changed_in::xid)";

/// Tables that a transaction has redacted, by name.
#[derive(Default)]
pub(super) struct Redacted(BTreeMap<String, (Option<i32>, bool)>);

impl Redacted {
    /// A person was erased from a table.
    pub fn table(&mut self, name: &str) {
        self.0.insert(name.to_owned(), (None, true));
    }

    /// Something was deleted from the partition of a day. `is_due`: because a person is erased. Else it is rewritten at the next erasure,
    /// which may be that of the person in it.
    pub fn partition(&mut self, table: &str, day: i32, is_due: bool) {
        self.0.entry(format!("{table}_{day}")).or_insert((Some(day), is_due)).1 |= is_due;
    }

    /// Adds the statements that note them.
    pub fn write(self, is_erasure: bool, writes: &mut Pipeline) {
        if is_erasure {
            writes.add(ALL_DUE, Vec::new());
        }
        if self.0.is_empty() {
            return;
        }
        let (mut names, mut days, mut due) = (Vec::new(), Vec::new(), Vec::new());
        for (name, (day, is_due)) in self.0 {
            names.push(name);
            days.push(day);
            due.push(is_due);
        }
        writes.add(NOTE, columns![names => TEXT_ARRAY, days => INT4_ARRAY, due => BOOL_ARRAY]);
    }
}

/// What became of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// None can be rewritten now.
    None,
    Done,
    /// It is tried again later.
    Failed,
}

/// How many tables are to be rewritten: now, and at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    pub now: u64,
    pub all: u64,
}

/// # Errors
/// Those of the database.
pub fn due(term: &Term) -> Result<Due, PgError> {
    let sql = "SELECT count(*) FILTER (WHERE day IS NULL OR day < $1), count(*) FROM smscope.rewrites WHERE is_due";
    let row = term.block_on(term.session.query_opt(sql, params![term.day() => INT4]))?;
    let count = |row: &tokio_postgres::Row, column: usize| row.get::<_, i64>(column).unsigned_abs();
    Ok(row.map_or(Due::default(), |row| Due { now: count(&row, 0), all: count(&row, 1) }))
}

/// Rewrites the next table that is due, unless that failed less than `again` ago. The leader does nothing else meanwhile.
///
/// # Errors
/// Those that end the term. Of the rewriting itself they are logged.
pub fn rewrite_next(leader: &Leader, term: &mut Term, again: Duration) -> Result<Rewrite, PgError> {
    let next = params![term.day() => INT4, again.as_secs_f64() => FLOAT8];
    let Some(row) = term.block_on(term.session.query_opt(NEXT, next))? else { return Ok(Rewrite::None) };
    let (relation, is_gone): (String, bool) = (row.get(0), row.get(1));
    if is_gone {
        forget(term, &relation)?;
        return Ok(Rewrite::Done);
    }
    match vacuum(leader, term, &relation)? {
        Ok(()) if term.block_on(term.session.execute(DONE, params![relation => TEXT]))? == 1 => {
            return Ok(Rewrite::Done);
        }
        Ok(()) => tracing::warn!(
            relation,
            "a table was rewritten, and an old transaction could still see what was erased from it; it is tried again later"
        ),
        Err(error) => {
            tracing::warn!(relation, %error, "a table was not rewritten after an erasure; it is tried again later")
        }
    }
    let sql = "UPDATE smscope.rewrites SET tried_at = clock_timestamp() WHERE relation = $1";
    term.block_on(term.session.execute(sql, params![relation => TEXT]))?;
    Ok(Rewrite::Failed)
}

fn forget(term: &Term, relation: &str) -> Result<(), PgError> {
    let sql = "DELETE FROM smscope.rewrites WHERE relation = $1";
    term.block_on(term.session.execute(sql, params![relation => TEXT])).map(drop)
}

/// Rewrites a table, and renews the lease meanwhile. The outer error is that of the lease.
fn vacuum(leader: &Leader, term: &mut Term, relation: &str) -> Result<Result<(), PgError>, PgError> {
    // Its name is a table's of the schema, and needs no quotes.
    let (connector, sql) = (leader.connector.clone(), format!("VACUUM (FULL) smscope.{relation}"));
    let rewriting = leader.runtime.spawn(async move { connector.connect_for_long().await?.batch(&sql).await });
    while !rewriting.is_finished() {
        if let Err(error) = term.renew() {
            // The server ends it when it sees that the connection is closed.
            rewriting.abort();
            return Err(error);
        }
        leader.show(term);
        std::thread::sleep(PAUSE);
    }
    Ok(term.block_on(rewriting).unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
}

/// How an erasure asks the leader.
pub trait Driver {
    /// Waits until all is processed that was acknowledged before.
    ///
    /// # Errors
    /// This replica does not lead.
    fn catch_up(&mut self) -> Result<(), EraseError>;

    /// Runs a step in a transaction; gives how many rows had something of the person.
    ///
    /// # Errors
    /// Nothing of it was done.
    fn perform(&mut self, step: crate::store::core::erase::Step) -> Result<u64, EraseError>;

    /// Deletes what they have in requests that could not be processed; gives how many.
    ///
    /// # Errors
    /// Not all was done.
    fn erase_stuck(&mut self, subjects: Arc<Subjects>) -> Result<u64, EraseError>;

    /// # Errors
    /// This replica does not lead.
    fn due_rewrites(&mut self) -> Result<Due, EraseError>;

    /// Rewrites the next table.
    ///
    /// # Errors
    /// This replica does not lead any more.
    fn rewrite(&mut self) -> Result<Rewrite, EraseError>;
}

/// Erases `subjects`. Blocks for as long as it takes.
///
/// # Errors
/// The database cannot be read, or `driver` failed. What was done stays done.
pub fn erase(
    reader: &dyn Reader,
    subjects: &Subjects,
    driver: &mut impl Driver,
    mut sink: impl ProgressSink,
) -> Result<Erased, EraseError> {
    driver.catch_up()?;
    let mut erased = erasure::redact(reader, subjects, |step| driver.perform(step), &mut sink)?;
    erased.events += driver.erase_stuck(Arc::new(subjects.clone()))?;
    let now = driver.due_rewrites()?.now;
    for done in 0..now {
        erasure::report(&mut sink, Phase::Overwriting, done as i64, now as i64)?;
        if driver.rewrite()? == Rewrite::None {
            break;
        }
    }
    Ok(Erased { log_is_cut: true, to_rewrite: driver.due_rewrites()?.all, ..erased })
}
