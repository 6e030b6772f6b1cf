//! `smscope erase`: what is stored of people, taken out.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::Exit;
use super::control_client::ask_running_process;
use super::parse::{numbers, usage};
use super::progress_bar::ProgressBar;
use super::store_view::{store_error, view};
use super::terminal::{confirmed, print};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
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

/// By the smscope that is running on the data directory, or by this process where none is.
///
/// # Errors
/// What was given is no number; there is no store; not all was erased.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let recipients = numbers(&arguments.recipient)?;
    let subjects = Subjects::new(&recipients, serve::regions(config)).map_err(usage)?;
    let forms = subjects.stored_forms();
    // Where there is nothing nothing is made.
    DataDir::must_have_store(&config.data_dir)?;
    let private = DataDir::private_of(&config.data_dir);
    if arguments.dry_run {
        return would_erase(config, subjects);
    }
    if !arguments.yes && !is_confirmed(&recipients)? {
        return Ok(ExitCode::SUCCESS);
    }
    let data_dir = DataDir::open(&config.data_dir)?;
    let bar = ProgressBar::new();
    let tell = |Progress { phase, done, of }: Progress| {
        let phase = match phase {
            Phase::SearchingMessages => "searching messages",
            Phase::SearchingEvents => "searching events",
            Phase::Overwriting => "overwriting what is left of rows",
        };
        bar.show(phase, done as f64 / of.max(1) as f64);
    };
    let erased = match data_dir.lock() {
        Ok(_lock) => erase::erase_offline(&private, subjects, |progress| {
            tell(progress);
            true
        })
        .map_err(|error| match error {
            EraseError::Open(error) => store_error(config, error),
            other => unfinished(other),
        }),
        Err(DataDirError::InUse { .. }) => by_the_running_process(config, recipients, tell),
        Err(other) => Err(other.into()),
    };
    bar.end();
    print(&said(config, erased?, &private, &forms));
    Ok(ExitCode::SUCCESS)
}

/// Asks a person on a terminal: what is erased does not come back.
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
        (0, 0) => nothing_found(config),
        _ => format!("would be erased: of messages: {messages}, of events: {events}; nothing has been erased\n"),
    });
    Ok(ExitCode::SUCCESS)
}

fn nothing_found(config: &Config) -> String {
    format!("nothing found: no message or event of it is in {:?}\n", config.data_dir)
}

fn by_the_running_process(
    config: &Config,
    recipients: Vec<String>,
    mut tell: impl FnMut(Progress),
) -> Result<Erased, Exit> {
    let tell = |line| {
        if let Line::Progress(progress) = line {
            tell(progress);
        }
    };
    match ask_running_process(config, &Request::Erase { recipients }, tell) {
        Ok(Line::Erased(erased)) => Ok(erased),
        Ok(Line::Failed(why)) => Err(unfinished(why)),
        Ok(_) => Err(unfinished("the answer makes no sense")),
        Err(error) => Err(unfinished(error)),
    }
}

fn unfinished(why: impl std::fmt::Display) -> Exit {
    Exit::Failure(format!("not all was erased: {why}; run it again"))
}

/// What was done, what was not, and what is out of reach.
fn said(config: &Config, erased: Erased, private: &Path, forms: &[String]) -> String {
    let Erased { messages, events, log_is_cut } = erased;
    let mut text = match (messages, events) {
        (0, 0) => nothing_found(config),
        _ => format!(
            "erased: number, text, request and reference, of messages: {messages}, of events: {events}\n\
             kept: their ids, outcomes and labels; counts hold, and a repetition brings nothing back\n"
        ),
    };
    if !log_is_cut {
        text +=
            "not yet: someone who reads the store keeps its write-ahead log from being emptied; run it again later\n";
    }
    let (files, found) = traces(private, forms);
    text += &match found {
        0 => format!("looked through: its digits are in none of the {files} files in {private:?}\n"),
        _ => format!(
            "looked through: its digits are in {found} places in {private:?}: in texts or ids of others, in what came since, or in \
             the log that was not emptied\n"
        ),
    };
    text + "out of reach: what was exported, printed or copied before, and snapshots of the file system\n"
}

/// How many files the private folder has, and how often the numbers stand in them, as the store writes them. No other connection to
/// the database may be open in this process: closing a file takes their locks.
fn traces(private: &Path, forms: &[String]) -> (usize, usize) {
    const PIECE: usize = 1 << 20;
    let longest = forms.iter().map(String::len).max().unwrap_or(0);
    let (mut files, mut found) = (0, 0);
    for entry in fs::read_dir(private).into_iter().flatten().flatten() {
        let Ok(mut file) = fs::File::open(entry.path()) else { continue };
        files += 1;
        // A number may stand across two pieces: what could be its beginning is looked at again.
        let (mut piece, mut kept) = (vec![0; PIECE], 0);
        while let Ok(read @ 1..) = file.read(&mut piece[kept..]) {
            let end = kept + read;
            for form in forms.iter().map(String::as_bytes).filter(|form| !form.is_empty()) {
                found += piece[..end].windows(form.len()).filter(|window| *window == form).count();
            }
            let rest = end.min(longest.saturating_sub(1));
            piece.copy_within(end - rest..end, 0);
            kept = rest;
        }
    }
    (files, found)
}
