//! How the process ends.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::config::ConfigError;
use crate::data_dir::DataDirError;
use crate::serve::StartError;
use crate::store::OpenError;

/// Exit code for an invalid command line (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Exit code for the failure of a background task (`EX_SOFTWARE` of sysexits.h).
pub const EXIT_SOFTWARE: u8 = 70;

/// Exit code for an invalid configuration (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIGURATION: u8 = 78;

/// What each exit code means.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done, or stopped by SIGTERM or SIGINT"),
    (1, "it could not go on"),
    (EXIT_USAGE, "the command line makes no sense"),
    (EXIT_SOFTWARE, "a background task failed; start it again"),
    (EXIT_CONFIGURATION, "the configuration cannot be used; nothing was started or written"),
];

/// Why the process ends early.
#[derive(Debug)]
pub enum Exit {
    /// Help and version as well as usage errors: clap words them all.
    CommandLine(clap::Error),
    /// The configuration is invalid: a line per setting, naming it.
    Configuration(String),
    /// Something that the command needs fails.
    Failure(String),
    /// A background task has failed: smscope has ended in order to be restarted.
    Software(String),
}

impl Exit {
    /// The command line is invalid.
    pub fn usage(problem: impl std::fmt::Display) -> Self {
        Exit::CommandLine(clap::Error::raw(ErrorKind::ValueValidation, format!("{problem}\n")))
    }

    /// The configuration is invalid.
    pub fn configuration(error: impl std::fmt::Display) -> Self {
        Exit::Configuration(error.to_string())
    }

    /// Something that the command needs fails.
    pub fn failure(error: impl std::fmt::Display) -> Self {
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

    /// Prints help and version to stdout, an error to stderr.
    pub fn report(&self) -> ExitCode {
        match self {
            // A closed stdout or stderr cannot be reported.
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

impl From<StartError> for Exit {
    fn from(error: StartError) -> Self {
        match error {
            // It may be restarted, or fail over.
            StartError::Database { error: OpenError::Database(_), .. }
            | StartError::Metrics(_)
            | StartError::Threads(_) => Exit::failure(error),
            _ => Exit::configuration(error),
        }
    }
}

impl From<DataDirError> for Exit {
    fn from(error: DataDirError) -> Self {
        StartError::from(error).into()
    }
}
