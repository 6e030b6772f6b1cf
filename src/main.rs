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
    let load = || Config::load(&flags, &Process);
    match command {
        Command::Serve => run::serve(load()?),
        Command::Url(arguments) => run::url(&load()?, &arguments),
        Command::Check(arguments) => run::check(&load()?, &arguments),
        Command::Connect(arguments) => run::connect(&load()?, &arguments),
        Command::Reconcile(arguments) => run::reconcile(&load()?, &arguments),
        Command::Reprocess(arguments) => run::reprocess(&load()?, &arguments),
        Command::Report(arguments) => run::report(&load()?, &arguments),
        Command::Events(arguments) => run::events(&load()?, &arguments),
        Command::Hash(arguments) => run::hash(&load()?, &arguments),
        Command::Show(arguments) => run::show(&load()?, &arguments),
        Command::Export(arguments) => run::export(&load()?, &arguments),
        Command::Erase(arguments) => run::erase(&load()?, &arguments),
        Command::OptOuts(command) => run::opt_outs(&load()?, &command),
        Command::Relay(command) => run::relay(&load()?, &command),
        Command::Simulate(asked) => run::simulate(&load()?, &asked),
        Command::Health(arguments) => run::health(&load()?, &arguments),
        // A configuration has no say in these, and where smscope is packaged there is none.
        Command::Completions { shell } => run::completions(shell),
        Command::Man => run::man(),
    }
}
