//! The table `relay_deliveries`: what the relays have to deliver.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::journal;
use super::transaction::SqliteTx;
use super::values::{timestamp, word};
use crate::record::Position;
use crate::route::{RelayName, Route};
use crate::store::core::storage::{DeliveryRow, DeliveryState, Outbox};
use crate::store::ids::{DeliveryId, OrderingKey};
use crate::store::relays::{Delivery, Due, LONGEST_WAIT, Undelivered};

const DUE: &str = DeliveryState::Due.as_str();
const BLOCKED: &str = DeliveryState::Blocked.as_str();

/// A query of whole rows, as [`read`] takes them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, relay, event, ordering_key, state, due_at, since, attempts, error FROM relay_deliveries WHERE ",
            $condition
        )
    };
}

impl Outbox for SqliteTx<'_> {
    fn insert_delivery(&mut self, row: &DeliveryRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO relay_deliveries (relay, event, ordering_key, state, due_at, since, attempts, error) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                row.relay.as_str(),
                row.event,
                row.ordering_key,
                row.state.as_str(),
                row.due_at.as_millisecond(),
                row.since.as_millisecond(),
                row.attempts,
                row.error,
            ])
            .map(drop)
    }

    fn delivery(&self, id: DeliveryId) -> rusqlite::Result<Option<DeliveryRow>> {
        self.connection
            .prepare_cached(select!("id = ?1"))?
            .query_row([id], |row| read(row).map(|(_, row)| row))
            .optional()
    }

    fn put_delivery(&mut self, id: DeliveryId, row: &DeliveryRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE relay_deliveries SET state = ?2, due_at = ?3, since = ?4, attempts = ?5, error = ?6 WHERE id = ?1",
            )?
            .execute(params![
                id,
                row.state.as_str(),
                row.due_at.as_millisecond(),
                row.since.as_millisecond(),
                row.attempts,
                row.error,
            ])
            .map(drop)
    }

    fn delete_delivery(&mut self, id: DeliveryId) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM relay_deliveries WHERE id = ?1")?.execute([id]).map(drop)
    }

    fn is_queued(&self, relay: &RelayName, key: OrderingKey) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT 1 FROM relay_deliveries WHERE relay = ?1 AND ordering_key = ?2 AND state <> 'dead'",
            )?
            .exists(params![relay.as_str(), key])
    }

    fn first_in_order(
        &self,
        relay: &RelayName,
        key: OrderingKey,
        state: DeliveryState,
    ) -> rusqlite::Result<Option<DeliveryId>> {
        self.connection
            .prepare_cached(
                "SELECT min(id) FROM relay_deliveries WHERE relay = ?1 AND ordering_key = ?2 AND state = ?3",
            )?
            .query_row(params![relay.as_str(), key, state.as_str()], |row| row.get(0))
    }

    fn waiting_since(&self, relay: &RelayName, before: Timestamp, limit: usize) -> rusqlite::Result<Vec<DeliveryId>> {
        let mut waiting = Vec::new();
        for state in [DUE, BLOCKED] {
            let oldest: Vec<(DeliveryId, i64)> = self
                .connection
                .prepare_cached(
                    "SELECT id, since FROM relay_deliveries WHERE relay = ?1 AND state = ?2 ORDER BY event LIMIT ?3",
                )?
                .query_map(params![relay.as_str(), state, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            waiting.extend(oldest.into_iter().filter(|(_, since)| *since < before.as_millisecond()).map(|(id, _)| id));
        }
        Ok(waiting)
    }

    fn promote(&mut self, relay: &RelayName, now: Timestamp, after: Timestamp) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached(
                "UPDATE relay_deliveries SET due_at = ?2, since = min(since, ?2) \
                 WHERE relay = ?1 AND state = 'due' AND due_at > ?3",
            )?
            .execute(params![relay.as_str(), now.as_millisecond(), after.as_millisecond()])
    }

    fn dead_letters_after(&self, id: DeliveryId, limit: usize) -> rusqlite::Result<Vec<(DeliveryId, DeliveryRow)>> {
        self.connection
            .prepare_cached(select!("id > ?1 AND state = 'dead' ORDER BY id LIMIT ?2"))?
            .query_map(params![id, limit as i64], read)?
            .collect()
    }

    fn dead_letters_without_event(&self, limit: usize) -> rusqlite::Result<Vec<(DeliveryId, RelayName)>> {
        // Ids grow with positions, and what is not dead keeps its event.
        self.connection
            .prepare_cached(
                "SELECT id, relay FROM (SELECT id, relay, event FROM relay_deliveries ORDER BY id LIMIT ?1) \
                 WHERE event < (SELECT coalesce(min(id), 0) FROM events)",
            )?
            .query_map([limit as i64], |row| Ok((row.get(0)?, word(row, 1, RelayName::new)?)))?
            .collect()
    }

    fn pending_deliveries(&self) -> rusqlite::Result<Vec<(RelayName, i64)>> {
        self.connection
            .prepare("SELECT relay, count(*) FROM relay_deliveries WHERE state <> 'dead' GROUP BY relay")?
            .query_map([], |row| Ok((word(row, 0, RelayName::new)?, row.get(1)?)))?
            .collect()
    }

    fn bury_deliveries(&mut self, relay: &RelayName, error: &str) -> rusqlite::Result<()> {
        self.connection
            .execute(
                "UPDATE relay_deliveries SET state = 'dead', error = ?2 WHERE relay = ?1 AND state <> 'dead'",
                params![relay.as_str(), error],
            )
            .map(drop)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(DeliveryId, DeliveryRow)> {
    let delivery = DeliveryRow {
        relay: word(row, 1, RelayName::new)?,
        event: row.get(2)?,
        ordering_key: row.get(3)?,
        state: word(row, 4, |word| word.parse().ok())?,
        due_at: timestamp(row.get(5)?)?,
        since: timestamp(row.get(6)?)?,
        attempts: row.get(7)?,
        error: row.get(8)?,
    };
    Ok((row.get(0)?, delivery))
}

/// The oldest event that a relay still has to deliver: it and what came after it stay.
pub fn needed_from(connection: &Connection, routes: &[Route]) -> rusqlite::Result<Option<Position>> {
    let mut needed = None;
    for route in routes {
        for state in [DUE, BLOCKED] {
            let oldest: Option<Position> = connection
                .prepare_cached("SELECT min(event) FROM relay_deliveries WHERE relay = ?1 AND state = ?2")?
                .query_row(params![route.relay.as_str(), state], |row| row.get(0))?;
            needed = [needed, oldest].into_iter().flatten().min();
        }
    }
    Ok(needed)
}

fn after_longest_wait(now: Timestamp) -> i64 {
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
        for state in [DUE, BLOCKED] {
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
    in_flight: &[DeliveryId],
    limit: usize,
) -> rusqlite::Result<Due> {
    let most = (in_flight.len() + limit) as i64;
    let mut ids: Vec<DeliveryId> = connection
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

fn delivery(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Delivery> {
    connection
        .prepare_cached(
            "SELECT d.id, d.attempts, d.since, e.id, e.received_at, e.event, e.packed, \
             r.method, r.query, r.content_type, r.body, r.packed FROM relay_deliveries AS d JOIN events AS e ON e.id = d.event \
             LEFT JOIN events AS r ON r.id = coalesce(e.request, e.id) WHERE d.id = ?1",
        )?
        .query_row([id], |row| {
            Ok(Delivery {
                id: row.get(0)?,
                attempts: row.get(1)?,
                since: timestamp(row.get(2)?)?,
                entry: journal::entry(row, 3)?,
                request: journal::request(row, 7)?,
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
            "SELECT d.id, d.relay, e.kind, coalesce(e.event ->> '$.message_id', m.message_id), e.received_at, d.state, d.attempts, \
             d.error FROM relay_deliveries AS d JOIN events AS e ON e.id = d.event \
             LEFT JOIN messages AS m ON m.id = e.message AND e.packed IS NOT NULL \
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
