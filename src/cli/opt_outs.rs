//! The command lines of the list of opt-outs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::event::SourceName;

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum OptOutsCommand {
    /// Print who has opted out, with their numbers
    List,
    /// Add a number, as if it had written STOP
    Add(OptOutNumber),
    /// Take a number off, as if it had written START
    Remove(OptOutNumber),
    /// Print the list as CSV: number, source, sender, since
    Export,
    /// Add all of a CSV, as export prints it; of each line only the number is required
    Import(OptOutFile),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct OptOutNumber {
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
pub struct OptOutFile {
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
