//! The table `relay_deliveries`: what the relays have to deliver.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::error::PgError;
use super::session::{Pipeline, columns, params};
use super::texts::without_nul;
use super::transaction::{PgTx, Slot};
use super::values::{Columns, int4};
use crate::route::RelayName;
use crate::store::core::storage::{DeliveryRow, DeliveryState, Outbox};
use crate::store::ids::{DeliveryId, OrderingKey};

/// The columns of `relay_deliveries AS d` that [`DeliveryRows::admit`] reads, in this order.
macro_rules! delivery_columns {
    () => {
        "d.id, d.relay, d.event, d.ordering_key, d.state, d.due_at, d.since, d.attempts, d.error"
    };
}

/// Deliveries with one ordering key that are read ahead. Of a key that has more, [`DeliveryRows`] does not know which there are.
const ORDER: usize = 64;

/// What is not dead with each of some ordering keys, up to one more than [`ORDER`].
pub(super) const IN_ORDER: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM unnest($1::bigint[]) AS k (key) CROSS JOIN LATERAL \
     (SELECT * FROM smscope.relay_deliveries WHERE ordering_key = k.key AND state <> 'dead' ORDER BY relay, id LIMIT 65) AS d"
);

/// The same of the messages with some keys, whose ids are ordering keys.
pub(super) const IN_ORDER_OF_MESSAGES: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM smscope.messages AS m CROSS JOIN LATERAL \
     (SELECT * FROM smscope.relay_deliveries WHERE ordering_key = m.id AND state <> 'dead' ORDER BY relay, id LIMIT 65) AS d \
     WHERE m.key = ANY($1)"
);

/// The same of what is in order with some deliveries.
const IN_ORDER_WITH: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM (SELECT DISTINCT ordering_key FROM smscope.relay_deliveries WHERE id = ANY($1)) AS k CROSS JOIN LATERAL \
     (SELECT * FROM smscope.relay_deliveries WHERE ordering_key = k.ordering_key AND state <> 'dead' \
      ORDER BY relay, id LIMIT 65) AS d"
);

const FIND: &str = concat!("SELECT ", delivery_columns!(), " FROM smscope.relay_deliveries AS d WHERE d.id = ANY($1)");

/// What is known of the table.
#[derive(Default)]
pub(super) struct DeliveryRows {
    rows: HashMap<DeliveryId, Slot<DeliveryRow>>,
    /// All that are not dead with an ordering key, and perhaps some that are.
    in_order: HashMap<OrderingKey, BTreeSet<DeliveryId>>,
    changed: Vec<DeliveryId>,
}

impl DeliveryRows {
    /// A row of the table. What memory has is newer.
    fn admit(&mut self, row: &Row) -> Result<DeliveryId, PgError> {
        let (id, row) = read(row)?;
        self.rows.entry(id).or_insert_with(|| Slot::stored(Some(row)));
        Ok(id)
    }

    /// Rows of [`IN_ORDER`] and its like, which was asked for `keys`.
    pub fn admit_orders(&mut self, keys: &[OrderingKey], rows: &[Row]) -> Result<(), PgError> {
        let mut in_order: HashMap<OrderingKey, BTreeSet<DeliveryId>> =
            keys.iter().map(|key| (*key, BTreeSet::new())).collect();
        for row in rows {
            let id = self.admit(row)?;
            if let Some(delivery) = &self.rows[&id].row {
                in_order.entry(delivery.ordering_key).or_default().insert(id);
            }
        }
        for (key, ids) in in_order.into_iter().filter(|(_, ids)| ids.len() <= ORDER) {
            self.in_order.entry(key).or_insert(ids);
        }
        Ok(())
    }

    fn put(&mut self, id: DeliveryId, row: Option<DeliveryRow>, is_stored: bool) {
        if let Some(row) = &row
            && let Some(ids) = self.in_order.get_mut(&row.ordering_key)
        {
            ids.insert(id);
        }
        let slot = self.rows.entry(id).or_insert(Slot { row: None, is_stored, is_changed: false });
        slot.row = row;
        if !slot.is_changed {
            slot.is_changed = true;
            self.changed.push(id);
        }
    }

    /// Does in memory what a statement does to all of a relay.
    fn change_all(&mut self, relay: &RelayName, change: impl Fn(&mut DeliveryRow)) {
        self.rows.values_mut().filter_map(|slot| slot.row.as_mut()).filter(|row| row.relay == *relay).for_each(change);
    }

