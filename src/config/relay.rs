//! `[[relay]]`: where events go on to, which, and how.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use regex::Regex;

use super::file::Table;
use super::proxy::Proxies;
use super::setting::Setting;
use super::tls::{self, SystemRoots};
use super::value::{self, DAY, HOUR};
use super::{ConfigError, Proxy, Source, Text, Tls, headers, source};
use crate::event::{Reason, SourceName};
use crate::provider::fold_keyword;
use crate::record::Kind;
use crate::route::{Filter, Format, RelayName, Route};
use crate::secret::Secret;

const URL: &str = "an http or https URL without user, such as http://127.0.0.1:8080/sms";
const SECRET: &str = "a secret of Standard Webhooks: whsec_ and the base64 of 24 to 64 bytes";
const SECOND: Duration = Duration::from_secs(1);

/// One target and what goes there.
#[derive(Clone)]
pub struct Relay {
    pub route: Route,
    /// With a host, without user.
    pub url: Uri,
    /// Signs what is sent: 24 to 64 bytes, in base64.
    pub secret: Option<Secret>,
    /// Each name once; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of one attempt, to the end of the answer.
    pub timeout: Duration,
    /// Attempts at one time.
    pub concurrency: usize,
    /// Addresses that the URL's host may have, besides those of the public internet.
    pub networks: Vec<IpNet>,
    /// There if, and only if, the URL's scheme is https.
    pub tls: Option<Tls>,
    /// By way of which the target is reached; `None`: directly.
    pub proxy: Option<Proxy>,
}

impl Relay {
    /// The URL as people may see it: a path may hold a key, as a query may.
    pub fn shown_url(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        let rest = if self.url.path_and_query().is_none_or(|path| path == "/") { "/" } else { "/…" };
        format!("{scheme}://{host}{rest}")
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("route", &self.route).field("url", &self.shown_url()).finish_non_exhaustive()
    }
}

pub(super) fn read(tables: Vec<Table>, sources: &[Source], proxies: &Proxies) -> Result<Vec<Relay>, ConfigError> {
    let system = SystemRoots::default();
    let mut relays: Vec<Relay> = Vec::with_capacity(tables.len());
    for table in tables {
        let relay = relay(table, sources, &relays, &system, proxies)?;
        relays.push(relay);
    }
    Ok(relays)
}

fn relay(
    mut table: Table,
    sources: &[Source],
    others: &[Relay],
    system: &SystemRoots,
    proxies: &Proxies,
) -> Result<Relay, ConfigError> {
    let (_, relay) =
        source::own_name(&mut table, "relay", RelayName::new, others.iter().map(|other| &other.route.relay))?;
    let url_given = table.take("url").map(Setting::secret).ok_or_else(|| table.missing("url", URL))?;
    let url = url_given.parse(URL, |text| value::web_url(text.trim()))?;
    let format_given = table.take("format");
    let format = format_given.as_ref().map_or(Ok(Format::CloudEvents), |setting| {
        setting.parse("cloudevents or raw", |text| Format::ALL.into_iter().find(|format| format.as_str() == text))
    })?;
    let filter = filter(&mut table, sources)?;
    if let (Some(setting), Format::Raw, Some(source)) = (&format_given, format, textless(sources, &filter)) {
        let problem = format!("source {:?} has text = \"dropped\"", source.name.as_str());
        let expected = "cloudevents, or sources whose requests are kept as they came";
        return Err(setting.wrong(problem, expected).beside_others());
    }
    let is_fallback = table.take("fallback").map_or(Ok(false), |setting| setting.boolean())?;
    let secret = match (table.take("secret").map(Setting::secret), table.take_path("secret_file")) {
        (Some(secret), Some(_)) => return Err(secret.wrong("secret_file is set too", "one of the two")),
        (Some(secret), None) => Some(secret.parse(SECRET, key)?),
        (None, Some(file)) => {
            let text = file.file("a file with the secret in it")?;
            Some(key(&text).ok_or_else(|| file.wrong("not a usable secret", SECRET))?)
        }
        (None, None) => None,
    };
    let headers = headers::of_table(table.table("headers")?)?;
    let headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
    let mut duration = |key, default, range| match table.take(key) {
        Some(setting) => Setting::duration(&setting, range),
        None => Ok(default),
    };
    let timeout = duration("timeout", 10 * SECOND, Duration::from_millis(1)..=HOUR)?;
    let max_age = duration("max_age", DAY, SECOND..=30 * DAY)?;
    let concurrency = table.take("concurrency").map_or(Ok(8), |setting| setting.number(1..=256))?;
    let networks = source::networks(table.take("networks"))?;
    let certificate = table.take_path("certificate");
    table.finish()?;
    let tls = match url.scheme_str() {
        Some("https") => {
            let given = tls::Given { certificate: certificate.as_ref(), client_certificate: None, client_key: None };
            Some(tls::read(given, &url_given, system)?)
        }
        _ => None,
    };
    let route = Route { relay, format, filter, is_fallback, max_age };
    let proxy = proxies.of(&url);
    Ok(Relay { route, url, secret, headers, timeout, concurrency, networks, tls, proxy })
}

