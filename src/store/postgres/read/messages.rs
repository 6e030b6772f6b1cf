//! The messages, and their counts.

use std::collections::HashMap;
use std::ops::Range;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::error::PgError;
use super::super::keys;
use super::super::session::{Session, params};
use super::super::values::Columns;
use super::events::limited;
use crate::store::cohorts::{Cohort, Detail, QUARTER};
use crate::store::ids::MessageRowId;
use crate::store::query::Message;
use crate::store::read::Recipient;

/// A query of messages, as [`message`] takes them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT source, message_id, id, newest_event, state, reason, channel, flow, country, number, ref_client, campaign_id, ",
            "mccmnc, parts, cost_micros, currency, accepted_at, first_seen, last_event, settled_at, erased_at ",
            "FROM smscope.messages WHERE ",
            $condition
        )
    };
}

pub async fn messages_after(session: &Session, id: MessageRowId, limit: usize) -> Result<Vec<Message>, PgError> {
    let sql = select!("id > $1 ORDER BY id LIMIT $2");
    let rows = session.query(sql, params![id => INT8, limited(limit) => INT8]).await?;
    rows.iter().map(message).collect()
}

pub async fn recipients_after(session: &Session, id: MessageRowId, limit: usize) -> Result<Vec<Recipient>, PgError> {
    let sql = "SELECT id, source, message_id, number, part, erased_at IS NOT NULL FROM smscope.messages WHERE id > $1 \
         ORDER BY id LIMIT $2";
    let rows = session.query(sql, params![id => INT8, limited(limit) => INT8]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of("messages", row, 0);
        Ok(Recipient {
            id: columns.get()?,
            source: columns.get()?,
            message_id: columns.get()?,
            number: columns.get()?,
            part: columns.get()?,
            is_erased: columns.get()?,
        })
    };
    rows.iter().map(read).collect()
}

pub async fn messages_with_id(session: &Session, id: &str) -> Result<Vec<Message>, PgError> {
    let sources = sources(session).await?;
    let alone: Vec<Uuid> = sources.iter().map(|source| keys::message(source, id, "")).collect();
    let sharing: Vec<Uuid> = sources.iter().map(|source| keys::id(source, id)).collect();
    let sql = select!("(key = ANY ($1) OR id_key = ANY ($2)) ORDER BY id");
    let rows = session.query(sql, params![alone => UUID_ARRAY, sharing => UUID_ARRAY]).await?;
    rows.iter().map(message).collect()
}

/// The messages of a range with a reference.
pub async fn with_reference(session: &Session, range: Range<i64>, reference: &str) -> Result<Vec<Message>, PgError> {
    let sql = select!("id >= $1 AND id < $2 AND ref_client = $3 ORDER BY id");
    let rows = session.query(sql, params![range.start => INT8, range.end => INT8, reference => TEXT]).await?;
    rows.iter().map(message).collect()
}

/// The messages of a range that were accepted at `since` or later, with the codes of their networks.
pub async fn cohorts(
    session: &Session,
    range: Range<i64>,
    since: Timestamp,
    detail: Detail,
) -> Result<Vec<(Cohort, u64)>, PgError> {
    let sql = "SELECT source, accepted_at / $4, channel, flow, country, CASE WHEN $5 THEN coalesce(campaign_id, '') ELSE '' END, \
         CASE WHEN $6 THEN coalesce(mccmnc, '') ELSE '' END, state, CASE state WHEN 'failed' THEN reason END, count(*) \
         FROM smscope.messages WHERE id >= $1 AND id < $2 AND accepted_at >= $3 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9";
    let rows = session
        .query(
            sql,
            params![
                range.start => INT8,
                range.end => INT8,
                since.as_millisecond() => INT8,
                QUARTER => INT8,
                detail.campaign => BOOL,
                detail.network => BOOL,
            ],
        )
        .await?;
    let read = |row| {
        let mut columns = Columns::of("messages", row, 0);
        let source = columns.get()?;
        let quarter: i64 = columns.get()?;
        let quarter = Timestamp::from_millisecond(quarter * QUARTER).map_err(|error| columns.unreadable(&error))?;
        let cohort = Cohort {
            source,
            quarter,
            channel: columns.get()?,
            flow: columns.get()?,
            country: columns.get()?,
            campaign: columns.get()?,
            network: columns.get()?,
            state: columns.get()?,
            reason: columns.get()?,
        };
        Ok((cohort, columns.get::<i64>()?.unsigned_abs()))
    };
    rows.iter().map(read).collect()
}

/// The names under which networks have been counted.
pub async fn network_names(session: &Session) -> Result<HashMap<String, String>, PgError> {
    let sql = "SELECT DISTINCT labels::json ->> 'network', labels::json ->> 'network_name' FROM smscope.series \
         WHERE metric = 'sms_network_outcomes_total' AND labels::json ->> 'network_name' IS NOT NULL";
    let rows = session.query(sql, &[]).await?;
    let read = |row| {
        let mut columns = Columns::of("series", row, 0);
        Ok((columns.get()?, columns.get()?))
    };
    rows.iter().map(read).collect()
}

/// All sources that ever had a message, configured now or not.
async fn sources(session: &Session) -> Result<Vec<String>, PgError> {
    let sql = "SELECT DISTINCT labels::json ->> 'source' FROM smscope.series WHERE metric = 'sms_messages_total'";
    let rows = session.query(sql, &[]).await?;
    rows.iter().map(|row| Columns::of("series", row, 0).get()).collect()
}

/// The lowest and the highest id.
pub async fn ends(session: &Session) -> Result<Option<(i64, i64)>, PgError> {
    let Some(row) = session.query_opt("SELECT min(id), max(id) FROM smscope.messages", &[]).await? else {
        return Ok(None);
    };
    let mut columns = Columns::of("messages", &row, 0);
    Ok(columns.get::<Option<i64>>()?.zip(columns.get()?))
}

pub async fn first_from(session: &Session, id: i64) -> Result<Option<(i64, i64)>, PgError> {
    let sql = "SELECT id, first_seen FROM smscope.messages WHERE id >= $1 ORDER BY id LIMIT 1";
    let Some(row) = session.query_opt(sql, params![id => INT8]).await? else { return Ok(None) };
    let mut columns = Columns::of("messages", &row, 0);
    Ok(Some((columns.get()?, columns.get()?)))
}

fn message(row: &Row) -> Result<Message, PgError> {
    let mut columns = Columns::of("messages", row, 0);
    Ok(Message {
        source: columns.get()?,
        message_id: columns.get()?,
        id: columns.get()?,
        newest_event: columns.get()?,
        state: columns.get()?,
        reason: columns.get()?,
        channel: columns.get()?,
        flow: columns.get()?,
        country: columns.get()?,
        number: columns.get()?,
        ref_client: columns.get()?,
        campaign_id: columns.get()?,
        mccmnc: columns.get()?,
        parts: columns.optional_count()?,
        cost_micros: columns.get()?,
        currency: columns.get()?,
        accepted_at: columns.time()?,
        first_seen: columns.time()?,
        last_event: columns.time()?,
        settled_at: columns.optional_time()?,
        erased_at: columns.optional_time()?,
    })
}
