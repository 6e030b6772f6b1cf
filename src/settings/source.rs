//! The sources: `[[source]]` of the file, or the default source and its token from the environment.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::api::{self, Api};
use super::credentials::{self, Basic};
use super::prelude::*;
use super::privacy::{self, ForAll, Privacy, Recipient, Text};
use crate::event::{Country, SourceName, plain_id};
use crate::number;
use crate::provider::{DEFAULT_START_KEYWORDS, DEFAULT_STOP_KEYWORDS, Provider, default_provider, fold_keyword};

/// One provider account that sends webhooks.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: SourceName,
    pub provider: Arc<dyn Provider>,
    pub tokens: Tokens,
    /// Empty: any address.
    pub allow: Vec<IpNet>,
    /// Peers whose X-Forwarded-For is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Empty: any channel.
    pub channel_ids: BTreeSet<String>,
    pub header: Option<(HeaderName, Secret)>,
    pub basic: Option<Basic>,
    /// How the provider's API is called, if there is a key.
    pub api: Option<Api>,
    /// Zone of timestamps without an offset.
    pub zone: TimeZone,
    /// Country of numbers in national form.
    pub region: Country,
    /// Texts that are an opt-out, upper case without accents.
    pub stop_keywords: Vec<String>,
    /// Texts that revoke an opt-out, in the same form.
    pub start_keywords: Vec<String>,
    pub privacy: Privacy,
}

#[derive(Clone, Debug)]
pub enum Tokens {
    /// Made once and stored in the data directory.
    Generated,
    /// Any of these; several at once for rotation.
    Given(Vec<Secret>),
}

