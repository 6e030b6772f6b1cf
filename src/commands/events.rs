//! `smscope events`: the newest events, and those that arrive.

mod printer;

use std::io::{self, ErrorKind, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::time::timeout;

use super::Exit;
use super::parse::{subjects, time};
use super::store_view::{hash_key, view};
use super::terminal::{runtime, termination};
use crate::config::Loaded;
use crate::event::Reason;
use crate::record::{Entry, Kind, Position};
use crate::store::query::ReadStore;
use crate::store::search::EventFilter;
use crate::telemetry::redaction::{NumberHasher, PrivacyPolicy};

use printer::EventPrinter;

/// How often the journal is polled for new events.
const POLL: Duration = Duration::from_millis(300);

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Follow events as they arrive, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// As a JSON object per line
    #[arg(long)]
    pub json: bool,
    /// The newest so many of those that are meant
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    pub limit: usize,
    /// Only what arrived here at this time or later: 2026-04-01, 2026-04-01T10:00Z, or 7d ago [default: all]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Only what did so before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "follow")]
    pub until: Option<Timestamp>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only of these kinds or outcomes, with commas between them: delivered, failed, enroute, scheduled, read, expired, unknown,
    /// reply, stop, unrecognized, resend
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub kind: Vec<Kind>,
    /// Only of this country: FR
    #[arg(long, value_name = "COUNTRY")]
    pub country: Option<String>,
    /// Only of this network, by its name or its code: SFR, 20810
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// Only failures of this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<String>,
    /// Only of the message or reply with this id, and replies to it
    #[arg(long, value_name = "MESSAGE_ID")]
    pub message_id: Option<String>,
    /// Only of this phone number; - reads it from standard input, so that no list of processes shows it
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    /// Only with this reference of your own (refClient)
    #[arg(long, value_name = "REFERENCE")]
    pub ref_client: Option<String>,
}

/// Reads the local store, in use or not.
///
/// # Errors
/// There is no store, or it cannot be read; a recipient that is no number.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
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
    let hasher = hash_key(&loaded.config)?.map(|key| NumberHasher::new(&key));
    let printer = EventPrinter { policy: PrivacyPolicy::from_iter(sources), hasher, json: arguments.json };
    // Events that arrive during the search are followed from here.
    let position = view.newest().map_err(Exit::failure)?;
    let found = view.newest_events(&filter, arguments.limit).map_err(Exit::failure)?;
    let position = found.last().map_or(position, |entry| entry.position.max(position));
    if !write(&printer, &found)? || !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    follow(&view, &filter, &printer, position)
}

/// Prints new events until Ctrl-C, or standard output is closed.
fn follow(
    view: &ReadStore,
    filter: &EventFilter,
    printer: &EventPrinter,
    mut position: Position,
) -> Result<ExitCode, Exit> {
    let runtime = runtime()?;
    let mut stop = pin!(runtime.block_on(async { termination() }).map_err(Exit::failure)?);
    loop {
        let (found, reached) = view.events_after(position, filter).map_err(Exit::failure)?;
        if !write(printer, &found)? {
            return Ok(ExitCode::SUCCESS);
        }
        // A long backlog leaves room for Ctrl-C.
        let pause = if reached == position { POLL } else { Duration::ZERO };
        if runtime.block_on(async { timeout(pause, &mut stop).await }).is_ok() {
            return Ok(ExitCode::SUCCESS);
        }
        position = reached;
    }
}

/// Whether standard output is still open.
fn write(printer: &EventPrinter, entries: &[Entry]) -> Result<bool, Exit> {
    let mut out = io::stdout().lock();
    let text: String = entries.iter().map(|entry| printer.line(entry)).collect();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Exit::failure(error)),
    }
}

/// `failed`, `message.failed` or `sms.message.failed`.
fn kind(text: &str) -> Result<Kind, String> {
    let text = text.trim();
    let short = |kind: &Kind| match kind {
        Kind::Reply => "reply",
        Kind::Resend => "resend",
        other => other.as_str().rsplit('.').next().unwrap_or_default(),
    };
    let found = Kind::ALL.into_iter().find(|kind| [kind.event_name(), kind.as_str(), short(kind)].contains(&text));
    found.ok_or_else(|| format!("expected one of {}", Kind::ALL.map(|kind| short(&kind)).join(", ")))
}

fn reason(text: &str) -> Result<String, String> {
    let expected = || format!("expected one of {}", Reason::ALL.map(Reason::as_str).join(", "));
    Reason::from_name(text).map(|reason| reason.as_str().to_owned()).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_in_short_or_in_full() {
        for (text, expected) in [
            ("failed", Kind::Failed),
            ("message.failed", Kind::Failed),
            ("sms.message.failed", Kind::Failed),
            ("reply", Kind::Reply),
            ("stop", Kind::Stop),
            ("unrecognized", Kind::Unrecognized),
            ("resend", Kind::Resend),
        ] {
            assert_eq!(kind(text), Ok(expected), "{text}");
        }
        assert!(kind("lost").unwrap_err().starts_with("expected one of scheduled, enroute, delivered, failed"));
        assert!(reason("lost").unwrap_err().contains("spam_filtered"));
        assert_eq!(reason("credit").as_deref(), Ok("credit"));
    }
}
