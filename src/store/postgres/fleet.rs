//! The replicas of a fleet, and what each shows of the inbox.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::PgError;
use super::metrics;
use super::session::{Session, params};
use crate::store::Settings;

/// A replica counts as live for this long after it was last seen, in seconds.
pub const LIVE: f64 = 15.0;

const BEAT: &str = "INSERT INTO smscope.replicas (id, name, version, config_digest, started_at, seen) \
    VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp()) \
    ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()";
const FORGET: &str = "DELETE FROM smscope.replicas WHERE seen < clock_timestamp() - interval '1 day'";
const LIVING: &str = "SELECT count(*), count(*) FILTER (WHERE version > $2), count(DISTINCT config_digest) \
    FROM smscope.replicas WHERE seen > clock_timestamp() - $1 * interval '1 second'";
/// A large inbox is not counted to its end.
const INBOX: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM smscope.inbox LIMIT 100000) AS counted), \
    (extract(epoch FROM (SELECT received_at FROM smscope.inbox ORDER BY id LIMIT 1)) * 1000)::bigint";

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

/// Shows in this process's metrics what waits in the inbox.
///
/// # Errors
/// Those of the database.
pub async fn show_inbox(session: &Session) -> Result<(), PgError> {
    if let Some(row) = session.query_opt(INBOX, &[]).await? {
        let oldest: Option<i64> = row.get(1);
        let oldest = oldest.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
        metrics::inbox(row.get(0), oldest);
    }
    Ok(())
}
