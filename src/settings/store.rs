//! `[store]`: how much is stored, and for how long.

use std::time::Duration;

use super::postgres::{self, Postgres};
use super::prelude::*;

#[derive(Clone, Debug)]
pub struct Store {
    /// How long raw events are stored.
    pub retention: Duration,
    /// How long a message may stay pending.
    pub horizon: Duration,
    /// How long events that could not be exported are stored for it.
    pub export_retention: Duration,
    pub size_limit: Option<u64>,
    /// The database of a fleet; `None`: the store is SQLite, in the data directory.
    pub postgres: Option<Postgres>,
}

settings! {
    RETENTION: Duration = duration("store.retention", |given| given.duration(SECOND..=3650 * DAY),
        "how long events are stored; message states and dedup keys at least `horizon` + 48 h").default("30d")
        .example(r#""60d""#).wrong(r#""forever""#).variable("SMSCOPE_STORE_RETENTION", "60d");
    HORIZON: Duration = duration("store.horizon", |given| given.duration(SECOND..=365 * DAY),
        "how long a message may stay pending before it is counted as expired").default("3d").example(r#""48h""#)
        .wrong(r#""2 days""#).variable("SMSCOPE_STORE_HORIZON", "48h");
    EXPORT_RETENTION: Duration = duration("store.export_retention", |given| given.duration(SECOND..=3650 * DAY),
        "how old a log record may be and still be exported; an event that waits for its export is stored that long \
         even where `retention` is shorter").default("7d").example(r#""2d""#).wrong(r#""20y""#);
    SIZE_LIMIT: u64 = size("store.size_limit", |given| given.size(1 << 20..=1 << 50),
        "what the database may hold. At the limit the oldest events are deleted early, exported ones only where logs \
         are exported; when that is not enough, webhooks are answered 503").absent("none").example(r#""20GiB""#)
        .wrong(r#""10KiB""#).variable("SMSCOPE_STORE_SIZE_LIMIT", "20GiB");
}

pub(crate) fn read(mut table: Table) -> Result<Store, ConfigError> {
    let (retention, horizon) = (table.get(&RETENTION)?, table.get(&HORIZON)?);
    let size_limit = table.given(&SIZE_LIMIT);
    let store = Store {
        retention,
        horizon,
        export_retention: table.get(&EXPORT_RETENTION)?,
        size_limit: table.read_optional(&SIZE_LIMIT, size_limit.as_ref())?,
        postgres: postgres::read(&mut table)?,
    };
    table.finish()?;
    Ok(store)
}
