//! Counting messages by what became of them.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::values::timestamp;
use crate::store::cohorts::{Cohort, Detail, QUARTER};
use crate::store::ids::MessageRowId;

/// The messages from `first` on that were accepted at `since` or later, with the codes of their networks.
pub fn count(
    connection: &Connection,
    first: MessageRowId,
    since: Timestamp,
    detail: Detail,
) -> rusqlite::Result<Vec<(Cohort, u64)>> {
    let column = |wanted, name| if wanted { name } else { "''" };
    connection
        .prepare(&format!(
            "SELECT source, accepted_at / ?3, channel, flow, country, state, CASE state WHEN 'failed' THEN reason END, \
             coalesce({}, ''), coalesce({}, ''), count(*) \
             FROM messages WHERE id >= ?1 AND accepted_at >= ?2 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
            column(detail.campaign, "campaign_id"),
            column(detail.network, "mccmnc"),
        ))?
        .query_map(params![first, since.as_millisecond(), QUARTER], |row| {
            let cohort = Cohort {
                source: row.get(0)?,
                quarter: timestamp(row.get::<_, i64>(1)? * QUARTER)?,
                channel: row.get(2)?,
                flow: row.get(3)?,
                country: row.get(4)?,
                state: row.get(5)?,
                reason: row.get(6)?,
                campaign: row.get(7)?,
                network: row.get(8)?,
            };
            Ok((cohort, row.get::<_, i64>(9)?.unsigned_abs()))
        })?
        .collect()
}

/// The names under which networks have been counted.
pub fn network_names(connection: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    connection
        .prepare(
            "SELECT DISTINCT labels ->> '$.network', labels ->> '$.network_name' FROM ledger \
             WHERE metric = 'sms_network_outcomes_total' AND labels ->> '$.network_name' IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
