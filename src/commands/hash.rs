//! `smscope hash`: the hashes of numbers in log records, one per line.

use std::process::ExitCode;

use clap::Args;

use super::Exit;
use super::parse::{numbers, subjects};
use super::store_view::hash_key;
use super::terminal::print;
use crate::config::Loaded;
use crate::number;
use crate::telemetry::redaction::NumberHasher;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Phone number, with its country or as it is written in that of the first source; - reads numbers from standard input, one a line,
    /// so that no list of processes shows them
    #[arg(value_name = "NUMBER", required = true, allow_hyphen_values = true)]
    pub numbers: Vec<String>,
}

/// # Errors
/// A number is invalid; there is no key, since no smscope has run on the data directory.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    // Rejects what is no number, in the usual words.
    let written = numbers(&arguments.numbers)?;
    subjects(config, &written)?;
    let Some(key) = hash_key(config)? else {
        return Err(Exit::Failure(format!(
            "there is no hash key in {:?}: expected the data directory of a smscope that has run (--data-dir)",
            config.data_dir
        )));
    };
    let hasher = NumberHasher::new(&key);
    let region = config.sources[0].region;
    let hashes = written.iter().map(|number| hasher.hash(&number::read(number, region).number) + "\n");
    print(&hashes.collect::<String>());
    Ok(ExitCode::SUCCESS)
}
