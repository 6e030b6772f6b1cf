//! `smscope reconcile`: fetches missing receipts.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use super::control_client::{exclusively, with_store};
use super::parse::duration;
use super::terminal::{print, runtime};
use crate::config::Loaded;
use crate::control::{Line, Request};
use crate::data_dir::DataDir;
use crate::event::SourceName;
use crate::features::reconcile::{Reconciler, Tally};
use crate::smsmode_api::rest_apis;
use crate::store::Store;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// How far to reach back: messages that were accepted since then are fetched
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Duration,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// By the smscope that is running on the data directory, or by this process if none is.
///
/// # Errors
/// No API key, no such source, no store, an API error.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let until = Timestamp::now();
    let since = until.checked_sub(arguments.since).unwrap_or(Timestamp::MIN);
    let source = arguments.source.as_deref();
    let alone = |data_dir: &DataDir| {
        // Before the store is opened, which may write to it.
        rest_apis(&config.sources, source).map_err(Exit::configuration)?;
        let fetch = async |store: &Store| {
            let reconcilers = Reconciler::of(&config.sources, config.reconcile, source, store);
            for reconciler in reconcilers.map_err(Exit::configuration)? {
                let tally = reconciler.period(since, until).await.map_err(Exit::failure)?;
                print(&summary(reconciler.source(), &tally));
            }
            Ok::<_, Exit>(())
        };
        with_store(config, data_dir, |store| runtime()?.block_on(fetch(store)))
    };
    // The configuration of a running smscope counts: the key may be in its environment alone.
    let request = Request::Reconcile { source: arguments.source.clone(), since, until };
    let on_line = |line| {
        if let Line::SourceReconciled { source, tally } = line {
            print(&summary(&source, &tally));
        }
    };
    let read = |line| (line == Line::Reconciled).then_some(());
    exclusively(config, &request, "not all messages were fetched", on_line, read, alone)?;
    Ok(ExitCode::SUCCESS)
}

fn summary(source: &SourceName, tally: &Tally) -> String {
    let Tally { read, looked_for, missed, is_incomplete } = tally;
    let by_outcome: Vec<String> = missed.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let by_outcome = if missed.is_empty() { String::new() } else { format!(" ({})", by_outcome.join(", ")) };
    let limit = if *is_incomplete { "; reconcile.max_pages was reached before the end" } else { "" };
    format!(
        "{source}: {} were missing{by_outcome}, of {looked_for} in the period; {read} read{limit}\n",
        tally.missed()
    )
}
