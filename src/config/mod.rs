//! The configuration: file, environment and flags, put together.
//!
//! [`Config::load`] reads the configuration file and the files that hold secrets; it binds nothing and writes nothing. How a setting is
//! declared and read: `src/settings/`. Each optional part reads its own table.

pub mod reference;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::SourceName;
use crate::features::account::{self, Account};
use crate::features::conversations;
use crate::features::opt_outs::{self, OptOuts};
use crate::features::probe::{self, SelfProbe};
use crate::features::reconcile::{self, Reconcile};
use crate::features::relay::{self, Relay};
use crate::features::resend;
use crate::route::{ResendRule, Route};
use crate::settings::error::{self, LeftOut};
use crate::settings::prelude::*;
use crate::settings::{Admin, Http, ListenerTls, Otlp, Privacy, Source, Store, Tokens};
use crate::settings::{admin, http, listen, otlp, privacy, source, store};

pub use crate::environment::{Environment, Process};
pub use crate::settings::{ConfigError, Flags, Line};
pub use reference::variables;

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Where the provider reaches smscope, if that is not `{listen}`: scheme, host and optional path, no trailing slash.
    pub public_url: Option<String>,
    /// Messages to one recipient within an hour at which it is counted as flooded.
    pub recipient_flood: usize,
    pub http: Http,
    /// Of the webhook listener; `None`: it speaks plain HTTP.
    pub tls: Option<ListenerTls>,
    pub admin: Admin,
    pub store: Store,
    /// The default of sources.
    pub privacy: Privacy,
    pub otlp: Otlp,
    pub sources: Vec<Source>,
    pub account: Account,
    pub self_probe: SelfProbe,
    pub reconcile: Reconcile,
    pub relays: Vec<Relay>,
    pub resends: Vec<ResendRule>,
    /// `None`: STOPs are only reported.
    pub opt_outs: Option<OptOuts>,
    /// How long a reply is matched to the last message of its number; `None`: off.
    pub conversations: Option<Duration>,
}

/// Room that is reserved in a callback URL for a token that is yet to be made: 256 bits in base64url.
pub const GENERATED_TOKEN_MAX: usize = 43;

/// A valid configuration, and what the operator is shown of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The configuration file, when there is one.
    pub file: Option<PathBuf>,
    /// Every setting in effect.
    pub lines: Vec<Line>,
    /// What was given and not used, one line each. Without secrets.
    pub warnings: Vec<String>,
}

impl Config {
    /// Puts the configuration together from flags, environment, file and defaults.
    ///
    /// # Errors
    /// All settings that cannot be used.
    pub fn load(flags: &Flags, env: &dyn Environment) -> Result<Loaded, ConfigError> {
        error::all_errors(|left_out| Self::load_without(left_out, flags, env))
    }

    fn load_without(left_out: &LeftOut, flags: &Flags, env: &dyn Environment) -> Result<Loaded, ConfigError> {
        let mut inputs = Inputs::new(reference::settings().collect(), flags, env, left_out);
        let (file, entries) = match listen::configuration_file(&inputs)? {
            Some((given, path)) => (Some((given.clone(), path.clone())), inputs.read_file(&given, &path)?),
            None => (None, toml::Table::new()),
        };
        let shown = file.as_ref().map_or("none".to_owned(), |(_, path)| path.display().to_string());
        inputs.line("configuration file".to_owned(), shown, file.as_ref().map(|(given, _)| given));

        let config = Self::read(Table::root(&inputs, entries))?;
        let (lines, warnings) = inputs.finish();
        Ok(Loaded { config, file: file.map(|(_, path)| path), lines, warnings })
    }

