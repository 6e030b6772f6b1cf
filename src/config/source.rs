//! The sources: `[[source]]` of the file, or the default source and its token from the environment.

use hyper::http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::api::{self, EnvironmentKey};
use super::file::Table;
use super::origin::Origins;
use super::proxy::Proxies;
use super::setting::Setting;
use super::tls::SystemRoots;
use super::value::{self, TOKEN_EXPECTED};
use super::{Basic, ConfigError, Environment, Privacy, Recipient, Source, Text, Tokens};
use crate::event::{Country, SourceName, plain_id};
use crate::provider::{DEFAULT_START_KEYWORDS, DEFAULT_STOP_KEYWORDS, default_provider, fold_keyword};
use crate::secret::Secret;

const DEFAULT_NAME: &str = "smsmode";
const DEFAULT_ZONE: &str = "Europe/Paris";
const DEFAULT_REGION: &str = "FR";

/// What requests to no configured source are counted under, so no source may have it.
const RESERVED_NAME: &str = "unknown";

/// Reads the sources; without any in the file there is one, the default.
pub(super) fn read(
    tables: Vec<Table>,
    privacy: Privacy,
    env: &dyn Environment,
    origins: &Origins,
    proxies: &Proxies,
    warnings: &mut Vec<String>,
) -> Result<Vec<Source>, ConfigError> {
    let api_key = EnvironmentKey::read(env)?;
    if let (Some(EnvironmentKey { setting, .. }), 2..) = (&api_key, tables.len()) {
        let problem = format!("the configuration file has {} sources", tables.len());
        return Err(setting.clone().secret().wrong(problem, "a key in [source.api] of each"));
    }
    let system = SystemRoots::default();
    let mut sources = Vec::with_capacity(tables.len().max(1));
    let tables = if tables.is_empty() { vec![Table::with("name", DEFAULT_NAME)] } else { tables };
    for (at, table) in tables.into_iter().enumerate() {
        let (source, api) = source(table, privacy, &sources)?;
        if let Some(EnvironmentKey { setting, .. }) = &api_key {
            origins.note(&format!("source[{at}].api"), setting);
        }
        let api = api::read(api, api_key.as_ref(), &system, proxies, warnings)?;
        sources.push(Source { api, ..source });
    }
    if privacy != Privacy::default() {
        note_inherited(&sources, privacy, origins);
    }
    apply_environment(&mut sources, env, origins, warnings)?;
    Ok(sources)
}

/// What a source has from `[privacy]` comes from the file as well.
fn note_inherited(sources: &[Source], privacy: Privacy, origins: &Origins) {
    let default = Privacy::default();
    for (at, source) in sources.iter().enumerate() {
        if source.privacy.recipient == privacy.recipient && privacy.recipient != default.recipient {
            origins.note_file(&format!("source[{at}].recipient"));
        }
        if source.privacy.text == privacy.text && privacy.text != default.text {
            origins.note_file(&format!("source[{at}].text"));
        }
    }
}

/// SMSCOPE_TOKEN or SMSCOPE_TOKEN_FILE, which are for the one source that there is.
fn apply_environment(
    sources: &mut [Source],
    env: &dyn Environment,
    origins: &Origins,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let token = Setting::of_env(env, "SMSCOPE_TOKEN").map(Setting::secret);
    let file = Setting::of_env(env, "SMSCOPE_TOKEN_FILE");
    let (setting, tokens) = match (token, file) {
        (Some(token), Some(_)) => return Err(token.wrong("SMSCOPE_TOKEN_FILE is set too", "one of the two")),
        (Some(token), None) => {
            let tokens = listed_tokens(&token)?;
            (token, tokens)
        }
        (None, Some(file)) => {
            let tokens = tokens_of_file(&file)?;
            (file, tokens)
        }
        (None, None) => {
            if env.get("SMSCOPE_TOKEN").is_some() {
                warnings.push("SMSCOPE_TOKEN: empty, so not used".to_owned());
            }
            return Ok(());
        }
    };
    match sources {
        [source] => match source.tokens {
            Tokens::Generated => {
                origins.note("source[0].tokens", &setting);
                source.tokens = Tokens::Given(tokens);
            }
            Tokens::Given(_) => {
                warnings.push(format!("{}: not used, source \"{}\" has tokens of its own", setting.key, source.name));
            }
        },
        _ => {
            let problem = format!("the configuration file has {} sources", sources.len());
            return Err(setting.secret().wrong(problem, "tokens in each [[source]]"));
        }
    }
    Ok(())
}

