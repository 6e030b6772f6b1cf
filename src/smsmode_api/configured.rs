//! The sources of a command that needs the provider's API, and the API of each.

use crate::config::{Api, ApiMode, Config, Source};
use crate::event::SourceName;

/// Why the configuration has no API for a command: one line, naming what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConfigured {
    #[error("--source: no such source; expected one of {0}")]
    NoSuchSource(String),
    #[error("no source has an API key; expected a key in [source.api], or SMSCOPE_API_KEY")]
    NoKey,
    #[error("source {0}: the legacy API has neither channels nor a list of messages; expected a key of the REST API")]
    Legacy(SourceName),
}

/// The source of this name, or all that have an API, each with its REST API.
///
/// # Errors
/// There is none, or one of them has no REST API.
pub fn rest_apis<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<(&'a Source, Api)>, NotConfigured> {
    let is_meant = |source: &&Source| name.map_or(source.api.is_some(), |name| source.name.as_str() == name);
    let found: Vec<&Source> = config.sources.iter().filter(is_meant).collect();
    if found.is_empty() {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        return Err(match name {
            Some(_) => NotConfigured::NoSuchSource(names.join(", ")),
            None => NotConfigured::NoKey,
        });
    }
    let with_api = |source: &'a Source| match &source.api {
        Some(Api { mode: ApiMode::Legacy, .. }) => Err(NotConfigured::Legacy(source.name.clone())),
        Some(api) => Ok((source, api.clone())),
        None => Err(NotConfigured::NoKey),
    };
    found.into_iter().map(with_api).collect()
}
