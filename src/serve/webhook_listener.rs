//! The webhook listener.

use std::num::NonZero;
use std::thread;

use tokio::net::TcpListener;

use super::{Context, StartError};
use crate::config::Config;
use crate::health::Health;
use crate::ingest::{self, Authenticator, Handler, SourceAuth};
use crate::listener::{Threads, tls};
use crate::process_metrics::SourceMetrics;
use crate::secret::Secret;
use crate::settings::Source;
use crate::tasks::Task;
use crate::tasks::supervisor::Supervisor;

/// Of those that serve connections. The store's thread is busy before as many are.
const MOST_THREADS: NonZero<usize> = NonZero::new(4).unwrap();

/// # Errors
/// A thread cannot be started.
pub(super) fn start(
    context: &Context<'_>,
    health: &Health,
    listener: TcpListener,
    supervisor: &mut Supervisor,
) -> Result<(), StartError> {
    let Context { config, tokens, store, challenge_key, .. } = context;
    let handshakes = config.tls.clone().map(|tls| tls::start(tls, true, supervisor));
    let authenticator = authenticator(config, tokens);
    let handler = Handler::new(authenticator, store.clone(), config.http, challenge_key.clone(), health.clone());
    let limits = config.http;
    let threads = thread::available_parallelism().and_then(|cores| Threads::start(cores.min(MOST_THREADS)));
    let threads = threads.map_err(StartError::Threads)?;
    supervisor.spawn(Task::WebhookListener, |shutdown| {
        ingest::run(listener, handler, limits, Some(threads), handshakes, shutdown.wait())
    });
    Ok(())
}

fn authenticator(config: &Config, tokens: &[Vec<Secret>]) -> Authenticator {
    let source_auth = |(source, tokens): (&Source, &Vec<Secret>)| SourceAuth {
        source: source.clone(),
        tokens: tokens.clone(),
        metrics: SourceMetrics::new(source.name.as_str()),
    };
    Authenticator::new(config.sources.iter().zip(tokens).map(source_auth).collect())
}
