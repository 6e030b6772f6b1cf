//! `smscope relay`, as the process runs it.

use std::fmt::Write;
use std::process::ExitCode;

use jiff::{Timestamp, Unit};

use super::kept::view;
use super::print;
use super::running::ask;
use crate::cli::{Exit, RelayCommand, RelayList, RelayRetry};
use crate::config::Loaded;
use crate::control::{Line, Request};
use crate::store::ids::DeliveryId;
use crate::store::relays::{DeadLetterFilter, Undelivered};

/// `smscope relay`.
///
/// # Errors
/// There is no store; or no smscope is running that could try again.
pub fn relay(loaded: &Loaded, command: &RelayCommand) -> Result<ExitCode, Exit> {
    match command {
        RelayCommand::List(RelayList { relay, dead, limit }) => {
            let view = view(&loaded.config)?;
            let found = view.undelivered(relay.as_deref(), *dead, *limit).map_err(Exit::failure)?;
            print(&table(&found));
        }
        RelayCommand::Retry(arguments) => {
            let RelayRetry { ids, relay, all: _ } = arguments;
            let which = match relay {
                Some(relay) => DeadLetterFilter::Relay(relay.clone()),
                None if ids.is_empty() => DeadLetterFilter::All,
                None => DeadLetterFilter::Ids(ids.iter().copied().map(DeliveryId).collect()),
            };
            match ask(&loaded.config, &Request::RetryRelayed { which })? {
                Line::Retried(1) => print("1 dead letter is tried again\n"),
                Line::Retried(count) => print(&format!("{count} dead letters are tried again\n")),
                _ => return Err(Exit::Failure("the answer makes no sense".to_owned())),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Undelivered]) -> String {
    if found.is_empty() {
        return "nothing waits and nothing was given up\n".to_owned();
    }
    let heading = ["id", "relay", "state", "attempts", "event", "received", "message", "last error"].map(str::to_owned);
    let mut rows = vec![heading];
    rows.extend(found.iter().map(|one| {
        [
            one.id.to_string(),
            one.relay.clone(),
            one.state.clone(),
            one.attempts.to_string(),
            one.kind.clone(),
            second(one.received_at),
            one.message_id.clone().unwrap_or_default(),
            one.error.clone().unwrap_or_default(),
        ]
    }));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            let _infallible = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}
