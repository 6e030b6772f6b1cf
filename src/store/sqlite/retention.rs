//! Retention: deletes, step by step, what has passed its time.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::messages::legacy_keys;
use super::search_index;
use crate::record::Position;
use crate::store::core;
use crate::store::ids::MessageRowId;

/// Rows that one step reads.
pub const STEP: i64 = core::STEP as i64;

/// What may be deleted, as Unix milliseconds and positions.
#[derive(Clone, Copy, Debug)]
pub struct EventLimits {
    /// Events that arrived before this may go…
    pub received_before: i64,
    /// …if they are at or before this place (exported), where an export runs…
    pub exported_to: Option<Position>,
    /// Events from this place on stay, since a relay needs them.
    pub relayed_from: Option<Position>,
    /// …or arrived before this, exported or not.
    pub given_up_before: i64,
    /// Events that arrived after this were dated by a wrong clock. They are deleted with those that arrived after them.
    pub future: i64,
}

/// When the oldest event arrived that was not dated by a wrong clock.
pub fn oldest_event(connection: &Connection, future: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT received_at FROM (SELECT received_at FROM events ORDER BY id LIMIT 100000) \
             WHERE received_at <= ?1 LIMIT 1",
        )?
        .query_row([future], |row| row.get(0))
        .optional()
}

/// The ids of messages that are pending since `before` or longer, up to a step of each source, configured or not.
pub fn past_horizon(connection: &Connection, before: Timestamp) -> rusqlite::Result<Vec<MessageRowId>> {
    let mut next_source = connection.prepare_cached(
        "SELECT source FROM messages INDEXED BY messages_pending \
         WHERE state IN ('scheduled', 'enroute') AND source > ?1 ORDER BY source LIMIT 1",
    )?;
    // A message is pending since its first sight or later.
    let mut past = connection.prepare_cached(
        "SELECT id FROM messages INDEXED BY messages_pending \
         WHERE source = ?1 AND state IN ('scheduled', 'enroute') AND first_seen <= ?2 AND pending_since <= ?2 LIMIT ?3",
    )?;
    let (mut source, mut found) = (String::new(), Vec::new());
    while let Some(next) = next_source.query_row([&source], |row| row.get(0)).optional()? {
        source = next;
        for id in past.query_map(params![source, before.as_millisecond(), STEP], |row| row.get(0))? {
            found.push(id?);
        }
    }
    Ok(found)
}

/// Deletes up to a step of the oldest events that may go, of which there is one. Gives how many went. The newest event stays, so that no place in the
/// journal is ever used twice.
pub fn prune_events(connection: &Connection, limits: EventLimits) -> rusqlite::Result<usize> {
    let oldest: Vec<(Position, i64)> = connection
        .prepare_cached("SELECT id, received_at FROM events ORDER BY id LIMIT ?1")?
        .query_map([STEP + 1], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let may_go = |(id, received_at): &&(Position, i64)| {
        let exported = limits.exported_to.is_none_or(|place| *id <= place);
        *received_at < limits.received_before && (exported || *received_at < limits.given_up_before)
    };
    let misdated = |(id, received_at): &&(Position, i64)| {
        *received_at > limits.future && limits.exported_to.is_none_or(|place| *id <= place)
    };
    let needed = |(id, _): &(Position, i64)| limits.relayed_from.is_some_and(|place| *id >= place);
    let candidates = oldest[..oldest.len().saturating_sub(1)].split(needed).next().unwrap_or_default();
    let leading = candidates.iter().take_while(|event| may_go(event) || misdated(event));
    let last = match leading.clone().filter(may_go).last() {
        // Nothing but misdated ones so far: what comes after them is due, or this would not have been called.
        None if !candidates.is_empty() && leading.count() == candidates.len() => candidates.last(),
        last => last,
    };
    let Some((last, _)) = last else { return Ok(0) };
    connection.prepare_cached("DELETE FROM events WHERE id <= ?1")?.execute([last])
}

/// Deletes a step of the oldest reply and request keys that arrived before `before`.
pub fn prune_event_keys(connection: &Connection, before: i64, future: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM event_keys WHERE id IN (SELECT id FROM \
             (SELECT id, received_at FROM event_keys WHERE received_at <= ?3 ORDER BY id LIMIT ?2) WHERE received_at < ?1)",
        )?
        .execute([before, STEP, future])
}

/// What one step through the messages has done.
#[derive(Debug, Default)]
pub struct PrunedMessages {
    /// Key and id of those that went.
    pub messages: Vec<(i64, MessageRowId)>,
    /// Where to go on; `None` when this round is over.
    pub reached: Option<MessageRowId>,
}

