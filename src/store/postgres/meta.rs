//! The tables `meta` and `cursors`: single values.

use jiff::Timestamp;
use uuid::Uuid;

use super::connect::Connector;
use super::error::PgError;
use super::session::{Pipeline, Session, columns, params};
use super::values::Columns;
use crate::event::hex_bytes;
use crate::record::Position;
use crate::store::OpenError;
use crate::store::core::Pseudonymizer;

/// The cursor of the OTLP log export.
const CURSOR: &str = "otlp-logs";

/// What a fleet has once, for as long as its database lives.
#[derive(Clone, Debug)]
pub struct Identity {
    pub fleet: Uuid,
    /// When the store was made: the start time of the durable counters.
    pub created_at: Timestamp,
    pub hash_key: [u8; 32],
}

impl Identity {
    /// That of the fleet on a database.
    ///
    /// # Errors
    /// The database cannot be reached, or no fleet has used it yet.
    pub async fn read(connector: &Connector) -> Result<Self, OpenError> {
        Ok(identity(&connector.connect().await?).await?)
    }
}

/// # Errors
/// Those of the database.
pub async fn identity(session: &Session) -> Result<Identity, PgError> {
    Ok(Identity {
        fleet: required(session, "fleet_id", |text| Uuid::parse_str(text).ok()).await?,
        created_at: required(session, "created_at", read_time).await?,
        hash_key: required(session, "hash_key", hex_bytes).await?,
    })
}

/// # Errors
/// Those of the database.
pub async fn pseudonymizer(session: &Session) -> Result<Pseudonymizer, PgError> {
    let salt: Vec<u8> = required(session, "erasure_salt", read_salt).await?;
    Ok(Pseudonymizer::new(&salt, get(session, "erasures").await?.is_some()))
}

/// Until when the store was in use; `None` before its first use.
///
/// # Errors
/// Those of the database.
pub async fn seen_at(session: &Session) -> Result<Option<Timestamp>, PgError> {
    let seen = get(session, "seen_at").await?;
    seen.map(|text| read_time(&text).ok_or_else(|| unreadable("seen_at"))).transpose()
}

/// Adds the statement that notes until when the store was in use.
pub fn save_seen(writes: &mut Pipeline, now: Timestamp) {
    writes.add(SET, columns!["seen_at" => TEXT, now.as_millisecond().to_string() => TEXT]);
}

/// Remembers the newest position of events that are deleted, so that none is used twice.
///
/// # Errors
/// Those of the database.
pub async fn save_journal_head(session: &Session, position: Position) -> Result<(), PgError> {
    let sql = "INSERT INTO smscope.meta AS m (key, value) VALUES ('journal_head', $1) ON CONFLICT (key) \
         DO UPDATE SET value = greatest(m.value::bigint, excluded.value::bigint)::text";
    session.execute(sql, params![position.to_string() => TEXT]).await.map(drop)
}

/// The cursor of the export, made at the newest event where there is none; without an export there is none.
///
/// # Errors
/// Those of the database.
pub async fn load_cursor(session: &Session, exports: bool, newest: Position) -> Result<Option<Position>, PgError> {
    if !exports {
        session.execute("DELETE FROM smscope.cursors WHERE name = $1", params![CURSOR => TEXT]).await?;
        return Ok(None);
    }
    let sql = "INSERT INTO smscope.cursors (name, position) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    session.execute(sql, params![CURSOR => TEXT, newest => INT8]).await?;
    let sql = "SELECT position FROM smscope.cursors WHERE name = $1";
    let found = session.query_opt(sql, params![CURSOR => TEXT]).await?;
    found.map(|row| Columns::of("cursors", &row, 0).get()).transpose()
}

/// Adds the statement that saves how far the export has come.
pub fn save_cursor(writes: &mut Pipeline, position: Position) {
    let sql = "UPDATE smscope.cursors SET position = greatest(position, $2) WHERE name = $1";
    writes.add(sql, columns![CURSOR => TEXT, position => INT8]);
}

/// Notes whether the tables are over their limit: no replica takes a webhook then.
///
/// # Errors
/// Those of the database.
pub async fn save_over_limit(session: &Session, is_over: bool) -> Result<(), PgError> {
    let sql = match is_over {
        true => "INSERT INTO smscope.meta (key, value) VALUES ('over_limit', 'true') ON CONFLICT DO NOTHING",
        false => "DELETE FROM smscope.meta WHERE key = 'over_limit'",
    };
    session.execute(sql, &[]).await.map(drop)
}

const SET: &str =
    "INSERT INTO smscope.meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

pub async fn get(session: &Session, key: &'static str) -> Result<Option<String>, PgError> {
    let found = session.query_opt("SELECT value FROM smscope.meta WHERE key = $1", params![key => TEXT]).await?;
    found.map(|row| Columns::of("meta", &row, 0).get()).transpose()
}

async fn required<T>(session: &Session, key: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, PgError> {
    let value = get(session, key).await?;
    value.as_deref().and_then(read).ok_or_else(|| unreadable(key))
}

fn unreadable(key: &str) -> PgError {
    PgError::Unreadable { table: "meta", why: format!("{key} is missing or malformed") }
}

fn read_time(text: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(text.parse().ok()?).ok()
}

/// Of any length: that of a store which came from SQLite is its own.
pub fn read_salt(text: &str) -> Option<Vec<u8>> {
    let bytes =
        text.as_bytes().chunks(2).map(|pair| hex_bytes::<1>(std::str::from_utf8(pair).ok()?).map(|[byte]| byte));
    bytes.collect()
}
