//! The replicas of a fleet, and what each shows of the inbox.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::PgError;
use super::metrics;
use super::session::{Session, params};
use crate::store::Settings;
use crate::store::backlog::Backlog;

/// A replica counts as live for this long after it was last seen, in seconds.
pub const LIVE: f64 = 15.0;

const BEAT: &str = "INSERT INTO smscope.replicas (id, name, version, config_digest, started_at, seen) \
    VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp()) \
    ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()";
const FORGET: &str = "DELETE FROM smscope.replicas WHERE seen < clock_timestamp() - interval '1 day'";
const LIVING: &str = "SELECT count(*), count(*) FILTER (WHERE version > $2), count(DISTINCT config_digest) \
    FROM smscope.replicas WHERE seen > clock_timestamp() - $1 * interval '1 second'";
/// Sessions that have waited for a standby for longer than anyone listens to them.
const STRANDED: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND datname = current_database() \
    AND wait_event = 'SyncRep' AND state_change < clock_timestamp() - interval '1 second'";
/// How many of them there may be for another one to be risked.
const MOST_STRANDED: i64 = 4;
/// What the inbox holds, and whether that is more than the leader processes in a minute. A large one is not counted to its end, and a
/// small one is never full.
const INBOX: &str = "WITH bound AS (SELECT (SELECT greatest(60 * value::bigint, 10000) FROM smscope.meta WHERE key = 'inbox_rate') AS n) \
    SELECT least(waiting.n, 100000), \
      (extract(epoch FROM (SELECT received_at FROM smscope.inbox ORDER BY id LIMIT 1)) * 1000)::bigint, \
      coalesce(waiting.n >= bound.n, false), EXISTS (SELECT FROM smscope.meta WHERE key = 'over_limit') \
    FROM bound, LATERAL (SELECT coalesce(sum(cardinality(requests)), 0) AS n \
      FROM (SELECT requests FROM smscope.inbox LIMIT greatest(bound.n, 100000)) AS counted) AS waiting";
const SAVE_RATE: &str = "INSERT INTO smscope.meta (key, value) VALUES ('inbox_rate', $1) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// This process, as the others know it.
#[derive(Clone, Debug)]
pub struct Replica {
    /// A new one with each start.
    pub id: Uuid,
    /// Of the host.
    pub name: String,
    /// Of the settings that all replicas should share.
    pub config_digest: [u8; 16],
}

/// The version of this program, as a number that grows.
pub fn version() -> i32 {
    let parts = env!("CARGO_PKG_VERSION").splitn(3, '.').map(|part| part.parse::<i32>().unwrap_or(0));
    parts.fold(0, |version, part| 1_000 * version + part)
}

impl Replica {
    /// `settings`: what all replicas should share.
    pub fn new(settings: &Settings) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let digest = Sha256::digest(format!("{settings:?}"));
        let mut config_digest = [0; 16];
        config_digest.copy_from_slice(&digest[..16]);
        Self { id: Uuid::new_v4(), name: name.trim().to_owned(), config_digest }
    }
}

/// Shows that this replica lives.
///
/// # Errors
/// Those of the database.
pub async fn beat(session: &Session, replica: &Replica) -> Result<(), PgError> {
    let (version, digest) = (version(), replica.config_digest.to_vec());
    session
        .execute(BEAT, params![replica.id => UUID, replica.name => TEXT, version => INT4, digest => BYTEA])
        .await
        .map(drop)
}

/// What the leader sees of the replicas that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Living {
    pub count: i64,
    /// Of a newer version than this one, which leads rather than this.
    pub newer: i64,
    /// How many settings they have that should be the same for all.
    pub configurations: i64,
}

/// Whether a session may be made to wait for a standby. One that is given up waits on in the server: without a bound, a standby that
/// hangs takes all connections of the server.
///
/// # Errors
/// Those of the database.
pub async fn may_wait_for_standby(session: &Session) -> Result<bool, PgError> {
    let row = session.query_opt(STRANDED, &[]).await?;
    Ok(row.is_none_or(|row| row.get::<_, i64>(0) < MOST_STRANDED))
}

/// Forgets replicas that have ended, and counts those that live.
///
/// # Errors
/// Those of the database.
pub async fn living(session: &Session) -> Result<Living, PgError> {
    session.execute(FORGET, &[]).await?;
    let row = session.query_opt(LIVING, params![LIVE => FLOAT8, version() => INT4]).await?;
    let (count, newer, configurations) = row.map_or((0, 0, 0), |row| (row.get(0), row.get(1), row.get(2)));
    Ok(Living { count, newer, configurations })
}

/// Saves how many requests the leader processes per second when it does nothing else.
///
/// # Errors
/// Those of the database.
pub async fn save_inbox_rate(session: &Session, per_second: u64) -> Result<(), PgError> {
    let per_second = per_second.to_string();
    session.execute(SAVE_RATE, params![per_second => TEXT]).await.map(drop)
}

/// Shows in this process's metrics what waits in the inbox, and admits nothing while that is too much or the tables are over their limit.
///
/// # Errors
/// Those of the database.
pub async fn show_inbox(session: &Session, backlog: &Backlog) -> Result<(), PgError> {
    if let Some(row) = session.query_opt(INBOX, &[]).await? {
        let oldest: Option<i64> = row.get(1);
        let oldest = oldest.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
        metrics::inbox(row.get(0), oldest);
        let (is_full, is_over_limit): (bool, bool) = (row.get(2), row.get(3));
        let is_closed = is_full || is_over_limit;
        if backlog.set_inbox_full(is_closed) != is_closed {
            match (is_full, is_over_limit) {
                (_, true) => tracing::error!("the store has reached its size limit; webhooks are answered 503"),
                (true, false) => {
                    tracing::error!("the leader is a minute behind; webhooks are answered 503 until it has caught up");
                }
                (false, false) => tracing::info!("the inbox takes requests again"),
            }
        }
    }
    Ok(())
}