    fn read(mut root: Table) -> Result<Self, ConfigError> {
        let inputs = root.inputs;
        let (listen, admin_listen) = listen::listeners(&mut root)?;
        let data_dir = root.get(&listen::DATA_DIR)?;
        let public_url_given = root.given(&listen::PUBLIC_URL);
        let public_url = root.read_optional(&listen::PUBLIC_URL, public_url_given.as_ref())?;
        let recipient_flood = root.get(&listen::RECIPIENT_FLOOD)?;
        let (http, tls) = http::read(root.table("http")?)?;
        let admin = admin::read(root.table("admin")?)?;
        for tls in [&tls, &admin.tls].into_iter().flatten() {
            if let Some(warning) = tls.warning(&tls.identity, Timestamp::now()) {
                inputs.warn(warning);
            }
        }
        let store = store::read(root.table("store")?)?;
        let privacy = privacy::read(root.table("privacy")?)?;
        let proxies = Proxies::of_env(inputs.env, &mut inputs.warnings.borrow_mut());
        let otlp = otlp::read(root.table("otlp")?, &proxies)?;
        let sources = source::read(inputs, root.tables("source")?, &privacy, &proxies)?;
        if let Some(postgres) = &store.postgres {
            let made = sources.iter().position(|source| matches!(source.tokens, Tokens::Generated));
            made.map_or(Ok(()), |at| Err(postgres.needs_tokens(&format!("source[{at}].tokens"))))?;
        }
        let account = account::settings::read(root.table("account")?, &sources)?;
        let self_probe = probe::settings::read(root.table("self_probe")?, public_url.as_deref())?;
        let reconcile = reconcile::settings::read(root.table("reconcile")?, &sources)?;
        let conversations = root.table("conversations")?;
        let opt_outs = opt_outs::settings::read(root.table("opt_outs")?)?;
        let conversations = conversations::read(conversations)?;
        let relays = relay::settings::read(root.tables("relay")?, &sources, &proxies)?;
        let routes: Vec<Route> = relays.iter().map(|relay| relay.route.clone()).collect();
        let resends = resend::settings::read(root.tables("resend")?, &sources, &routes, opt_outs.is_some(), inputs)?;
        root.finish()?;
        let privacy = privacy.privacy;
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
        config.check_callback_urls(public_url_given.as_ref())?;
        Ok(config)
    }

    /// The callback URL of `source`, with `token` as it is.
    ///
    /// Without a public URL this is the listener's own address, loopback for an unspecified one, with https if it has TLS.
    pub fn callback_url(&self, source: &SourceName, token: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{url}/hooks/{source}/{token}"),
            None => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{}/hooks/{source}/{token}", listen::reachable(self.listen))
            }
        }
    }

    /// The same configuration under the public URL of `flag`, and the trusted authorities if it is https.
    ///
    /// # Errors
    /// It is no URL, makes a callback URL too long, or this system has no certificate authorities.
    pub fn under_public_url(&self, flag: &str, url: &str) -> Result<(Config, Option<Tls>), ConfigError> {
        let given = Given::of_flag(flag, url).url();
        let config = Config { public_url: Some(listen::public_url(&given)?), ..self.clone() };
        config.check_callback_urls(Some(&given))?;
        let is_secure = config.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
        let tls = is_secure.then(|| tls::trusting_the_system(&given)).transpose()?;
        Ok((config, tls))
    }

    /// Where this machine finds the page, without a slash at the end.
    pub fn admin_url(&self) -> String {
        let scheme = if self.admin.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.reachable_admin())
    }

    /// The address under which this machine reaches the admin listener.
    pub fn reachable_admin(&self) -> SocketAddr {
        listen::reachable(self.admin_listen)
    }

    fn check_callback_urls(&self, public_url: Option<&Given>) -> Result<(), ConfigError> {
        for source in &self.sources {
            let longest = match &source.tokens {
                Tokens::Generated => GENERATED_TOKEN_MAX,
                Tokens::Given(tokens) => tokens.iter().map(|token| token.reveal().len()).max().unwrap_or(0),
            };
            let length = self.callback_url(&source.name, "").len() + longest;
            let limit = source.provider.callback_limits().url_length;
            if length > limit {
                let problem = format!("the callback URL of source {:?} has {length} characters", source.name.as_str());
                let expected = format!("{limit} at most, token included");
                return Err(match public_url {
                    Some(given) => given.wrong(problem, expected),
                    None => ConfigError::general(format!("{problem}; expected {expected}")),
                });
            }
        }
        Ok(())
    }
}
