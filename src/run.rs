//! The commands, as the process runs them: standard output for what was asked for, standard error for diagnostics.

mod asking;
mod events;
mod health;
mod kept;
mod opt_outs;
mod relay;
mod reprocess;
mod running;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap_complete::Shell;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::cli::{self, CheckArguments, Exit, ReportArguments, Simulate, UrlArguments, describe};
use crate::config::{Config, Loaded, Process, Tokens};
pub use asking::{connect, reconcile};

use crate::data_dir::{DataDir, DataDirError};
use crate::diagnostics;
use crate::event::SourceName;
use crate::health::Health;
use crate::report::{self, Format};
use crate::secret::Secret;
use crate::serve::{self, Listeners, ServeError, StartError};
use crate::service_manager::ServiceManager;
use crate::simulate;
use crate::store::cohorts;

pub use events::{events, hash};
pub use health::health;
pub use kept::{erase, export, show};
pub use opt_outs::opt_outs;
pub use relay::relay;
pub use reprocess::reprocess;

/// What work that blocks may take to end once everything else has.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);

/// `smscope serve`.
///
/// # Errors
/// It cannot start, or a background task has failed.
pub fn serve(loaded: Loaded) -> Result<ExitCode, Exit> {
    diagnostics::init(&Process);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = loaded.config;
    config.http.max_connections = connections_within_file_limit(config.http.max_connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Exit::failure)?;
    let manager = Arc::new(ServiceManager::new(&Process));
    let served = runtime.block_on(async {
        // First of all: the signal would end a process that has no handler for it yet.
        let hangups = hangups().map_err(Exit::failure)?;
        tokio::spawn(hangups);
        let shutdown = termination().map_err(Exit::failure)?;
        let listeners = Listeners::bind(&config).map_err(refused)?;
        config.listen = listeners.webhook.local_addr().map_err(Exit::failure)?;
        config.admin_listen = listeners.admin.local_addr().map_err(Exit::failure)?;
        let ready = |tokens: &[Vec<Secret>], health: &Health| {
            announce(&config, tokens);
            manager.ready();
            let (manager, liveness) = (manager.clone(), Arc::downgrade(&health.liveness));
            tokio::spawn(async move { manager.feed_watchdog(liveness).await });
        };
        let shutdown = async {
            shutdown.await;
            manager.stopping();
        };
        serve::serve(&config, listeners, ready, shutdown).await.map_err(|error| match error {
            ServeError::Start(error) => refused(error),
            ServeError::Task(_) => Exit::Software(error.to_string()),
        })
    });
    // A task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    served?;
    tracing::info!("ended in good order");
    Ok(ExitCode::SUCCESS)
}

/// Each connection is an open file. Raises the process's limit as far as it may, and gives the number of connections that it then
/// has room for: one more could not be accepted, nor could the store's files be opened.
fn connections_within_file_limit(wanted: usize) -> usize {
    /// The store, the admin listener's connections, those to collectors, and what the runtime needs.
    const OTHERS: u64 = 128;
    let needed = wanted as u64 + OTHERS;
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => {
            let possible = usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(wanted).max(1);
            tracing::warn!(
                "http.max_connections = {wanted}: {possible} are used, the process may open {limit} files (ulimit -n); \
                 expected {needed}"
            );
            possible
        }
        Ok(_) => wanted,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known; http.max_connections is taken as it is");
            wanted
        }
    }
}

