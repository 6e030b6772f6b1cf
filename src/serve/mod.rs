//! Everything put together: opened in the order in which it depends on each other, ended in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::account::AccountStatus;
use crate::admin::access::Access;
use crate::admin::format::Format;
use crate::admin::{self, Admin};
use crate::config::{Config, Tokens};
use crate::data_dir::{DataDir, DataDirError};
use crate::event::SourceName;
use crate::health::Health;
use crate::ingest::{self, Authenticator, Handler, SourceAuth};
use crate::ledger::snapshot::Snapshot;
use crate::listener::{self, tls};
use crate::number;
use crate::probe_challenge::ChallengeKey;
use crate::process_metrics::{self, ExportMetrics, Signal, SourceMetrics};
use crate::relay;
use crate::secret::Secret;
use crate::store::{self, Store, StoreThreads};
use crate::tasks::Task;
use crate::telemetry::export_logs::{self, ExportStatus, LogExport, Pace};
use crate::telemetry::export_metrics::{self, MetricExport};
use crate::telemetry::logs::LogEncoder;
use crate::telemetry::process::{InstallError, ProcessMetrics};
use crate::telemetry::process_push::ProcessPush;
use crate::telemetry::redaction::{NumberHasher, PrivacyPolicy};
use crate::telemetry::resource::Resource;
use crate::telemetry::sender::Sender;
use crate::telemetry::{openmetrics, prometheus};

mod background_jobs;
mod control;
#[cfg(test)]
mod fault_tests;
mod floods;
mod journal;
mod opt_outs;
mod page;
mod supervisor;

pub use control::regions;

use journal::StoreJournal;
use supervisor::{Phase, Supervisor};

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
    #[error(transparent)]
    Metrics(#[from] InstallError),
}

/// Why smscope has not ended as it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the background task {0} failed; expected it to run until smscope ends")]
    Task(&'static str),
}

impl Listeners {
    /// # Errors
    /// A port that is taken or an address that is not this machine's.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let bind =
            |setting, address| listener::bind(address).map_err(|error| StartError::Bind { setting, address, error });
        Ok(Self { webhook: bind("listen", config.listen)?, admin: bind("admin_listen", config.admin_listen)? })
    }
}

/// The tokens in force of each source, in the configuration's order: those given, or the one that `made` says was made for it.
///
/// # Errors
/// A made token cannot be read or written.
pub fn tokens(
    config: &Config,
    made: impl Fn(&SourceName) -> Result<Secret, DataDirError>,
) -> Result<Vec<Vec<Secret>>, DataDirError> {
    let tokens_of = |source: &crate::config::Source| match &source.tokens {
        Tokens::Given(tokens) => Ok(tokens.clone()),
        Tokens::Generated => made(&source.name).map(|token| vec![token]),
    };
    config.sources.iter().map(tokens_of).collect()
}

/// Runs until `shutdown` resolves, or a background task fails, and everything has ended in good order. `ready` is called once webhooks
/// are accepted, with the tokens in force of each source, and with how to learn whether all is well: to be held weakly, it holds the
/// store open. Installs the recorder of the `metrics` facade: a process can serve once.
///
/// # Errors
/// What it needs cannot be opened, or a background task has failed. Nothing is left running then.
pub async fn serve(
    config: &Config,
    listeners: Listeners,
    ready: impl FnOnce(&[Vec<Secret>], &Health),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let data_dir = DataDir::open(&config.data_dir).map_err(StartError::from)?;
    // Nobody else opens the store until this process has closed it.
    let _lock = data_dir.lock().map_err(StartError::from)?;
    let (supervisor, tokens, health) = start(config, &data_dir, listeners)?;
    ready(&tokens, &health);
    drop(health);
    let failed = supervisor.run(shutdown).await;
    crate::control::unlink(data_dir.private());
    failed.map_or(Ok(()), |task| Err(ServeError::Task(task.as_str())))
}

