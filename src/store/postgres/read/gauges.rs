//! What is read of the tables for each scrape.

use std::time::{Duration, Instant};

use super::super::error::PgError;
use super::super::session::{Session, params};
use super::super::values::Columns;
use crate::event::SourceName;
use crate::route::RelayName;
use crate::store::Settings;
use crate::store::shared::Gauges;

/// How long the bytes in use are shown. The server asks its file system for each file of each partition.
const RECENT: Duration = Duration::from_secs(60);

/// The bytes in use, and when that was so.
pub struct Size {
    pub bytes: i64,
    read_at: Instant,
}

impl Size {
    pub fn new(bytes: i64) -> Self {
        Self { bytes, read_at: Instant::now() }
    }

    pub fn is_recent(&self) -> bool {
        self.read_at.elapsed() < RECENT
    }
}

pub async fn bytes_in_use(session: &Session) -> Result<i64, PgError> {
    // Of tables with their indexes and long values; partitions are tables of their own. One that is dropped meanwhile has no size.
    let sql = "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'smscope' AND c.relkind = 'r'";
    let found = session.query_opt(sql, &[]).await?;
    found.map_or(Ok(0), |row| Columns::of("pg_class", &row, 0).get())
}

pub async fn read(session: &Session, settings: &Settings, bytes_in_use: i64) -> Result<Gauges, PgError> {
    let (oldest_pending, oldest_relayed, events) =
        tokio::try_join!(oldest_pending(session, settings), oldest_relayed(session, settings), events(session))?;
    let size_limit = settings.size_limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    Ok(Gauges { oldest_pending, oldest_relayed, events, bytes_in_use, size_limit })
}

async fn oldest_pending(session: &Session, settings: &Settings) -> Result<Vec<(SourceName, i64)>, PgError> {
    let sources: Vec<&str> = settings.sources.iter().map(SourceName::as_str).collect();
    let sql = "SELECT s.source, p.first_seen FROM unnest($1) AS s (source) CROSS JOIN LATERAL \
         (SELECT first_seen FROM smscope.pending WHERE source = s.source AND state = 'enroute' ORDER BY first_seen LIMIT 1) AS p";
    let rows = session.query(sql, params![sources => TEXT_ARRAY]).await?;
    let read = |row| {
        let mut columns = Columns::of("pending", row, 0);
        Ok((columns.word(SourceName::new)?, columns.get()?))
    };
    rows.iter().map(read).collect()
}

async fn oldest_relayed(session: &Session, settings: &Settings) -> Result<Vec<(RelayName, i64)>, PgError> {
    let relays: Vec<&str> = settings.relays.iter().map(|route| route.relay.as_str()).collect();
    let sql = "SELECT r.relay, min(d.since) FROM unnest($1) WITH ORDINALITY AS r (relay, at) \
         CROSS JOIN unnest(ARRAY['due', 'blocked']) AS s (state) CROSS JOIN LATERAL \
         (SELECT since FROM smscope.relay_deliveries WHERE relay = r.relay AND state = s.state ORDER BY event LIMIT 1) AS d \
         GROUP BY r.relay, r.at ORDER BY r.at";
    let rows = session.query(sql, params![relays => TEXT_ARRAY]).await?;
    let read = |row| {
        let mut columns = Columns::of("relay_deliveries", row, 0);
        Ok((columns.word(RelayName::new)?, columns.get()?))
    };
    rows.iter().map(read).collect()
}

/// Positions are used without gaps, and events expire oldest first.
async fn events(session: &Session) -> Result<i64, PgError> {
    let sql = "SELECT coalesce(max(position) - min(position) + 1, 0) FROM smscope.journal";
    let found = session.query_opt(sql, &[]).await?;
    found.map_or(Ok(0), |row| Columns::of("journal", &row, 0).get())
}