/// A source without its API, and what the file says of that.
fn source(
    mut table: Table,
    default_privacy: Privacy,
    others: &[Source],
) -> Result<(Source, Option<Table>), ConfigError> {
    let name = name(&mut table, others)?;
    let tokens = tokens(&mut table)?;
    let allow = networks(table.take("allow"))?;
    let trusted_proxies = networks(table.take("trusted_proxies"))?;
    let channel_ids = words(table.take("channel_ids"), "channel ids")?.unwrap_or_default();
    let header = table.optional_table("header")?.map(header).transpose()?;
    let basic = table.optional_table("basic")?.map(basic).transpose()?;
    let api = table.optional_table("api")?;
    let zone = table.take("timezone").unwrap_or_else(|| Setting::of_flag("timezone", DEFAULT_ZONE));
    let zone = zone.parse("a time zone such as Europe/Paris", |text| TimeZone::get(text).ok())?;
    let region = table.take("region").unwrap_or_else(|| Setting::of_flag("region", DEFAULT_REGION));
    let region = region.parse("a country of two capital letters such as FR", |text| {
        text.parse::<phonenumber::country::Id>().ok()?;
        Country::new(text)
    })?;
    let keywords = |given: Option<Setting>, default: &[&str]| {
        let keywords = words(given, "keywords")?;
        Ok(match keywords {
            Some(keywords) => keywords.iter().map(|keyword| fold_keyword(keyword)).collect(),
            None => default.iter().map(|keyword| (*keyword).to_owned()).collect(),
        })
    };
    let stop_keywords = keywords(table.take("stop_keywords"), DEFAULT_STOP_KEYWORDS)?;
    let start_keywords = keywords(table.take("start_keywords"), DEFAULT_START_KEYWORDS)?;
    let privacy = privacy(&mut table, default_privacy)?;
    table.finish()?;
    let channel_ids = channel_ids.into_iter().map(plain_id).collect();
    let source = Source {
        name,
        provider: default_provider(),
        tokens,
        allow,
        trusted_proxies,
        channel_ids,
        header,
        basic,
        api: None,
        zone,
        region,
        stop_keywords,
        start_keywords,
        privacy,
    };
    Ok((source, api))
}

fn name(table: &mut Table, others: &[Source]) -> Result<SourceName, ConfigError> {
    let (setting, name) = own_name(table, "source", SourceName::new, others.iter().map(|other| &other.name))?;
    if name.as_str() == RESERVED_NAME {
        return Err(setting.wrong("reserved", "another name"));
    }
    Ok(name)
}

/// The name that a table has to have, and no other of `tables` has.
pub(super) fn own_name<'a, T: PartialEq + 'a>(
    table: &mut Table,
    tables: &str,
    read: impl FnOnce(&str) -> Option<T>,
    others: impl IntoIterator<Item = &'a T>,
) -> Result<(Setting, T), ConfigError> {
    const EXPECTED: &str = "1 to 32 of a-z 0-9 - _";
    let setting = table.take("name").ok_or_else(|| table.missing("name", EXPECTED))?;
    let name = setting.parse(EXPECTED, read)?;
    match others.into_iter().position(|other| *other == name) {
        Some(at) => Err(setting.wrong(format_args!("already the name of {tables}[{at}]"), "a name of its own")),
        None => Ok((setting, name)),
    }
}

/// The tokens of all three keys together.
fn tokens(table: &mut Table) -> Result<Tokens, ConfigError> {
    let mut tokens = Vec::new();
    if let Some(setting) = table.take("tokens") {
        for item in setting.secret().items("tokens")? {
            tokens.push(item.parse(TOKEN_EXPECTED, token)?);
        }
    }
    if let Some(file) = table.take_path("token_file") {
        tokens.extend(tokens_of_file(&file)?);
    }
    if let Some(files) = table.take_path("token_files") {
        for file in files.items("files of tokens")? {
            tokens.extend(tokens_of_file(&file)?);
        }
    }
    Ok(if tokens.is_empty() { Tokens::Generated } else { Tokens::Given(tokens) })
}

pub(super) fn token(text: &str) -> Option<Secret> {
    value::fits_as_token(text).then(|| Secret::new(text.to_owned()))
}

/// Tokens with commas between them.
fn listed_tokens(setting: &Setting) -> Result<Vec<Secret>, ConfigError> {
    let expected = format!("tokens of {TOKEN_EXPECTED}, with commas between them");
    setting.parse(&expected, |text| text.split(',').map(|item| token(item.trim())).collect())
}

/// Tokens in a file, one a line.
fn tokens_of_file(file: &Setting) -> Result<Vec<Secret>, ConfigError> {
    let text = file.file("a file with one token a line")?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let tokens = lines.map(|(at, line)| {
        let problem = || file.wrong(format_args!("line {} is not a token", at + 1), TOKEN_EXPECTED);
        token(line.trim()).ok_or_else(problem)
    });
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    if tokens.is_empty() {
        return Err(file.wrong("no token in it", "one token a line"));
    }
    Ok(tokens)
}

