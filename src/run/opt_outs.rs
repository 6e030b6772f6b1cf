//! `smscope opt-outs`, as the process runs it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::kept::view;
use super::print;
use super::running::ask;
use crate::cli::{Exit, OptOutFile, OptOutNumber, OptOutsCommand};
use crate::config::{Config, Loaded, Source};
use crate::control::{Line, Request};
use crate::event::SourceName;
use crate::number;
use crate::store::opt_outs::{OptOut, OptOutChange};

/// Rows that are read at once.
const READ: usize = 1_000;

/// Changes of one request: far below what it may be long.
const ASKED: usize = 1_000;

const HEADING: &str = "number,source,sender,since";

/// `smscope opt-outs`.
///
/// # Errors
/// There is no store; no smscope is running that could change the list, or it keeps none; something given is no number.
pub fn opt_outs(loaded: &Loaded, command: &OptOutsCommand) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    match command {
        OptOutsCommand::List => print(&table(&listed(config)?)),
        OptOutsCommand::Export => print(&csv(&listed(config)?)),
        OptOutsCommand::Add(given) => change(config, numbers(config, given, true)?)?,
        OptOutsCommand::Remove(given) => change(config, numbers(config, given, false)?)?,
        OptOutsCommand::Import(OptOutFile { file, source }) => {
            change(config, imported(config, file, source.as_ref())?)?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who has opted out, the longest first.
fn listed(config: &Config) -> Result<Vec<OptOut>, Exit> {
    let view = view(config)?;
    let (mut all, mut place) = (Vec::new(), 0);
    loop {
        let read = view.opt_outs_after(place, READ).map_err(Exit::failure)?;
        let Some(last) = read.last() else { break };
        place = last.seq;
        all.extend(read.into_iter().filter(|word| word.opted_out));
    }
    Ok(all)
}

fn table(all: &[OptOut]) -> String {
    if all.is_empty() {
        return "nobody has opted out\n".to_owned();
    }
    let mut text = format!("{:<18}{:<18}{:<14}{:<22}by\n", "number", "source", "sender", "since");
    for one in all {
        let number = one.number.as_ref().map_or_else(|| "erased".to_owned(), |number| format!("+{number}"));
        let since = second(one.since);
        text += &format!("{number:<18}{:<18}{:<14}{since:<22}{}\n", one.source, one.sender, one.origin);
    }
    text
}

/// What is erased has no number to be given.
fn csv(all: &[OptOut]) -> String {
    let mut text = format!("{HEADING}\n");
    for one in all {
        if let Some(number) = &one.number {
            text += &format!("+{number},{},{},{}\n", one.source, quoted(&one.sender), one.since);
        }
    }
    text
}

fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

fn second(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

fn numbers(config: &Config, given: &OptOutNumber, opted_out: bool) -> Result<Vec<OptOutChange>, Exit> {
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

/// One line of what is given.
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
    let mut changes = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && *line != HEADING) {
        let wrong = |what: &str| Exit::Failure(format!("{}: line {}: {what}", file.display(), at + 1));
        let fields = fields(line);
        let field = |at: usize| fields.get(at).map(|field| field.trim()).filter(|field| !field.is_empty());
        let number = field(0).ok_or_else(|| wrong("no number; expected number,source,sender,since"))?;
        let source = match field(1) {
            Some(name) => Some(SourceName::new(name).ok_or_else(|| wrong("expected the name of a source"))?),
            None => default.cloned(),
        };
        let since = match field(3) {
            Some(time) => time.parse().map_err(|_| wrong("expected a time such as 2026-04-01T10:00:00Z"))?,
            None => Timestamp::now(),
        };
        let row = Row { number, sender: field(2).unwrap_or_default(), since };
        changes.extend(row.changes(config, source.as_ref(), true).map_err(|exit| match exit {
            Exit::Failure(why) => wrong(&why),
            other => other,
        })?);
    }
    Ok(changes)
}

/// The fields of a line of CSV (RFC 4180); none of ours has a line break.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut characters) = (false, line.chars().peekable());
    while let Some(c) = characters.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => fields[last].push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

fn change(config: &Config, changes: Vec<OptOutChange>) -> Result<(), Exit> {
    let given = changes.len();
    let mut changed = 0;
    for changes in changes.chunks(ASKED) {
        match ask(config, &Request::OptOut { changes: changes.to_vec() })? {
            Line::OptedOut(count) => changed += count,
            _ => return Err(Exit::Failure("the answer makes no sense".to_owned())),
        }
    }
    print(&format!("{changed} changed, {} were so already\n", given as u64 - changed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_are_written() {
        for field in ["", "36111", "ACME, Inc.", "say \"hi\"", "\""] {
            assert_eq!(fields(&format!("+336,{},x", quoted(field))), ["+336", field, "x"]);
        }
    }
}
