//! What the writer and its shared view start from.

use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;

use super::copy::check_complete;
use super::ledger::SeriesIds;
use super::lookup::Lookup;
use super::values::timestamp;
use super::{conversations, journal, ledger, meta};
use crate::ledger::caps::LabelCaps;
use crate::store::clock::SteadyClock;
use crate::store::core::Pseudonymizer;
use crate::store::ids::MessageRowId;
use crate::store::shared::Shared;
use crate::store::{OpenError, Settings};

/// What the writer has in memory.
pub struct State {
    pub caps: LabelCaps,
    pub lookup: Lookup,
    pub series: SeriesIds,
    pub pseudonymizer: Pseudonymizer,
    pub spelled_to: MessageRowId,
}

/// Reads both; makes what a new store lacks.
pub fn load(connection: &Connection, settings: &Settings) -> Result<(Shared, State), OpenError> {
    check_complete(connection)?;
    connection.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('created_at', ?1)",
        [Timestamp::now().as_millisecond()],
    )?;
    let created_at = timestamp(meta::get(connection, "created_at")?.unwrap_or_default())?;
    let seen = meta::get(connection, "seen_at")?.map(timestamp).transpose()?.unwrap_or_else(Timestamp::now);
    let newest = journal::newest(connection)?;
    let cursor = meta::load_cursor(connection, settings.exports_logs, newest)?;
    let (ledger, series) = ledger::load(connection)?;
    let state = State {
        caps: LabelCaps::new(ledger::load_label_values(connection)?, ledger.network_names()),
        lookup: Lookup::load(connection)?,
        series,
        pseudonymizer: meta::pseudonymizer(connection)?,
        spelled_to: meta::spelled_to(connection)?,
    };
    let shared = Shared::new(created_at, SteadyClock::from(seen, Instant::now()), cursor, ledger, newest);
    shared.opt_outs.send_replace(conversations::newest_opt_out(connection)?);
    Ok((shared, state))
}
