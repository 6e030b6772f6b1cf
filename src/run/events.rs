//! `smscope events` and `smscope hash`, as the process runs them.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::kept::{numbers, subjects, view};
use super::{print, termination};
use crate::cli::{EventsArguments, Exit, HashArguments};
use crate::config::Loaded;
use crate::data_dir::DataDir;
use crate::number;
use crate::record::{Entry, Position};
use crate::show::events::EventPrinter;
use crate::store::query::ReadStore;
use crate::store::search::EventFilter;
use crate::telemetry::person::{Discretion, NumberHasher};

/// How often the journal is asked for what has arrived.
const POLL: Duration = Duration::from_millis(300);

/// `smscope events`, from the local store, in use or not.
///
/// # Errors
/// There is no store, or it cannot be read; a recipient that is no number.
pub fn events(loaded: &Loaded, arguments: &EventsArguments) -> Result<ExitCode, Exit> {
    let subjects = match &arguments.recipient[..] {
        [] => None,
        recipients => Some(subjects(&loaded.config, recipients)?),
    };
    let filter = EventFilter {
        since: arguments.since,
        until: arguments.until,
        source: arguments.source.clone(),
        kinds: arguments.kind.clone(),
        country: arguments.country.clone(),
        network: arguments.network.clone(),
        reason: arguments.reason.clone(),
        message_id: arguments.message_id.clone(),
        ref_client: arguments.ref_client.clone(),
        subjects,
    };
    let view = view(&loaded.config)?;
    let sources = loaded.config.sources.iter().map(|source| (source.name.clone(), source.privacy));
    let hasher = DataDir::made_hash_key(&loaded.config.data_dir).map(|key| NumberHasher::new(&key));
    let printer = EventPrinter { discretion: Discretion::from_iter(sources), hasher, json: arguments.json };
    // What arrives while the newest are searched for is followed from here.
    let position = view.newest().map_err(Exit::failure)?;
    let found = view.newest_events(&filter, arguments.limit).map_err(Exit::failure)?;
    let position = found.last().map_or(position, |entry| entry.position.max(position));
    if !write(&printer, &found)? || !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::failure)?;
    runtime.block_on(async {
        let stop = termination().map_err(Exit::failure)?;
        tokio::select! {
            () = stop => Ok(ExitCode::SUCCESS),
            ended = follow(&view, &filter, &printer, position) => ended,
        }
    })
}

/// Prints what arrives, until nobody reads it any more.
async fn follow(
    view: &ReadStore,
    filter: &EventFilter,
    printer: &EventPrinter,
    mut position: Position,
) -> Result<ExitCode, Exit> {
    loop {
        let (found, reached) = view.events_after(position, filter).map_err(Exit::failure)?;
        if !write(printer, &found)? {
            return Ok(ExitCode::SUCCESS);
        }
        if reached == position {
            tokio::time::sleep(POLL).await;
        } else {
            // A long backlog leaves room for Ctrl-C.
            tokio::task::yield_now().await;
        }
        position = reached;
    }
}

/// Whether somebody still reads.
fn write(printer: &EventPrinter, entries: &[Entry]) -> Result<bool, Exit> {
    let mut out = io::stdout().lock();
    let text: String = entries.iter().map(|entry| printer.line(entry)).collect();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Exit::failure(error)),
    }
}

/// `smscope hash`: the hash that stands for a number in log records, one a line.
///
/// # Errors
/// What was given is no number; there is no key, since no smscope has run on the data directory.
pub fn hash(loaded: &Loaded, arguments: &HashArguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    // Refuses what is no number, with the usual words.
    let written = numbers(&arguments.numbers)?;
    subjects(config, &written)?;
    let Some(key) = DataDir::made_hash_key(&config.data_dir) else {
        return Err(Exit::Failure(format!(
            "there is no hash key in {:?}: expected the data directory of a smscope that has run (--data-dir)",
            config.data_dir
        )));
    };
    let hasher = NumberHasher::new(&key);
    let region = config.sources[0].region;
    let hashes = written.iter().map(|number| hasher.hash(&number::read(number, region).number) + "\n");
    print(&hashes.collect::<String>());
    Ok(ExitCode::SUCCESS)
}
