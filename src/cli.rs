//! The command line: what is asked for, and how the process ends when that cannot be had.

mod asking;
mod describe;
mod events;
mod generated;
mod kept;
mod opt_outs;
mod relay;
mod simulate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use jiff::tz::TimeZone;

use crate::config::{self, ConfigError, Flags};
use crate::report::{Dimension, Format, Period};

pub use asking::{CheckArguments, ConnectArguments, ReconcileArguments, ReprocessArguments};
pub use describe::{Line, describe, lines};
pub use events::{EventsArguments, HashArguments};
pub use generated::{completions, man_page};
pub use kept::{EraseArguments, ExportArguments, ShowArguments};
pub use opt_outs::{OptOutFile, OptOutNumber, OptOutsCommand};
pub use relay::{RelayCommand, RelayList, RelayRetry};
pub use simulate::Simulate;

/// Exit code for a command line that makes no sense (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Exit code for an end that nobody asked for (`EX_SOFTWARE` of sysexits.h).
pub const EXIT_SOFTWARE: u8 = 70;

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIGURATION: u8 = 78;

/// What each exit code means.
const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done, or stopped by SIGTERM or SIGINT"),
    (1, "it could not go on"),
    (EXIT_USAGE, "the command line makes no sense"),
    (EXIT_SOFTWARE, "a background task failed; start it again"),
    (EXIT_CONFIGURATION, "the configuration cannot be used; nothing was started or written"),
];

/// What smscope is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Subcommand)]
pub enum Command {
    /// Take webhooks, keep them, and tell of them in logs and metrics (the default)
    #[default]
    Serve,
    /// Print the callback URLs to give to the provider, with their tokens
    Url(UrlArguments),
    /// Check the configuration and print what it means; or, with --public-url, whether the provider can call. Nothing is started or
    /// written
    Check(CheckArguments),
    /// Show, and with --apply set, the callback URLs of the provider's channels; needs an API key
    Connect(ConnectArguments),
    /// Ask the provider for all that it accepted in a period, and keep what did not come; needs an API key
    Reconcile(ReconcileArguments),
    /// Read stored requests again that were not understood when they came, and store what this version understands
    Reprocess(ReprocessArguments),
    /// Print what became of the messages that were accepted in each hour: receipts arrive late, so this tells more than a rate by
    /// arrival
    Report(ReportArguments),
    /// Print the journey of a message: its events in their order, the time between them, numbers masked
    Show(ShowArguments),
    /// Print the newest events, or follow them as they arrive; or find those of a message, a number or a reference. Numbers are shown as
    /// the privacy settings say
    Events(EventsArguments),
    /// Print the hash that stands for a phone number in log records (`sms.recipient.hash`), for a search in Loki or a dashboard
    Hash(HashArguments),
    /// Print events or messages as JSON lines or CSV, numbers and texts in full: for audits, and for those who ask what is kept of
    /// them
    Export(ExportArguments),
    /// Erase what is kept of people: numbers, texts, requests and references; counts and duplicate keys stay
    Erase(EraseArguments),
    /// Look at the list of who opted out, and change it
    #[command(subcommand)]
    OptOuts(OptOutsCommand),
    /// Look at what relays have not delivered, and have it tried again
    #[command(subcommand)]
    Relay(RelayCommand),
    /// Play the provider against a running smscope: a load and a test, with --verify a proof
    Simulate(Box<Simulate>),
    /// Ask the smscope that is running whether it accepts webhooks: exit code 0 if it does, else 1
    Health(HealthArguments),
    /// Print the completions of a shell, for it to read at its start
    Completions { shell: Shell },
    /// Print the manual page, for man
    Man,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReportArguments {
    /// How far to reach back
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub since: Duration,
    /// What to tell rows apart by; several with commas between them [default: hour, unless --per says more]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub by: Vec<Dimension>,
    /// A row for each such period as well
    #[arg(long, value_enum)]
    pub per: Option<Period>,
    /// Where hours and days begin, such as Europe/Paris
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub timezone: TimeZone,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlArguments {
    /// Make the data directory and the tokens that are not there yet, before the first start
    #[arg(long)]
    pub create: bool,
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthArguments {
    /// Ask instead whether it is alive, whatever it can do at the moment
    #[arg(long)]
    pub live: bool,
}

impl ReportArguments {
    /// Periods first.
    pub fn dimensions(&self) -> Vec<Dimension> {
        let per = self.per.map(|period| match period {
            Period::Hour => Dimension::Hour,
            Period::Day => Dimension::Day,
            Period::Week => Dimension::Week,
            Period::Month => Dimension::Month,
        });
        let mut all: Vec<Dimension> = per.into_iter().chain(self.by.iter().copied()).collect();
        if all.is_empty() {
            all.push(Dimension::Hour);
        }
        all
    }
}

fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "expected the name of a time zone such as Europe/Paris or UTC".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "expected a duration such as 90m, 24h or 7d".to_owned())
}

/// Why the process ends early.
#[derive(Debug)]
pub enum Exit {
    /// Help and version as well as usage errors: clap words them all.
    CommandLine(clap::Error),
    /// What was configured cannot be used: a line for each setting, naming it.
    Configuration(String),
    /// The machine does not give what is needed.
    Failure(String),
    /// A part of smscope has failed: it has ended so that it can be restarted.
    Software(String),
}

impl Exit {
    /// What was asked for makes no sense.
    pub fn usage(problem: impl std::fmt::Display) -> Self {
        Exit::CommandLine(clap::Error::raw(ErrorKind::ValueValidation, format!("{problem}\n")))
    }

