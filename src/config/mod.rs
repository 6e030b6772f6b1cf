//! What can be set: file, environment, flags, and the errors.
//!
//! Flag over environment over file over default. [`Config::load`] reads the configuration file and the files that hold
//! secrets; it binds nothing and writes nothing. Each setting that cannot be used ends in one line that names it under the
//! name it was given, shows its value (never a secret's), and says what is expected.

mod admin;
mod api;
mod certificate;
mod environment;
mod error;
mod file;
mod headers;
mod likely;
mod listener_tls;
mod model;
mod origin;
mod otlp;
mod proxy;
pub mod reference;
mod relay;
mod resend;
mod setting;
mod source;
mod tls;
mod value;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use admin::Admin;
pub use api::{Api, ApiMode};
pub use certificate::Validity;
pub use environment::VARIABLES;
pub use error::ConfigError;
pub use headers::METADATA_BASE64;
pub use listener_tls::{ClientCertificates, Identity, ListenerTls};
pub use model::*;
pub use proxy::Proxy;
pub use relay::Relay;
pub use tls::authorities;
pub use value::{duration, show_duration, show_size};
pub use watch::{Account, DEFAULT_WINDOW, OptOuts, Reconcile, SelfProbe};

use jiff::Timestamp;

pub use crate::environment::{Environment, Process};
use crate::event::SourceName;
use error::{LeftOut, Remaining};
use file::Table;
use proxy::Proxies;
use setting::Setting;
use value::{DAY, HOUR};

/// Room that is kept in a callback URL for a token that is yet to be made: 256 bits in base64url.
pub const GENERATED_TOKEN_MAX: usize = 43;

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub data_dir: Option<PathBuf>,
}

impl Flags {
    fn without(&self, left_out: &LeftOut) -> Self {
        let text = |flag: &str, value: &Option<String>| value.clone().filter(|_| !left_out.contains(flag));
        let path = |flag: &str, value: &Option<PathBuf>| value.clone().filter(|_| !left_out.contains(flag));
        Self {
            config: path("--config", &self.config),
            listen: text("--listen", &self.listen),
            admin_listen: text("--admin-listen", &self.admin_listen),
            data_dir: path("--data-dir", &self.data_dir),
        }
    }
}

/// A configuration that holds together, and what to tell the operator about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The configuration file, when there is one.
    pub file: Option<PathBuf>,
    pub origins: LoadedOrigins,
    /// What was given and not used, one line each. Without secrets.
    pub warnings: Vec<String>,
}

/// Where each effective value came from.
#[derive(Clone, Debug, Default)]
pub struct LoadedOrigins(BTreeMap<String, String>);

impl LoadedOrigins {
    /// The origin of what nobody gave.
    pub const DEFAULT: &'static str = "default";

    /// Of a key such as `listen`, `store.retention`, `otlp.logs.endpoint` or `source[0].tokens`: the path of the file, the
    /// variable, the flag, or `default`.
    pub fn of(&self, key: &str) -> &str {
        self.0.get(key).map_or(Self::DEFAULT, String::as_str)
    }
}

impl Config {
    /// Puts the configuration together from flags, environment, file and defaults.
    ///
    /// # Errors
    /// All settings that cannot be used.
    pub fn load(flags: &Flags, env: &dyn Environment) -> Result<Loaded, ConfigError> {
        error::all_errors(|left_out| {
            Self::load_without(&flags.without(left_out), &Remaining { env, left_out }, left_out)
        })
    }

