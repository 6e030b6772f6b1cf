//! What the running smscope does for a command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{Line, Request};
use crate::store::Store;
use crate::store::erase::{People, Regions};

/// Asked to end before it is done, a request is given up at its next step.
#[derive(Clone, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub fn handler(config: &Config, store: Store, ending: Ending) -> impl Fn(Request, mpsc::Sender<Line>) + use<> {
    let regions = regions(config);
    let keeps_opt_outs = config.opt_outs.is_some();
    move |request, lines| {
        let last = match request {
            Request::Erase { recipients } => match People::new(&recipients, regions.clone()) {
                Ok(people) => erase(&store, people, &ending, &lines),
                Err(problem) => Line::Failed(problem),
            },
            Request::OptOut { .. } if !keeps_opt_outs => {
                Line::Failed("opt_outs.enabled is false; expected a list of opt-outs that is kept".to_owned())
            }
            Request::OptOut { changes } => {
                store.change_opt_outs(changes).map_or_else(|refusal| Line::Failed(refusal.to_string()), Line::OptedOut)
            }
            Request::RetryRelayed { which } => {
                store.revive(which).map_or_else(|refusal| Line::Failed(refusal.to_string()), Line::Retried)
            }
        };
        let _gone = lines.blocking_send(last);
    }
}

fn erase(store: &Store, people: People, ending: &Ending, lines: &mpsc::Sender<Line>) -> Line {
    let tell = |progress| {
        // Nobody may be listening any more: what was asked for is done all the same.
        let _gone = lines.try_send(Line::Progress(progress));
        !ending.has_begun()
    };
    match store.erase(people, tell) {
        Ok(erased) => {
            tracing::info!(messages = erased.messages, events = erased.events, "erased what was asked for");
            Line::Erased(erased)
        }
        Err(error) => {
            tracing::warn!(%error, "an erasure was not finished");
            Line::Failed(error.to_string())
        }
    }
}

/// Where the numbers of each source are at home.
pub fn regions(config: &Config) -> Regions {
    let region = |source: &crate::config::Source| (source.name.clone(), source.region);
    // There always is one.
    Regions::new(config.sources.iter().map(region), config.sources[0].region)
}
