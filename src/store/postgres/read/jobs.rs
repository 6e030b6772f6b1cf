//! What background jobs work on: opt-outs, deliveries, resends and messages without a final receipt.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::error::PgError;
use super::super::session::{Session, params};
use super::super::values::Columns;
use super::super::{conversations, meta, packed};
use super::events::{entry, limited};
use crate::event::SourceName;
use crate::route::RelayName;
use crate::store::Overdue;
use crate::store::ids::{DeliveryId, OptOutSeq};
use crate::store::opt_outs::OptOut;
use crate::store::read::Person;
use crate::store::relays::{Delivery, Due, Undelivered};
use crate::store::resends::{self, DueResends};

pub async fn opt_outs_of(session: &Session, source: &SourceName, number: &str) -> Result<Vec<OptOut>, PgError> {
    let person = meta::pseudonymizer(session).await?.person(number);
    let sql = "SELECT id, number, source, sender, state = 'out', since, origin FROM smscope.opt_outs \
         WHERE source = $1 AND person = $2 ORDER BY id";
    let rows = session.query(sql, params![source.as_str() => TEXT, person => TEXT]).await?;
    rows.iter().map(opt_out).collect()
}

pub async fn opt_outs_after(session: &Session, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, PgError> {
    let sql = "SELECT id, number, source, sender, state = 'out', since, origin FROM smscope.opt_outs \
         WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = session.query(sql, params![seq => INT8, limited(limit) => INT8]).await?;
    rows.iter().map(opt_out).collect()
}

fn opt_out(row: &Row) -> Result<OptOut, PgError> {
    conversations::read(&mut Columns::of("opt_outs", row, 0))
}

pub async fn due(
    session: &Session,
    relay: &RelayName,
    now: Timestamp,
    in_flight: &[DeliveryId],
    limit: usize,
) -> Result<Due, PgError> {
    let (relay, now) = (relay.as_str(), now.as_millisecond());
    // Row by row: of partitions that have not been analyzed yet the planner expects so much that it reads them from their beginning.
    let deliveries = "SELECT d.id, d.attempts, d.since, e.position, e.received_at, e.event, r.request \
         FROM (SELECT id, event, due_at, attempts, since FROM smscope.relay_deliveries \
               WHERE relay = $1 AND state = 'due' AND due_at <= $2 AND id <> ALL ($3) ORDER BY due_at, id LIMIT $4) AS d \
         CROSS JOIN LATERAL (SELECT * FROM smscope.journal WHERE position = d.event LIMIT 1) AS e \
         LEFT JOIN LATERAL (SELECT received, received_day, received_index FROM smscope.journal WHERE position = e.request LIMIT 1) AS w ON true \
         LEFT JOIN LATERAL (SELECT requests[coalesce(e.received_index, w.received_index)] AS request FROM smscope.received \
               WHERE id = coalesce(e.received, w.received) AND day = coalesce(e.received_day, w.received_day) LIMIT 1) AS r ON true \
         ORDER BY d.due_at, d.id";
    let next = "SELECT min(due_at) FROM smscope.relay_deliveries WHERE relay = $1 AND state = 'due' AND due_at > $2";
    let limit = limited(limit);
    let params = params![relay => TEXT, now => INT8, in_flight => INT8_ARRAY, limit => INT8];
    let (rows, next) = tokio::try_join!(session.query(deliveries, params), next_of(session, next, relay, now))?;
    let read = |row| {
        let mut columns = Columns::of("relay_deliveries", row, 0);
        Ok(Delivery {
            id: columns.get()?,
            attempts: columns.count()?,
            since: columns.time()?,
            entry: entry(&mut columns)?,
            request: packed::raw(columns.get()?)?.filter(|(_, is_whole)| *is_whole).map(|(raw, _)| raw),
        })
    };
    let deliveries: Result<_, PgError> = rows.iter().map(read).collect();
    Ok(Due { deliveries: deliveries?, next })
}

pub async fn undelivered(
    session: &Session,
    relay: Option<&str>,
    only_dead: bool,
    limit: usize,
) -> Result<Vec<Undelivered>, PgError> {
    let sql = "SELECT d.id, d.relay, e.kind, e.event, e.received_at, d.state, d.attempts, d.error \
         FROM smscope.relay_deliveries AS d JOIN smscope.journal AS e ON e.position = d.event \
         WHERE ($1 IS NULL OR d.relay = $1) AND (NOT $2 OR d.state = 'dead') ORDER BY d.id LIMIT $3";
    let rows = session.query(sql, params![relay => TEXT, only_dead => BOOL, limited(limit) => INT8]).await?;
    let read = |row| {
        let mut columns = Columns::of("relay_deliveries", row, 0);
        Ok(Undelivered {
            id: columns.get()?,
            relay: columns.get()?,
            kind: columns.get()?,
            message_id: Person::of(columns.get()?).message_id,
            received_at: columns.time()?,
            state: columns.get()?,
            attempts: columns.count()?,
            error: columns.get()?,
        })
    };
    rows.iter().map(read).collect()
}

pub async fn due_resends(
    session: &Session,
    source: &SourceName,
    now: Timestamp,
    limit: usize,
) -> Result<DueResends, PgError> {
    let misdated = now.checked_add(resends::LONGEST_WAIT).unwrap_or(Timestamp::MAX).as_millisecond();
    let (source, now, limit) = (source.as_str(), now.as_millisecond(), limited(limit));
    let due = "SELECT id FROM smscope.resends WHERE source = $1 AND state = 'waiting' AND (due_at <= $2 OR due_at > $3) \
         ORDER BY due_at, id LIMIT $4";
    let next = "SELECT min(due_at) FROM smscope.resends WHERE source = $1 AND state = 'waiting' AND due_at > $2";
    let params = params![source => TEXT, now => INT8, misdated => INT8, limit => INT8];
    let (rows, next) = tokio::try_join!(session.query(due, params), next_of(session, next, source, now))?;
    let ids: Result<_, PgError> = rows.iter().map(|row| Columns::of("resends", row, 0).get()).collect();
    Ok(DueResends { ids: ids?, next })
}

pub async fn overdue(
    session: &Session,
    source: &SourceName,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Overdue>, PgError> {
    // A message is pending since its first sight or later. In order before the join: of many thousands, few messages are read.
    let sql = "SELECT m.message_id, m.channel, m.accepted_at FROM \
           (SELECT message, pending_since FROM smscope.pending WHERE source = $1 AND state IN ('scheduled', 'enroute') \
            AND first_seen <= $2 AND pending_since <= $2 ORDER BY pending_since, message) AS p \
         JOIN smscope.messages AS m ON m.id = p.message WHERE m.part = '' ORDER BY p.pending_since, p.message LIMIT $3";
    let (before, limit) = (before.as_millisecond(), limited(limit));
    let rows = session.query(sql, params![source.as_str() => TEXT, before => INT8, limit => INT8]).await?;
    let read = |row| {
        let mut columns = Columns::of("messages", row, 0);
        Ok(Overdue { message_id: columns.get()?, channel: columns.get()?, accepted_at: columns.time()? })
    };
    rows.iter().map(read).collect()
}

/// The time that `sql` finds for a relay or a source, after `now`.
async fn next_of(session: &Session, sql: &'static str, name: &str, now: i64) -> Result<Option<Timestamp>, PgError> {
    let found = session.query_opt(sql, params![name => TEXT, now => INT8]).await?;
    found.map_or(Ok(None), |row| Columns::of("due", &row, 0).optional_time())
}
