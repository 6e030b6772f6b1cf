//! Parses the command line and hands over; nothing else.

use std::process::ExitCode;

use smscope::cli::{self, Command, Exit};
use smscope::config::{Config, Process};
use smscope::run;

fn main() -> ExitCode {
    match begin() {
        Ok(code) => code,
        Err(exit) => exit.report(),
    }
}

fn begin() -> Result<ExitCode, Exit> {
    let (flags, command) = cli::parse(std::env::args_os())?;
    let loaded = Config::load(&flags, &Process)?;
    match command {
        Command::Serve => run::serve(loaded),
        Command::Url => run::url(&loaded),
        Command::Check => run::check(&loaded),
        Command::Report(arguments) => run::report(&loaded, &arguments),
        Command::Simulate(asked) => run::simulate(&loaded, &asked),
    }
}
