//! Messages that have been pending for long: whose receipts may have been given up by the provider.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::values::timestamp;
use crate::event::SourceName;
use crate::store::Overdue;

/// Up to `limit` messages of a source that are pending since `before` or longer, the longest first. Not those whose id is that of
/// many messages (legacy).
pub fn overdue(
    connection: &Connection,
    source: &SourceName,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Overdue>> {
    connection
        .prepare_cached(
            "SELECT message_id, channel, accepted_at FROM messages WHERE state IN ('scheduled', 'enroute') AND first_seen <= ?1 \
             AND pending_since <= ?1 AND source = ?2 AND part = '' ORDER BY pending_since, id LIMIT ?3",
        )?
        .query_map(params![before.as_millisecond(), source.as_str(), limit as i64], |row| {
            Ok(Overdue { message_id: row.get(0)?, channel: row.get(1)?, accepted_at: timestamp(row.get(2)?)? })
        })?
        .collect()
}
