//! Retention: deletes what has passed its time.
//!
//! The journal and its requests are deleted by the day, as partitions: a row is never deleted by itself. A day is the one on which the
//! leader stored an event, by the server's clock, so a wrong clock elsewhere holds nothing up. What is deleted row by row is deleted a
//! step at a time, in the leader's fenced transactions.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::error::PgError;
use super::session::{Pipeline, Session, columns, params};
use super::values::Columns;
use super::{meta, schema};
use crate::record::Position;
use crate::route::Route;
use crate::store::core::STEP;
use crate::store::core::storage::DeliveryState;
use crate::store::ids::MessageRowId;

pub const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// What may be deleted, as Unix milliseconds and positions.
#[derive(Clone, Copy, Debug)]
pub struct EventLimits {
    /// Events of days that ended before this may go…
    pub stored_before: i64,
    /// …if they are at or before this position (exported), where an export runs…
    pub exported_to: Option<Position>,
    /// Events from this position on stay, since a relay needs them.
    pub relayed_from: Option<Position>,
    /// …or are of days that ended before this, exported or not.
    pub given_up_before: i64,
}

/// The ids of messages that are pending since `before` or longer, up to a step of each source and state.
///
/// # Errors
/// Those of the database.
pub async fn past_horizon(session: &Session, before: Timestamp) -> Result<Vec<MessageRowId>, PgError> {
    // A message is pending since its first sight or later. The recursion finds the sources without reading all that is pending.
    let sql = "WITH RECURSIVE sources (source) AS (SELECT min(source) FROM smscope.pending UNION ALL \
         SELECT (SELECT min(p.source) FROM smscope.pending AS p WHERE p.source > s.source) FROM sources AS s \
         WHERE s.source IS NOT NULL) \
         SELECT past.message FROM sources AS s CROSS JOIN unnest(ARRAY['scheduled', 'enroute']) AS t (state) CROSS JOIN LATERAL \
         (SELECT p.message FROM smscope.pending AS p WHERE p.source = s.source AND p.state = t.state AND p.first_seen <= $1 \
          AND p.pending_since <= $1 ORDER BY p.first_seen LIMIT $2) AS past";
    let rows = session.query(sql, params![before.as_millisecond() => INT8, STEP as i64 => INT8]).await?;
    rows.iter().map(|row| Columns::of("pending", row, 0).get()).collect()
}

/// The oldest event that a relay still has to deliver: it and what came after it stay.
///
/// # Errors
/// Those of the database.
pub async fn needed_from(session: &Session, routes: &[Route]) -> Result<Option<Position>, PgError> {
    let relays: Vec<&str> = routes.iter().map(|route| route.relay.as_str()).collect();
    let sql = "SELECT min(oldest.event) FROM unnest($1::text[]) AS u (relay) CROSS JOIN unnest($2::text[]) AS t (state) \
         CROSS JOIN LATERAL (SELECT min(d.event) AS event FROM smscope.relay_deliveries AS d \
         WHERE d.relay = u.relay AND d.state = t.state) AS oldest";
    let waiting = [DeliveryState::Due, DeliveryState::Blocked].map(DeliveryState::as_str);
    let found = session.query_opt(sql, params![relays => TEXT_ARRAY, &waiting[..] => TEXT_ARRAY]).await?;
    found.map_or(Ok(None), |row| Columns::of("relay_deliveries", &row, 0).get())
}

/// Deletes a step of the oldest reply and request keys that arrived before `before`. Gives how many.
///
/// # Errors
/// Those of the database.
pub async fn prune_event_keys(session: &Session, before: i64) -> Result<usize, PgError> {
    let sql = "DELETE FROM smscope.event_keys WHERE key = ANY (ARRAY \
         (SELECT key FROM smscope.event_keys WHERE received_at < $1 ORDER BY received_at LIMIT $2))";
    let pruned = session.execute(sql, params![before => INT8, STEP as i64 => INT8]).await?;
    Ok(usize::try_from(pruned).unwrap_or(usize::MAX))
}

/// Walks the messages from the oldest on, a step at a time, and deletes those that are settled and silent since `before`. Messages that
/// were first seen after `future` are dated by a wrong clock. The newest message stays, so that no id is used twice. Gives where to go
/// on; `None` when this round is over.
///
/// # Errors
/// Those of the database.
pub async fn prune_messages(
    session: &Session,
    from: MessageRowId,
    before: i64,
    future: i64,
) -> Result<Option<MessageRowId>, PgError> {
    let sql = "SELECT id, first_seen, last_event, state IN ('scheduled', 'enroute') FROM smscope.messages \
         WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = session.query(sql, params![from => INT8, STEP as i64 + 1 => INT8]).await?;
    let (mut expired, mut reached) = (Vec::new(), (rows.len() > STEP).then_some(from));
    for row in &rows[..rows.len().saturating_sub(1)] {
        let mut columns = Columns::of("messages", row, 0);
        let (id, first_seen, last_event): (MessageRowId, i64, i64) = (columns.get()?, columns.get()?, columns.get()?);
        // Ids grow with first sight: what follows is younger still, but for what a wrong clock has dated.
        if (before..=future).contains(&first_seen) {
            reached = None;
            break;
        }
        if !columns.get::<bool>()? && last_event < before {
            expired.push(id);
        }
        reached = reached.map(|_| id);
    }
    if !expired.is_empty() {
        let mut deletions = Pipeline::default();
        for sql in [
            "DELETE FROM smscope.conversation_keys WHERE message = ANY($1)",
            "DELETE FROM smscope.resends WHERE message = ANY($1) AND state IN ('requested', 'ended')",
            "DELETE FROM smscope.messages WHERE id = ANY($1)",
        ] {
            deletions.add(sql, columns![expired.clone() => INT8_ARRAY]);
        }
        session.run(None, &deletions, None).await?;
    }
    Ok(reached)
}

