//! `[[relay]]`: the targets that events are delivered to, which events, and how.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use regex::Regex;

use crate::event::{Reason, SourceName};
use crate::provider::fold_keyword;
use crate::record::Kind;
use crate::route::{Filter, Format, RelayName, Route};
use crate::settings::filter::{self, names};
use crate::settings::prelude::*;
use crate::settings::source::{self, networks};
use crate::settings::{Source, Text};

/// One target and the events that are delivered to it.
#[derive(Clone)]
pub struct Relay {
    pub route: Route,
    /// With a host, without user.
    pub url: Uri,
    /// Signs what is sent: 24 to 64 bytes, in base64.
    pub secret: Option<Secret>,
    /// Each name once; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of one attempt, to the end of the response.
    pub timeout: Duration,
    /// Attempts at one time.
    pub concurrency: usize,
    /// Addresses that the URL's host may have, besides those of the public internet.
    pub networks: Vec<IpNet>,
    /// There if, and only if, the URL's scheme is https.
    pub tls: Option<Tls>,
    /// The proxy by which the target is reached; `None`: directly.
    pub proxy: Option<Proxy>,
}

impl Relay {
    /// The URL as people may see it.
    pub fn shown_url(&self) -> String {
        shown_url(&self.url)
    }
}

/// A URL as people may see it: a path may hold a key, as a query may.
fn shown_url(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    let host = url.authority().map_or("", |authority| authority.as_str());
    let rest = if url.path_and_query().is_none_or(|path| path == "/") { "/" } else { "/…" };
    format!("{scheme}://{host}{rest}")
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("route", &self.route).field("url", &self.shown_url()).finish_non_exhaustive()
    }
}

