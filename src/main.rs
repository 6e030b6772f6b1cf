//! Does what the command line asks for; nothing else.

use std::process::ExitCode;

use smscope::commands;

fn main() -> ExitCode {
    commands::run(std::env::args_os()).unwrap_or_else(|exit| exit.report())
}
