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
            let record = serde_json::from_str(row.get_ref(2)?.as_str()?)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))?;
            Ok(Entry { position: row.get(0)?, received_at: timestamp(row.get(1)?)?, record })
        })?
        .collect()
}