/// Deletes a step of the dedup keys that have no day, of requests which the provider does not retry any more. Gives how many.
///
/// # Errors
/// Those of the database.
pub async fn prune_dedup_keys(session: &Session) -> Result<usize, PgError> {
    let oldest_day = schema::today(session).await? - schema::DEDUP_DAYS;
    // Ids grow with days.
    let sql = "DELETE FROM smscope.dedup_0 WHERE ctid = ANY (ARRAY (SELECT ctid FROM smscope.dedup_0 \
         WHERE received < (SELECT min(id) FROM smscope.received WHERE day >= $1) LIMIT $2))";
    let pruned = session.execute(sql, params![oldest_day => INT4, STEP as i64 => INT8]).await?;
    Ok(usize::try_from(pruned).unwrap_or(usize::MAX))
}

/// A partition, or what was one until lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partition {
    day: i32,
    table: &'static str,
    attached: Attached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attached {
    Yes,
    /// Detaching it was begun.
    Pending,
    No,
}

/// Drops the partitions of days that have passed, the oldest first. Gives how many. It takes no lock that an insert waits for, and so
/// may not be in a transaction.
///
/// # Errors
/// Those of the database. What is half done is completed by the next call.
pub async fn drop_partitions(session: &Session, limits: EventLimits) -> Result<usize, PgError> {
    let partitions = partitions(session).await?;
    let today = schema::today(session).await?;
    // That of a day without events may be missing.
    let mut oldest_event_day = partitions.iter().find(|one| one.table == "journal").map_or(today, |one| one.day);
    let mut dropped = 0;
    for partition in partitions.iter().filter(|one| one.table == "journal") {
        if partition.attached == Attached::Yes {
            let sql = "SELECT max(position) FROM smscope.journal WHERE day = $1";
            let found = session.query_opt(sql, params![partition.day => INT4]).await?;
            let newest: Option<Position> = found.map_or(Ok(None), |row| Columns::of("journal", &row, 0).get())?;
            if !may_go(partition.day, newest, &limits) {
                break;
            }
            if let Some(newest) = newest {
                meta::save_journal_head(session, newest).await?;
            }
        }
        drop_partition(session, *partition).await?;
        oldest_event_day = partition.day + 1;
        dropped += 1;
    }
    let unprocessed = session.query_opt("SELECT min(day) FROM smscope.inbox", &[]).await?;
    let unprocessed: Option<i32> = unprocessed.map_or(Ok(None), |row| Columns::of("inbox", &row, 0).get())?;
    for partition in &partitions {
        let may_go = match partition.table {
            // A request that came before midnight may have been processed after it.
            "received" => {
                let is_old = may_go(partition.day, None, &limits);
                is_old
                    && partition.day + 1 < oldest_event_day
                    && unprocessed.is_none_or(|oldest| partition.day < oldest)
            }
            "dedup" => partition.day != 0 && partition.day < today - schema::DEDUP_DAYS,
            _ => false,
        };
        if may_go {
            if partition.table == "received" {
                let sql = "DELETE FROM smscope.inbox_stuck WHERE day <= $1";
                session.execute(sql, params![partition.day => INT4]).await?;
            }
            drop_partition(session, *partition).await?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// Whether the events of a day may be deleted, the newest of which is `newest`.
fn may_go(day: i32, newest: Option<Position>, limits: &EventLimits) -> bool {
    let ended = (i64::from(day) + 1) * MILLISECONDS_PER_DAY;
    let is_at_most = |limit: Option<Position>| limit.is_none_or(|limit| newest.is_none_or(|newest| newest <= limit));
    let is_relayed = limits.relayed_from.is_none_or(|from| newest.is_none_or(|newest| newest < from));
    ended <= limits.stored_before && is_relayed && (is_at_most(limits.exported_to) || ended <= limits.given_up_before)
}

async fn drop_partition(session: &Session, Partition { day, table, attached }: Partition) -> Result<(), PgError> {
    let detach = format!("ALTER TABLE smscope.{table} DETACH PARTITION smscope.{table}_{day}");
    match attached {
        Attached::Yes => session.batch(&format!("{detach} CONCURRENTLY")).await?,
        Attached::Pending => session.batch(&format!("{detach} FINALIZE")).await?,
        Attached::No => {}
    }
    session.batch(&format!("DROP TABLE smscope.{table}_{day}")).await
}

/// The partitions of all tables, in the order of their days.
async fn partitions(session: &Session) -> Result<Vec<Partition>, PgError> {
    let sql = "SELECT c.relname::text, c.relispartition, coalesce(i.inhdetachpending, false) FROM pg_class AS c \
         LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid WHERE c.relnamespace = 'smscope'::regnamespace AND c.relkind = 'r' \
         AND c.relname ~ '^(journal|received|dedup)_[0-9]+$'";
    let read = |row: &Row| {
        let mut columns = Columns::of("pg_class", row, 0);
        let (table, day) = columns.word(|name| {
            let (table, day) = name.rsplit_once('_')?;
            let table = ["journal", "received", "dedup"].into_iter().find(|known| *known == table)?;
            Some((table, day.parse().ok()?))
        })?;
        let attached = match (columns.get()?, columns.get()?) {
            (_, true) => Attached::Pending,
            (true, false) => Attached::Yes,
            (false, false) => Attached::No,
        };
        Ok(Partition { day, table, attached })
    };
    let mut all: Vec<Partition> = session.query(sql, &[]).await?.iter().map(read).collect::<Result<_, PgError>>()?;
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
