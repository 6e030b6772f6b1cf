//! Who leads: a row with an epoch, which each transaction of the leader locks and renews. Only the server's clock decides.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::error::PgError;
use super::fleet;
use super::session::{Session, columns, params};

/// How long a lease holds that is not renewed.
pub const TTL: Duration = Duration::from_secs(5);
/// The leader stops showing the durable series this much earlier, by its own clock.
const MARGIN: Duration = Duration::from_secs(1);

/// Of another replica only once it has run out; one's own at once, after an error that has ended its term. The newest version leads:
/// it can read what all of them write.
const ACQUIRE: &str = "UPDATE smscope.lease SET epoch = epoch + 1, holder = $1, version = $2, until = clock_timestamp() + $3 * interval '1 second' \
    WHERE name = 'leader' AND (until < clock_timestamp() OR holder = $1) AND NOT EXISTS (SELECT 1 FROM smscope.replicas \
      WHERE version > $2 AND id <> $1 AND seen > clock_timestamp() - $4 * interval '1 second') RETURNING epoch";
/// First of each transaction of the leader: it locks the row until the commit, so a take-over comes before the whole of it or after.
pub const FENCE: &str = "UPDATE smscope.lease SET until = clock_timestamp() + $2 * interval '1 second' \
    WHERE name = 'leader' AND epoch = $1 RETURNING epoch";
const PUSH_TIME: &str = "UPDATE smscope.lease SET told_at = greatest(clock_timestamp(), told_at + interval '1 millisecond') \
    WHERE name = 'leader' AND epoch = $1 RETURNING (extract(epoch FROM told_at) * 1000)::bigint";
const RELEASE: &str = "UPDATE smscope.lease SET until = clock_timestamp() WHERE name = 'leader' AND epoch = $1";

/// A lease that was acquired.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub epoch: i64,
    /// When the request was sent by which it holds.
    renewed: Instant,
}

impl Lease {
    /// `None` while another replica has it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn acquire(session: &Session, replica: Uuid) -> Result<Option<Self>, PgError> {
        let renewed = Instant::now();
        let (version, ttl) = (fleet::version(), TTL.as_secs_f64());
        let asked = params![replica => UUID, version => INT4, ttl => FLOAT8, fleet::LIVE => FLOAT8];
        let row = session.query_opt(ACQUIRE, asked).await?;
        Ok(row.map(|row| Self { epoch: row.get(0), renewed }))
    }

    /// The parameters of [`FENCE`].
    pub fn fence(&self) -> Vec<(Box<dyn tokio_postgres::types::ToSql + Sync + Send>, tokio_postgres::types::Type)> {
        columns![self.epoch => INT8, TTL.as_secs_f64() => FLOAT8]
    }

    /// A fence that was sent at `sent` has found the row, and has committed.
    pub fn renewed(&mut self, sent: Instant) {
        self.renewed = sent;
    }

    /// Renews it by itself, where no transaction has lately.
    ///
    /// # Errors
    /// Another replica leads, or those of the database.
    pub async fn renew(&mut self, session: &Session) -> Result<(), PgError> {
        let sent = Instant::now();
        let ttl = TTL.as_secs_f64();
        let row = session.query_opt(FENCE, params![self.epoch => INT8, ttl => FLOAT8]).await?;
        row.ok_or(PgError::Deposed)?;
        self.renewed(sent);
        Ok(())
    }

    /// The server's time, later than any that this gave before to whichever leader: that of a push, whose values must not seem to go
    /// back in time when the leaders' clocks differ.
    ///
    /// # Errors
    /// Another replica leads, or those of the database.
    pub async fn push_time(&self, session: &Session) -> Result<Timestamp, PgError> {
        let row = session.query_opt(PUSH_TIME, params![self.epoch => INT8]).await?.ok_or(PgError::Deposed)?;
        let unreadable = |error: jiff::Error| PgError::Unreadable { table: "lease", why: error.to_string() };
        Timestamp::from_millisecond(row.get(0)).map_err(unreadable)
    }

    pub fn wants_renewal(&self) -> bool {
        self.renewed.elapsed() > TTL / 3
    }

    /// Until when no other replica can have acquired it, by this machine's clock.
    pub fn shown_until(&self) -> Instant {
        self.renewed + TTL - MARGIN
    }

    /// Another replica may lead at once.
    ///
    /// # Errors
    /// Those of the database: it ends by itself then.
    pub async fn release(self, session: &Session) -> Result<(), PgError> {
        session.execute(RELEASE, params![self.epoch => INT8]).await.map(drop)
    }
}