pub(super) fn networks(setting: Option<Setting>) -> Result<Vec<IpNet>, ConfigError> {
    const EXPECTED: &str = "an address or a network such as 192.0.2.0/24";
    let Some(setting) = setting else { return Ok(Vec::new()) };
    let items = setting.items("addresses and networks")?;
    items.iter().map(|item| item.parse(EXPECTED, value::network)).collect()
}

pub(super) fn words(setting: Option<Setting>, what: &str) -> Result<Option<Vec<String>>, ConfigError> {
    let word = |item: Setting| {
        item.parse("a text that is not empty", |text| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    };
    setting.map(|setting| setting.items(what)?.into_iter().map(word).collect()).transpose()
}

/// `recipient` and `text` of a table, which stand under the same keys for all sources and for one.
pub(super) fn privacy(table: &mut Table, default: Privacy) -> Result<Privacy, ConfigError> {
    let recipient = match table.take("recipient") {
        Some(setting) => setting.parse("masked, hashed or plain", |text| {
            Recipient::ALL.into_iter().find(|recipient| recipient.as_str() == text)
        })?,
        None => default.recipient,
    };
    let text = match table.take("text") {
        Some(setting) => setting
            .parse("dropped, kept or exported", |text| Text::ALL.into_iter().find(|known| known.as_str() == text))?,
        None => default.text,
    };
    Ok(Privacy { recipient, text })
}

/// The header that a caller has to send.
fn header(mut table: Table) -> Result<(HeaderName, Secret), ConfigError> {
    const EXPECTED: &str = "the name of a header such as X-Webhook-Secret";
    let name = table.take("name").ok_or_else(|| table.missing("name", EXPECTED))?;
    let name = name.parse(EXPECTED, |text| HeaderName::from_bytes(text.as_bytes()).ok())?;
    let value = secret(&mut table, "value", "value_file", |text| HeaderValue::from_str(text).is_ok())?;
    table.finish()?;
    // HTTP has no white space around a header's value.
    Ok((name, Secret::new(value.reveal().trim().to_owned())))
}

pub(super) fn basic(mut table: Table) -> Result<Basic, ConfigError> {
    const EXPECTED: &str = "a user name without a colon";
    let user = table.take("user").ok_or_else(|| table.missing("user", EXPECTED))?;
    // The part after a colon would be a password.
    let user =
        user.secret().parse(EXPECTED, |text| (!text.is_empty() && !text.contains(':')).then(|| text.to_owned()))?;
    let password = secret(&mut table, "password", "password_file", |_| true)?;
    table.finish()?;
    Ok(Basic { user, password })
}

/// A token that stands under `key`, or in the file that `file_key` names, if there is one.
pub(super) fn optional_token(
    table: &mut Table,
    key: &'static str,
    file_key: &'static str,
    expected: &str,
) -> Result<Option<Secret>, ConfigError> {
    match (table.take(key).map(Setting::secret), table.take_path(file_key)) {
        (Some(given), Some(_)) => Err(given.wrong(format_args!("{file_key} is set too"), "one of the two")),
        (Some(given), None) => given.parse(expected, token).map(Some),
        (None, Some(file)) => {
            let text = file.file("a file with the token in it")?;
            token(&text).map(Some).ok_or_else(|| file.wrong("not a usable token", expected))
        }
        (None, None) => Ok(None),
    }
}

/// A secret that stands under `key`, or in the file that `file_key` names.
fn secret(
    table: &mut Table,
    key: &'static str,
    file_key: &'static str,
    fits: impl Fn(&str) -> bool,
) -> Result<Secret, ConfigError> {
    const EXPECTED: &str = "a text that is not empty, of printable characters";
    let fits = |text: &str| !text.is_empty() && !text.contains(char::is_control) && fits(text);
    match (table.take(key).map(Setting::secret), table.take_path(file_key)) {
        (Some(setting), Some(_)) => Err(setting.wrong(format_args!("{file_key} is set too"), "one of the two")),
        (Some(setting), None) => {
            let text = setting.verbatim(EXPECTED)?;
            fits(text).then(|| Secret::new(text.to_owned())).ok_or_else(|| setting.bad(EXPECTED))
        }
        (None, Some(file)) => {
            let text = file.file_verbatim("a file with the secret in it")?;
            fits(&text).then(|| Secret::new(text)).ok_or_else(|| file.wrong("not a usable secret", EXPECTED))
        }
        (None, None) => Err(table.missing(key, &format!("it or {file_key}"))),
    }
}
