//! `[account]`: polls balance, consumption and limits through the provider's API. Off by default.

use std::time::Duration;

use crate::settings::prelude::*;
use crate::settings::{Source, api};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub enabled: bool,
    /// Between two polls.
    pub interval: Duration,
}

settings! {
    ENABLED: bool = switch("account.enabled", "polls balance, consumption and limits of each source with an API key")
        .example("true").wrong(r#""yes""#).elsewhere(api::SOURCE_WITH_KEY);
    INTERVAL: Duration = duration("account.interval", |given| given.duration(SECOND..=DAY),
        "between two polls; the first one is spread over a tenth of it").default("5m").example(r#""1m""#)
        .wrong(r#""2d""#);
}

pub(crate) fn read(mut table: Table, sources: &[Source]) -> Result<Account, ConfigError> {
    let enabled = table.switched_on(&ENABLED)?;
    let interval = table.get(&INTERVAL)?;
    table.finish()?;
    if let Some(enabled) = &enabled
        && sources.iter().all(|source| source.api.is_none())
    {
        let expected = "a key in [source.api], or SMSCOPE_API_KEY";
        return Err(enabled.wrong("no source has an API key", expected).beside_others());
    }
    Ok(Account { enabled: enabled.is_some(), interval })
}
