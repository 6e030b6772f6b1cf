//! `smscope opt-outs`: the list of opt-outs, printed and changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Exit;
use super::control_client::ask;
use super::csv_output::csv_text;
use super::store_view::view;
use super::table::{Column, Table};
use super::terminal::{print, second};
use crate::config::{Config, Loaded};
use crate::control::{Line, Request};
use crate::event::SourceName;
use crate::number;
use crate::settings::Source;
use crate::store::ids::OptOutSeq;
use crate::store::opt_outs::{OptOut, OptOutChange};

/// Rows that are read at once.
const READ_SIZE: usize = 1_000;

/// Changes per request: far below its limit of bytes.
const BATCH_SIZE: usize = 1_000;

const HEADING: [&str; 4] = ["number", "source", "sender", "since"];

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum OptOuts {
    /// Print the numbers that have opted out
    List,
    /// Add a number, as if it had written STOP
    Add(Number),
    /// Remove a number, as if it had written START
    Remove(Number),
    /// Print the list as CSV: number, source, sender, since
    Export,
    /// Add all of a CSV, as export prints it; of each line only the number is required
    Import(File),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Phone number, with its country or as it is written in that of the source; - reads numbers from standard input, one a line
    #[arg(value_name = "NUMBER", allow_hyphen_values = true)]
    pub number: String,
    /// Whose messages it does not want [default: those of all sources]
    #[arg(long, value_name = "NAME", value_parser = source)]
    pub source: Option<SourceName>,
    /// Short code or sender that it is about [default: all]
    #[arg(long, default_value = "")]
    pub sender: String,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The CSV; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Source of lines that name none [default: all sources]
    #[arg(long, value_name = "NAME", value_parser = source)]
    pub source: Option<SourceName>,
}

fn source(text: &str) -> Result<SourceName, String> {
    SourceName::new(text).ok_or_else(|| "expected the name of a source: 1 to 32 of a-z 0-9 - _".to_owned())
}

/// # Errors
/// There is no store; no smscope is running that could change the list, or it has none; a number is invalid.
pub fn run(loaded: &Loaded, command: &OptOuts) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    match command {
        OptOuts::List => print(&table(&listed(config)?)),
        OptOuts::Export => print(&csv(&listed(config)?)),
        OptOuts::Add(given) => change(config, numbers(config, given, true)?)?,
        OptOuts::Remove(given) => change(config, numbers(config, given, false)?)?,
        OptOuts::Import(File { file, source }) => change(config, imported(config, file, source.as_ref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The opt-outs in force, the oldest first.
fn listed(config: &Config) -> Result<Vec<OptOut>, Exit> {
    let view = view(config)?;
    let (mut all, mut seq) = (Vec::new(), OptOutSeq::default());
    loop {
        let read = view.opt_outs_after(seq, READ_SIZE).map_err(Exit::failure)?;
        let Some(last) = read.last() else { break };
        seq = last.seq;
        all.extend(read.into_iter().filter(|word| word.opted_out));
    }
    Ok(all)
}

fn table(all: &[OptOut]) -> String {
    if all.is_empty() {
        return "nobody has opted out\n".to_owned();
    }
    let mut table = Table::new([
        Column::left("number").at_least(16),
        Column::left("source").at_least(16),
        Column::left("sender").at_least(12),
        Column::left("since").at_least(20),
        Column::left("by"),
    ]);
    for one in all {
        let number = one.number.as_ref().map_or_else(|| "erased".to_owned(), |number| format!("+{number}"));
        table.row([number, one.source.to_string(), one.sender.clone(), second(one.since), one.origin.to_string()]);
    }
    table.to_string()
}

/// An erased number has no row. Cells stay as they are, `+` included, so that `import` reads them.
fn csv(all: &[OptOut]) -> String {
    let row = |one: &OptOut| {
        let number = one.number.as_ref()?;
        Some([format!("+{number}"), one.source.to_string(), one.sender.clone(), one.since.to_string()])
    };
    csv_text(&HEADING, all.iter().filter_map(row))
}

fn numbers(config: &Config, given: &Number, opted_out: bool) -> Result<Vec<OptOutChange>, Exit> {
    let text = match given.number.as_str() {
        "-" => io::read_to_string(io::stdin()).map_err(Exit::failure)?,
        number => number.to_owned(),
    };
    let mut changes = Vec::new();
    for written in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let row = Row { number: written, sender: &given.sender, since: Timestamp::now() };
        changes.extend(row.changes(config, given.source.as_ref(), opted_out)?);
    }
    Ok(changes)
}

/// One number of the input.
struct Row<'a> {
    number: &'a str,
    sender: &'a str,
    since: Timestamp,
}

impl Row<'_> {
    /// For the source that is named, else for each.
    fn changes(
        &self,
        config: &Config,
        source: Option<&SourceName>,
        opted_out: bool,
    ) -> Result<Vec<OptOutChange>, Exit> {
        if !number::is_full(self.number) {
            return Err(Exit::Failure(format!(
                "{:?} is no phone number; expected one such as +33612345678",
                self.number
            )));
        }
        let is_meant = |known: &&Source| source.is_none_or(|source| known.name == *source);
        let meant: Vec<&Source> = config.sources.iter().filter(is_meant).collect();
        if let (Some(source), true) = (source, meant.is_empty()) {
            return Err(Exit::Failure(format!("{source:?} is no source; expected one that is configured")));
        }
        let change = |source: &Source| OptOutChange {
            source: source.name.clone(),
            number: number::read(self.number, source.region).number,
            sender: self.sender.to_owned(),
            opted_out,
            since: self.since,
        };
        Ok(meant.into_iter().map(change).collect())
    }
}

fn imported(config: &Config, file: &Path, default: Option<&SourceName>) -> Result<Vec<OptOutChange>, Exit> {
    let text = match file.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(file),
    };
    let text = text.map_err(|error| Exit::Failure(format!("{}: {error}; expected a CSV", file.display())))?;
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut changes = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| Exit::Failure(format!("{}: {error}; expected a CSV", file.display())))?;
        if row.iter().eq(HEADING) || row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let line = row.position().map_or(0, csv::Position::line);
        let wrong = |what: &str| Exit::Failure(format!("{}: line {line}: {what}", file.display()));
        let cell = |at: usize| row.get(at).map(str::trim).filter(|cell| !cell.is_empty());
        let number = cell(0).ok_or_else(|| wrong("no number; expected number,source,sender,since"))?;
        let source = match cell(1) {
            Some(name) => Some(SourceName::new(name).ok_or_else(|| wrong("expected the name of a source"))?),
            None => default.cloned(),
        };
        let since = match cell(3) {
            Some(time) => time.parse().map_err(|_| wrong("expected a time such as 2026-04-01T10:00:00Z"))?,
            None => Timestamp::now(),
        };
        let row = Row { number, sender: cell(2).unwrap_or_default(), since };
        changes.extend(row.changes(config, source.as_ref(), true).map_err(|exit| match exit {
            Exit::Failure(why) => wrong(&why),
            other => other,
        })?);
    }
    Ok(changes)
}

fn change(config: &Config, changes: Vec<OptOutChange>) -> Result<(), Exit> {
    let given = changes.len();
    let mut changed = 0;
    for changes in changes.chunks(BATCH_SIZE) {
        match ask(config, &Request::OptOut { changes: changes.to_vec() })? {
            Line::OptedOut(count) => changed += count,
            _ => return Err(Exit::Failure("unexpected response".to_owned())),
        }
    }
    print(&format!("{changed} changed, {} were so already\n", given as u64 - changed));
    Ok(())
}
