//! Housekeeping in small steps: what has passed its horizon expires, what has passed its time goes.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};

/// Rows looked at in one step: a step is a short transaction between two commits of requests.
pub const STEP: i64 = 200;

/// What may go, as Unix milliseconds and journal places.
#[derive(Clone, Copy, Debug)]
pub struct EventLimits {
    /// Events that arrived before this may go…
    pub received_before: i64,
    /// …if they are at or before this place (exported), where an export runs…
    pub exported_to: Option<i64>,
    /// Events from this place on stay, since a relay needs them.
    pub relayed_from: Option<i64>,
    /// …or arrived before this, exported or not.
    pub given_up_before: i64,
}

/// The ids of messages that are pending since `before` or longer, the longest first.
pub fn past_horizon(connection: &Connection, before: Timestamp) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached(
            "SELECT id FROM messages WHERE state IN ('scheduled', 'enroute') AND pending_since <= ?1 \
             ORDER BY pending_since LIMIT ?2",
        )?
        .query_map([before.as_millisecond(), STEP], |row| row.get(0))?
        .collect()
}

/// Deletes up to a step of the oldest events that may go. Gives how many went. The newest event stays, so that no place in the
/// journal is ever used twice.
pub fn prune_events(connection: &Connection, limits: EventLimits) -> rusqlite::Result<usize> {
    let oldest: Vec<(i64, i64)> = connection
        .prepare_cached("SELECT id, received_at FROM events ORDER BY id LIMIT ?1")?
        .query_map([STEP + 1], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let may_go = |(id, received_at): &&(i64, i64)| {
        if limits.relayed_from.is_some_and(|place| *id >= place) {
            return false;
        }
        let exported = limits.exported_to.is_none_or(|place| *id <= place);
        *received_at < limits.received_before && (exported || *received_at < limits.given_up_before)
    };
    let candidates = oldest.len().saturating_sub(1);
    let Some((last, _)) = oldest[..candidates].iter().take_while(may_go).last() else { return Ok(0) };
    connection.prepare_cached("DELETE FROM events WHERE id <= ?1")?.execute([last])
}

/// Deletes a step of the oldest reply and request keys that arrived before `before`.
pub fn prune_event_keys(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM event_keys WHERE id IN \
             (SELECT id FROM (SELECT id, received_at FROM event_keys ORDER BY id LIMIT ?2) WHERE received_at < ?1)",
        )?
        .execute([before, STEP])
}

/// What one step through the messages has done.
#[derive(Debug, Default)]
pub struct PrunedMessages {
    /// Key and id of those that went.
    pub messages: Vec<(i64, i64)>,
    /// Where to go on; `None` when this round is over.
    pub reached: Option<i64>,
}

/// Walks the messages from the oldest on, a step at a time, and deletes those that are settled and silent since `before`. The newest
/// message stays, so that no id is used twice.
pub fn prune_messages(connection: &Connection, from: i64, before: i64) -> rusqlite::Result<PrunedMessages> {
    let rows: Vec<(i64, i64, i64, i64, bool)> = connection
        .prepare_cached(
            "SELECT id, key, first_seen, last_event, state IN ('scheduled', 'enroute') FROM messages WHERE id > ?1 \
             ORDER BY id LIMIT ?2",
        )?
        .query_map([from, STEP + 1], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let full = rows.len() as i64 > STEP;
    let mut pruned = PrunedMessages::default();
    let mut reached = from;
    for &(id, key, first_seen, last_event, pending) in &rows[..rows.len().saturating_sub(1)] {
        // Ids grow with first sight: what follows is younger still.
        if first_seen >= before {
            return Ok(pruned);
        }
        if !pending && last_event < before {
            connection.prepare_cached("DELETE FROM receipt_keys WHERE message = ?1")?.execute([id])?;
            connection
                .prepare_cached("DELETE FROM message_keys WHERE key = ?1 AND message = ?2")?
                .execute([key, id])?;
            connection.prepare_cached("DELETE FROM conversation_keys WHERE message = ?1")?.execute([id])?;
            connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
            pruned.messages.push((key, id));
        }
        reached = id;
    }
    pruned.reached = full.then_some(reached);
    Ok(pruned)
}

/// How long message state and duplicate keys outlive the last event.
pub fn state_retention(retention: Duration, horizon: Duration) -> Duration {
    retention.max(horizon + Duration::from_secs(48 * 3600))
}

/// Milliseconds of `now - age`.
pub fn before(now: Timestamp, age: Duration) -> i64 {
    now.as_millisecond().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Counts what the database file holds: bytes in pages that are in use.
pub fn bytes_in_use(connection: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name: &str| connection.prepare_cached(name)?.query_row(params![], |row| row.get::<_, i64>(0));
    Ok((pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?) * pragma("PRAGMA page_size")?)
}
