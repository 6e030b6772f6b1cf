//! What waits: read by the relays, by housekeeping and for people.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{BEHIND, DUE, Delivery, Due, KeptRequest, LONGEST_WAIT, Undelivered};
use crate::route::{RelayName, Route};
use crate::store::messages::timestamp;
use crate::store::{journal, retention};

/// Up to a step of a route's deliveries that have waited since before `before`: their ids and lanes.
pub(super) fn too_old(connection: &Connection, route: &Route, before: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut old = Vec::new();
    for state in [DUE, BEHIND] {
        let oldest: Vec<(i64, i64, i64)> = connection
            .prepare_cached(
                "SELECT id, lane, since FROM relay_deliveries WHERE relay = ?1 AND state = ?2 ORDER BY event LIMIT ?3",
            )?
            .query_map(params![route.relay.as_str(), state, retention::STEP], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        old.extend(oldest.into_iter().filter(|(_, _, since)| *since < before).map(|(id, lane, _)| (id, lane)));
    }
    Ok(old)
}

/// The oldest event that a relay still has to deliver: it and what came after it stay.
pub fn needed_from(connection: &Connection, routes: &[Route]) -> rusqlite::Result<Option<i64>> {
    let mut needed = None;
    for route in routes {
        for state in [DUE, BEHIND] {
            let oldest: Option<i64> = connection
                .prepare_cached("SELECT min(event) FROM relay_deliveries WHERE relay = ?1 AND state = ?2")?
                .query_row(params![route.relay.as_str(), state], |row| row.get(0))?;
            needed = [needed, oldest].into_iter().flatten().min();
        }
    }
    Ok(needed)
}

pub(super) fn after_longest_wait(now: Timestamp) -> i64 {
    now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX).as_millisecond()
}

/// Whether anything is put off by more than it can be.
pub fn is_misdated(connection: &Connection, routes: &[Route], now: Timestamp) -> rusqlite::Result<bool> {
    let mut latest = connection
        .prepare_cached("SELECT 1 FROM relay_deliveries WHERE relay = ?1 AND state = 'due' AND due_at > ?2")?;
    for route in routes {
        if latest.exists(params![route.relay.as_str(), after_longest_wait(now)])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Since when the oldest delivery of each relay waits, in Unix milliseconds.
pub fn oldest_pending(connection: &Connection, routes: &[Route]) -> rusqlite::Result<Vec<(RelayName, i64)>> {
    let mut all = Vec::new();
    for route in routes {
        let mut oldest: Option<i64> = None;
        for state in [DUE, BEHIND] {
            let since = connection
                .prepare_cached(
                    "SELECT since FROM relay_deliveries WHERE relay = ?1 AND state = ?2 ORDER BY event LIMIT 1",
                )?
                .query_row(params![route.relay.as_str(), state], |row| row.get(0))
                .optional()?;
            oldest = [oldest, since].into_iter().flatten().min();
        }
        all.extend(oldest.map(|oldest| (route.relay.clone(), oldest)));
    }
    Ok(all)
}

/// Up to `limit` deliveries that are due at `now`, the longest due first, and when the next one will be. Nothing is read of those
/// that are `in_flight`.
pub fn due(
    connection: &Connection,
    relay: &RelayName,
    now: Timestamp,
    in_flight: &[i64],
    limit: usize,
) -> rusqlite::Result<Due> {
    let most = (in_flight.len() + limit) as i64;
    let mut ids: Vec<i64> = connection
        .prepare_cached(
            "SELECT id FROM relay_deliveries WHERE relay = ?1 AND state = 'due' AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3",
        )?
        .query_map(params![relay.as_str(), now.as_millisecond(), most], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    ids.retain(|id| !in_flight.contains(id));
    ids.truncate(limit);
    // What has been given up since is not there any more.
    let deliveries = ids.into_iter().filter_map(|id| delivery(connection, id).optional().transpose());
    let deliveries = deliveries.collect::<rusqlite::Result<_>>()?;
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(due_at) FROM relay_deliveries WHERE relay = ?1 AND state = 'due' AND due_at > ?2")?
        .query_row(params![relay.as_str(), now.as_millisecond()], |row| row.get(0))?;
    Ok(Due { deliveries, next: next.map(timestamp).transpose()? })
}

fn delivery(connection: &Connection, id: i64) -> rusqlite::Result<Delivery> {
    connection
        .prepare_cached(
            "SELECT d.id, d.attempts, d.since, e.id, e.received_at, e.event, r.method, r.query, r.content_type, r.body \
             FROM relay_deliveries AS d JOIN events AS e ON e.id = d.event \
             LEFT JOIN events AS r ON r.id = coalesce(e.request, e.id) WHERE d.id = ?1",
        )?
        .query_row([id], |row| {
            let request = match (row.get(6)?, row.get(7)?, row.get(9)?) {
                (Some(method), Some(query), Some(body)) => {
                    Some(KeptRequest { method, query, content_type: row.get(8)?, body })
                }
                _ => None,
            };
            Ok(Delivery {
                id: row.get(0)?,
                attempts: row.get(1)?,
                since: timestamp(row.get(2)?)?,
                entry: journal::entry(row.get(3)?, row.get(4)?, row.get_ref(5)?.as_str()?)?,
                request,
            })
        })
}

/// What waits and what was given up, the oldest first.
pub fn undelivered(
    connection: &Connection,
    relay: Option<&str>,
    only_dead: bool,
    limit: usize,
) -> rusqlite::Result<Vec<Undelivered>> {
    connection
        .prepare(
            "SELECT d.id, d.relay, e.kind, e.event ->> '$.message_id', e.received_at, d.state, d.attempts, d.error \
             FROM relay_deliveries AS d JOIN events AS e ON e.id = d.event \
             WHERE (?1 IS NULL OR d.relay = ?1) AND (NOT ?2 OR d.state = 'dead') ORDER BY d.id LIMIT ?3",
        )?
        .query_map(params![relay, only_dead, limit as i64], |row| {
            Ok(Undelivered {
                id: row.get(0)?,
                relay: row.get(1)?,
                kind: row.get(2)?,
                message_id: row.get(3)?,
                received_at: timestamp(row.get(4)?)?,
                state: row.get(5)?,
                attempts: row.get(6)?,
                error: row.get(7)?,
            })
        })?
        .collect()
}
