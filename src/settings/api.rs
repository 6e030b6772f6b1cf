//! `[source.api]`: the provider's own API, which smscope calls only for another setting or a command.

use std::time::Duration;

use hyper::http::Uri;
use strum::{IntoStaticStr, VariantArray};

use super::prelude::*;

/// How one source's provider account is called.
#[derive(Clone, Debug)]
pub struct Api {
    pub key: Secret,
    pub mode: ApiMode,
    /// With a host, without user and query; its path is what the API's paths are added to.
    pub url: Uri,
    /// From the request to the end of its response.
    pub timeout: Duration,
    /// There if, and only if, the URL's scheme is https.
    pub tls: Option<Tls>,
    /// The proxy by which the API is reached; `None`: directly.
    pub proxy: Option<Proxy>,
}

/// Which of the provider's APIs the key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ApiMode {
    /// REST v1.
    Rest,
    /// The HTTP API: it reports the credit and nothing else.
    Legacy,
}

impl ApiMode {
    fn default_url(self) -> &'static str {
        match self {
            ApiMode::Rest => "https://rest.smsmode.com/",
            ApiMode::Legacy => "https://api.smsmode.com/",
        }
    }
}

impl Api {
    /// In one phrase for people, without the key.
    pub fn shown(&self) -> String {
        let timeout = value::show_duration(self.timeout);
        let by = self.proxy.as_ref().map_or(String::new(), |proxy| format!(", by way of {proxy}"));
        format!("{} ({}) with <token>, within {timeout}{by}", self.url, self.mode.into_str())
    }
}

/// A source that has a key, for the documentation of settings that need one.
pub(crate) const SOURCE_WITH_KEY: &str = "[[source]]\nname = \"smsmode\"\napi = { key = \"s3cret-key\" }\n";

settings! {
    KEY: Secret = secret("source.api.key", "secret", |given| given.parse(KEY_EXPECTED, key),
        "a key of smsmode's API, in `[source.api]`, for what calls smsmode's API: `[account]`, `[reconcile]`, `smscope \
         connect`").absent("none").example(r#""s3cret-key""#).wrong(r#""s3cret key""#)
        .variable("SMSCOPE_API_KEY", "s3cret-key");
    KEY_FILE: Secret = secret_file("source.api.key_file", key_file, "the same from a file")
        .example(r#""/etc/smscope/api-key""#).wrong(r#""/nonexistent/api-key""#)
        .variable("SMSCOPE_API_KEY_FILE", "/etc/smscope/api-key");
    MODE: ApiMode = word("source.api.mode",
        "`rest`, which is the default, or `legacy`: the HTTP API, which reports the credit and nothing else")
        .example(r#""legacy""#).wrong(r#""soap""#).beside(r#"key = "s3cret-key""#);
    URL: Uri = setting("source.api.url", "URL", url, Uri::to_string,
        "where it is; by default `https://rest.smsmode.com/`, legacy `https://api.smsmode.com/`").url()
        .example(r#""http://127.0.0.1:8080/""#).wrong(r#""rest.smsmode.com""#).beside(r#"key = "s3cret-key""#);
    TIMEOUT: Duration = duration("source.api.timeout", |given| given.duration(MILLISECOND..=HOUR),
        "of one request, to the end of its answer; by default `10s`").example(r#""5s""#).wrong("5")
        .beside(r#"key = "s3cret-key""#);
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A key from SMSCOPE_API_KEY or SMSCOPE_API_KEY_FILE, which is for the one source that there is.
pub(crate) fn environment_key(inputs: &Inputs) -> Result<Option<(Given, Secret)>, ConfigError> {
    inputs::either((&KEY, inputs.variable(&KEY)), (&KEY_FILE, inputs.variable(&KEY_FILE)))
}

/// The API by the table `api` of `source` and the environment; `None` without either. A key in the file wins, with a warning.
pub(crate) fn read(
    source: &mut Table,
    of_env: Option<&(Given, Secret)>,
    system: &SystemRoots,
    proxies: &Proxies,
) -> Result<Option<Api>, ConfigError> {
    let table = source.optional_table("api")?;
    if table.is_none() && of_env.is_none() {
        source.show("api", "none", None);
        return Ok(None);
    }
    let mut table = table.unwrap_or_else(|| Table::empty(source.inputs, "source.api.".to_owned()));
    let own = table.either(&KEY, &KEY_FILE)?;
    let mode = table.take(&MODE).map_or(Ok(ApiMode::Rest), |given| MODE.read(&given))?;
    let url_given = table.take(&URL).unwrap_or_else(|| Given::of_flag(URL.declaration.key, mode.default_url()));
    let url = URL.read(&url_given)?;
    let timeout = table.take(&TIMEOUT).map_or(Ok(DEFAULT_TIMEOUT), |given| TIMEOUT.read(&given))?;
    let missing = table.missing(KEY.name(), "it or key_file, or SMSCOPE_API_KEY");
    table.finish()?;
    if let (Some(_), Some((unused, _))) = (&own, of_env) {
        source.warn(format!("{}: not used, the source has a key of its own", unused.key));
    }
    let (given, key) = own.or_else(|| of_env.cloned()).ok_or(missing)?;
    let tls = match url.scheme_str() {
        Some("https") => Some(tls::read(tls::Files::default(), &url_given, system)?),
        _ => None,
    };
    let proxy = proxies.of(&url);
    let api = Api { key, mode, url, timeout, tls, proxy };
    source.show("api", api.shown(), Some(&given));
    Ok(Some(api))
}

const KEY_EXPECTED: &str = "an API key: printable ASCII without spaces";

fn key_file(given: &Given) -> Result<Secret, ConfigError> {
    let text = given.file("a file with the API key in it")?;
    key(&text).ok_or_else(|| given.wrong("not a usable key", KEY_EXPECTED))
}

fn key(text: &str) -> Option<Secret> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(text.to_owned()))
}

fn url(given: &Given) -> Result<Uri, ConfigError> {
    given.parse("a base URL without a query, such as https://rest.smsmode.com/", |text| {
        value::web_url(text).filter(|url| url.query().is_none())
    })
}
