//! How a command sends a request to the smscope that has locked the data directory, or to the leader of the fleet.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::Exit;
use super::store_view::connector;
use crate::config::Config;
use crate::control::{self, Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::serve;
use crate::store::{Connector, RemoteTask, Store};

/// How long the running process may take to respond: it may just be starting.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The last line of the running smscope's response.
///
/// # Errors
/// None is running, or the request fails.
pub fn ask(config: &Config, request: &Request) -> Result<Line, Exit> {
    let no_progress = |_| {};
    if let Some(connector) = connector(config) {
        return match call_leader(connector, request, no_progress) {
            Ok(Line::Failed(why)) => Err(Exit::Failure(why)),
            Ok(line) => Ok(line),
            Err(error) => Err(Exit::failure(error)),
        };
    }
    match control::call(&DataDir::private_of(&config.data_dir), request, no_progress) {
        Ok(Line::Failed(why)) => Err(Exit::Failure(why)),
        Ok(line) => Ok(line),
        Err(error) if nobody_listens(&error) => {
            let why = match DataDir::is_in_use(&config.data_dir) {
                true => "the smscope that is running on it has no control socket, as it warned at its start",
                false => "no smscope is running on it",
            };
            Err(Exit::Failure(format!("data_dir = {:?}: {why}; expected one that can be asked", config.data_dir)))
        }
        Err(error) => Err(Exit::failure(error)),
    }
}

/// Sends a request to the leader of the fleet, through its database. Passes each line of progress to `on_progress`, and gives the last
/// line.
fn call_leader(
    connector: Connector,
    request: &Request,
    mut on_progress: impl FnMut(Line),
) -> Result<Line, Box<dyn Error>> {
    let mut task = RemoteTask::submit(connector, &serde_json::to_string(request)?)?;
    loop {
        for line in task.lines()? {
            match serde_json::from_str(&line)? {
                line if Line::is_progress(&line) => on_progress(line),
                last => return Ok(last),
            }
        }
    }
}

/// Does the work of a command that needs the store for itself: by `alone`, with the data directory locked, or, if a smscope has it
/// locked, by `request` to that one, or to the leader of a fleet. `on_line` gets the lines of the response before the last, `read` the last. `unfinished` begins the
/// message of an error.
///
/// # Errors
/// There is no store, the work fails, or the response of the running smscope is missing or incomplete.
pub fn exclusively<T>(
    config: &Config,
    request: &Request,
    unfinished: &str,
    mut on_line: impl FnMut(Line),
    read: impl FnOnce(Line) -> Option<T>,
    alone: impl FnOnce(&DataDir) -> Result<T, Exit>,
) -> Result<T, Exit> {
    let failed = |why: &dyn Display| Exit::Failure(format!("{unfinished}: {why}; run it again"));
    let finish = |last| match last {
        Line::Failed(why) => Err(Exit::Failure(why)),
        Line::NotConfigured(problem) => Err(Exit::Configuration(problem)),
        line => read(line).ok_or_else(|| failed(&"unexpected response")),
    };
    if let Some(connector) = connector(config) {
        return finish(call_leader(connector, request, on_line).map_err(|error| failed(&error))?);
    }
    DataDir::must_have_store(&config.data_dir)?;
    let data_dir = DataDir::open(&config.data_dir)?;
    match data_dir.lock() {
        Ok(_lock) => return alone(&data_dir),
        Err(DataDirError::InUse { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let given_up = Instant::now() + TIMEOUT;
    let answered = loop {
        match control::call(data_dir.private(), request, &mut on_line) {
            Err(error) if nobody_listens(&error) && Instant::now() <= given_up => {
                std::thread::sleep(Duration::from_millis(100));
            }
            answered => break answered,
        }
    };
    match answered {
        Ok(last) => finish(last),
        Err(error) if nobody_listens(&error) => Err(failed(&format_args!(
            "the smscope that is using data_dir = {:?} does not answer: {error}",
            config.data_dir
        ))),
        Err(error) => Err(failed(&error)),
    }
}

/// Opens the store of a locked data directory, does `work` with it, and closes it.
///
/// # Errors
/// It cannot be opened, or the work fails.
pub fn with_store<T>(
    config: &Config,
    data_dir: &DataDir,
    work: impl FnOnce(&Store) -> Result<T, Exit>,
) -> Result<T, Exit> {
    let (store, end) = serve::open_store(config, data_dir)?;
    let done = work(&store);
    drop(store);
    end.wait();
    done
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}
