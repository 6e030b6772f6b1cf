//! `smscope erase`: erases the stored data of people.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::Exit;
use super::control_client::exclusively;
use super::parse::{numbers, usage};
use super::progress_bar::ProgressBar;
use super::store_view::{connector, store_error, view};
use super::terminal::{confirmed, print};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::DataDir;
use crate::serve;
use crate::store::StoreError;
use crate::store::erase::{self, EraseError, Erased, Phase, Progress, Subjects};
use crate::store::query::Selection;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Phone number, with its country or as it is written in that of the source; several at once take hardly longer. - reads numbers
    /// from standard input, one a line, so that no list of processes shows them
    #[arg(long, value_name = "NUMBER", required = true, allow_hyphen_values = true)]
    pub recipient: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Say what would be erased, and erase nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// By the smscope that is running on the data directory, or by this process if none is; in a fleet by the leader.
///
/// # Errors
/// A number is invalid; there is no store; the erasure is incomplete.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let recipients = numbers(&arguments.recipient)?;
    let subjects = Subjects::new(&recipients, serve::regions(config)).map_err(usage)?;
    let forms = subjects.stored_forms();
    let is_fleet = connector(config).is_some();
    if !is_fleet {
        // Without a store, no directory is created.
        DataDir::must_have_store(&config.data_dir)?;
    }
    let private = DataDir::private_of(&config.data_dir);
    if arguments.dry_run {
        return would_erase(config, subjects);
    }
    if !arguments.yes && !is_confirmed(&recipients)? {
        return Ok(ExitCode::SUCCESS);
    }
    let bar = ProgressBar::new();
    let show = |Progress { phase, done, of }: Progress| {
        let phase = match phase {
            Phase::SearchingMessages => "searching messages",
            Phase::SearchingEvents => "searching events",
            Phase::Overwriting => "overwriting what is left of rows",
        };
        bar.show(phase, done as f64 / of.max(1) as f64);
    };
    let alone = |data_dir: &DataDir| {
        let on_progress = |progress| {
            show(progress);
            true
        };
        erase::erase_offline(data_dir.private(), &subjects, on_progress).map_err(|error| match error {
            EraseError::Open(error) => store_error(config, error),
            other => Exit::Failure(format!("{UNFINISHED}: {other}; run it again")),
        })
    };
    let on_line = |line| {
        if let Line::Progress(progress) = line {
            show(progress);
        }
    };
    let read = |line| if let Line::Erased(erased) = line { Some(erased) } else { None };
    let erased = exclusively(config, &Request::Erase { recipients }, UNFINISHED, on_line, read, alone);
    bar.end();
    print(&match is_fleet {
        true => summary_of_fleet(erased?),
        false => summary(config, erased?, &private, &forms),
    });
    Ok(ExitCode::SUCCESS)
}

const UNFINISHED: &str = "not all was erased";

/// Asks for confirmation on a terminal: an erasure cannot be undone.
fn is_confirmed(recipients: &[String]) -> Result<bool, Exit> {
    let of = recipients.len();
    let question = format!("erase what is stored of {of} number{}? [y/N] ", if of == 1 { "" } else { "s" });
    confirmed(&question, "nothing is erased")
}

fn would_erase(config: &Config, subjects: Subjects) -> Result<ExitCode, Exit> {
    let view = view(config)?;
    let selection = Selection { subjects: Some(subjects), ..Selection::default() };
    let (mut messages, mut events) = (0, 0);
    let counted = |count: &mut u64, is_one: bool| -> Result<(), StoreError> {
        *count += u64::from(is_one);
        Ok(())
    };
    view.messages(&selection, |message, _| counted(&mut messages, message.is_some())).map_err(Exit::failure)?;
    view.events(&selection, |event, _| counted(&mut events, event.is_some())).map_err(Exit::failure)?;
    print(&match (messages, events) {
        (0, 0) => nothing_found(&place(config)),
        _ => format!("would be erased: of messages: {messages}, of events: {events}; nothing has been erased\n"),
    });
    Ok(ExitCode::SUCCESS)
}

fn place(config: &Config) -> String {
    match connector(config) {
        Some(_) => "the store".to_owned(),
        None => format!("{:?}", config.data_dir),
    }
}

fn nothing_found(place: &str) -> String {
    format!("nothing found: no message or event of it is in {place}\n")
}

/// What was erased, and what was not.
fn result(messages: u64, events: u64, place: &str) -> String {
    match (messages, events) {
        (0, 0) => nothing_found(place),
        _ => format!(
            "erased: number, text, request and reference, of messages: {messages}, of events: {events}\n\
             not erased: ids, outcomes and labels; counts stay, and a retry restores nothing\n"
        ),
    }
}

fn summary_of_fleet(erased: Erased) -> String {
    let Erased { messages, events, to_rewrite, .. } = erased;
    let mut text = result(messages, events, "the store");
    if to_rewrite > 0 {
        text += &format!(
            "left between the rows of {to_rewrite} tables until the leader rewrites them: today's after midnight UTC, others once no \
             old transaction can see it\n"
        );
    }
    text + "out of reach: what was exported, printed or copied before, and the write-ahead logs and backups of the database\n"
}

/// The same, and what is out of reach.
fn summary(config: &Config, erased: Erased, private: &Path, forms: &[String]) -> String {
    let Erased { messages, events, log_is_cut, .. } = erased;
    let mut text = result(messages, events, &place(config));
    if !log_is_cut {
        text += "incomplete: a reader of the store prevents the emptying of its write-ahead log; run it again later\n";
    }
    let (files, found) = traces(private, forms);
    text += &match found {
        0 => format!("searched: its digits are in none of the {files} files in {private:?}\n"),
        _ => format!(
            "searched: its digits are in {found} places in {private:?}: in texts or ids of others, in what came since, or in \
             the log that was not emptied\n"
        ),
    };
    text + "out of reach: what was exported, printed or copied before, and snapshots of the file system\n"
}

/// The number of files in the private folder, and of occurrences of the numbers in them, as the store writes them. No other connection
/// to the database may be open in this process: closing a file releases its locks.
fn traces(private: &Path, forms: &[String]) -> (usize, usize) {
    const PIECE: usize = 1 << 20;
    let longest = forms.iter().map(String::len).max().unwrap_or(0);
    let (mut files, mut found) = (0, 0);
    for entry in fs::read_dir(private).into_iter().flatten().flatten() {
        let Ok(mut file) = fs::File::open(entry.path()) else { continue };
        files += 1;
        // A number may span two pieces: what could be its beginning is searched again.
        let (mut piece, mut carried) = (vec![0; PIECE], 0);
        while let Ok(read @ 1..) = file.read(&mut piece[carried..]) {
            let end = carried + read;
            for form in forms.iter().map(String::as_bytes).filter(|form| !form.is_empty()) {
                found += piece[..end].windows(form.len()).filter(|window| *window == form).count();
            }
            let rest = end.min(longest.saturating_sub(1));
            piece.copy_within(end - rest..end, 0);
            carried = rest;
        }
    }
    (files, found)
}