    fn load_without(flags: &Flags, env: &dyn Environment, left_out: &LeftOut) -> Result<Loaded, ConfigError> {
        let mut warnings = environment::unknown_variables(env);
        let (file, mut root) = configuration_file(flags, env, left_out)?;
        let origins = root.origins();
        let mut given = Given { env, root: &mut root };

        let listen_given = given.setting(flags.listen.as_deref(), "--listen", "SMSCOPE_LISTEN", "listen");
        let listen = address(listen_given.as_ref(), DEFAULT_LISTEN)?;
        let admin_given =
            given.setting(flags.admin_listen.as_deref(), "--admin-listen", "SMSCOPE_ADMIN_LISTEN", "admin_listen");
        let admin_listen = address(admin_given.as_ref(), DEFAULT_ADMIN_LISTEN)?;
        if collide(listen, admin_listen) {
            let (culprit, other) = match (&admin_given, &listen_given) {
                (Some(admin), _) => (admin.clone(), "listen"),
                (None, Some(listen)) => (listen.clone(), "admin_listen"),
                (None, None) => (Setting::of_flag("admin_listen", DEFAULT_ADMIN_LISTEN), "listen"),
            };
            let problem = format_args!("takes the port of {other}");
            return Err(culprit.wrong(problem, "a port of its own").beside_others());
        }

        let data_dir = data_dir(flags, &mut given)?;
        let public_given = given.variable_or_key("SMSCOPE_PUBLIC_URL", "public_url").map(Setting::url);
        let public_url = public_given.as_ref().map(public_url).transpose()?;
        let recipient_flood = match given.root.take("recipient_flood") {
            Some(setting) => setting.number(2..=100_000)?,
            None => DEFAULT_RECIPIENT_FLOOD,
        };
        let (http, tls) = http(given.root.table("http")?)?;
        let admin = admin::read(given.root.table("admin")?)?;
        for tls in [&tls, &admin.tls].into_iter().flatten() {
            warnings.extend(tls.warning(&tls.identity, Timestamp::now()));
        }
        let store = store(given.root.table("store")?, env)?;
        let privacy = privacy(given.root.table("privacy")?)?;
        let proxies = Proxies::of_env(env, &mut warnings);
        let otlp = otlp::read(given.root.table("otlp")?, env, &proxies, &mut warnings)?;
        let sources = source::read(given.root.tables("source")?, privacy, env, &origins, &proxies, &mut warnings)?;
        let account = watch::account(root.table("account")?, &sources)?;
        let self_probe = watch::self_probe(root.table("self_probe")?, public_url.as_deref())?;
        let reconcile = watch::reconcile(root.table("reconcile")?, &sources)?;
        let conversations = watch::conversations(root.table("conversations")?)?;
        let opt_outs = watch::opt_outs(root.table("opt_outs")?)?;
        let relays = relay::read(root.tables("relay")?, &sources, &proxies)?;
        let resends = resend::read(root.tables("resend")?, &sources, &relays, opt_outs.as_ref(), &mut warnings)?;
        root.finish()?;

        let config = Config {
            listen,
            admin_listen,
            data_dir,
            public_url,
            recipient_flood,
            http,
            tls,
            admin,
            store,
            privacy,
            otlp,
            sources,
            account,
            self_probe,
            reconcile,
            relays,
            resends,
            opt_outs,
            conversations,
        };
        config.check_callback_urls(public_given.as_ref())?;
        // What is given for all signals is remarked on for each.
        let mut remarked = BTreeSet::new();
        warnings.retain(|warning| remarked.insert(warning.clone()));
        Ok(Loaded { config, file, origins: origins.finish(), warnings })
    }

