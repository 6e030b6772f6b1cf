//! `smscope reprocess`: stored requests that were not understood, read again.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use super::control_client::ask_running_process;
use super::parse::duration;
use super::store_view::view;
use super::table::{Column, Table};
use super::terminal::print;
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::features::reprocess::{self, ReprocessError, Scope, Tallies, Tally};
use crate::serve;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// How far to reach back: what arrived since then is read [default: all that is stored]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Store nothing; print what the requests are read as
    #[arg(long)]
    pub dry_run: bool,
}

/// By the smscope that is running on the data directory, or by this process where none is. A dry run only reads.
///
/// # Errors
/// No such source, a store that is not there, or one that cannot be read or written.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let since = arguments.since.map(|since| Timestamp::now().checked_sub(since).unwrap_or(Timestamp::MIN));
    let scope = Scope { source: arguments.source.clone(), since };
    scope.check(&config.sources).map_err(Exit::Configuration)?;
    let tallies = if arguments.dry_run { rehearsed(config, &scope)? } else { done(config, scope)? };
    print(&table(&tallies, arguments.dry_run));
    Ok(ExitCode::SUCCESS)
}

fn rehearsed(config: &Config, scope: &Scope) -> Result<Tallies, Exit> {
    let view = view(config)?;
    let newest = view.newest().map_err(Exit::failure)?;
    let next = |position, newest| {
        view.unrecognized_after(position, newest).map_err(|error| ReprocessError::Unreadable(error.to_string()))
    };
    reprocess::rehearse(&config.sources, scope, newest, next).map_err(Exit::failure)
}

fn done(config: &Config, scope: Scope) -> Result<Tallies, Exit> {
    DataDir::must_have_store(&config.data_dir)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let lock = match data_dir.lock() {
        Ok(lock) => lock,
        Err(DataDirError::InUse { .. }) => return by_the_running_process(config, scope),
        Err(other) => return Err(other.into()),
    };
    let (store, end) = serve::open_store(config, &data_dir)?;
    let ended = reprocess::reprocess(&config.sources, &store, &scope, || true);
    drop(store);
    end.wait();
    drop(lock);
    ended.map_err(unfinished)
}

fn by_the_running_process(config: &Config, scope: Scope) -> Result<Tallies, Exit> {
    match ask_running_process(config, &Request::Reprocess { scope }, |_| {}) {
        Ok(Line::Reprocessed(tallies)) => Ok(tallies),
        Ok(Line::NotConfigured(problem)) => Err(Exit::Configuration(problem)),
        Ok(Line::Failed(why)) => Err(unfinished(why)),
        Ok(_) => Err(unfinished("the answer makes no sense")),
        Err(error) => Err(unfinished(error)),
    }
}

fn unfinished(why: impl std::fmt::Display) -> Exit {
    Exit::Failure(format!("not all was read again: {why}; run it again"))
}

/// A line per source and result, the results with the number of their events.
fn table(tallies: &Tallies, is_dry_run: bool) -> String {
    if tallies.values().all(|tally| tally.read == 0) {
        return "nothing to read again: no stored request is unrecognized\n".to_owned();
    }
    let mut rows = Vec::new();
    for (source, tally) in tallies {
        let Tally { read, understood, duplicate, unrecognized, erased, not_configured } = tally;
        rows.push((source.as_str(), "unrecognized events read".to_owned(), *read));
        let understood = understood.iter().map(|(outcome, count)| (format!("understood: {outcome}"), *count));
        let others = [
            ("known by another way", *duplicate),
            ("still unrecognized", *unrecognized),
            ("request erased", *erased),
            ("source not configured", *not_configured),
        ];
        let others = others.into_iter().map(|(result, count)| (result.to_owned(), count));
        rows.extend(
            understood
                .chain(others)
                .filter(|(_, count)| *count > 0)
                .map(|(result, count)| (source.as_str(), result, count)),
        );
    }
    let mut table =
        Table::new([Column::left("source"), Column::left("result").at_least(24), Column::right("events").at_least(8)]);
    for (source, result, count) in rows {
        table.row([source.to_owned(), result, count.to_string()]);
    }
    let mut text = table.to_string();
    if is_dry_run {
        text += "dry run: nothing is stored; what has come by another way since will not be counted again\n";
    }
    text
}