    /// The first that is in one of these states, where all with the ordering key are known.
    fn first(&self, relay: &RelayName, key: OrderingKey, states: &[DeliveryState]) -> Option<Option<DeliveryId>> {
        let is_it = |row: &DeliveryRow| row.relay == *relay && states.contains(&row.state);
        let first = |ids: &BTreeSet<DeliveryId>| {
            let found = ids.iter().find(|id| self.rows.get(id).and_then(|slot| slot.row.as_ref()).is_some_and(is_it));
            found.copied()
        };
        self.in_order.get(&key).map(first)
    }

    /// Adds the statements that make the table what memory is.
    pub fn write(&mut self, writes: &mut Pipeline) {
        let (mut new, mut stored, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.changed) {
            let Some(slot) = self.rows.get_mut(&id) else { continue };
            match (&slot.row, slot.is_stored) {
                (Some(row), false) => new.push((id, row.clone())),
                (Some(row), true) => stored.push((id, row.clone())),
                (None, true) => deleted.push(id),
                (None, false) => {}
            }
            (slot.is_stored, slot.is_changed) = (slot.row.is_some(), false);
        }
        insert_all(new, writes);
        update_all(stored, writes);
        if !deleted.is_empty() {
            writes.add("DELETE FROM smscope.relay_deliveries WHERE id = ANY($1)", columns![deleted => INT8_ARRAY]);
        }
    }
}

