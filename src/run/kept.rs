//! The commands that look into the store or take out of it, as the process runs them.

use std::fs;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::running::ask_its_owner;
use super::{asking, print, refused};
use crate::cli::{EraseArguments, Exit, ExportArguments, ShowArguments};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::export::{self, ExportError};
use crate::serve::{self, StartError};
use crate::show::{self, Shown};
use crate::store::erase::{self, EraseError, Erased, Phase, Progress, Subjects};
use crate::store::query::{ReadStore, Selection};
use crate::store::{OpenError, StoreError};

/// `smscope show`.
///
/// # Errors
/// There is no store, it cannot be read, or there is no such message in it.
pub fn show(loaded: &Loaded, arguments: &ShowArguments) -> Result<ExitCode, Exit> {
    let view = view(&loaded.config)?;
    let shown = if arguments.full { Shown::Full } else { Shown::Masked };
    let journeys = view.journeys(&arguments.id).map_err(Exit::failure)?;
    let mut texts: Vec<String> =
        journeys.iter().map(|(message, events)| show::journey(message, events, shown)).collect();
    if texts.is_empty()
        && let Some(reply) = view.reply(&arguments.id).map_err(Exit::failure)?
    {
        texts.push(show::log(&[reply], shown));
    }
    if texts.is_empty() {
        return Err(Exit::Failure("no message with this id or reference is in the store".to_owned()));
    }
    print(&texts.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// `smscope export`.
///
/// # Errors
/// There is no store, or it cannot be read; a recipient that is no number.
pub fn export(loaded: &Loaded, arguments: &ExportArguments) -> Result<ExitCode, Exit> {
    let subjects = match &arguments.recipient[..] {
        [] => None,
        recipients => Some(subjects(&loaded.config, recipients)?),
    };
    let selection =
        Selection { since: arguments.since, until: arguments.until, message: arguments.message.clone(), subjects };
    let view = view(&loaded.config)?;
    let bar = Bar::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = export::export(&view, &selection, arguments.table, arguments.format, &mut out, |share| {
        bar.show("exporting", share);
    });
    bar.end();
    match written {
        Ok(_) => Ok(ExitCode::SUCCESS),
        // Who reads no further has what they selection.
        Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Exit::failure(error)),
    }
}

/// `smscope erase`, by the smscope that is running on the data directory, or by this process where none is.
///
/// # Errors
/// What was given is no number; there is no store; not all was erased.
pub fn erase(loaded: &Loaded, arguments: &EraseArguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let recipients = numbers(&arguments.recipient)?;
    let subjects = Subjects::new(&recipients, serve::regions(config)).map_err(usage)?;
    let forms = subjects.stored_forms();
    // Where there is nothing nothing is made.
    DataDir::must_have_store(&config.data_dir).map_err(|error| refused(error.into()))?;
    let private = DataDir::private_of(&config.data_dir);
    if arguments.dry_run {
        return would_erase(config, subjects);
    }
    if !arguments.yes && !is_confirmed(&recipients)? {
        return Ok(ExitCode::SUCCESS);
    }
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| refused(error.into()))?;
    let bar = Bar::new();
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
        Err(DataDirError::InUse { .. }) => by_the_running_one(config, recipients, tell),
        Err(other) => Err(refused(other.into())),
    };
    bar.end();
    print(&said(config, erased?, &private, &forms));
    Ok(ExitCode::SUCCESS)
}

/// Asks a person on a terminal: what is erased does not come back.
fn is_confirmed(recipients: &[String]) -> Result<bool, Exit> {
    let of = recipients.len();
    let question = format!("erase what is stored of {of} number{}? [y/N] ", if of == 1 { "" } else { "s" });
    asking::confirmed(&question, "nothing is erased")
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

fn by_the_running_one(
    config: &Config,
    recipients: Vec<String>,
    mut tell: impl FnMut(Progress),
) -> Result<Erased, Exit> {
    let tell = |line| {
        if let Line::Progress(progress) = line {
            tell(progress);
        }
    };
    match ask_its_owner(config, &Request::Erase { recipients }, tell) {
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

pub(super) fn view(config: &Config) -> Result<ReadStore, Exit> {
    DataDir::must_have_store(&config.data_dir).map_err(|error| refused(error.into()))?;
    ReadStore::open(&DataDir::private_of(&config.data_dir)).map_err(|error| store_error(config, error))
}

fn store_error(config: &Config, error: OpenError) -> Exit {
    refused(StartError::Store { path: config.data_dir.clone(), error })
}

pub(super) fn subjects(config: &Config, recipients: &[String]) -> Result<Subjects, Exit> {
    Subjects::new(&numbers(recipients)?, serve::regions(config)).map_err(usage)
}

fn usage(problem: String) -> Exit {
    Exit::usage(format_args!("--recipient: {problem}"))
}

/// The numbers that were given; in the place of `-` those of standard input, one a line.
pub(super) fn numbers(recipients: &[String]) -> Result<Vec<String>, Exit> {
    let mut numbers = Vec::new();
    for recipient in recipients {
        match recipient.as_str() {
            "-" => {
                let lines = io::read_to_string(io::stdin()).map_err(Exit::failure)?;
                numbers.extend(lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
            }
            number => numbers.push(number.to_owned()),
        }
    }
    match numbers.is_empty() {
        true => Err(usage("no phone number was given".to_owned())),
        false => Ok(numbers),
    }
}

/// How far something is: a bar on standard error where that is a terminal, nothing elsewhere.
struct Bar(Option<ProgressBar>);

/// Steps of the bar.
const WHOLE: u64 = 1_000;

impl Bar {
    fn new() -> Self {
        Self(io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(WHOLE);
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}") {
                bar.set_style(style);
            }
            bar
        }))
    }

    fn show(&self, phase: &'static str, share: f64) {
        if let Bar(Some(bar)) = self {
            bar.set_message(phase);
            bar.set_position((share * WHOLE as f64) as u64);
        }
    }

    fn end(&self) {
        if let Bar(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}
