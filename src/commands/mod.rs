//! The command line, and a file per command: its arguments, what it does, and what it prints. Standard output is for results,
//! standard error for diagnostics.

pub mod check;
mod connect;
mod control_client;
mod csv_output;
mod erase;
mod events;
mod exit;
mod export;
mod hash;
mod health;
mod man;
mod metrics;
mod opt_outs;
mod parse;
mod progress_bar;
mod reconcile;
mod relay;
mod report;
mod reprocess;
pub mod serve;
mod show;
pub mod simulate;
mod store;
mod store_view;
mod table;
mod terminal;
mod tokens;
mod url;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, Flags, Process};

use exit::EXIT_CODES;
pub use exit::{EXIT_CONFIGURATION, EXIT_SOFTWARE, EXIT_USAGE, Exit};

/// The command.
#[derive(Clone, Debug, Default, PartialEq, Subcommand)]
pub enum Command {
    /// Accept webhooks, store them, and export logs and metrics (the default)
    #[default]
    Serve,
    /// Print the callback URLs to give to the provider, with their tokens
    Url(url::Arguments),
    /// Check the configuration and print what it means; or, with --public-url, whether the provider can call. Nothing is started or
    /// written
    Check(check::Arguments),
    /// Show, and with --apply set, the callback URLs of the provider's channels; needs an API key
    Connect(connect::Arguments),
    /// Fetch all messages that the provider accepted in a period, and store missing receipts; needs an API key
    Reconcile(reconcile::Arguments),
    /// Decode stored unrecognized requests again, and store what this version recognizes
    Reprocess(reprocess::Arguments),
    /// Print the outcomes of the messages that were accepted in each hour: receipts arrive late, so this shows more than a rate by
    /// arrival
    Report(report::Arguments),
    /// Print the journey of a message: its events in their order, the time between them, numbers masked
    Show(show::Arguments),
    /// Print the newest events, or follow them as they arrive; or find those of a message, a number or a reference. Numbers are shown as
    /// the privacy settings say
    Events(events::Arguments),
    /// Print the hash that stands for a phone number in log records (`sms.recipient.hash`), for a search in Loki or a dashboard
    Hash(hash::Arguments),
    /// Print events or messages as JSON lines or CSV, numbers and texts in full: for audits, and for requests of access
    /// to personal data
    Export(export::Arguments),
    /// Erase the stored data of people: numbers, texts, requests and references; counts and dedup keys stay
    Erase(erase::Arguments),
    /// Print and change the list of opt-outs
    #[command(subcommand)]
    OptOuts(opt_outs::OptOuts),
    /// Print the deliveries that relays have not made, and redrive dead letters
    #[command(subcommand)]
    Relay(relay::Relay),
    /// Manage the PostgreSQL database that several smscope share
    #[command(subcommand)]
    Store(store::Store),
    /// Simulate the provider against a running smscope, as a load and a test; --verify checks its metrics
    Simulate(Box<simulate::Arguments>),
    /// Print what a scrape of several replicas needs
    #[command(subcommand)]
    Metrics(metrics::Metrics),
    /// Query whether the running smscope accepts webhooks: exit code 0 if it does, else 1
    Health(health::Arguments),
    /// Print the completions of a shell, for it to read at its start
    Completions { shell: Shell },
    /// Print the manual page, for man
    Man,
}

/// Runs the command.
///
/// # Errors
/// The command line or the configuration is invalid, or the command fails.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Exit> {
    let (flags, command) = parse(args)?;
    let load = || Config::load(&flags, &Process);
    match command {
        Command::Serve => serve::run(load()?),
        Command::Url(arguments) => url::run(&load()?, &arguments),
        Command::Check(arguments) => check::run(&load()?, &arguments),
        Command::Connect(arguments) => connect::run(&load()?, &arguments),
        Command::Reconcile(arguments) => reconcile::run(&load()?, &arguments),
        Command::Reprocess(arguments) => reprocess::run(&load()?, &arguments),
        Command::Report(arguments) => report::run(&load()?, &arguments),
        Command::Events(arguments) => events::run(&load()?, &arguments),
        Command::Hash(arguments) => hash::run(&load()?, &arguments),
        Command::Show(arguments) => show::run(&load()?, &arguments),
        Command::Export(arguments) => export::run(&load()?, &arguments),
        Command::Erase(arguments) => erase::run(&load()?, &arguments),
        Command::OptOuts(command) => opt_outs::run(&load()?, &command),
        Command::Relay(command) => relay::run(&load()?, &command),
        Command::Store(command) => store::run(&load()?, &command),
        Command::Simulate(arguments) => simulate::run(&load()?, &arguments),
        Command::Health(arguments) => health::run(&load()?, &arguments),
        // These need no configuration, and where smscope is packaged there is none.
        Command::Metrics(command) => metrics::run(&command),
        Command::Completions { shell } => man::completions(shell),
        Command::Man => man::run(),
    }
}

/// Reads the command line; the first of `args` is the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Flags, Command), Exit> {
    let line = CommandLine::try_parse_from(args).map_err(Exit::CommandLine)?;
    Ok((line.flags, line.command.unwrap_or_default()))
}