    /// The URL that the provider is given for `source`, with `token` as it stands.
    ///
    /// Without a public URL this is the listener's own address, an unspecified one written as loopback, by https if it speaks TLS.
    pub fn callback_url(&self, source: &SourceName, token: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{url}/hooks/{source}/{token}"),
            None => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{}/hooks/{source}/{token}", reachable(self.listen))
            }
        }
    }

    /// The same configuration under another public URL, which `flag` names, and whom to trust there when it is https.
    ///
    /// # Errors
    /// It is no URL, makes a callback URL too long, or this system has no certificate authorities.
    pub fn under_public_url(&self, flag: &str, url: &str) -> Result<(Config, Option<Tls>), ConfigError> {
        let setting = Setting::of_flag(flag, url).url();
        let config = Config { public_url: Some(public_url(&setting)?), ..self.clone() };
        config.check_callback_urls(Some(&setting))?;
        let is_secure = config.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
        let tls = is_secure.then(|| watch::trusting_the_system(&setting)).transpose()?;
        Ok((config, tls))
    }

    /// Where this machine finds the page, without a slash at the end.
    pub fn admin_url(&self) -> String {
        let scheme = if self.admin.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.reachable_admin())
    }

    /// The address under which this machine reaches the admin listener.
    pub fn reachable_admin(&self) -> SocketAddr {
        reachable(self.admin_listen)
    }

    fn check_callback_urls(&self, public_url: Option<&Setting>) -> Result<(), ConfigError> {
        for source in &self.sources {
            let longest = match &source.tokens {
                Tokens::Generated => GENERATED_TOKEN_MAX,
                Tokens::Given(tokens) => tokens.iter().map(|token| token.reveal().len()).max().unwrap_or(0),
            };
            let length = self.callback_url(&source.name, "").len() + longest;
            let limit = source.provider.callback_limits().url_length;
            if length > limit {
                let problem =
                    format!("the callback URL of source {:?} takes {length} characters", source.name.as_str());
                let expected = format!("{limit} at most, token included");
                return Err(match public_url {
                    Some(setting) => setting.wrong(problem, expected),
                    None => ConfigError::general(format!("{problem}; expected {expected}")),
                });
            }
        }
        Ok(())
    }
}

const DEFAULT_LISTEN: &str = "127.0.0.1:7672";
const DEFAULT_ADMIN_LISTEN: &str = "127.0.0.1:7673";
const DEFAULT_DATA_DIR: &str = "./smscope-data";
const DEFAULT_RECIPIENT_FLOOD: usize = 20;

/// The places that a setting may come from, flags aside.
struct Given<'a> {
    env: &'a dyn Environment,
    root: &'a mut Table,
}

impl Given<'_> {
    fn setting(&mut self, flag: Option<&str>, name: &str, variable: &str, key: &'static str) -> Option<Setting> {
        let given = self.variable_or_key(variable, key);
        flag.map(|value| self.noted(key, Setting::of_flag(name, value))).or(given)
    }

    fn variable_or_key(&mut self, variable: &str, key: &'static str) -> Option<Setting> {
        let in_file = self.root.take(key);
        self.variable(variable, key).or(in_file)
    }

    fn variable(&self, variable: &str, key: &str) -> Option<Setting> {
        Setting::of_env(self.env, variable).map(|setting| self.noted(key, setting))
    }

    fn noted(&self, key: &str, setting: Setting) -> Setting {
        self.root.note(key, &setting);
        setting
    }
}

fn configuration_file(
    flags: &Flags,
    env: &dyn Environment,
    left_out: &LeftOut,
) -> Result<(Option<PathBuf>, Table), ConfigError> {
    let (setting, path) = match (&flags.config, Setting::of_env(env, "SMSCOPE_CONFIG")) {
        (Some(path), _) => path_of_flag("--config", path)?,
        (None, Some(setting)) => {
            let path = path(&setting)?;
            (setting, path)
        }
        (None, None) => return Ok((None, Table::none(left_out))),
    };
    let root = Table::read(&setting, &path, left_out)?;
    root.note("configuration file", &setting);
    Ok((Some(path), root))
}

fn address(setting: Option<&Setting>, default: &str) -> Result<SocketAddr, ConfigError> {
    let fallback = Setting::of_flag("default", default);
    let expected = format!("an address and port such as {default}");
    setting.unwrap_or(&fallback).parse(&expected, |text| text.trim().parse().ok())
}

/// Whether the two cannot both be bound. Port 0 is a free port each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_address
}