settings! {
    NAME: RelayName = setting("relay.name", "name", |given| source::name(given, RelayName::new), RelayName::to_string,
        "`relay` of its metrics: 1 to 32 of a-z 0-9 - _").example(r#""app""#).wrong(r#""My App""#);
    URL: Uri = setting("relay.url", "URL", |given| given.parse(URL_EXPECTED, value::web_url), |_| String::new(),
        "where its events are delivered to; shown without path and query, which may hold a key").secret()
        .example(r#""http://127.0.0.1:8080/sms""#).wrong(r#""127.0.0.1:8080""#);
    FORMAT: Format = word("relay.format",
        "`cloudevents` (1.0, structured JSON), or `raw`: the request as it came, without our token")
        .default("cloudevents").example(r#""raw""#).wrong(r#""json""#);
    EVENTS: Vec<Kind> = setting("relay.events", "list", kinds, |kinds| names(kinds, Kind::as_str),
        "which events, such as `message.failed` or `reply.stop`; `message` or `reply` for all of those").absent("any")
        .example(r#"["message.failed", "reply"]"#).wrong(r#"["failed"]"#);
    REASONS: Vec<Reason> = setting("relay.reasons", "list", reasons, |reasons| names(reasons, Reason::as_str),
        "failures of these reasons only").absent("any").example(r#"["handset_absent", "network"]"#)
        .wrong(r#"["absent"]"#);
    SOURCES: Vec<SourceName> = list("relay.sources", "list", filter::sources, "of these sources only").absent("any")
        .example(r#"["smsmode"]"#).wrong(r#"["nobody"]"#);
    CHANNELS: Vec<String> = list("relay.channels", "list", |given| given.texts("texts"),
        "of these channels only, in any case").absent("any").example(r#"["SMS"]"#).wrong(r#""SMS""#);
    FLOWS: Vec<String> = list("relay.flows", "list", |given| given.texts("texts"), "of these flows only, in any case")
        .absent("any").example(r#"["MARKETING"]"#).wrong(r#""OTP""#);
    COUNTRIES: Vec<String> = list("relay.countries", "list", |given| given.texts("texts"), "of these countries only")
        .absent("any").example(r#"["FR", "BE"]"#).wrong(r#""FR""#);
    CAMPAIGNS: Vec<String> = list("relay.campaigns", "list", |given| given.texts("texts"),
        "of campaigns with these ids only").absent("any").example(r#"["spring"]"#).wrong(r#"[""]"#);
    KEYWORDS: Vec<String> = list("relay.keywords", "list", keywords,
        "texts that begin with one of these words, whatever their case, accents and punctuation").absent("any")
        .example(r#"["YES", "OUI", "1"]"#).wrong(r#"["!"]"#);
    PATTERN: Regex = setting("relay.pattern", "regular expression", pattern, Regex::to_string,
        "texts in which this is found; `(?i)` in front takes any case").absent("any").example(r#""(?i)order \\d+""#)
        .wrong(r#""(""#);
    FALLBACK: bool = switch("relay.fallback", "accepts only events that no relay with `keywords` or `pattern` accepts")
        .example("true").wrong(r#""yes""#);
    SECRET: Secret = secret("relay.secret", "secret", |given| given.parse(SECRET_EXPECTED, key),
        "signs what is sent, by Standard Webhooks").absent("none")
        .example(r#""whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw""#).wrong(r#""s3cret""#);
    SECRET_FILE: Secret = secret_file("relay.secret_file", key_file, "the same from a file").absent("none")
        .example(r#""/etc/smscope/webhook-secret""#).wrong(r#""/nonexistent/secret""#);
    HEADERS: () = texts("relay.headers", "added to each request").absent("none")
        .example(r#"{ authorization = "Bearer s3cret" }"#).wrong(r#""authorization=s3cret""#);
    TIMEOUT: Duration = duration("relay.timeout", |given| given.duration(MILLISECOND..=HOUR),
        "of one attempt, to the end of its answer").default("10s").example(r#""3s""#).wrong(r#""2h""#);
    MAX_AGE: Duration = duration("relay.max_age", |given| given.duration(SECOND..=30 * DAY),
        "how long the delivery of an event is retried; then it is a dead letter. Until then it is stored, whatever \
         `retention` is").default("1d").example(r#""6h""#).wrong(r#""60d""#);
    CONCURRENCY: usize = number("relay.concurrency", |given| given.number(1..=256), "attempts at one time").default("8")
        .example("2").wrong("0");
    NETWORKS: Vec<IpNet> = list("relay.networks", "list", networks,
        "addresses that the URL's name may resolve to besides those of the public internet, such as a cluster's. An \
         address in the URL itself, or `localhost`, needs no mention").absent("public").example(r#"["10.0.0.0/8"]"#)
        .wrong(r#"["cluster"]"#);
    CERTIFICATE: PathBuf = file("relay.certificate",
        "the authorities that are trusted, instead of the system's: a PEM file").example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#).beside(r#"url = "https://app.example.com/sms""#);
}

const URL_EXPECTED: &str = "an http or https URL without user, such as http://127.0.0.1:8080/sms";
const SECRET_EXPECTED: &str = "a secret of Standard Webhooks: whsec_ and the base64 of 24 to 64 bytes";

pub(crate) fn read(tables: Vec<Table>, sources: &[Source], proxies: &Proxies) -> Result<Vec<Relay>, ConfigError> {
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
    let (_, name) = source::own_name(&mut table, &NAME, "relay", others.iter().map(|other| &other.route.relay))?;
    let url_given = table.take(&URL).ok_or_else(|| table.missing(URL.name(), URL_EXPECTED))?;
    let url = URL.read(&url_given)?;
    let proxy = proxies.of(&url);
    table.show(URL.name(), by_way_of(shown_url(&url), proxy.as_ref()), Some(&url_given));
    let format_given = table.take(&FORMAT);
    let format = table.read(&FORMAT, format_given.as_ref())?;
    let filter = event_filter(&mut table, sources)?;
    if let (Some(given), Format::Raw, Some(source)) = (&format_given, format, textless(sources, &filter)) {
        let problem = format!("source {:?} has text = \"dropped\"", source.name.as_str());
        let expected = "cloudevents, or sources whose requests are stored as they arrived";
        return Err(given.wrong(problem, expected).beside_others());
    }
    let is_fallback = table.get(&FALLBACK)?;
    let secret = table.find_either(&SECRET, &SECRET_FILE)?;
    let headers = headers::of_relay(&mut table, &HEADERS)?;
    let (timeout, max_age) = (table.get(&TIMEOUT)?, table.get(&MAX_AGE)?);
    let (concurrency, networks) = (table.get(&CONCURRENCY)?, table.get(&NETWORKS)?);
    let certificate = table.take(&CERTIFICATE);
    table.finish()?;
    let tls = match url.scheme_str() {
        Some("https") => {
            let files = tls::Files { certificate: certificate.as_ref(), ..tls::Files::default() };
            let tls = tls::read(files, &url_given, system)?;
            table.show(CERTIFICATE.name(), tls.shown_authorities(), certificate.as_ref());
            Some(tls)
        }
        _ => None,
    };
    let route = Route { relay: name, format, filter, is_fallback, max_age };
    Ok(Relay { route, url, secret, headers, timeout, concurrency, networks, tls, proxy })
}

/// A source whose events the filter accepts and whose texts are dropped.
fn textless<'a>(sources: &'a [Source], filter: &Filter) -> Option<&'a Source> {
    let mut accepted = sources.iter().filter(|source| filter.takes_source(&source.name));
    accepted.find(|source| source.privacy.text == Text::Dropped)
}

fn event_filter(table: &mut Table, sources: &[Source]) -> Result<Filter, ConfigError> {
    let kinds = table.get(&EVENTS)?;
    let reasons = table.get(&REASONS)?;
    let mut filter = Filter { kinds, reasons, ..filter::of_messages(table, sources, &SOURCES, OF_MESSAGES)? };
    let (keywords, pattern) = (table.take(&KEYWORDS), table.take(&PATTERN));
    filter.keywords = table.read(&KEYWORDS, keywords.as_ref())?;
    filter.pattern = table.read_optional(&PATTERN, pattern.as_ref())?;
    if let (Some(given), Some(source)) = (keywords.or(pattern), textless(sources, &filter)) {
        let problem = format!("source {:?} has text = \"dropped\"", source.name.as_str());
        return Err(given.wrong(problem, "sources whose texts are stored").beside_others());
    }
    Ok(filter)
}

const OF_MESSAGES: [&Setting<Vec<String>>; 4] = [&CHANNELS, &FLOWS, &COUNTRIES, &CAMPAIGNS];

/// Each once, in the order of [`Kind::ALL`].
fn kinds(given: &Given) -> Result<Vec<Kind>, ConfigError> {
    const EXPECTED: &str = "an event such as message.failed or reply.stop, or message or reply for all of them";
    let named: BTreeSet<usize> = given.list(EXPECTED, EXPECTED, kinds_of)?.into_iter().flatten().collect();
    Ok(named.into_iter().map(|at| Kind::ALL[at]).collect())
}

/// The positions in [`Kind::ALL`] of what a name means: an event, or all those of a group.
fn kinds_of(name: &str) -> Option<Vec<usize>> {
    let is_meant =
        |kind: &Kind| kind.as_str() == name || kind.as_str().split_once('.').is_some_and(|(group, _)| group == name);
    let found: Vec<usize> = (0..Kind::ALL.len()).filter(|at| is_meant(&Kind::ALL[*at])).collect();
    (!found.is_empty()).then_some(found)
}

fn reasons(given: &Given) -> Result<Vec<Reason>, ConfigError> {
    const EXPECTED: &str = "a reason such as handset_absent";
    given.list(EXPECTED, EXPECTED, Reason::from_name)
}

fn keywords(given: &Given) -> Result<Vec<String>, ConfigError> {
    const EXPECTED: &str = "a word of letters and digits";
    given.list(EXPECTED, EXPECTED, |text| Some(fold_keyword(text)).filter(|folded| !folded.is_empty()))
}

fn pattern(given: &Given) -> Result<Regex, ConfigError> {
    const EXPECTED: &str = "a regular expression";
    Regex::new(given.verbatim(EXPECTED)?).map_err(|error| {
        let why = error.to_string();
        given.wrong(why.lines().last().unwrap_or_default().trim().trim_start_matches("error: "), EXPECTED)
    })
}

fn key_file(given: &Given) -> Result<Secret, ConfigError> {
    let text = given.file("a file with the secret in it")?;
    key(&text).ok_or_else(|| given.wrong("not a usable secret", SECRET_EXPECTED))
}

/// The base64 after `whsec_`, once it has been checked.
fn key(text: &str) -> Option<Secret> {
    let encoded = text.strip_prefix("whsec_")?;
    let length = BASE64_STANDARD.decode(encoded).ok()?.len();
    (24..=64).contains(&length).then(|| Secret::new(encoded.to_owned()))
}