impl Outbox for PgTx<'_> {
    fn insert_delivery(&mut self, row: &DeliveryRow) -> Result<(), PgError> {
        self.ids.delivery.0 += 1;
        let id = self.ids.delivery;
        let is_alone = self.is_new_order(row.ordering_key);
        let deliveries = self.deliveries.get_mut();
        if is_alone {
            deliveries.in_order.entry(row.ordering_key).or_default();
        }
        deliveries.put(id, Some(row.clone()), false);
        Ok(())
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, PgError> {
        if let Some(slot) = self.deliveries.borrow().rows.get(&id) {
            return Ok(slot.row.clone());
        }
        if id > self.begun.delivery {
            return Ok(None);
        }
        let ids = [id];
        let found = self.query_opt(FIND, params![&ids[..] => INT8_ARRAY])?;
        let mut deliveries = self.deliveries.borrow_mut();
        match found {
            Some(row) => deliveries.admit(&row).map(drop)?,
            None => drop(deliveries.rows.insert(id, Slot::stored(None))),
        }
        Ok(deliveries.rows[&id].row.clone())
    }

    fn put_delivery(&mut self, id: DeliveryId, row: &DeliveryRow) -> Result<(), PgError> {
        self.deliveries.get_mut().put(id, Some(row.clone()), true);
        Ok(())
    }

    fn delete_delivery(&mut self, id: DeliveryId) -> Result<(), PgError> {
        self.deliveries.get_mut().put(id, None, true);
        Ok(())
    }

    fn is_queued(&self, relay: &RelayName, key: OrderingKey) -> Result<bool, PgError> {
        let waiting = [DeliveryState::Due, DeliveryState::Blocked];
        if let Some(first) = self.first_known(relay, key, &waiting)? {
            return Ok(first.is_some());
        }
        let sql =
            "SELECT 1 FROM smscope.relay_deliveries WHERE ordering_key = $1 AND relay = $2 AND state <> 'dead' LIMIT 1";
        Ok(self.query_opt(sql, params![key => INT8, relay.as_str() => TEXT])?.is_some())
    }

    fn first_in_order(
        &self,
        relay: &RelayName,
        key: OrderingKey,
        state: DeliveryState,
    ) -> Result<Option<DeliveryId>, PgError> {
        if state != DeliveryState::Dead
            && let Some(first) = self.first_known(relay, key, &[state])?
        {
            return Ok(first);
        }
        self.write_deliveries()?;
        let sql = "SELECT id FROM smscope.relay_deliveries WHERE ordering_key = $1 AND relay = $2 AND state = $3 \
             ORDER BY id LIMIT 1";
        let found = self.query_opt(sql, params![key => INT8, relay.as_str() => TEXT, state.as_str() => TEXT])?;
        found.map(|row| columns_of(&row).get()).transpose()
    }

    fn waiting_since(&self, relay: &RelayName, before: Timestamp, limit: usize) -> Result<Vec<DeliveryId>, PgError> {
        self.write_deliveries()?;
        let mut waiting = Vec::new();
        for state in [DeliveryState::Due, DeliveryState::Blocked] {
            let sql = concat!(
                "SELECT ",
                delivery_columns!(),
                " FROM smscope.relay_deliveries AS d WHERE d.relay = $1 AND d.state = $2 ORDER BY d.event LIMIT $3"
            );
            let oldest =
                self.query(sql, params![relay.as_str() => TEXT, state.as_str() => TEXT, limit as i64 => INT8])?;
            for (id, row) in self.admit_all(&oldest)? {
                if row.since < before {
                    waiting.push(id);
                }
            }
        }
        Ok(waiting)
    }

    fn promote(&mut self, relay: &RelayName, now: Timestamp, after: Timestamp) -> Result<usize, PgError> {
        self.write_deliveries()?;
        self.deliveries.get_mut().change_all(relay, |row| {
            if row.state == DeliveryState::Due && row.due_at > after {
                (row.due_at, row.since) = (now, row.since.min(now));
            }
        });
        let promoted = self.execute(
            "UPDATE smscope.relay_deliveries SET due_at = $2, since = least(since, $2) \
             WHERE relay = $1 AND state = 'due' AND due_at > $3",
            params![relay.as_str() => TEXT, now.as_millisecond() => INT8, after.as_millisecond() => INT8],
        )?;
        Ok(usize::try_from(promoted).unwrap_or(usize::MAX))
    }

    fn dead_letters_after(&self, id: DeliveryId, limit: usize) -> Result<Vec<(DeliveryId, DeliveryRow)>, PgError> {
        self.write_deliveries()?;
        let sql = concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM smscope.relay_deliveries AS d WHERE d.id > $1 AND d.state = 'dead' ORDER BY d.id LIMIT $2"
        );
        let found = self.query(sql, params![id => INT8, limit as i64 => INT8])?;
        self.admit_all(&found)
    }

    fn dead_letters_without_event(&self, limit: usize) -> Result<Vec<(DeliveryId, RelayName)>, PgError> {
        self.write_deliveries()?;
        // Ids grow with positions, and what is not dead keeps its event.
        let sql = concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM (SELECT * FROM smscope.relay_deliveries ORDER BY id LIMIT $1) AS d WHERE d.event <= \
             coalesce((SELECT value::bigint FROM smscope.meta WHERE key = 'journal_head'), 0)"
        );
        let found = self.query(sql, params![limit as i64 => INT8])?;
        Ok(self.admit_all(&found)?.into_iter().map(|(id, row)| (id, row.relay)).collect())
    }

    fn pending_deliveries(&self) -> Result<Vec<(RelayName, i64)>, PgError> {
        self.write_deliveries()?;
        let sql = "SELECT relay, count(*) FROM smscope.relay_deliveries WHERE state <> 'dead' GROUP BY relay";
        let read = |row: &Row| {
            let mut columns = columns_of(row);
            Ok((columns.word(RelayName::new)?, columns.get()?))
        };
        self.query(sql, &[])?.iter().map(read).collect()
    }

    fn bury_deliveries(&mut self, relay: &RelayName, error: &str) -> Result<(), PgError> {
        self.write_deliveries()?;
        self.deliveries.get_mut().change_all(relay, |row| {
            if row.state != DeliveryState::Dead {
                (row.state, row.error) = (DeliveryState::Dead, Some(error.to_owned()));
            }
        });
        let sql = "UPDATE smscope.relay_deliveries SET state = 'dead', error = $2 WHERE relay = $1 AND state <> 'dead'";
        self.execute(sql, params![relay.as_str() => TEXT, error => TEXT]).map(drop)
    }
}

