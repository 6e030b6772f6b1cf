//! `[reconcile]`: polls the provider for missing receipts. Off by default.

use std::time::Duration;

use crate::settings::prelude::*;
use crate::settings::{ApiMode, Source, api};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconcile {
    pub enabled: bool,
    /// How long a message has to be pending to be looked up.
    pub after: Duration,
    /// Between two rounds.
    pub interval: Duration,
    /// Pages of 100 messages that one round reads of each source's list, at most.
    pub max_pages: usize,
}

settings! {
    ENABLED: bool = switch("reconcile.enabled", "polls smsmode for messages that are pending for too long")
        .example("true").wrong(r#""on""#).elsewhere(api::SOURCE_WITH_KEY);
    AFTER: Duration = duration("reconcile.after", |given| given.duration(SECOND..=30 * DAY),
        "how long a message has to be pending to be looked up").default("6h").example(r#""30h""#).wrong(r#""60d""#);
    INTERVAL: Duration = duration("reconcile.interval", |given| given.duration(SECOND..=DAY), "between two rounds")
        .default("1h").example(r#""15m""#).wrong(r#""2d""#);
    MAX_PAGES: usize = number("reconcile.max_pages", |given| given.number(1..=10_000),
        "pages of 100 messages that one round reads of each source's list, at most").default("100").example("500")
        .wrong("0");
}

pub(crate) fn read(mut table: Table, sources: &[Source]) -> Result<Reconcile, ConfigError> {
    let enabled = table.switched_on(&ENABLED)?;
    let reconcile = Reconcile {
        enabled: enabled.is_some(),
        after: table.get(&AFTER)?,
        interval: table.get(&INTERVAL)?,
        max_pages: table.get(&MAX_PAGES)?,
    };
    table.finish()?;
    let has_rest_api = |source: &Source| source.api.as_ref().is_some_and(|api| api.mode == ApiMode::Rest);
    if let Some(enabled) = &enabled
        && !sources.iter().any(has_rest_api)
    {
        let expected = "a key in [source.api], or SMSCOPE_API_KEY";
        return Err(enabled.wrong("no source has a key of the REST API", expected).beside_others());
    }
    Ok(reconcile)
}
