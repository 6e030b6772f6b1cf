//! `smscope reprocess`, as the process runs it.

use std::process::ExitCode;

use jiff::Timestamp;

use super::kept::view;
use super::running::ask_its_owner;
use super::{print, refused};
use crate::cli::{Exit, ReprocessArguments};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::reprocess::{self, ReprocessError, Scope, Tallies, Tally};
use crate::serve;

/// `smscope reprocess`, by the smscope that is running on the data directory, or by this process where none is. A dry run only reads.
///
/// # Errors
/// No such source, a store that is not there, or one that cannot be read or written.
pub fn reprocess(loaded: &Loaded, asked: &ReprocessArguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let since = asked.since.map(|since| Timestamp::now().checked_sub(since).unwrap_or(Timestamp::MIN));
    let scope = Scope { source: asked.source.clone(), since };
    scope.check(config).map_err(Exit::Configuration)?;
    let tallies = if asked.dry_run { rehearsed(config, &scope)? } else { done(config, scope)? };
    print(&table(&tallies, asked.dry_run));
    Ok(ExitCode::SUCCESS)
}

fn rehearsed(config: &Config, scope: &Scope) -> Result<Tallies, Exit> {
    let view = view(config)?;
    let newest = view.newest().map_err(Exit::failure)?;
    let next = |position, newest| {
        view.unrecognized_after(position, newest).map_err(|error| ReprocessError::Unreadable(error.to_string()))
    };
    reprocess::rehearse(config, scope, newest, next).map_err(Exit::failure)
}

fn done(config: &Config, scope: Scope) -> Result<Tallies, Exit> {
    DataDir::must_have_store(&config.data_dir).map_err(|error| refused(error.into()))?;
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| refused(error.into()))?;
    let lock = match data_dir.lock() {
        Ok(lock) => lock,
        Err(DataDirError::InUse { .. }) => return by_its_owner(config, scope),
        Err(other) => return Err(refused(other.into())),
    };
    let (store, end) = serve::open_store(config, &data_dir).map_err(refused)?;
    let ended = reprocess::reprocess(config, &store, &scope, || true);
    drop(store);
    end.wait();
    drop(lock);
    ended.map_err(unfinished)
}

fn by_its_owner(config: &Config, scope: Scope) -> Result<Tallies, Exit> {
    match ask_its_owner(config, &Request::Reprocess { scope }, |_| {}) {
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
    let width = rows.iter().map(|(source, ..)| source.len()).chain(["source".len()]).max().unwrap_or(0);
    let mut text = format!("{:<width$}  {:<24}  {:>8}\n", "source", "result", "events");
    for (source, result, count) in rows {
        text += &format!("{source:<width$}  {result:<24}  {count:>8}\n");
    }
    if is_dry_run {
        text += "dry run: nothing is stored; what has come by another way since will not be counted again\n";
    }
    text
}
