//! `smscope serve`: the sidecar itself, until a signal ends it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::Exit;
use super::terminal::{print, termination};
use crate::config::{Config, Loaded, Process};
use crate::diagnostics;
use crate::event::SourceName;
use crate::health::Health;
use crate::secret::Secret;
use crate::serve::{self, Listeners, ServeError};
use crate::service_manager::ServiceManager;
use crate::settings::Tokens;

/// How long blocking work may take to end once everything else has.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);

/// `smscope serve`.
///
/// # Errors
/// It cannot start, or a background task has failed.
pub fn run(loaded: Loaded) -> Result<ExitCode, Exit> {
    diagnostics::init(&Process);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = loaded.config;
    config.http.max_connections = connections_within_file_limit(config.http.max_connections);
    // Connections have threads of their own, and what blocks has others: one does for the rest.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Exit::failure)?;
    let manager = Arc::new(ServiceManager::new(&Process));
    let served = runtime.block_on(async {
        // First: without a handler, the signal would end the process.
        let hangups = hangups().map_err(Exit::failure)?;
        tokio::spawn(hangups);
        let shutdown = termination().map_err(Exit::failure)?;
        let listeners = Listeners::bind(&config)?;
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
            ServeError::Start(error) => error.into(),
            ServeError::Task(_) => Exit::Software(error.to_string()),
        })
    });
    // A task that hangs must not prevent the exit.
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
            tracing::warn!(%error, "the limit of open files is not known; http.max_connections is used as configured");
            wanted
        }
    }
}

/// Prints callback URLs, page and metrics. A generated token is shown on a terminal, for copying; elsewhere standard output ends up in
/// a log. A configured token is not shown at all.
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
    // This machine's address is in no certificate, and the connection is local.
    let insecure = if config.tls.is_some() { "--insecure " } else { "" };
    format!(
        "curl {insecure}-H 'content-type: application/json' -d '{{\"messageId\":\"{}\",\"type\":\"SMS\",\"direction\":\"MT\",\
         \"recipient\":{{\"to\":\"33600000000\"}},\"status\":{{\"value\":\"DELIVERED\"}}}}' {}",
        Uuid::new_v4(),
        local.callback_url(source, token.reveal())
    )
}

/// Ignores SIGHUP. A terminal that closes sends one, and so does an operator used to servers that reload their files by it.
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