/// Starts all tasks, each after those that it depends on. Gives the tokens in force of each source too, and how all is doing.
fn start(
    config: &Config,
    data_dir: &DataDir,
    listeners: Listeners,
) -> Result<(Supervisor, Vec<Vec<Secret>>, Health), StartError> {
    let tokens = tokens(config, |source| data_dir.token(source))?;
    let instance = data_dir.instance_id()?;
    let hash_key = data_dir.hash_key()?;
    let resource = Resource::new(&config.otlp, instance);
    // Before the store opens, and before all else that makes handles.
    let (process, process_push) = process_metrics(config, &resource)?;
    let mut supervisor = Supervisor::new(config.http.shutdown_timeout);
    let (store, threads) = open_store(config, data_dir)?;
    supervisor.watch_thread(Task::Writer, threads.writer);
    supervisor.watch_thread(Task::Checkpointer, threads.checkpointer);
    let control = data_dir.listen_for_control();
    if let Some(source) = config.sources.first() {
        number::warm_up(source.region);
    }
    process_metrics::build_info(env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"), env!("BUILD_RUSTC"));

    let status = config.otlp.logs.is_some().then(Arc::<ExportStatus>::default);
    let account = config.account.enabled.then(|| Arc::new(AccountStatus::new(config.account.interval)));
    let snapshot = snapshot_of(&store, status.clone(), account.clone());
    let limit = flush_limit(config);
    if let (Some(endpoint), Some(status)) = (&config.otlp.logs, status) {
        let export = LogExport {
            journal: Arc::new(StoreJournal(store.clone())),
            sender: Sender::new(Signal::Logs, endpoint),
            encoder: LogEncoder::new(resource.clone(), instance, privacy_policy(config), NumberHasher::new(&hash_key)),
            retention: config.store.export_retention,
            metrics: ExportMetrics::new(Signal::Logs),
            status,
            pace: Pace::default(),
        };
        tracing::info!(endpoint = %endpoint.shown_url(), "exporting logs");
        supervisor.spawn(Task::LogExporter, |shutdown| export_logs::run(export, shutdown.wait(), limit));
    }
    if let (Some(endpoint), Some(process)) = (&config.otlp.metrics, process_push) {
        let export = MetricExport {
            sender: Sender::new(Signal::Metrics, endpoint),
            snapshot: snapshot.clone(),
            process,
            resource,
            created: store.created_at(),
            interval: config.otlp.metric_interval,
            metrics: ExportMetrics::new(Signal::Metrics),
        };
        tracing::info!(endpoint = %endpoint.shown_url(), "exporting metrics");
        supervisor.spawn(Task::MetricsExporter, |shutdown| export_metrics::run(export, shutdown.wait(), limit));
    }
    for relay in &config.relays {
        let (relay, store) = (relay.clone(), store.clone());
        supervisor.spawn(Task::Relay, |shutdown| relay::run(relay, store, instance, shutdown.wait(), limit));
    }
    let challenge_key = ChallengeKey::new(&hash_key);
    background_jobs::start(config, &tokens, &store, account.as_ref(), &challenge_key, &mut supervisor);

    let health = health(&store, supervisor.phase());
    let admin_listen = listeners.admin.local_addr().unwrap_or(config.admin_listen);
    let page = Arc::new(page::page(config, admin_listen, &store, snapshot.clone(), process.clone()));
    let admin = Admin {
        opt_outs: opt_outs::shown(config, data_dir, &store)?,
        page: page.clone(),
        metrics: Arc::new({
            let (store, process) = (store.clone(), process.clone());
            move |format| match format {
                Format::Text => all_metrics(&snapshot(), &process),
                Format::OpenMetrics => openmetrics::encode(&snapshot(), &store.exemplars(), &process.render()),
            }
        }),
        access: Access { basic: config.admin.basic.clone(), bearer_token: config.admin.bearer_token.clone() },
        health: health.clone(),
    };
    let handshakes = config.admin.tls.clone().map(tls::unmetered).map(|(handshakes, renewal)| {
        supervisor.spawn(Task::CertificateWatch, |shutdown| renewal.run(shutdown.wait()));
        handshakes
    });
    supervisor.spawn(Task::AdminListener, |shutdown| admin::run(listeners.admin, admin, handshakes, shutdown.wait()));
    supervisor.spawn(Task::Upkeep, |shutdown| async move {
        tokio::join!(process.upkeep(shutdown.clone().wait()), page.remember(shutdown.wait()));
    });

    if let Some(control) = control {
        let commands = control::handler(config, store.clone(), supervisor.shutdown(Task::ControlSocket));
        supervisor.spawn(Task::ControlSocket, |shutdown| crate::control::run(control, commands, shutdown.wait()));
    }
    let handshakes = config.tls.clone().map(tls::new).map(|(handshakes, renewal)| {
        supervisor.spawn(Task::CertificateWatch, |shutdown| renewal.run(shutdown.wait()));
        handshakes
    });
    let handler = Handler::new(authenticator(config, &tokens), store, config.http, challenge_key, health.clone());
    let limits = config.http;
    supervisor.spawn(Task::WebhookListener, |shutdown| {
        ingest::run(listeners.webhook, handler, limits, handshakes, shutdown.wait())
    });
    Ok((supervisor, tokens, health))
}

/// Installs the recorder; the metrics of the process to be scraped, and to be pushed if there is an endpoint for them.
fn process_metrics(
    config: &Config,
    resource: &Resource,
) -> Result<(Arc<ProcessMetrics>, Option<ProcessPush>), InstallError> {
    let push = config.otlp.metrics.as_ref().map(|_| ProcessPush::new(resource)).transpose()?;
    let (push, recorder) = push.unzip();
    Ok((Arc::new(ProcessMetrics::install(recorder)?), push))
}

/// Opens the store as `serve` does; the caller holds the lock of the data directory.
///
/// # Errors
/// It cannot be opened.
pub fn open_store(config: &Config, data_dir: &DataDir) -> Result<(Store, StoreThreads), StartError> {
    let settings = store::Settings {
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
    };
    Store::open(data_dir.private(), settings)
        .map_err(|error| StartError::Store { path: config.data_dir.clone(), error })
}

fn privacy_policy(config: &Config) -> PrivacyPolicy {
    config.sources.iter().map(|source| (source.name.clone(), source.privacy)).collect()
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

fn authenticator(config: &Config, tokens: &[Vec<Secret>]) -> Authenticator {
    let source_auth = |(source, tokens): (&crate::config::Source, &Vec<Secret>)| SourceAuth {
        source: source.clone(),
        tokens: tokens.clone(),
        metrics: SourceMetrics::new(source.name.as_str()),
    };
    Authenticator::new(config.sources.iter().zip(tokens).map(source_auth).collect())
}

/// The ledger with the gauges of the store and of the export.
fn snapshot_of(
    store: &Store,
    status: Option<Arc<ExportStatus>>,
    account: Option<Arc<AccountStatus>>,
) -> impl Fn() -> Snapshot + Clone + Send + Sync + use<> {
    let store = store.clone();
    move || {
        let mut snapshot = store.blocking().snapshot();
        if let Some(status) = &status {
            snapshot.families.extend(status.families(*store.newest().borrow(), store.cursor()));
        }
        if let Some(account) = &account {
            snapshot.families.extend(account.families(Timestamp::now()));
        }
        snapshot
    }
}

fn all_metrics(snapshot: &Snapshot, process: &ProcessMetrics) -> String {
    let mut text = String::new();
    prometheus::encode(snapshot, &mut text);
    text.push_str(&process.render());
    text
}

/// The exporters' share of the shutdown time: connections have had theirs by then.
fn flush_limit(config: &Config) -> Duration {
    config.http.shutdown_timeout / 2
}