/// A source that the filter takes events of and that keeps no texts.
fn textless<'a>(sources: &'a [Source], filter: &Filter) -> Option<&'a Source> {
    let mut taken = sources.iter().filter(|source| filter.takes_source(&source.name));
    taken.find(|source| source.privacy.text == Text::Dropped)
}

fn filter(table: &mut Table, sources: &[Source]) -> Result<Filter, ConfigError> {
    let mut filter = Filter::default();
    if let Some(setting) = table.take("events") {
        const EXPECTED: &str = "an event such as message.failed or reply.stop, or message or reply for all of them";
        let kinds: BTreeSet<usize> = list(setting, EXPECTED, kinds)?.into_iter().flatten().collect();
        filter.kinds = kinds.into_iter().map(|at| Kind::ALL[at]).collect();
    }
    if let Some(setting) = table.take("reasons") {
        filter.reasons = list(setting, "a reason such as handset_absent", Reason::from_name)?;
    }
    filter_of_messages(table, sources, &mut filter)?;
    let keywords = table.take("keywords");
    if let Some(setting) = &keywords {
        let folded = |text: &str| Some(fold_keyword(text)).filter(|folded| !folded.is_empty());
        filter.keywords = list(setting.clone(), "a word of letters and digits", folded)?;
    }
    let pattern = table.take("pattern");
    if let Some(setting) = &pattern {
        let text = setting.verbatim("a regular expression")?;
        let read = Regex::new(text).map_err(|error| {
            let why = error.to_string();
            setting.wrong(
                why.lines().last().unwrap_or_default().trim().trim_start_matches("error: "),
                "a regular expression",
            )
        });
        filter.pattern = Some(read?);
    }
    if let (Some(setting), Some(source)) = (keywords.or(pattern), textless(sources, &filter)) {
        let problem = format!("source {:?} has text = \"dropped\"", source.name.as_str());
        return Err(setting.wrong(problem, "sources whose texts are kept").beside_others());
    }
    Ok(filter)
}

/// What a message is, whatever happened to it.
pub(super) fn filter_of_messages(
    table: &mut Table,
    sources: &[Source],
    filter: &mut Filter,
) -> Result<(), ConfigError> {
    if let Some(setting) = table.take("sources") {
        let known = |text: &str| SourceName::new(text).filter(|name| sources.iter().any(|source| source.name == *name));
        let named = list(setting, "the name of a source that is configured", known);
        filter.sources = named.map_err(ConfigError::beside_others)?;
    }
    let mut words = |key| source::words(table.take(key), "texts").map(Option::unwrap_or_default);
    filter.channels = words("channels")?;
    filter.flows = words("flows")?;
    filter.countries = words("countries")?;
    filter.campaigns = words("campaigns")?;
    Ok(())
}

/// The places in [`Kind::ALL`] of what a name means: an event, or all those of a group.
fn kinds(name: &str) -> Option<Vec<usize>> {
    let is_meant =
        |kind: &Kind| kind.as_str() == name || kind.as_str().split_once('.').is_some_and(|(group, _)| group == name);
    let found: Vec<usize> = (0..Kind::ALL.len()).filter(|at| is_meant(&Kind::ALL[*at])).collect();
    (!found.is_empty()).then_some(found)
}

pub(super) fn list<T>(
    setting: Setting,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConfigError> {
    setting.items(expected)?.iter().map(|item| item.parse(expected, |text| read(text.trim()))).collect()
}

/// The base64 after `whsec_`, once it has been looked at.
fn key(text: &str) -> Option<Secret> {
    let encoded = text.strip_prefix("whsec_")?;
    let length = BASE64_STANDARD.decode(encoded).ok()?.len();
    (24..=64).contains(&length).then(|| Secret::new(encoded.to_owned()))
}
