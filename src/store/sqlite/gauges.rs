//! What is read of the tables for each scrape.

use rusqlite::Connection;

use super::{outbox, retention};
use crate::store::Settings;
use crate::store::shared::Gauges;

pub fn read(connection: &Connection, settings: &Settings) -> rusqlite::Result<Gauges> {
    // One view of the store for all of them.
    let view = connection.unchecked_transaction()?;
    let mut oldest_pending = Vec::new();
    for source in &settings.sources {
        let oldest: Option<i64> = view
            .prepare_cached("SELECT min(first_seen) FROM messages WHERE source = ?1 AND state = 'enroute'")?
            .query_row([source.as_str()], |row| row.get(0))?;
        oldest_pending.extend(oldest.map(|oldest| (source.clone(), oldest)));
    }
    // Positions are used without gaps and events expire oldest first.
    let (oldest, newest): (i64, i64) = view
        .prepare_cached("SELECT coalesce((SELECT min(id) FROM events), 1), coalesce((SELECT max(id) FROM events), 0)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Gauges {
        oldest_pending,
        oldest_relayed: outbox::oldest_pending(&view, &settings.relays)?,
        events: newest - oldest + 1,
        bytes_in_use: retention::bytes_in_use(&view)?,
        size_limit: settings.size_limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
    })
}