/// The command line as clap knows it: for what is generated from it.
pub fn command_line() -> clap::Command {
    CommandLine::command()
}

#[derive(Parser)]
#[command(
    name = "smscope",
    version,
    about = "A sidecar that turns SMS provider webhooks into OpenTelemetry logs and metrics",
    after_help = AFTER_HELP
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

const AFTER_HELP: &str = "\
Without any configuration there is one source, smsmode, with a token that is made once and stored.
A flag wins over the environment, the environment over the file, the file over the default.

Environment:
  SMSCOPE_CONFIG              configuration file
  SMSCOPE_LISTEN              where webhooks are accepted
  SMSCOPE_ADMIN_LISTEN        where metrics and health are shown
  SMSCOPE_DATA_DIR            where events are stored
  SMSCOPE_PUBLIC_URL          where the provider reaches smscope, such as https://sms.example.com
  SMSCOPE_TOKEN               token of the source; several, with commas between them, for rotation
  SMSCOPE_TOKEN_FILE          the same from a file, one token per line
  SMSCOPE_API_KEY             key of smsmode's API, for account, reconcile, resend and connect
  SMSCOPE_API_KEY_FILE        the same from a file
  SMSCOPE_STORE_URL           PostgreSQL database that several smscope share [default: none]
  SMSCOPE_STORE_URL_FILE      the same from a file
  SMSCOPE_STORE_PASSWORD_FILE file with its password
  SMSCOPE_STORE_RETENTION     how long events are stored [default: 30d]
  SMSCOPE_STORE_HORIZON       how long a message may stay pending [default: 72h]
  SMSCOPE_STORE_SIZE_LIMIT    most that the store may take, such as 10GiB [default: none]
  RUST_LOG                    level of the diagnostics on stderr [default: info]
  OTEL_EXPORTER_OTLP_ENDPOINT where logs and metrics are sent, such as http://collector:4318
  OTEL_*                      the others, as the OpenTelemetry specification says:
                              OTEL_EXPORTER_OTLP_{ENDPOINT,HEADERS,TIMEOUT,COMPRESSION,PROTOCOL},
                              OTEL_EXPORTER_OTLP_{LOGS,METRICS}_*, OTEL_SERVICE_NAME,
                              OTEL_RESOURCE_ATTRIBUTES, OTEL_METRIC_EXPORT_INTERVAL,
                              OTEL_{LOGS,METRICS}_EXPORTER, OTEL_SDK_DISABLED

Exit codes:
  0   done, or stopped by SIGTERM or SIGINT
  1   it could not go on
  64  the command line makes no sense
  70  a background task failed; start it again
  78  the configuration cannot be used; nothing was started or written";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Flags, Command), Exit> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command_line().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        for (line, command) in [
            ("smscope", Command::Serve),
            ("smscope serve", Command::Serve),
            ("smscope --listen 127.0.0.1:1", Command::Serve),
            ("smscope url", Command::Url(url::Arguments::default())),
            ("smscope check", Command::Check(check::Arguments::default())),
        ] {
            assert_eq!(parsed(line).unwrap().1, command, "{line}");
        }
    }

    #[test]
    fn flags_may_stand_before_or_after_the_command() {
        for line in [
            "smscope --config a.toml --listen l --admin-listen m --data-dir d check",
            "smscope check --config a.toml --listen l --admin-listen m --data-dir d",
        ] {
            let (flags, _) = parsed(line).unwrap();
            assert_eq!(flags.config, Some("a.toml".into()), "{line}");
            assert_eq!(flags.listen.as_deref(), Some("l"), "{line}");
            assert_eq!(flags.admin_listen.as_deref(), Some("m"), "{line}");
            assert_eq!(flags.data_dir, Some("d".into()), "{line}");
        }
    }

    #[test]
    fn help_and_version_end_well_and_a_bad_command_line_ends_with_64() {
        for (line, code) in [
            ("smscope --help", 0),
            ("smscope check -h", 0),
            ("smscope help", 0),
            ("smscope help check", 0),
            ("smscope help opt-outs list", 0),
            ("smscope help dance", EXIT_USAGE),
            ("smscope --version", 0),
            ("smscope --lisen x", EXIT_USAGE),
            ("smscope --listen", EXIT_USAGE),
            ("smscope dance", EXIT_USAGE),
            ("smscope check again", EXIT_USAGE),
        ] {
            assert_eq!(parsed(line).unwrap_err().code(), code, "{line}");
        }
    }

    #[test]
    fn the_version_is_name_and_number() {
        let Err(Exit::CommandLine(version)) = parsed("smscope --version") else { panic!("no version") };
        assert_eq!(version.to_string(), format!("smscope {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn help_names_every_variable_and_exit_code() {
        let Err(Exit::CommandLine(help)) = parsed("smscope --help") else { panic!("no help") };
        let help = help.to_string();
        for variable in crate::config::variables() {
            assert!(help.contains(variable), "{variable}");
        }
        for (code, meaning) in EXIT_CODES {
            assert!(help.contains(&format!("{code:<3} {meaning}")), "{code}");
        }
    }
}
