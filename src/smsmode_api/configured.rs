//! The sources of a command that needs the provider's API, and the API of each.

use crate::settings::{Api, ApiMode, Source};

/// The source of this name, or all that have an API, each with its REST API.
///
/// # Errors
/// There is none, or one of them has no REST API: in one line, with what is expected.
pub fn rest_apis<'a>(sources: &'a [Source], name: Option<&str>) -> Result<Vec<(&'a Source, Api)>, String> {
    let no_key = || "no source has an API key; expected a key in [source.api], or SMSCOPE_API_KEY".to_owned();
    let is_meant = |source: &&Source| name.map_or(source.api.is_some(), |name| source.name.as_str() == name);
    let found: Vec<&Source> = sources.iter().filter(is_meant).collect();
    if found.is_empty() {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        return Err(
            name.map_or_else(no_key, |_| format!("--source: no such source; expected one of {}", names.join(", ")))
        );
    }
    let with_api = |source: &'a Source| match &source.api {
        Some(Api { mode: ApiMode::Legacy, .. }) => Err(format!(
            "source {}: the legacy API has neither channels nor a list of messages; expected a key of the REST API",
            source.name
        )),
        Some(api) => Ok((source, api.clone())),
        None => Err(no_key()),
    };
    found.into_iter().map(with_api).collect()
}
