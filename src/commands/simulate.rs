//! `smscope simulate`: simulates the provider against a running smscope.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use clap::builder::TypedValueParser;
use hyper::header::HeaderValue;
use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::ClientConfig;
use smscope_simulator::plan::Settings;
use smscope_simulator::scenario::Scenario;

use super::terminal::{print, termination};
use super::{Exit, tokens};
use crate::config::{Config, Loaded};
use crate::features::simulate::target::Target;
use crate::features::simulate::{self, Run};
use crate::outbound::trust;
use crate::secret::Secret;
use crate::settings::{Source, authorities};

/// The run, and its target.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Simulation")]
pub struct Arguments {
    /// Callback URL to call [default: that of the first source of this data directory and configuration]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Call a URL that is not of this machine; make sure that its operator agrees to the load
    #[arg(long, requires = "url")]
    allow_remote: bool,
    /// Certificate authorities of an https URL, a PEM file [default: the system's; the sidecar of this configuration is known by its
    /// own certificate]
    #[arg(long, value_name = "FILE", requires = "url")]
    certificate: Option<PathBuf>,
    /// What is special about the run
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// Messages per second; each is reported in one to four webhooks
    #[arg(long, default_value = "20", value_name = "NUMBER", value_parser = number(0.01, 100_000.0))]
    rate: f64,
    /// For how long messages are sent; the last receipts come hours of compressed time later, about half a minute by default
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    duration: Duration,
    /// The same seed and options give the same traffic, byte by byte; `random` gives new messages at today's times
    #[arg(long, default_value = "1", value_name = "NUMBER|random", value_parser = seed)]
    seed: Seed,
    /// The provider's clock at the start: `now`, or a time such as 2026-01-01T00:00:00Z [default: that one; with --seed random: now]
    #[arg(long, value_name = "TIME", value_parser = start)]
    start: Option<Start>,
    /// How much faster time passes: delays and the provider's retries (30 s, 2 min, 10 min, 1 h, 5 h, 24 h) are divided by this
    #[arg(long, default_value = "600", value_name = "NUMBER", value_parser = number(1.0, 1_000_000.0))]
    time_compression: f64,
    /// Share of messages that are reported in the legacy dialect (GET), from 0 to 1
    #[arg(long, default_value = "0.1", value_name = "SHARE", value_parser = number(0.0, 1.0))]
    legacy: f64,
    /// Concurrent requests at most
    #[arg(long, default_value = "16", value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Compare the sidecar's metrics with what was sent; exit code 1 when they differ
    #[arg(long)]
    verify: bool,
    /// Admin listener whose /metrics are compared [default: that of this configuration]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

/// The seed of `--seed`; `random` is drawn when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seed {
    value: u64,
    random: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Now,
    At(Timestamp),
}

/// The provider's clock where a seed is to give the same bytes each time: 2026-01-01T00:00:00Z.
const FIXED_START: i64 = 1_767_225_600;