/// The address under which this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        // By IPv4 as well, and that is there where IPv6 is not.
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn data_dir(flags: &Flags, given: &mut Given) -> Result<PathBuf, ConfigError> {
    let in_file = given.root.take_path("data_dir");
    let setting = given.variable("SMSCOPE_DATA_DIR", "data_dir").or(in_file);
    match (&flags.data_dir, setting) {
        (Some(path), _) => {
            let (setting, path) = path_of_flag("--data-dir", path)?;
            given.noted("data_dir", setting);
            Ok(path)
        }
        (None, Some(setting)) => path(&setting),
        (None, None) => Ok(DEFAULT_DATA_DIR.into()),
    }
}

/// The path that a flag names, which may be in another encoding than UTF-8.
fn path_of_flag(flag: &str, given: &Path) -> Result<(Setting, PathBuf), ConfigError> {
    let setting = Setting::of_flag(flag, &given.to_string_lossy());
    let path = if given.to_str().is_some() { path(&setting)? } else { given.to_owned() };
    Ok((setting, path))
}

/// A path. What was not UTF-8 in the environment is refused, since its bytes are lost.
fn path(setting: &Setting) -> Result<PathBuf, ConfigError> {
    let fits = |text: &str| !text.is_empty() && !text.contains([char::REPLACEMENT_CHARACTER, '\0']);
    setting.parse("a path in UTF-8", |text| fits(text).then(|| Path::new(text).to_path_buf()))
}

fn public_url(setting: &Setting) -> Result<String, ConfigError> {
    setting.parse("an http or https URL without user or query, such as https://sms.example.com", |text| {
        let url = value::web_url(text)?;
        url.query().is_none().then(|| text.trim_end_matches(['/', '?']).to_owned())
    })
}

fn http(mut table: Table) -> Result<(Http, Option<ListenerTls>), ConfigError> {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let mut timeout = |key, default| match table.take(key) {
        Some(setting) => setting.duration(MILLISECOND..=HOUR),
        None => Ok(Duration::from_secs(default)),
    };
    let header_timeout = timeout("header_timeout", 15)?;
    let body_timeout = timeout("body_timeout", 10)?;
    let write_timeout = timeout("write_timeout", 10)?;
    let shutdown_timeout = timeout("shutdown_timeout", 10)?;
    let max_body = match table.take("max_body") {
        Some(setting) => setting.size(1 << 10..=16 << 20)? as usize,
        None => 2 << 20,
    };
    let max_connections = table.take("max_connections").map_or(Ok(1024), |setting| setting.number(1..=65_536))?;
    let tls = table.table("tls")?;
    table.finish()?;
    let http = Http { header_timeout, body_timeout, write_timeout, max_body, max_connections, shutdown_timeout };
    Ok((http, listener_tls::read(tls)?))
}

fn store(mut table: Table, env: &dyn Environment) -> Result<Store, ConfigError> {
    const SECOND: Duration = Duration::from_secs(1);
    let mut given = Given { env, root: &mut table };
    let retention = match given.variable_or_key("SMSCOPE_STORE_RETENTION", "retention") {
        Some(setting) => setting.duration(SECOND..=3650 * DAY)?,
        None => 30 * DAY,
    };
    let horizon = match given.variable_or_key("SMSCOPE_STORE_HORIZON", "horizon") {
        Some(setting) => setting.duration(SECOND..=365 * DAY)?,
        None => 72 * HOUR,
    };
    let size_limit = given.variable_or_key("SMSCOPE_STORE_SIZE_LIMIT", "size_limit");
    let size_limit = size_limit.map(|setting| setting.size(1 << 20..=1 << 50)).transpose()?;
    let export_retention = match table.take("export_retention") {
        Some(setting) => setting.duration(SECOND..=3650 * DAY)?,
        None => 7 * DAY,
    };
    table.finish()?;
    Ok(Store { retention, horizon, export_retention, size_limit })
}

/// What holds for the sources that say nothing else.
fn privacy(mut table: Table) -> Result<Privacy, ConfigError> {
    let privacy = source::privacy(&mut table, Privacy::default())?;
    table.finish()?;
    Ok(privacy)
}
