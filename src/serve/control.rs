//! The requests of commands to the running smscope.

use jiff::Timestamp;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Context;
use crate::config::Config;
use crate::control::{Line, Request};
use crate::features::reconcile::Reconciler;
use crate::features::reprocess::{Scope, reprocess};
use crate::store::Store;
use crate::store::erase::{Regions, Subjects};
use crate::tasks::Task;
use crate::tasks::supervisor::{Shutdown, Supervisor};

/// Serves the socket.
pub(super) fn start(context: &Context<'_>, socket: UnixListener, supervisor: &mut Supervisor) {
    let commands = handler(context.config, context.store.clone(), supervisor.shutdown(Task::ControlSocket));
    supervisor.spawn(Task::ControlSocket, |shutdown| crate::control::run(socket, commands, shutdown.wait()));
}

/// What executes requests. Once `shutdown` has begun, one ends at its next step.
pub(super) fn handler(
    config: &Config,
    store: Store,
    shutdown: Shutdown,
) -> impl Fn(Request, mpsc::Sender<Line>) + use<> {
    let regions = regions(config);
    let config = config.clone();
    move |request, lines| {
        let last = match request {
            Request::Erase { recipients } => match Subjects::new(&recipients, regions.clone()) {
                Ok(subjects) => erase(&store, subjects, &shutdown, &lines),
                Err(problem) => Line::Failed(problem),
            },
            Request::OptOut { .. } if config.opt_outs.is_none() => {
                Line::Failed("opt_outs.enabled is false; expected a smscope with a list of opt-outs".to_owned())
            }
            Request::OptOut { changes } => store
                .blocking()
                .change_opt_outs(changes)
                .map_or_else(|error| Line::Failed(error.to_string()), Line::OptedOut),
            Request::RetryRelayed { which } => {
                store.blocking().redrive(&which).map_or_else(|error| Line::Failed(error.to_string()), Line::Retried)
            }
            Request::Reconcile { source, since, until } => {
                match Handle::current()
                    .block_on(async { Reconciler::of(&config.sources, config.reconcile, source.as_deref(), &store) })
                {
                    Ok(reconcilers) => reconcile(&reconcilers, (since, until), &shutdown, &lines),
                    Err(problem) => Line::NotConfigured(problem),
                }
            }
            Request::Reprocess { scope } => match scope.check(&config.sources) {
                Ok(()) => reprocess_stored(&config, &store, &scope, &shutdown),
                Err(problem) => Line::NotConfigured(problem),
            },
        };
        let _gone = lines.blocking_send(last);
    }
}

fn erase(store: &Store, subjects: Subjects, shutdown: &Shutdown, lines: &mpsc::Sender<Line>) -> Line {
    let on_progress = |progress| {
        // The command may have ended: its request is completed all the same.
        let _gone = lines.try_send(Line::Progress(progress));
        !shutdown.has_begun()
    };
    match store.blocking().erase(&subjects, on_progress) {
        Ok(erased) => {
            tracing::info!(messages = erased.messages, events = erased.events, "erased");
            Line::Erased(erased)
        }
        Err(error) => {
            tracing::warn!(%error, "an erasure was not finished");
            Line::Failed(format!("not all was erased: {error}; run it again"))
        }
    }
}

fn reprocess_stored(config: &Config, store: &Store, scope: &Scope, shutdown: &Shutdown) -> Line {
    match reprocess(&config.sources, store, scope, || !shutdown.has_begun()) {
        Ok(tallies) => {
            let read: u64 = tallies.values().map(|tally| tally.read).sum();
            tracing::info!(read, "decoded stored unrecognized requests again");
            Line::Reprocessed(tallies)
        }
        Err(error) => {
            tracing::warn!(%error, "not all stored requests were decoded again");
            Line::Failed(format!("not all was read again: {error}; run it again"))
        }
    }
}

fn reconcile(
    reconcilers: &[Reconciler],
    (since, until): (Timestamp, Timestamp),
    shutdown: &Shutdown,
    lines: &mpsc::Sender<Line>,
) -> Line {
    for reconciler in reconcilers {
        let asked = Handle::current().block_on(async {
            tokio::select! {
                // What has been submitted to the store by then is stored.
                () = shutdown.clone().wait() => Err("smscope is ending; run it again".to_owned()),
                tally = reconciler.period(since, until) => tally.map_err(|error| error.to_string()),
            }
        });
        let source = reconciler.source().clone();
        match asked {
            Ok(tally) => {
                tracing::info!(%source, %since, missed = tally.missed(), "fetched a period for a command");
                // The command may have ended: its request is completed all the same.
                let _gone = lines.blocking_send(Line::SourceReconciled { source, tally });
            }
            Err(why) => {
                tracing::warn!(%source, "a period was not fetched completely: {why}");
                return Line::Failed(why);
            }
        }
    }
    Line::Reconciled
}

/// The region of each source's numbers.
pub fn regions(config: &Config) -> Regions {
    let region = |source: &crate::settings::Source| (source.name.clone(), source.region);
    // There always is one.
    Regions::new(config.sources.iter().map(region), config.sources[0].region)
}
