//! `[source.api]`: the provider's own API, for what asks it something. Nothing is asked unless another setting or a command does.

use std::time::Duration;

use hyper::http::Uri;

use super::file::Table;
use super::proxy::Proxies;
use super::setting::Setting;
use super::tls::{self, SystemRoots};
use super::value::{self, HOUR};
use super::{ConfigError, Environment, Proxy, Tls};
use crate::secret::Secret;

const KEY_EXPECTED: &str = "an API key: printable ASCII without spaces";
const URL: &str = "a base URL without a query, such as https://rest.smsmode.com/";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How one source's provider account is asked.
#[derive(Clone, Debug)]
pub struct Api {
    pub key: Secret,
    pub mode: ApiMode,
    /// With a host, without user and query; its path is what the API's paths are added to.
    pub url: Uri,
    /// From the request to the end of its answer.
    pub timeout: Duration,
    /// There if, and only if, the URL's scheme is https.
    pub tls: Option<Tls>,
    /// By way of which the API is reached; `None`: directly.
    pub proxy: Option<Proxy>,
}

/// Which of the provider's APIs the key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiMode {
    /// REST v1.
    Rest,
    /// The HTTP API: it tells the credit and nothing else.
    Legacy,
}

impl ApiMode {
    pub fn as_str(self) -> &'static str {
        match self {
            ApiMode::Rest => "rest",
            ApiMode::Legacy => "legacy",
        }
    }

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
        format!("{} ({}) with <token>, within {timeout}{by}", self.url, self.mode.as_str())
    }
}

/// A key from the environment, which is for the one source that there is.
pub(super) struct EnvironmentKey {
    pub setting: Setting,
    key: Secret,
}

impl EnvironmentKey {
    /// SMSCOPE_API_KEY or SMSCOPE_API_KEY_FILE.
    pub fn read(env: &dyn Environment) -> Result<Option<Self>, ConfigError> {
        let key = Setting::of_env(env, "SMSCOPE_API_KEY").map(Setting::secret);
        let file = Setting::of_env(env, "SMSCOPE_API_KEY_FILE");
        match (key, file) {
            (Some(key), Some(_)) => Err(key.wrong("SMSCOPE_API_KEY_FILE is set too", "one of the two")),
            (Some(setting), None) => Ok(Some(Self { key: of_text(&setting)?, setting })),
            (None, Some(setting)) => Ok(Some(Self { key: of_file(&setting)?, setting })),
            (None, None) => Ok(None),
        }
    }
}

/// What `table` and the environment say; `None` without either. A key of the file's own wins, which is a warning.
pub(super) fn read(
    table: Option<Table>,
    of_env: Option<&EnvironmentKey>,
    system: &SystemRoots,
    proxies: &Proxies,
    warnings: &mut Vec<String>,
) -> Result<Option<Api>, ConfigError> {
    if table.is_none() && of_env.is_none() {
        return Ok(None);
    }
    let mut table = table.unwrap_or_default();
    let own = match (table.take("key").map(Setting::secret), table.take_path("key_file")) {
        (Some(key), Some(_)) => return Err(key.wrong("key_file is set too", "one of the two")),
        (Some(key), None) => Some(of_text(&key)?),
        (None, Some(file)) => Some(of_file(&file)?),
        (None, None) => None,
    };
    let mode = table.take("mode").map_or(Ok(ApiMode::Rest), |setting| {
        setting.parse("rest or legacy", |text| {
            [ApiMode::Rest, ApiMode::Legacy].into_iter().find(|mode| mode.as_str() == text.trim())
        })
    })?;
    let url_setting = table.take("url").map(Setting::url);
    let url_setting = url_setting.unwrap_or_else(|| Setting::of_flag("source.api.url", mode.default_url()));
    let url = url_setting.parse(URL, |text| value::web_url(text.trim()).filter(|url| url.query().is_none()))?;
    let timeout = match table.take("timeout") {
        Some(setting) => setting.duration(Duration::from_millis(1)..=HOUR)?,
        None => DEFAULT_TIMEOUT,
    };
    let missing = table.missing("key", "it or key_file, or SMSCOPE_API_KEY");
    table.finish()?;
    let key = match (own, of_env) {
        (Some(own), Some(of_env)) => {
            warnings.push(format!("{}: not used, the source has a key of its own", of_env.setting.key));
            own
        }
        (Some(own), None) => own,
        (None, Some(of_env)) => of_env.key.clone(),
        (None, None) => return Err(missing),
    };
    let none = tls::Given { certificate: None, client_certificate: None, client_key: None };
    let tls = match url.scheme_str() {
        Some("https") => Some(tls::read(none, &url_setting, system)?),
        _ => None,
    };
    let proxy = proxies.of(&url);
    Ok(Some(Api { key, mode, url, timeout, tls, proxy }))
}

fn of_text(setting: &Setting) -> Result<Secret, ConfigError> {
    setting.parse(KEY_EXPECTED, key)
}

fn of_file(file: &Setting) -> Result<Secret, ConfigError> {
    let text = file.file("a file with the API key in it")?;
    key(&text).ok_or_else(|| file.wrong("not a usable key", KEY_EXPECTED))
}

fn key(text: &str) -> Option<Secret> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(text.to_owned()))
}
