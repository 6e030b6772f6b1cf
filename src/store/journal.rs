//! Reading the journal.

use rusqlite::Connection;
use rusqlite::types::Type;

use super::messages::timestamp;
use crate::record::Entry;

/// Up to `limit` entries after `position`, oldest first.
pub fn read(connection: &Connection, position: i64, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached("SELECT id, received_at, event FROM events WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map([position, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            entry(row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?)
        })?
        .collect()
}

/// An entry of its columns.
pub fn entry(position: i64, received_at: i64, record: &str) -> rusqlite::Result<Entry> {
    let record = serde_json::from_str(record)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))?;
    Ok(Entry { position, received_at: timestamp(received_at)?, record })
}
