//! The tables `meta` and `cursors`: single values.

use jiff::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record::Position;
use crate::store::core::Pseudonymizer;
use crate::store::ids::MessageRowId;

/// The cursor of the OTLP log export.
const CURSOR: &str = "otlp-logs";

pub fn get<T: FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

fn set(connection: &Connection, key: &str, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, at.as_millisecond()])
        .map(drop)
}

/// Notes until when the store was in use.
pub fn save_seen(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    set(connection, "seen_at", now)
}

/// Writes something, to see whether that works.
pub fn save_probe(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    set(connection, "probed_at", now)
}

/// The last message that was there when receipts began to be known by what they say and not by how that is written.
pub fn spelled_to(connection: &Connection) -> rusqlite::Result<MessageRowId> {
    Ok(get(connection, "spelled_to")?.unwrap_or_default())
}

pub fn pseudonymizer(connection: &Connection) -> rusqlite::Result<Pseudonymizer> {
    let salt: Vec<u8> =
        connection.query_row("SELECT value FROM meta WHERE key = 'erasure_salt'", [], |row| row.get(0))?;
    Ok(Pseudonymizer::new(&salt, get::<i64>(connection, "erasures")?.is_some()))
}

/// The cursor of the export, made at the newest event where there is none; without an export there is none.
pub fn load_cursor(connection: &Connection, exports: bool, newest: Position) -> rusqlite::Result<Option<Position>> {
    if !exports {
        connection.execute("DELETE FROM cursors WHERE name = ?1", [CURSOR])?;
        return Ok(None);
    }
    connection.execute("INSERT OR IGNORE INTO cursors (name, position) VALUES (?1, ?2)", params![CURSOR, newest])?;
    connection.query_row("SELECT position FROM cursors WHERE name = ?1", [CURSOR], |row| row.get(0)).optional()
}

pub fn save_cursor(connection: &Connection, position: Position) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE cursors SET position = max(position, ?2) WHERE name = ?1")?
        .execute(params![CURSOR, position])
        .map(drop)
}
