//! `smscope reconcile`: receipts that did not come, asked for.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use super::control_client::ask_running_process;
use super::parse::duration;
use super::terminal::{print, runtime};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::event::SourceName;
use crate::features::reconcile::{Reconciler, Tally};
use crate::serve;
use crate::smsmode_api::rest_apis;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// How far to reach back: messages that were accepted since then are fetched
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Duration,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// By the smscope that is running on the data directory, or by this process where none is.
///
/// # Errors
/// No API key, no such source, a store that is not there, an API that does not do its part.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let until = Timestamp::now();
    let since = until.checked_sub(arguments.since).unwrap_or(Timestamp::MIN);
    // Where there is nothing nothing is made.
    DataDir::must_have_store(&config.data_dir)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let lock = match data_dir.lock() {
        Ok(lock) => lock,
        // Its configuration counts: the key may be in its environment alone.
        Err(DataDirError::InUse { .. }) => {
            return reconciled_by_the_running_process(config, arguments.source.clone(), since, until);
        }
        Err(other) => return Err(other.into()),
    };
    // Before the store is opened, which may write to it.
    rest_apis(&config.sources, arguments.source.as_deref()).map_err(Exit::configuration)?;
    let (store, end) = serve::open_store(config, &data_dir)?;
    let ended = runtime()?.block_on(async {
        for reconciler in Reconciler::of(&config.sources, config.reconcile, arguments.source.as_deref(), &store)
            .map_err(Exit::configuration)?
        {
            let tally = reconciler.period(since, until).await.map_err(Exit::failure)?;
            print(&told(reconciler.source(), &tally));
        }
        Ok(ExitCode::SUCCESS)
    });
    drop(store);
    end.wait();
    drop(lock);
    ended
}

fn reconciled_by_the_running_process(
    config: &Config,
    source: Option<String>,
    since: Timestamp,
    until: Timestamp,
) -> Result<ExitCode, Exit> {
    let tell = |line| {
        if let Line::Asked { source, tally } = line {
            print(&told(&source, &tally));
        }
    };
    match ask_running_process(config, &Request::Reconcile { source, since, until }, tell) {
        Ok(Line::Reconciled) => Ok(ExitCode::SUCCESS),
        Ok(Line::NotConfigured(problem)) => Err(Exit::Configuration(problem)),
        Ok(Line::Failed(why)) => Err(Exit::Failure(why)),
        Ok(_) => Err(Exit::Failure("the answer makes no sense".to_owned())),
        Err(error) => Err(Exit::Failure(format!("not all was asked for: {error}; run it again"))),
    }
}

fn told(source: &SourceName, tally: &Tally) -> String {
    let Tally { read, looked_for, missed, is_incomplete } = tally;
    let by_outcome: Vec<String> = missed.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let by_outcome = if missed.is_empty() { String::new() } else { format!(" ({})", by_outcome.join(", ")) };
    let limit = if *is_incomplete { "; reconcile.max_pages came before the end" } else { "" };
    format!(
        "{source}: {} had not come{by_outcome}, of {looked_for} in the period; {read} read{limit}\n",
        tally.missed()
    )
}
