//! `smscope relay`: lists undelivered events, and redrives dead letters.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Exit;
use super::control_client::ask;
use super::store_view::view;
use super::table::{Column, Table};
use super::terminal::{print, second};
use crate::config::Loaded;
use crate::control::{Line, Request};
use crate::store::ids::DeliveryId;
use crate::store::relays::{DeadLetterFilter, Undelivered};

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Relay {
    /// Print what relays have not delivered, the oldest first: what waits, and dead letters with their last error
    List(List),
    /// Redrive dead letters, by the running smscope
    Retry(Retry),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Only of this relay
    #[arg(long, value_name = "NAME")]
    pub relay: Option<String>,
    /// Only dead letters
    #[arg(long)]
    pub dead: bool,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: usize,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub struct Retry {
    /// Those with these ids, as `relay list` prints them
    #[arg(value_name = "ID")]
    pub ids: Vec<i64>,
    /// All of this relay
    #[arg(long, value_name = "NAME")]
    pub relay: Option<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
}

/// # Errors
/// There is no store; or no smscope is running that could redrive.
pub fn run(loaded: &Loaded, command: &Relay) -> Result<ExitCode, Exit> {
    match command {
        Relay::List(List { relay, dead, limit }) => {
            let view = view(&loaded.config)?;
            let found = view.undelivered(relay.as_deref(), *dead, *limit).map_err(Exit::failure)?;
            print(&table(&found));
        }
        Relay::Retry(arguments) => {
            let Retry { ids, relay, all: _ } = arguments;
            let which = match relay {
                Some(relay) => DeadLetterFilter::Relay(relay.clone()),
                None if ids.is_empty() => DeadLetterFilter::All,
                None => DeadLetterFilter::Ids(ids.iter().copied().map(DeliveryId).collect()),
            };
            match ask(&loaded.config, &Request::RetryRelayed { which })? {
                Line::Retried(1) => print("1 dead letter redriven\n"),
                Line::Retried(count) => print(&format!("{count} dead letters redriven\n")),
                _ => return Err(Exit::Failure("unexpected response".to_owned())),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Undelivered]) -> String {
    if found.is_empty() {
        return "no delivery waits, and there is no dead letter\n".to_owned();
    }
    let mut table = Table::new(
        ["id", "relay", "state", "attempts", "event", "received", "message", "last error"].map(Column::left),
    );
    for one in found {
        table.row([
            one.id.to_string(),
            one.relay.clone(),
            one.state.clone(),
            one.attempts.to_string(),
            one.kind.clone(),
            second(one.received_at),
            one.message_id.clone().unwrap_or_default(),
            one.error.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}