/// Walks the messages from the oldest on, a step at a time, and deletes those that are settled and silent since `before` and have no
/// event any more. The newest message stays, so that no id is used twice.
pub fn prune_messages(
    connection: &Connection,
    from: MessageRowId,
    before: i64,
    future: i64,
) -> rusqlite::Result<PrunedMessages> {
    // Those that have an event stay: it is found by its message.
    let rows: Vec<(MessageRowId, Vec<i64>, i64, i64, bool)> = connection
        .prepare_cached(
            "SELECT id, key, first_seen, last_event, state IN ('scheduled', 'enroute') \
             OR coalesce(newest_event >= (SELECT min(id) FROM events), 0), source, message_id, part <> '' \
             FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?
        .query_map(params![from, STEP + 1], |row| {
            let mut keys = vec![row.get(1)?];
            if row.get(7)? {
                keys.extend(legacy_keys(row.get_ref(5)?.as_str()?, row.get_ref(6)?.as_str()?));
            }
            Ok((row.get(0)?, keys, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let full = rows.len() as i64 > STEP;
    let mut pruned = PrunedMessages::default();
    let mut reached = from;
    let mut deleted = Vec::new();
    let walked = rows.len().saturating_sub(1);
    for (id, keys, first_seen, last_event, stays) in rows.into_iter().take(walked) {
        // Ids grow with first sight: what follows is younger still, but for what a wrong clock has dated.
        if (before..=future).contains(&first_seen) {
            search_index::forget(connection, &deleted)?;
            return Ok(pruned);
        }
        if !stays && last_event < before {
            for key in keys {
                connection
                    .prepare_cached("DELETE FROM message_keys WHERE key = ?1 AND message = ?2")?
                    .execute(params![key, id])?;
                pruned.messages.push((key, id));
            }
            connection.prepare_cached("DELETE FROM conversation_keys WHERE message = ?1")?.execute([id])?;
            connection
                .prepare_cached("DELETE FROM resends WHERE message = ?1 AND state IN ('requested', 'ended')")?
                .execute([id])?;
            connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
            deleted.push(id);
        }
        reached = id;
    }
    search_index::forget(connection, &deleted)?;
    pruned.reached = full.then_some(reached);
    Ok(pruned)
}

/// Counts what the database file holds: bytes in pages that are in use.
pub fn bytes_in_use(connection: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name: &str| connection.prepare_cached(name)?.query_row(params![], |row| row.get::<_, i64>(0));
    Ok((pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?) * page_size(connection)?)
}

pub fn page_size(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA page_size")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const OLD: i64 = 100_000;
    const MISDATED: i64 = 9_000_000;

    /// A journal whose events arrived at these times, pruned of what came before 500,000. Gives the places that are left.
    fn pruned(arrivals: &[i64], exported_to: Option<i64>, relayed_from: Option<i64>) -> Vec<i64> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE events (id INTEGER PRIMARY KEY, received_at INTEGER NOT NULL)").unwrap();
        for arrival in arrivals {
            connection.execute("INSERT INTO events (received_at) VALUES (?1)", [arrival]).unwrap();
        }
        let limits = EventLimits {
            received_before: 500_000,
            exported_to: exported_to.map(Position),
            relayed_from: relayed_from.map(Position),
            given_up_before: 0,
            future: NOW,
        };
        while oldest_event(&connection, NOW).unwrap().is_some_and(|oldest| oldest < limits.received_before)
            && prune_events(&connection, limits).unwrap() > 0
        {}
        let mut left = connection.prepare("SELECT id FROM events ORDER BY id").unwrap();
        left.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn what_a_wrong_clock_has_dated_goes_with_what_came_after_it_and_holds_nothing_up() {
        for (arrivals, exported_to, relayed_from, left) in [
            (&[OLD, OLD, NOW, NOW][..], None, None, &[3, 4][..]),
            (&[OLD, MISDATED, OLD, NOW, NOW], None, None, &[4, 5]),
            (&[MISDATED, OLD, NOW], None, None, &[3]),
            (&[OLD, MISDATED, NOW, NOW], None, None, &[2, 3, 4]),
            (&[OLD, MISDATED, OLD, NOW, NOW], Some(1), None, &[2, 3, 4, 5]),
            (&[OLD, OLD, OLD, NOW], None, Some(2), &[2, 3, 4]),
            (&[OLD, MISDATED, OLD, NOW, NOW], None, Some(3), &[3, 4, 5]),
            (&[OLD, MISDATED, OLD, NOW, NOW], None, Some(2), &[2, 3, 4, 5]),
            (&[MISDATED, MISDATED], None, None, &[1, 2]),
            (&[OLD, OLD, OLD], None, None, &[3]),
        ] {
            assert_eq!(
                pruned(arrivals, exported_to, relayed_from),
                left,
                "{arrivals:?}, relayed from {relayed_from:?}"
            );
        }
        let many: Vec<i64> = std::iter::repeat_n(MISDATED, 3 * STEP as usize).chain([OLD, NOW]).collect();
        assert_eq!(pruned(&many, None, None), [3 * STEP + 2]);
    }
}