settings! {
    NAME: SourceName = setting("source.name", "name", |given| name(given, SourceName::new), SourceName::to_string,
        "1 to 32 of `a-z 0-9 - _`, part of the callback URL and the `source` label; not `unknown`. Required in each \
         `[[source]]`").default("smsmode").example(r#""smsmode-otp""#).wrong(r#""Marketing""#);
    TOKENS: Vec<Secret> = secret("source.tokens", "list of tokens", credentials::tokens,
        "any of them authenticates; several for rotation").absent("made once and stored")
        .example(r#"["0123456789abcdef0123456789abcdef"]"#).wrong(r#"["short"]"#);
    TOKEN_FILE: Vec<Secret> = secret_file("source.token_file", credentials::tokens_of_file,
        "the same from a file, one token per line").example(r#""/etc/smscope/token""#).wrong(r#""/nonexistent/token""#);
    TOKEN_FILES: Vec<Secret> = setting("source.token_files", "list of paths", credentials::tokens_of_files,
        |_| "<token>".to_owned(), "the same from several files")
        .example(r#"["/etc/smscope/token", "/etc/smscope/token-new"]"#).wrong(r#"["/nonexistent/token"]"#);
    ALLOW: Vec<IpNet> = list("source.allow", "list of addresses and networks", networks, "clients that are accepted").absent("any")
        .example(r#"["192.0.2.0/24", "2001:db8::1"]"#).wrong(r#"["smsmode.com"]"#);
    TRUSTED_PROXIES: Vec<IpNet> = list("source.trusted_proxies", "list of addresses and networks", networks,
        "proxies whose X-Forwarded-For is trusted").absent("none").example(r#"["10.0.0.0/8"]"#)
        .wrong(r#""10.0.0.0/8""#);
    CHANNEL_IDS: Vec<String> = list("source.channel_ids", "list of texts", channel_ids,
        "smsmode channels that are accepted; an event that names none is accepted too").absent("any")
        .example(r#"["3f0c5a1e-7a1b-4c59-9c7a-5d3b8e2f6a10"]"#).wrong(r#"[""]"#);
    HEADER_NAME: HeaderName = setting("source.header.name", "header", |given| given.parse(HEADER_EXPECTED, header_name),
        HeaderName::to_string, "a header that callers must send, in `[source.header]`").example(r#""X-Webhook-Secret""#)
        .wrong(r#""X Webhook Secret""#).beside(r#"value = "s3cret""#);
    HEADER_VALUE: Secret = secret("source.header.value", "secret",
        |given| credentials::password_that(given, is_header_value), "its value").example(r#""s3cret""#).wrong(r#""""#)
        .beside(r#"name = "X-Webhook-Secret""#);
    HEADER_VALUE_FILE: Secret = secret_file("source.header.value_file",
        |given| credentials::password_file_that(given, is_header_value), "the same from a file")
        .example(r#""/etc/smscope/header""#).wrong(r#""/nonexistent/header""#).beside(r#"name = "X-Webhook-Secret""#);
    USER: String = setting("source.basic.user", "text", credentials::user, String::clone,
        "HTTP basic that clients must send, in `[source.basic]`").secret().example(r#""smsmode""#)
        .wrong(r#""smsmode:s3cret""#).beside(r#"password = "s3cret""#);
    PASSWORD: Secret = secret("source.basic.password", "secret", credentials::password, "its password")
        .example(r#""s3cret""#).wrong(r#""""#).beside(r#"user = "smsmode""#);
    PASSWORD_FILE: Secret = secret_file("source.basic.password_file", credentials::password_file,
        "the same from a file").example(r#""/etc/smscope/password""#).wrong(r#""/nonexistent/password""#)
        .beside(r#"user = "smsmode""#);
    TIMEZONE: TimeZone = setting("source.timezone", "time zone",
        |given| given.parse("a time zone such as Europe/Paris", |text| TimeZone::get(text).ok()),
        |zone| zone.iana_name().unwrap_or("a fixed offset").to_owned(), "of timestamps without an offset")
        .default("Europe/Paris").example(r#""UTC""#).wrong(r#""Paris""#);
    REGION: Country = setting("source.region", "country", region, |region| region.as_str().to_owned(),
        "country of numbers in national form").default("FR").example(r#""BE""#).wrong(r#""France""#);
    STOP_KEYWORDS: Vec<String> = list("source.stop_keywords", "list of texts", keywords,
        "texts that are an opt-out, whatever their case, accents and punctuation, also with a short code behind them")
        .default_list(DEFAULT_STOP_KEYWORDS).example(r#"["STOP", "ARRET"]"#).wrong(r#""STOP""#);
    START_KEYWORDS: Vec<String> = list("source.start_keywords", "list", keywords,
        "texts that revoke an opt-out, likewise; `[]` for none").default_list(DEFAULT_START_KEYWORDS)
        .example(r#"["START"]"#).wrong(r#""START""#);
    RECIPIENT: Recipient = word("source.recipient", "instead of `privacy.recipient`")
        .example(r#""plain""#).wrong(r#""full""#);
    TEXT: Text = word("source.text", "instead of `privacy.text`").example(r#""exported""#).wrong(r#""none""#);
    TOKEN_VARIABLE: Vec<Secret> = variable("SMSCOPE_TOKEN", "0123456789abcdef0123456789abcdef", "tokens",
        credentials::listed_tokens, "of the one source that there is; several with commas between them").secret();
    TOKEN_FILE_VARIABLE: Vec<Secret> = variable("SMSCOPE_TOKEN_FILE", "/etc/smscope/token", "path",
        credentials::tokens_of_file, "the same from a file, one token per line").wrong("/nonexistent/token");
}

/// The label of requests to no configured source, so no source may have this name.
const RESERVED_NAME: &str = "unknown";

/// Reads the sources; without any in the file there is one, the default.
pub(crate) fn read(
    inputs: &Inputs,
    tables: Vec<Table>,
    for_all: &ForAll,
    proxies: &Proxies,
) -> Result<Vec<Source>, ConfigError> {
    let (api_key, tokens) = (api::environment_key(inputs)?, environment_tokens(inputs)?);
    for (given, expected) in [
        (api_key.as_ref().map(|(given, _)| given), "a key in [source.api] of each"),
        (tokens.as_ref().map(|(given, _)| given), "tokens in each [[source]]"),
    ] {
        if let (Some(given), 2..) = (given, tables.len()) {
            let problem = format!("the configuration file has {} sources", tables.len());
            return Err(given.clone().secret().wrong(problem, expected));
        }
    }
    let outside = Outside { api_key, tokens, proxies, system: SystemRoots::default() };
    if tables.is_empty() {
        let mut table = Table::empty(inputs, "source[0].".to_owned());
        let name = table.get(&NAME)?;
        return Ok(vec![source(table, name, for_all, &outside)?]);
    }
    let mut sources: Vec<Source> = Vec::with_capacity(tables.len());
    for mut table in tables {
        let (given, name) = own_name(&mut table, &NAME, "source", sources.iter().map(|other| &other.name))?;
        if name.as_str() == RESERVED_NAME {
            return Err(given.wrong("reserved", "another name"));
        }
        sources.push(source(table, name, for_all, &outside)?);
    }
    Ok(sources)
}

/// Inputs of sources beside their own tables.
struct Outside<'a> {
    api_key: Option<(Given, Secret)>,
    tokens: Option<(Given, Vec<Secret>)>,
    proxies: &'a Proxies,
    system: SystemRoots,
}

/// SMSCOPE_TOKEN or SMSCOPE_TOKEN_FILE, which are for the only source.
fn environment_tokens(inputs: &Inputs) -> Result<Option<(Given, Vec<Secret>)>, ConfigError> {
    let (token, file) = (inputs.variable(&TOKEN_VARIABLE), inputs.variable(&TOKEN_FILE_VARIABLE));
    let name = TOKEN_VARIABLE.variable_name();
    if token.is_none() && file.is_none() && inputs.env.get(name).is_some() {
        inputs.warn(format!("{name}: empty, so not used"));
    }
    inputs::either((&TOKEN_VARIABLE, token), (&TOKEN_FILE_VARIABLE, file))
}

fn source(mut table: Table, name: SourceName, for_all: &ForAll, outside: &Outside) -> Result<Source, ConfigError> {
    let tokens = tokens(&mut table, &name, outside.tokens.as_ref())?;
    let (allow, trusted_proxies) = (table.get(&ALLOW)?, table.get(&TRUSTED_PROXIES)?);
    let channel_ids = table.get(&CHANNEL_IDS)?.into_iter().collect();
    let header = header(&mut table)?;
    let basic = credentials::basic(&mut table, &USER, [&PASSWORD, &PASSWORD_FILE])?;
    let api = api::read(&mut table, outside.api_key.as_ref(), &outside.system, outside.proxies)?;
    let (zone, region) = (table.get(&TIMEZONE)?, table.get(&REGION)?);
    let (stop, start) = (table.take(&STOP_KEYWORDS), table.take(&START_KEYWORDS));
    let privacy = privacy::of_source(&mut table, &RECIPIENT, &TEXT, for_all)?;
    let stop_keywords = table.read(&STOP_KEYWORDS, stop.as_ref())?;
    let start_keywords = table.read(&START_KEYWORDS, start.as_ref())?;
    table.finish()?;
    Ok(Source {
        name,
        provider: default_provider(),
        tokens,
        allow,
        trusted_proxies,
        channel_ids,
        header,
        basic,
        api,
        zone,
        region,
        stop_keywords,
        start_keywords,
        privacy,
    })
}

const NAME_EXPECTED: &str = "1 to 32 of a-z 0-9 - _";

/// A name, as `read` parses it.
pub(crate) fn name<T>(given: &Given, read: fn(&str) -> Option<T>) -> Result<T, ConfigError> {
    given.parse(NAME_EXPECTED, read)
}

/// The name of a table: required, and unique among `tables`.
pub(crate) fn own_name<'a, T: PartialEq + 'a>(
    table: &mut Table,
    name: &Setting<T>,
    tables: &str,
    others: impl IntoIterator<Item = &'a T>,
) -> Result<(Given, T), ConfigError> {
    let given = table.take(name).ok_or_else(|| table.missing(name.name(), NAME_EXPECTED))?;
    let name = table.read(name, Some(&given))?;
    match others.into_iter().position(|other| *other == name) {
        Some(at) => Err(given.wrong(format_args!("already the name of {tables}[{at}]"), "a name of its own")),
        None => Ok((given, name)),
    }
}

/// The tokens of all three keys together, else those of the environment.
fn tokens(
    table: &mut Table,
    source: &SourceName,
    of_env: Option<&(Given, Vec<Secret>)>,
) -> Result<Tokens, ConfigError> {
    let (mut tokens, mut origin) = (Vec::new(), None);
    for setting in [&TOKENS, &TOKEN_FILE, &TOKEN_FILES] {
        let Some(given) = table.take(setting) else { continue };
        tokens.extend(setting.read(&given)?);
        origin = Some(given);
    }
    match of_env {
        Some((given, _)) if !tokens.is_empty() => {
            table.warn(format!("{}: not used, source \"{source}\" has tokens of its own", given.key));
        }
        Some((given, of_env)) => {
            tokens.clone_from(of_env);
            origin = Some(given.clone());
        }
        None => {}
    }
    if tokens.is_empty() {
        table.show(TOKENS.name(), TOKENS.declaration.default(), origin.as_ref());
        return Ok(Tokens::Generated);
    }
    table.show(TOKENS.name(), vec!["<token>"; tokens.len()].join(", "), origin.as_ref());
    Ok(Tokens::Given(tokens))
}

const HEADER_EXPECTED: &str = "the name of a header such as X-Webhook-Secret";

fn header_name(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}

fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// The header that a client has to send.
fn header(source: &mut Table) -> Result<Option<(HeaderName, Secret)>, ConfigError> {
    let Some(mut table) = source.optional_table("header")? else {
        source.show("header", "none", None);
        return Ok(None);
    };
    let name = table.take(&HEADER_NAME).ok_or_else(|| table.missing("name", HEADER_EXPECTED))?;
    let name = HEADER_NAME.read(&name)?;
    let value = credentials::required(&mut table, &HEADER_VALUE, &HEADER_VALUE_FILE)?;
    source.show("header", format_args!("{name}: <token>"), table.origin());
    table.finish()?;
    // HTTP has no white space around a header's value.
    Ok(Some((name, Secret::new(value.reveal().trim().to_owned()))))
}

pub(crate) fn networks(given: &Given) -> Result<Vec<IpNet>, ConfigError> {
    given.list("addresses and networks", "an address or a network such as 192.0.2.0/24", value::network)
}

/// In their order, each once.
fn channel_ids(given: &Given) -> Result<Vec<String>, ConfigError> {
    let ids: BTreeSet<String> = given.texts("channel ids")?.into_iter().map(plain_id).collect();
    Ok(ids.into_iter().collect())
}

fn keywords(given: &Given) -> Result<Vec<String>, ConfigError> {
    Ok(given.texts("keywords")?.iter().map(|keyword| fold_keyword(keyword)).collect())
}

fn region(given: &Given) -> Result<Country, ConfigError> {
    given.parse("a country of two capital letters such as FR", |text| {
        Country::new(text).filter(|country| number::has_plan(*country))
    })
}
