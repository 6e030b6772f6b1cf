//! Starts all parts in the order of their dependencies, and ends them in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::event::SourceName;
use crate::health::Health;
use crate::listener;
use crate::probe_challenge::ChallengeKey;
use crate::process_metrics;
use crate::secret::Secret;
use crate::settings::{Postgres, Tokens};
use crate::store::{self, Connector, Store, StoreThreads};
use crate::telemetry::process::InstallError;
use crate::telemetry::resource::Resource;

mod admin_listener;
mod background_jobs;
mod control;
mod exports;
#[cfg(test)]
mod fault_tests;
mod fleet_commands;
mod floods;
mod journal;
mod metrics;
mod page;
mod scrape;
mod webhook_listener;

pub use control::regions;
pub use metrics::{METRICS, durable_metrics};

use crate::tasks::supervisor::{Phase, Supervisor};
use scrape::Scrape;

/// Both listeners, bound before anything is written.
pub struct Listeners {
    pub webhook: TcpListener,
    pub admin: TcpListener,
}

/// Why smscope cannot start: one line, naming the setting where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{setting} = \"{address}\": {error}; expected an address and port that are free on this machine")]
    Bind { setting: &'static str, address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("data_dir = {path:?}: {error}; expected a store that this smscope can open")]
    Store { path: std::path::PathBuf, error: store::OpenError },
    #[error("{setting} = \"{url}\": {error}")]
    Database { setting: String, url: String, error: store::OpenError },
    #[error(transparent)]
    Metrics(#[from] InstallError),
    #[error(
        "cannot start the threads of the webhook listener: {0}; expected room for one per core, four at most (ulimit -u)"
    )]
    Threads(std::io::Error),
}

impl StartError {
    /// The database of a fleet cannot be used.
    pub fn database(postgres: &Postgres, error: store::OpenError) -> Self {
        Self::Database { setting: postgres.setting.clone(), url: postgres.url.to_string(), error }
    }
}

/// Why smscope has ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the background task {0} failed; expected it to run until smscope ends")]
    Task(&'static str),
}

impl Listeners {
    /// # Errors
    /// A port in use, or an address that is not this machine's.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let bind =
            |setting, address| listener::bind(address).map_err(|error| StartError::Bind { setting, address, error });
        Ok(Self { webhook: bind("listen", config.listen)?, admin: bind("admin_listen", config.admin_listen)? })
    }
}

/// The tokens in force of each source, in the configuration's order: the configured ones, or the generated one by `made`.
///
/// # Errors
/// A made token cannot be read or written.
pub fn tokens(
    config: &Config,
    made: impl Fn(&SourceName) -> Result<Secret, DataDirError>,
) -> Result<Vec<Vec<Secret>>, DataDirError> {
    let tokens_of = |source: &crate::settings::Source| match &source.tokens {
        Tokens::Given(tokens) => Ok(tokens.clone()),
        Tokens::Generated => made(&source.name).map(|token| vec![token]),
    };
    config.sources.iter().map(tokens_of).collect()
}

/// Runs until `shutdown` resolves, or a background task fails, and everything has ended in order. `ready` is called once webhooks
/// are accepted, with the tokens in force of each source, and with the health of the process: to be held weakly, it holds the
/// store open. Installs the recorder of the `metrics` facade: a process can serve once.
///
/// # Errors
/// A part cannot be started, or a background task has failed. Nothing is left running then.
pub async fn serve(
    config: &Config,
    listeners: Listeners,
    ready: impl FnOnce(&[Vec<Secret>], &Health),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let data_dir = DataDir::open(&config.data_dir).map_err(StartError::from)?;
    // No other process opens the store until this one has closed it.
    let _lock = data_dir.lock().map_err(StartError::from)?;
    let (supervisor, tokens, health) = start(config, &data_dir, listeners)?;
    ready(&tokens, &health);
    drop(health);
    let failed = supervisor.run(shutdown).await;
    crate::control::unlink(data_dir.private());
    failed.map_or(Ok(()), |task| Err(ServeError::Task(task.into_str())))
}

/// The inputs of the parts.
struct Context<'a> {
    config: &'a Config,
    data_dir: &'a DataDir,
    /// In force, of each source.
    tokens: Vec<Vec<Secret>>,
    instance: Uuid,
    resource: Resource,
    hash_key: [u8; 32],
    challenge_key: ChallengeKey,
    store: Store,
}

