//! `smscope url`: the full callback URLs, one per line.

use std::process::ExitCode;

use clap::Args;

use super::terminal::print;
use super::{Exit, tokens};
use crate::config::Loaded;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Make the data directory and the tokens that are not there yet, before the first start
    #[arg(long)]
    pub create: bool,
}

/// # Errors
/// A generated token cannot be read or written, or there is none and `create` is not set.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let tokens = tokens::all(config, arguments.create)?;
    let mut text = String::new();
    for (source, tokens) in config.sources.iter().zip(&tokens) {
        for token in tokens {
            text.push_str(&config.callback_url(&source.name, token.reveal()));
            text.push('\n');
        }
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}
