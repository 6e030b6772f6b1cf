//! `smscope reprocess`: decodes stored unrecognized requests again.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use super::control_client::{exclusively, with_store};
use super::parse::duration;
use super::store_view::view;
use super::table::{Column, Table};
use super::terminal::print;
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::DataDir;
use crate::features::reprocess::{self, ReprocessError, Scope, Tallies, Tally};

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

/// By the smscope that is running on the data directory, or by this process if none is. A dry run only reads.
///
/// # Errors
/// No such source, no store, or one that cannot be read or written.
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
    let alone = |data_dir: &DataDir| {
        with_store(config, data_dir, |store| {
            reprocess::reprocess(&config.sources, store, &scope, || true)
                .map_err(|error| Exit::Failure(format!("{UNFINISHED}: {error}; run it again")))
        })
    };
    let read = |line| if let Line::Reprocessed(tallies) = line { Some(tallies) } else { None };
    exclusively(config, &Request::Reprocess { scope: scope.clone() }, UNFINISHED, |_| {}, read, alone)
}

const UNFINISHED: &str = "not all was read again";

/// A line per source and result, the results with the number of their events.
fn table(tallies: &Tallies, is_dry_run: bool) -> String {
    if tallies.values().all(|tally| tally.read == 0) {
        return "nothing to read again: no stored request is unrecognized\n".to_owned();
    }
    let mut table =
        Table::new([Column::left("source"), Column::left("result").at_least(24), Column::right("events").at_least(8)]);
    for (source, tally) in tallies {
        let Tally { read, understood, duplicate, unrecognized, erased, not_configured } = tally;
        let mut row = |result: &str, count: u64| table.row([source.to_string(), result.to_owned(), count.to_string()]);
        row("unrecognized events read", *read);
        for (outcome, count) in understood {
            row(&format!("understood: {outcome}"), *count);
        }
        let others = [
            ("known by another way", *duplicate),
            ("still unrecognized", *unrecognized),
            ("request erased", *erased),
            ("source not configured", *not_configured),
        ];
        others.into_iter().filter(|(_, count)| *count > 0).for_each(|(result, count)| row(result, count));
    }
    let mut text = table.to_string();
    if is_dry_run {
        text += "dry run: nothing is stored; what has come by another way since will not be counted again\n";
    }
    text
}