impl Context<'_> {
    /// The exporters' and the relays' share of the shutdown time: the connections' share is over by then.
    fn flush_limit(&self) -> Duration {
        self.config.http.shutdown_timeout / 2
    }
}

/// Starts all parts, each after those that it depends on. Returns the tokens in force of each source too, and the health of the process.
fn start(
    config: &Config,
    data_dir: &DataDir,
    listeners: Listeners,
) -> Result<(Supervisor, Vec<Vec<Secret>>, Health), StartError> {
    let tokens = tokens(config, |source| data_dir.token(source))?;
    // Before the store opens, and before anything else that makes handles of metrics.
    let own = Resource::new(&config.otlp, data_dir.instance_id()?);
    let process = exports::process_metrics(config, &own)?;
    let mut supervisor = Supervisor::new(config.http.shutdown_timeout);
    let store = start_store(config, data_dir, &mut supervisor)?;
    // Log records and durable series are those of the fleet, whichever replica sends them.
    let (instance, hash_key) = match store.fleet() {
        Some(fleet) => (fleet.fleet, fleet.hash_key),
        None => (data_dir.instance_id()?, data_dir.hash_key()?),
    };
    let resource = Resource::new(&config.otlp, instance);
    // A fleet's commands are the leader's to execute, wherever they are run.
    let control_socket = if store.fleet().is_none() { data_dir.listen_for_control() } else { None };
    process_metrics::build_info(env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"), env!("BUILD_RUSTC"));

    let challenge_key = ChallengeKey::new(&hash_key);
    let context = Context { config, data_dir, tokens, instance, resource, hash_key, challenge_key, store };
    let scrape = Scrape::new(&context, process.scraped);
    let health = health(&context.store, supervisor.phase());
    exports::start(&context, &scrape, process.pushed, &mut supervisor);
    background_jobs::start(&context, &scrape, &mut supervisor);
    admin_listener::start(&context, &scrape, &health, listeners.admin, &mut supervisor)?;
    if let Some(socket) = control_socket {
        control::start(&context, socket, &mut supervisor);
    }
    if context.store.fleet().is_some() {
        fleet_commands::start(&context, &mut supervisor);
    }
    webhook_listener::start(&context, &health, listeners.webhook, &mut supervisor)?;
    Ok((supervisor, context.tokens, health))
}

fn start_store(config: &Config, data_dir: &DataDir, supervisor: &mut Supervisor) -> Result<Store, StartError> {
    let (store, threads) = open_store(config, data_dir)?;
    for (task, thread) in threads.0 {
        supervisor.watch_thread(task, thread);
    }
    supervisor.follow(store.leadership());
    Ok(store)
}

/// Opens the store as `serve` does; the caller holds the lock of the data directory.
///
/// # Errors
/// It cannot be opened.
pub fn open_store(config: &Config, data_dir: &DataDir) -> Result<(Store, StoreThreads), StartError> {
    let settings = store_settings(config);
    match &config.store.postgres {
        None => Store::open(data_dir.private(), settings)
            .map_err(|error| StartError::Store { path: config.data_dir.clone(), error }),
        Some(postgres) => {
            Store::join(Connector::new(postgres), settings).map_err(|error| StartError::database(postgres, error))
        }
    }
}

/// What the store is given.
pub fn store_settings(config: &Config) -> store::Settings {
    store::Settings {
        retention: config.store.retention,
        horizon: config.store.horizon,
        export_retention: config.store.export_retention,
        size_limit: config.store.size_limit,
        sources: config.sources.iter().map(|source| source.name.clone()).collect(),
        exports_logs: config.otlp.logs.is_some(),
        conversations: config.conversations,
        flood: floods::flood_rule(config),
        opt_outs: config.opt_outs.as_ref().map(|opt_outs| opt_outs.scope),
        resends: config.resends.clone(),
        relays: config.relays.iter().map(|relay| relay.route.clone()).collect(),
    }
}

fn health(store: &Store, phase: watch::Receiver<Phase>) -> Health {
    let store = store.clone();
    Health {
        liveness: Arc::new({
            let phase = phase.clone();
            move || phase.borrow().liveness()
        }),
        readiness: Arc::new(move || {
            phase.borrow().readiness()?;
            if store.is_healthy() { Ok(()) } else { Err("the store cannot write") }
        }),
    }
}