/// Exit code 1 if the sidecar's counts differ from what was sent.
///
/// # Errors
/// A URL that cannot be used, a token that cannot be read, a sidecar that does not answer.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let tokens = if arguments.is_local() { tokens::all(&loaded.config, false)? } else { vec![] };
    let run = arguments.run(&loaded.config, tokens.first().and_then(|tokens| tokens.first()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Exit::failure)?;
    let report = runtime.block_on(async {
        let stop = termination().map_err(Exit::failure)?;
        simulate::run(run, stop).await.map_err(Exit::failure)
    })?;
    print(&report.text);
    Ok(if report.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    /// Whether the callback URL is the one of this configuration.
    pub fn is_local(&self) -> bool {
        self.url.is_none()
    }

    /// The run of these arguments. `token`: of the configuration's first source, which is called if no URL is given.
    ///
    /// # Errors
    /// A URL that cannot be used, or a file.
    fn run(&self, config: &Config, token: Option<&Secret>) -> Result<Run, Exit> {
        let (mut target, source) = match (&self.url, config.sources.first(), token) {
            (Some(url), _, _) => {
                let target = Target::parse(url, self.allow_remote).map_err(|error| usage("--url", error))?;
                let source = config.sources.iter().find(|source| source.name == target.source);
                (target, source)
            }
            (None, Some(source), Some(token)) => {
                let local = Config { public_url: None, ..config.clone() };
                let url = local.callback_url(&source.name, token.reveal());
                // The operator's own listener, wherever it is.
                (Target::parse(&url, true).map_err(|error| usage("listen", error))?, Some(source))
            }
            (None, _, _) => return Err(usage("--url", "expected one, as no source is configured")),
        };
        if let Some(source) = source.filter(|_| target.is_local() || self.is_local()) {
            present(&mut target, source);
        }
        let trust = self.trust(config, &target)?;
        let metrics = if self.verify { Some(self.metrics(config)?) } else { None };
        let channel_ids: Vec<String> =
            source.map(|source| source.channel_ids.iter().cloned().collect()).unwrap_or_default();
        let keywords = match source.map(|source| &source.stop_keywords) {
            Some(words) if !Settings::usual_keywords().iter().all(|usual| words.contains(usual)) => words.clone(),
            _ => Settings::usual_keywords(),
        };
        Ok(Run {
            settings: Settings {
                seed: self.seed.value,
                scenario: self.scenario,
                rate: self.rate,
                duration: self.duration,
                compression: self.time_compression,
                legacy: self.legacy,
                start: self.start(),
                keywords,
                channel_ids: if channel_ids.is_empty() { Settings::any_channel() } else { channel_ids },
            },
            target,
            trust,
            zone: source.map_or_else(paris, |source| source.zone.clone()),
            connections: self.connections.into(),
            metrics_authorization: metrics.as_ref().and_then(|_| authorization(config)),
            metrics,
        })
    }

    fn trust(&self, config: &Config, target: &Target) -> Result<ClientConfig, Exit> {
        let ours = [&config.tls, &config.admin.tls].into_iter().flatten().map(|tls| tls.identity.certificate.clone());
        match &config.tls {
            _ if !target.is_secure() => Ok(trust::only(ours.collect())),
            Some(_) if self.is_local() => Ok(trust::only(ours.collect())),
            _ => {
                let file = self.certificate.as_deref();
                let roots = authorities("--certificate", file).map_err(Exit::configuration)?;
                Ok(trust::authorities(roots))
            }
        }
    }

    fn start(&self) -> Timestamp {
        match self.start {
            Some(Start::At(time)) => time,
            None if !self.seed.random => Timestamp::from_second(FIXED_START).unwrap_or_default(),
            // Whole seconds, so that it can be typed again.
            Some(Start::Now) | None => Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
        }
    }

    fn metrics(&self, config: &Config) -> Result<Uri, Exit> {
        let expected = "expected the URL of an admin listener such as http://127.0.0.1:7673";
        let url = match &self.admin {
            Some(url) => url.trim_end_matches('/').trim_end_matches("/metrics").to_owned(),
            None => config.admin_url(),
        };
        let mut parts = url.parse::<Uri>().map_err(|_| usage("--admin", expected))?.into_parts();
        let is_ours = self.admin.is_none();
        if parts.scheme.as_ref().is_none_or(|scheme| scheme.as_str() != "http" && !is_ours) || parts.authority.is_none()
        {
            return Err(usage("--admin", expected));
        }
        let before = parts.path_and_query.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
        parts.path_and_query = format!("{before}/metrics").parse::<PathAndQuery>().ok();
        Uri::from_parts(parts).map_err(|_| usage("--admin", expected))
    }
}

/// The credentials of the admin listener of this configuration.
fn authorization(config: &Config) -> Option<HeaderValue> {
    let text = match (&config.admin.bearer_token, &config.admin.basic) {
        (Some(token), _) => format!("Bearer {}", token.reveal()),
        (None, Some(basic)) => {
            format!("Basic {}", STANDARD.encode(format!("{}:{}", basic.user, basic.password.reveal())))
        }
        (None, None) => return None,
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds the credentials that the source requires besides the token.
fn present(target: &mut Target, source: &Source) {
    if let Some((name, secret)) = &source.header
        && let Ok(mut value) = HeaderValue::from_str(secret.reveal())
    {
        value.set_sensitive(true);
        target.headers.insert(name, value);
    }
    if let Some(basic) = &source.basic {
        target.set_basic(&basic.user, basic.password.reveal());
    }
}

/// The zone of an unknown source: smsmode's.
fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap_or(TimeZone::UTC)
}

/// The value itself is not shown: it may hold a token.
fn usage(flag: &str, problem: impl std::fmt::Display) -> Exit {
    Exit::usage(format_args!("{flag}: {problem}"))
}

fn number(low: f64, high: f64) -> impl TypedValueParser<Value = f64> {
    clap::builder::StringValueParser::new().try_map(move |text| match text.parse::<f64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from {low} to {high}")),
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::settings::duration(text).ok_or_else(|| "expected a duration such as 60s or 1h30m".to_owned())
}

fn seed(text: &str) -> Result<Seed, String> {
    if text == "random" {
        // Short, so that it can be typed again.
        let value = getrandom::u32().map_err(|error| format!("no random number: {error}"))?;
        return Ok(Seed { value: value.into(), random: true });
    }
    let value = text.parse().map_err(|_| "expected a whole number, or random".to_owned())?;
    Ok(Seed { value, random: false })
}

/// A time of the future would make messages scheduled that are not.
fn start(text: &str) -> Result<Start, String> {
    let expected = "expected now, or a past time with its offset, such as 2026-01-01T00:00:00Z";
    match text {
        "now" => Ok(Start::Now),
        _ => match text.parse::<Timestamp>() {
            Ok(time) if time <= Timestamp::now() => Ok(Start::At(time)),
            _ => Err(expected.to_owned()),
        },
    }
}