    /// What was configured cannot be used.
    pub fn configuration(error: impl std::error::Error) -> Self {
        Exit::Configuration(error.to_string())
    }

    /// The machine does not give what is needed.
    pub fn failure(error: impl std::error::Error) -> Self {
        Exit::Failure(error.to_string())
    }

    /// 0 for help and version, 1 for a failure, else one of the constants above.
    pub fn code(&self) -> u8 {
        match self {
            Exit::CommandLine(error) if error.use_stderr() => EXIT_USAGE,
            Exit::CommandLine(_) => 0,
            Exit::Configuration(_) => EXIT_CONFIGURATION,
            Exit::Failure(_) => 1,
            Exit::Software(_) => EXIT_SOFTWARE,
        }
    }

    /// Tells the operator: help and version on stdout, an error on stderr.
    pub fn report(&self) -> ExitCode {
        match self {
            // A closed stdout or stderr leaves nobody to tell.
            Exit::CommandLine(error) => drop(error.print()),
            Exit::Configuration(error) | Exit::Failure(error) | Exit::Software(error) => {
                error.lines().for_each(|line| eprintln!("smscope: {line}"));
            }
        }
        self.code().into()
    }
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        Exit::configuration(error)
    }
}

/// Reads the command line; the first of `args` is the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Flags, Command), Exit> {
    let line = CommandLine::try_parse_from(args).map_err(Exit::CommandLine)?;
    let GlobalFlags { config, listen, admin_listen, data_dir } = line.flags;
    Ok((Flags { config, listen, admin_listen, data_dir }, line.command.unwrap_or_default()))
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
    flags: GlobalFlags,
}

#[derive(Args)]
struct GlobalFlags {
    /// Configuration file, in TOML [default: none]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where webhooks are taken [default: 127.0.0.1:7672]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where metrics and health are shown [default: 127.0.0.1:7673]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Where events are kept [default: ./smscope-data]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Without any configuration there is one source, smsmode, with a token that is made once and kept.
A flag wins over the environment, the environment over the file, the file over the default.

Environment:
  SMSCOPE_CONFIG              configuration file
  SMSCOPE_LISTEN              where webhooks are taken
  SMSCOPE_ADMIN_LISTEN        where metrics and health are shown
  SMSCOPE_DATA_DIR            where events are kept
  SMSCOPE_PUBLIC_URL          where the provider reaches smscope, such as https://sms.example.com
  SMSCOPE_TOKEN               token of the source; several, with commas between them, for rotation
  SMSCOPE_TOKEN_FILE          the same from a file, one token a line
  SMSCOPE_API_KEY             key of smsmode's API, for what asks smsmode something
  SMSCOPE_API_KEY_FILE        the same from a file
  SMSCOPE_STORE_RETENTION     how long events are kept [default: 30d]
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
    fn serve_is_what_is_done_when_nothing_is_asked_for() {
        for (line, command) in [
            ("smscope", Command::Serve),
            ("smscope serve", Command::Serve),
            ("smscope --listen 127.0.0.1:1", Command::Serve),
            ("smscope url", Command::Url(UrlArguments::default())),
            ("smscope check", Command::Check(CheckArguments::default())),
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
        for variable in crate::config::VARIABLES {
            assert!(help.contains(variable), "{variable}");
        }
        for (code, meaning) in EXIT_CODES {
            assert!(help.contains(&format!("{code:<3} {meaning}")), "{code}");
        }
    }
}
