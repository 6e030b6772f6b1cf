//! What smscope does of its own accord: `[account]`, `[self_probe]`, `[reconcile]`. All of it is off by default.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::file::Table;
use super::setting::Setting;
use super::tls::{self, SystemRoots};
use super::value::{DAY, HOUR, TOKEN_EXPECTED};
use super::{ApiMode, ConfigError, Source, Tls, source};
use crate::route::OptOutScope as Scope;
use crate::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Looking at balance, consumption and limits through the provider's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub enabled: bool,
    /// Between two polls.
    pub interval: Duration,
}

/// Calling our own public URL as the provider would.
#[derive(Clone, Debug)]
pub struct SelfProbe {
    pub enabled: bool,
    pub interval: Duration,
    /// Whom to trust; there if it is enabled and the public URL is https.
    pub tls: Option<Tls>,
}

/// Asking the provider for receipts that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconcile {
    pub enabled: bool,
    /// How long a message has to be pending to be asked for.
    pub after: Duration,
    /// Between two rounds.
    pub interval: Duration,
    /// Pages of 100 messages that one round reads of each source's list, at most.
    pub max_pages: usize,
}

pub(super) fn account(mut table: Table, sources: &[Source]) -> Result<Account, ConfigError> {
    let enabled = enabled(&mut table)?;
    let interval = duration(&mut table, "interval", 5 * MINUTE, SECOND..=DAY)?;
    table.finish()?;
    if let Some(enabled) = &enabled
        && sources.iter().all(|source| source.api.is_none())
    {
        let expected = "a key in [source.api], or SMSCOPE_API_KEY";
        return Err(enabled.wrong("no source has an API key", expected).beside_others());
    }
    Ok(Account { enabled: enabled.is_some(), interval })
}

pub(super) fn self_probe(mut table: Table, public_url: Option<&str>) -> Result<SelfProbe, ConfigError> {
    let enabled = enabled(&mut table)?;
    let interval = duration(&mut table, "interval", MINUTE, SECOND..=DAY)?;
    table.finish()?;
    let tls = match (&enabled, public_url) {
        (Some(enabled), None) => {
            let expected = "public_url, or SMSCOPE_PUBLIC_URL";
            return Err(enabled.wrong("there is no public_url", expected).beside_others());
        }
        (Some(enabled), Some(url)) if url.starts_with("https:") => Some(trusting_the_system(enabled)?),
        _ => None,
    };
    Ok(SelfProbe { enabled: enabled.is_some(), interval, tls })
}

pub(super) fn reconcile(mut table: Table, sources: &[Source]) -> Result<Reconcile, ConfigError> {
    let enabled = enabled(&mut table)?;
    let after = duration(&mut table, "after", 6 * HOUR, SECOND..=30 * DAY)?;
    let interval = duration(&mut table, "interval", HOUR, SECOND..=DAY)?;
    let max_pages = table.take("max_pages").map_or(Ok(100), |setting| setting.number(1..=10_000))?;
    table.finish()?;
    let can_be_asked = |source: &Source| source.api.as_ref().is_some_and(|api| api.mode == ApiMode::Rest);
    if let Some(enabled) = &enabled
        && !sources.iter().any(can_be_asked)
    {
        let expected = "a key in [source.api], or SMSCOPE_API_KEY";
        return Err(enabled.wrong("no source has a key of the REST API", expected).beside_others());
    }
    Ok(Reconcile { enabled: enabled.is_some(), after, interval, max_pages })
}

/// The list of those who want no messages.
#[derive(Clone, Debug)]
pub struct OptOuts {
    pub scope: Scope,
    /// Opens the list on the admin listener; `None`: made once and kept.
    pub api_token: Option<Secret>,
}

pub(super) fn opt_outs(mut table: Table) -> Result<Option<OptOuts>, ConfigError> {
    let enabled = enabled(&mut table)?;
    let scope = table.take("scope").map_or(Ok(Scope::default()), |setting| {
        setting.parse("source or sender", |text| Scope::ALL.into_iter().find(|scope| scope.as_str() == text))
    })?;
    let api_token = source::optional_token(&mut table, "api_token", "api_token_file", TOKEN_EXPECTED)?;
    table.finish()?;
    Ok(enabled.map(|_| OptOuts { scope, api_token }))
}

/// How long a number's last message may be answered without being named.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(3 * 24 * 60 * 60);

pub(super) fn conversations(mut table: Table) -> Result<Option<Duration>, ConfigError> {
    let enabled = enabled(&mut table)?;
    let window = duration(&mut table, "window", DEFAULT_WINDOW, SECOND..=30 * DAY)?;
    table.finish()?;
    Ok(enabled.map(|_| window))
}

/// The setting that says yes, to be blamed when what it asks for cannot be had.
fn enabled(table: &mut Table) -> Result<Option<Setting>, ConfigError> {
    let Some(setting) = table.take("enabled") else { return Ok(None) };
    Ok(setting.boolean()?.then_some(setting))
}

fn duration(
    table: &mut Table,
    key: &'static str,
    default: Duration,
    range: RangeInclusive<Duration>,
) -> Result<Duration, ConfigError> {
    table.take(key).map_or(Ok(default), |setting| setting.duration(range))
}

/// Trusts the authorities of the system, for what `named` asks for.
pub(super) fn trusting_the_system(named: &Setting) -> Result<Tls, ConfigError> {
    let none = tls::Given { certificate: None, client_certificate: None, client_key: None };
    tls::read(none, named, &SystemRoots::default())
}