/// `smscope url`: the full callback URLs, one a line.
///
/// # Errors
/// A made token cannot be read or written, or there is none and none is to be made.
pub fn url(loaded: &Loaded, arguments: &UrlArguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let tokens = tokens(config, arguments.create)?;
    let mut text = String::new();
    for (source, tokens) in config.sources.iter().zip(&tokens) {
        for token in tokens {
            text.push_str(&config.callback_url(&source.name, token.reveal()));
            text.push('\n');
        }
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// `smscope check`: what the configuration means, or whether the public URL works.
///
/// # Errors
/// None but those of the public URL: an invalid configuration has been refused when it was loaded.
pub fn check(loaded: &Loaded, arguments: &CheckArguments) -> Result<ExitCode, Exit> {
    if let Some(url) = &arguments.public_url {
        return asking::check_public_url(loaded, url);
    }
    print(&describe(loaded));
    Ok(ExitCode::SUCCESS)
}

/// `smscope report`, from the local store, in use or not.
///
/// # Errors
/// There is no store yet, or it cannot be read.
pub fn report(loaded: &Loaded, arguments: &ReportArguments) -> Result<ExitCode, Exit> {
    let path = &loaded.config.data_dir;
    DataDir::must_have_store(path).map_err(|error| refused(error.into()))?;
    let read = |since, detail| {
        cohorts::since(&DataDir::private_of(path), since, detail)
            .map_err(|error| refused(StartError::Store { path: path.clone(), error }))
    };
    let (now, dimensions, zone) = (Timestamp::now(), arguments.dimensions(), &arguments.timezone);
    let cohorts = read(report::start(now, arguments.since, &dimensions, zone), report::detail(&dimensions))?;
    let mut text = report::render(&cohorts, &dimensions, zone, arguments.format);
    if arguments.format == Format::Table {
        let since = now.checked_sub(report::now::REACH).unwrap_or(Timestamp::UNIX_EPOCH);
        let latest = read(since, cohorts::Detail { network: true, ..Default::default() })?;
        text += "\n";
        text += &report::now::now(&latest, now);
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// `smscope completions`: the script of a shell.
///
/// # Errors
/// None.
pub fn completions(shell: Shell) -> Result<ExitCode, Exit> {
    print(&cli::completions(shell));
    Ok(ExitCode::SUCCESS)
}

/// `smscope man`: the manual page.
///
/// # Errors
/// It cannot be rendered.
pub fn man() -> Result<ExitCode, Exit> {
    print(&cli::man_page().map_err(Exit::failure)?);
    Ok(ExitCode::SUCCESS)
}

/// `smscope simulate`: exit code 1 when the sidecar counts something else than what it was told.
///
/// # Errors
/// A URL that cannot be used, a token that cannot be read, a sidecar that does not answer.
pub fn simulate(loaded: &Loaded, asked: &Simulate) -> Result<ExitCode, Exit> {
    let tokens = if asked.is_local() { tokens(&loaded.config, false)? } else { vec![] };
    let run = asked.run(&loaded.config, tokens.first().and_then(|tokens| tokens.first()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Exit::failure)?;
    let report = runtime.block_on(async {
        let stop = termination().map_err(Exit::failure)?;
        simulate::run(run, stop).await.map_err(Exit::failure)
    })?;
    print(&report.text);
    Ok(if report.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tokens in force. In the wrong folder none is made, unless `create` asks for it: a URL with it would open nothing.
fn tokens(config: &Config, create: bool) -> Result<Vec<Vec<Secret>>, Exit> {
    // A token that was given is had without touching the data directory.
    let made = |source: &SourceName| {
        if let Some(token) = DataDir::made_token(&config.data_dir, source) {
            return Ok(token);
        }
        if !create {
            DataDir::must_have_store(&config.data_dir).map_err(|error| match error {
                DataDirError::NoStore { path } => DataDirError::NoToken { path, source_name: source.clone() },
                other => other,
            })?;
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        eprintln!("smscope: making a new token for {source} in {:?}", config.data_dir);
        data_dir.token(source)
    };
    serve::tokens(config, made).map_err(|error| refused(error.into()))
}

fn refused(error: StartError) -> Exit {
    match error {
        StartError::Metrics(_) => Exit::failure(error),
        _ => Exit::configuration(error),
    }
}

/// Prints where the provider can call us, and where to look. A token that was made here is shown on a terminal, for copying; elsewhere
/// standard output ends up in a log. One that was given is not shown at all.
fn announce(config: &Config, tokens: &[Vec<Secret>]) {
    tracing::info!(webhooks = %config.listen, admin = %config.admin_listen, "ready");
    let mut text = String::new();
    let is_for_a_person = std::io::stdout().is_terminal();
    for (source, tokens) in config.sources.iter().zip(tokens) {
        match (&source.tokens, tokens.first()) {
            (Tokens::Generated, Some(token)) if is_for_a_person => {
                let url = config.callback_url(&source.name, token.reveal());
                text.push_str(&format!("callback URL ({}): {url}\n", source.name));
                text.push_str(&format!("try it: {}\n", curl(config, &source.name, token)));
            }
            _ => text.push_str(&format!(
                "callback URL ({}): {}\n",
                source.name,
                config.callback_url(&source.name, "<token>")
            )),
        }
    }
    if !is_for_a_person && config.sources.iter().any(|source| matches!(source.tokens, Tokens::Generated)) {
        text.push_str("with its token: smscope url\n");
    }
    let admin = config.admin_url();
    text.push_str(&format!("page: {admin}/\nmetrics: {admin}/metrics\n"));
    print(&text);
}

/// A line to paste, with a message id of its own so that each start's line is accepted once.
fn curl(config: &Config, source: &SourceName, token: &Secret) -> String {
    let local = Config { public_url: None, ..config.clone() };
    // This machine's address is in no certificate, and nobody is between.
    let insecure = if config.tls.is_some() { "--insecure " } else { "" };
    format!(
        "curl {insecure}-H 'content-type: application/json' -d '{{\"messageId\":\"{}\",\"type\":\"SMS\",\"direction\":\"MT\",\
         \"recipient\":{{\"to\":\"33600000000\"}},\"status\":{{\"value\":\"DELIVERED\"}}}}' {}",
        Uuid::new_v4(),
        local.callback_url(source, token.reveal())
    )
}

/// Standard output may be closed: what it was for is then nobody's concern.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _closed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Takes each SIGHUP and goes on. A terminal that closes sends one, and so does an operator used to servers that read their files
/// again by it.
fn hangups() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            tracing::info!(
                "SIGHUP: ignored; a renewed certificate is used without a signal, other settings need a restart"
            );
        }
    })
}

/// Resolves at the first SIGTERM (Kubernetes' way to start a graceful shutdown) or SIGINT (Ctrl-C).
fn termination() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
            _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
        }
    })
}
