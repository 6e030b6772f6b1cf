//! Filters of messages, as tables of several parts have them.

use super::Source;
use super::prelude::*;
use crate::event::SourceName;
use crate::route::Filter;

/// What a message is, whatever happened to it: its source, and channel, flow, country and campaign.
pub(crate) fn of_messages(
    table: &mut Table,
    sources: &[Source],
    named: &Setting<Vec<SourceName>>,
    [channels, flows, countries, campaigns]: [&Setting<Vec<String>>; 4],
) -> Result<Filter, ConfigError> {
    let given = table.take(named);
    let names = given.as_ref().map_or(Ok(Vec::new()), |given| {
        let known = |text: &str| sources.iter().map(|source| &source.name).find(|name| name.as_str() == text);
        given.list(SOURCE_EXPECTED, SOURCE_EXPECTED, |text| known(text).cloned())
    });
    let names = names.map_err(ConfigError::beside_others)?;
    table.show(named.name(), named.show(&names), given.as_ref());
    let (channels, flows) = (table.get(channels)?, table.get(flows)?);
    let (countries, campaigns) = (table.get(countries)?, table.get(campaigns)?);
    Ok(Filter { sources: names, channels, flows, countries, campaigns, ..Filter::default() })
}

const SOURCE_EXPECTED: &str = "the name of a source that is configured";

/// Names of sources, whether these are configured or not.
pub(crate) fn sources(given: &Given) -> Result<Vec<SourceName>, ConfigError> {
    given.list(SOURCE_EXPECTED, SOURCE_EXPECTED, SourceName::new)
}

pub(crate) fn names<T: Copy>(items: &[T], name: fn(T) -> &'static str) -> String {
    items.iter().map(|item| name(*item)).collect::<Vec<_>>().join(", ")
}
