//! `smscope store`: the database of a fleet.

mod copy;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Exit;
use super::terminal::{print, runtime};
use crate::config::{Config, Loaded};
use crate::settings::Postgres;
use crate::store::Connector;
use crate::store::database::status::Status;
use crate::store::database::{self, Checked, Declared, SchemaError, Session, Severity};

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Store {
    /// Make the tables, or bring them to this version, as smscope does at its start
    Migrate(Migrate),
    /// Print who leads, the replicas, what waits, and how large the tables are
    Status(ShowStatus),
    /// Copy the store of a data directory into the database of a fleet, or back, while no smscope uses either
    Copy(copy::Copy),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Migrate {
    /// Only print the SQL; nothing is changed
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ShowStatus {
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// There is no database of a fleet, it cannot be reached, or another version of smscope has written it.
pub fn run(loaded: &Loaded, command: &Store) -> Result<ExitCode, Exit> {
    if let Store::Copy(arguments) = command {
        return copy::run(&loaded.config, arguments).map(|()| ExitCode::SUCCESS);
    }
    let postgres = database_of(&loaded.config)?;
    let connector = Connector::new(postgres);
    runtime()?.block_on(async {
        let session = connector.connect_for_long().await.map_err(|error| unusable(postgres, error))?;
        match command {
            Store::Migrate(Migrate { dry_run: true }) => print(&planned(postgres, &session).await?),
            Store::Migrate(Migrate { dry_run: false }) => print(&migrated(postgres, &session).await?),
            Store::Status(ShowStatus { json }) => {
                let (status, checked) = status(postgres, &session).await?;
                print(&if *json { show::json(&status, &checked)? } else { show::text(&status, &checked) });
            }
            Store::Copy(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn database_of(config: &Config) -> Result<&Postgres, Exit> {
    config.store.postgres.as_ref().ok_or_else(|| {
        Exit::Configuration(
            "store.url: missing; expected the URL of a PostgreSQL database, which this command is about".to_owned(),
        )
    })
}

async fn planned(postgres: &Postgres, session: &Session) -> Result<String, Exit> {
    let (found, statements) = database::plan(session).await.map_err(|error| mismatch(postgres, error))?;
    if statements.is_empty() {
        return Ok(format!("-- the tables are of version {found} already\n"));
    }
    let ended = statements.iter().map(|statement| format!("{};\n", statement.trim_end().trim_end_matches(';')));
    Ok(ended.collect())
}

async fn migrated(postgres: &Postgres, session: &Session) -> Result<String, Exit> {
    let found = database::migrate(session).await.map_err(|error| mismatch(postgres, error))?;
    Ok(match found {
        0 => format!("made the tables, version {}\n", database::VERSION),
        found if found < database::VERSION => {
            format!("brought the tables from version {found} to {}\n", database::VERSION)
        }
        found => format!("the tables are of version {found} already\n"),
    })
}

async fn status(postgres: &Postgres, session: &Session) -> Result<(Status, Checked), Exit> {
    let version = database::version(session).await.map_err(|error| mismatch(postgres, error))?;
    match version {
        Some(version) if version >= database::VERSION => {
            let status = Status::read(session, version).await.map_err(|error| unusable(postgres, error))?;
            Ok((status, checked(postgres, session).await?))
        }
        _ => Err(unusable(postgres, "its tables are missing or older; expected smscope store migrate before")),
    }
}

async fn checked(postgres: &Postgres, session: &Session) -> Result<Checked, Exit> {
    Declared::of(postgres).check(session).await.map_err(|error| unusable(postgres, error))
}

/// The lines of `smscope check` about the server, and the error in which it ends.
pub fn check(postgres: &Postgres) -> Result<(String, Option<Exit>), Exit> {
    let connector = Connector::new(postgres);
    runtime()?.block_on(async {
        let checked = async {
            let session = connector.connect().await.map_err(|error| unusable(postgres, error))?;
            checked(postgres, &session).await
        };
        let (version, findings, exit) = match checked.await {
            Ok(checked) => {
                let fatal = checked.fatal().next().map(|finding| Exit::Configuration(line(postgres, &finding.line)));
                let others = checked.findings.iter().filter(|finding| finding.severity != Severity::Fatal);
                let warnings = others.map(|finding| format!("warning: {}\n", line(postgres, &finding.line)));
                (format!("PostgreSQL {}", checked.version), warnings.collect::<String>(), fatal)
            }
            Err(exit) => ("not reachable".to_owned(), String::new(), Some(exit)),
        };
        let text = format!(
            "\nstore server\n  connection  {}\n  TLS         {}\n  version     {version}\n{findings}",
            postgres.url,
            postgres.shown_tls()
        );
        Ok((text, exit))
    })
}

/// What is wrong with the database that a setting names.
fn line(postgres: &Postgres, problem: impl std::fmt::Display) -> String {
    format!("{} = \"{}\": {problem}", postgres.setting, postgres.url)
}

fn unusable(postgres: &Postgres, problem: impl std::fmt::Display) -> Exit {
    Exit::Failure(line(postgres, problem))
}

fn mismatch(postgres: &Postgres, error: SchemaError) -> Exit {
    match error {
        SchemaError::Newer { .. } => Exit::Configuration(line(postgres, error)),
        SchemaError::Database(_) => unusable(postgres, error),
    }
}
