//! How connections to PostgreSQL are made.
//!
//! The hosts are tried one after the other, from the one that the last connection was made to, until one takes writes. Each attempt
//! reads the password and the certificates as they are now.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PgError;
use super::server_check::Declared;
use super::session::Session;
use crate::diagnostics::chain;
use crate::settings::postgres::{self, Host};
use crate::settings::{ConfigError, Postgres};

/// What a statement may take.
const STATEMENT: Duration = Duration::from_secs(1);
/// What a step of the leader's transactions may take: less than its lease.
const LEADING_STATEMENT: Duration = Duration::from_secs(4);
/// What a statement of a migration, a copy or retention may take.
const LONG_STATEMENT: Duration = Duration::from_secs(600);
/// What a connection to one address may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// What a host may take, with its name's lookup, TLS and authentication.
const HOST: Duration = Duration::from_secs(2);
/// Silence on a connection after which the other end is asked whether it is there, and how long data may wait for its
/// acknowledgement: a server that has vanished is noticed while the provider still waits.
const KEEPALIVE: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

const APPLICATION_NAME: &str = "smscope";

/// Makes connections. Each is one of its own: nothing is pooled.
#[derive(Clone)]
pub struct Connector {
    settings: Arc<Postgres>,
    /// The host of the last connection.
    newest: Arc<AtomicUsize>,
}

impl Connector {
    pub fn new(settings: &Postgres) -> Self {
        Self { settings: Arc::new(settings.clone()), newest: Arc::default() }
    }

    /// What the operator has declared about the server.
    pub fn declared(&self) -> Declared {
        Declared::of(&self.settings)
    }

    /// # Errors
    /// No server can be reached that takes writes.
    pub async fn connect(&self) -> Result<Session, PgError> {
        self.session(STATEMENT).await
    }

    /// A connection for the leader's transactions.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_to_lead(&self) -> Result<Session, PgError> {
        self.session(LEADING_STATEMENT).await
    }

    /// A connection for statements that take long.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_for_long(&self) -> Result<Session, PgError> {
        self.session(LONG_STATEMENT).await
    }

    async fn session(&self, limit: Duration) -> Result<Session, PgError> {
        let hosts = &self.settings.url.hosts;
        let first = self.newest.load(Ordering::Relaxed);
        let mut problems = Vec::new();
        for at in (0..hosts.len()).map(|offset| (first + offset) % hosts.len()) {
            let attempt = tokio::time::timeout(HOST, self.attempt(&hosts[at], limit)).await;
            match attempt.unwrap_or_else(|_| Err(format!("no answer within {HOST:?}"))) {
                Ok(session) => {
                    self.newest.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(problem) => problems.push(format!("{}: {problem}", hosts[at])),
            }
        }
        Err(PgError::Unreachable(problems.join("; ")))
    }

    async fn attempt(&self, host: &Host, limit: Duration) -> Result<Session, String> {
        let (settings, read_for) = (self.settings.clone(), host.clone());
        // Files may be on a network too.
        let read = tokio::task::spawn_blocking(move || {
            let password = settings.password.read(&settings.url, &read_for)?;
            let tls = settings.tls.as_ref().filter(|_| !read_for.is_socket());
            Ok((password, tls.map(|tls| Ok((tls.client()?, tls.is_required))).transpose()?))
        });
        let read: Result<_, ConfigError> = read.await.map_err(|error| error.to_string())?;
        let (password, tls) = read.map_err(|error| error.to_string())?;
        let mut config = self.config(host);
        if let Some(password) = password {
            config.password(password.reveal());
        }
        let prepares = self.settings.prepares;
        match tls {
            Some((client, is_required)) => {
                config.ssl_mode(if is_required { SslMode::Require } else { SslMode::Prefer });
                let connected = config.connect(MakeRustlsConnect::new(client)).await;
                let (client, connection) = connected.map_err(|error| problem(&error))?;
                Ok(Session::new(client, connection, prepares, limit))
            }
            None => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await.map_err(|error| problem(&error))?;
                Ok(Session::new(client, connection, prepares, limit))
            }
        }
    }

    /// Without what files have.
    fn config(&self, host: &Host) -> Config {
        let url = &self.settings.url;
        let mut config = Config::new();
        config.host(&host.name).port(host.port).user(&url.user).dbname(&url.database);
        config.application_name(url.application_name.as_deref().unwrap_or(APPLICATION_NAME));
        if let Some(options) = &url.options {
            config.options(options);
        }
        if let Some(binding) = url.channel_binding {
            config.channel_binding(match binding {
                postgres::ChannelBinding::Disable => ChannelBinding::Disable,
                postgres::ChannelBinding::Prefer => ChannelBinding::Prefer,
                postgres::ChannelBinding::Require => ChannelBinding::Require,
            });
        }
        config.connect_timeout(CONNECT).tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(KEEPALIVE);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config
    }
}

/// Why a connection was not made, in the words of what failed.
fn problem(error: &tokio_postgres::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    // An I/O error has the one of TLS inside it, and not as its source.
    let of_tls = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match of_tls.and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!(
                "its certificate is not accepted: {why}; expected one for this host, of an authority that is trusted (sslrootcert)"
            )
        }
        Some(error) => format!("TLS: {error}"),
        None => match error.as_db_error() {
            Some(error) => format!("{} ({})", error.message(), error.code().code()),
            None => chain(error),
        },
    }
}