impl PgTx<'_> {
    /// Reads these deliveries, whose attempts are to be saved, and what is in order with them, in one round trip.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prefetch_deliveries(&self, ids: &[DeliveryId]) -> Result<(), PgError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut asked = Pipeline::of(FIND, columns![ids.to_vec() => INT8_ARRAY]);
        asked.add(IN_ORDER_WITH, columns![ids.to_vec() => INT8_ARRAY]);
        let found = self.read_ahead(&asked)?;
        let [theirs, in_order] = &found[..] else { return Ok(()) };
        let keys: Vec<OrderingKey> = self.admit_all(theirs)?.into_iter().map(|(_, row)| row.ordering_key).collect();
        let mut deliveries = self.deliveries.borrow_mut();
        for id in ids {
            deliveries.rows.entry(*id).or_insert_with(|| Slot::stored(None));
        }
        deliveries.admit_orders(&keys, in_order)
    }

    /// The first with an ordering key in one of these states; `None` if there are too many to be known in memory, all of which the
    /// table has.
    fn first_known(
        &self,
        relay: &RelayName,
        key: OrderingKey,
        states: &[DeliveryState],
    ) -> Result<Option<Option<DeliveryId>>, PgError> {
        if let Some(first) = self.deliveries.borrow().first(relay, key, states) {
            return Ok(Some(first));
        }
        if self.is_new_order(key) {
            return Ok(Some(None));
        }
        self.write_deliveries()?;
        let keys = [key];
        let found = self.query(IN_ORDER, params![&keys[..] => INT8_ARRAY])?;
        let mut deliveries = self.deliveries.borrow_mut();
        deliveries.admit_orders(&keys, &found)?;
        Ok(deliveries.first(relay, key, states))
    }

    /// Whether an ordering key is that of a message or an event of this transaction, so that nothing in the table has it.
    fn is_new_order(&self, key: OrderingKey) -> bool {
        let (begun, ids) = (self.begun, self.ids);
        (begun.message.0 + 1..=ids.message.0).contains(&key.0)
            || (begun.position.0 + 1..=ids.position.0).contains(&key.0.wrapping_neg())
    }

    fn write_deliveries(&self) -> Result<(), PgError> {
        self.flush(|writes| self.deliveries.borrow_mut().write(writes))
    }

    fn admit_all(&self, rows: &[Row]) -> Result<Vec<(DeliveryId, DeliveryRow)>, PgError> {
        let mut deliveries = self.deliveries.borrow_mut();
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let id = deliveries.admit(row)?;
            all.extend(deliveries.rows[&id].row.clone().map(|row| (id, row)));
        }
        Ok(all)
    }
}

fn insert_all(new: Vec<(DeliveryId, DeliveryRow)>, writes: &mut Pipeline) {
    if new.is_empty() {
        return;
    }
    writes.add(
        "INSERT INTO smscope.relay_deliveries (id, relay, event, ordering_key, state, due_at, since, attempts, error) \
         SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::text[]), \
         unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::int[]), unnest($9::text[])",
        columns![
            new.iter().map(|(id, _)| *id).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.relay.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
            new.iter().map(|(_, row)| row.event).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.ordering_key).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.state.as_str()).collect::<Vec<_>>() => TEXT_ARRAY,
            new.iter().map(|(_, row)| row.due_at.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| row.since.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            new.iter().map(|(_, row)| int4(row.attempts)).collect::<Vec<_>>() => INT4_ARRAY,
            new.iter().map(|(_, row)| error(row)).collect::<Vec<_>>() => TEXT_ARRAY,
        ],
    );
}

fn update_all(stored: Vec<(DeliveryId, DeliveryRow)>, writes: &mut Pipeline) {
    if stored.is_empty() {
        return;
    }
    writes.add(
        "UPDATE smscope.relay_deliveries AS d SET state = u.state, due_at = u.due_at, since = u.since, attempts = u.attempts, \
         error = u.error FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::text[]) AS state, unnest($3::bigint[]) AS due_at, \
         unnest($4::bigint[]) AS since, unnest($5::int[]) AS attempts, unnest($6::text[]) AS error) AS u WHERE d.id = u.id",
        columns![
            stored.iter().map(|(id, _)| *id).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.state.as_str()).collect::<Vec<_>>() => TEXT_ARRAY,
            stored.iter().map(|(_, row)| row.due_at.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| row.since.as_millisecond()).collect::<Vec<_>>() => INT8_ARRAY,
            stored.iter().map(|(_, row)| int4(row.attempts)).collect::<Vec<_>>() => INT4_ARRAY,
            stored.iter().map(|(_, row)| error(row)).collect::<Vec<_>>() => TEXT_ARRAY,
        ],
    );
}

/// A target's answer may be in it.
fn error(row: &DeliveryRow) -> Option<String> {
    row.error.as_deref().map(|error| without_nul(error).into_owned())
}

fn columns_of(row: &Row) -> Columns<'_> {
    Columns::of("relay_deliveries", row, 0)
}

fn read(row: &Row) -> Result<(DeliveryId, DeliveryRow), PgError> {
    let mut columns = columns_of(row);
    let id = columns.get()?;
    let row = DeliveryRow {
        relay: columns.word(RelayName::new)?,
        event: columns.get()?,
        ordering_key: columns.get()?,
        state: columns.word(|word| word.parse().ok())?,
        due_at: columns.time()?,
        since: columns.time()?,
        attempts: columns.count()?,
        error: columns.get()?,
    };
    Ok((id, row))
}
