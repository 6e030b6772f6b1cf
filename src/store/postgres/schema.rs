//! The schema, its version, and the steps from each earlier version.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::error::{PgError, Remedy};
use super::session::{Session, params};
use crate::event::hex;

/// `MIGRATIONS[n]` leads from version n to version n + 1. Only ever appended to.
const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql")];

/// The version that this smscope writes.
pub const VERSION: i32 = MIGRATIONS.len() as i32;

/// The oldest version whose smscope still works with the tables of this one. A step that only adds (a table, an index, a column that may be
/// left out) leaves it as it is, so that replicas of both versions serve together. What no replica needs any more is removed by a later step,
/// which raises it.
const OLDEST_READER: i32 = 1;

/// Days for which partitions are made ahead.
const AHEAD: i32 = 3;
/// How many days of dedup keys are stored: the provider retries for 31 hours.
pub const DEDUP_DAYS: i32 = 4;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the database has schema {found} of smscope, newer than {VERSION}, the newest that this smscope knows")]
    Newer { found: i32 },
    #[error(transparent)]
    Database(#[from] PgError),
}

/// Each only where it is not there: a role may use what it may not make.
const FOUNDATION: [(&str, &str); 2] = [
    ("SELECT to_regnamespace('smscope') IS NOT NULL", "CREATE SCHEMA smscope"),
    (
        "SELECT to_regclass('smscope.schema_version') IS NOT NULL",
        "CREATE TABLE smscope.schema_version (version int NOT NULL, oldest_reader int NOT NULL)",
    ),
];
const FOUND: &str = "SELECT version, oldest_reader FROM smscope.schema_version";
const REPLACED: &str = "DELETE FROM smscope.schema_version";
const REPLACE: &str = "INSERT INTO smscope.schema_version VALUES ($1, $2)";

/// What a fleet has once, for as long as its database lives: the parameters are made at random.
const IDENTITY: &str = "INSERT INTO smscope.meta (key, value) VALUES ('fleet_id', $1), ('hash_key', $2), ('erasure_salt', $3), \
    ('created_at', (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text)";
const FIRST_LEASE: &str =
    "INSERT INTO smscope.lease VALUES ('leader', 0, gen_random_uuid(), 0, clock_timestamp(), clock_timestamp())";
/// Of sessions of this role in this database, also behind a pooler. A plan that was made while tables were empty would read all of
/// them from end to end until they are analyzed; a transaction of a frozen leader must not hold up the next one, nor a long statement of
/// one that has ended.
const OF_THE_ROLE: &str = "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET synchronous_commit = on', current_database()); \
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET idle_in_transaction_session_timeout = ''2s''', current_database()); \
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET lock_timeout = ''2s''', current_database()); \
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET enable_seqscan = off', current_database()); \
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET client_connection_check_interval = ''1s''', current_database()); \
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET jit = off', current_database()); END $$";

/// Makes the tables where there are none, and brings them to the present version. Replicas that start together do it one after the other.
/// Gives the version that was found, 0 for none.
///
/// # Errors
/// A newer smscope has written the tables, or the role may not make them.
pub async fn migrate(session: &Session) -> Result<i32, SchemaError> {
    let found = loop {
        match try_migrate(session).await {
            Err(SchemaError::Database(error)) if error.remedy() == Remedy::Retry => {
                session.batch("ROLLBACK").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                session.batch("ROLLBACK").await?;
                return Err(error);
            }
            Ok(found) => break found,
        }
    };
    make_partitions(session).await?;
    Ok(found)
}

async fn try_migrate(session: &Session) -> Result<i32, SchemaError> {
    session.batch("BEGIN; SET LOCAL lock_timeout = '5s'").await?;
    // A lock that ends with the transaction: what a pooler does between transactions is no matter.
    session.batch("SELECT pg_advisory_xact_lock(7672, 7673)").await?;
    for (is_there, make) in FOUNDATION {
        if !holds(session, is_there).await? {
            session.batch(make).await?;
        }
    }
    let found = found(session).await?;
    if found < VERSION {
        for step in &MIGRATIONS[found as usize..] {
            session.batch(step).await?;
        }
        session.batch(REPLACED).await?;
        session.execute(REPLACE, params![VERSION => INT4, OLDEST_READER => INT4]).await?;
    }
    if found == 0 {
        make_identity(session).await?;
        session.batch(FIRST_LEASE).await?;
        session.batch(OF_THE_ROLE).await?;
    }
    session.batch("COMMIT").await?;
    Ok(found)
}

/// The version that [`migrate`] would find, and the statements that it would run. Nothing is changed.
///
/// # Errors
/// As [`migrate`].
pub async fn plan(session: &Session) -> Result<(i32, Vec<String>), SchemaError> {
    let mut statements = Vec::new();
    for (is_there, make) in FOUNDATION {
        if !holds(session, is_there).await? {
            statements.push(make.to_owned());
        }
    }
    let found = if statements.is_empty() { found(session).await? } else { 0 };
    if found < VERSION {
        statements.extend(MIGRATIONS[found as usize..].iter().map(|step| (*step).to_owned()));
        statements.push(REPLACED.to_owned());
        statements.push(REPLACE.replace("$1", &VERSION.to_string()).replace("$2", &OLDEST_READER.to_string()));
    }
    if found == 0 {
        statements.extend([IDENTITY, FIRST_LEASE, OF_THE_ROLE].map(str::to_owned));
    }
    for partition in missing_partitions(session).await? {
        statements.extend(partition.statements());
    }
    Ok((found, statements))
}

/// The version of the tables; `None`: there are none.
///
/// # Errors
/// A newer smscope has written them, and this one cannot use them, or those of the database.
pub async fn version(session: &Session) -> Result<Option<i32>, SchemaError> {
    match found(session).await {
        Err(SchemaError::Database(error)) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        found => Ok(Some(found?).filter(|version| *version > 0)),
    }
}

async fn found(session: &Session) -> Result<i32, SchemaError> {
    let Some(row) = session.query_opt(FOUND, &[]).await? else { return Ok(0) };
    let (found, oldest_reader): (i32, i32) = (row.get(0), row.get(1));
    if oldest_reader > VERSION { Err(SchemaError::Newer { found }) } else { Ok(found) }
}

async fn holds(session: &Session, sql: &'static str) -> Result<bool, PgError> {
    let row = session.query_opt(sql, &[]).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}

async fn make_identity(session: &Session) -> Result<(), PgError> {
    let (mut hash_key, mut salt) = ([0; 32], [0; 32]);
    for secret in [&mut hash_key, &mut salt] {
        getrandom::fill(secret).map_err(|error| PgError::Unreadable { table: "meta", why: error.to_string() })?;
    }
    let fleet = uuid::Uuid::new_v4().to_string();
    let identity = params![fleet => TEXT, hex(&hash_key) => TEXT, hex(&salt) => TEXT];
    session.execute(IDENTITY, identity).await.map(drop)
}

/// A partition of a table, for a day.
struct Partition {
    table: &'static str,
    day: i32,
    bound: String,
}

impl Partition {
    /// To attach a table takes a lock that lets inserts pass, to create it as a partition would not.
    fn statements(&self) -> Vec<String> {
        let Self { table, day, bound } = self;
        let personal = self.personal().iter();
        let personal: Vec<String> = personal.map(|column| format!("ALTER COLUMN {column} SET STATISTICS 0")).collect();
        let mut statements = vec![format!(
            "CREATE TABLE smscope.{table}_{day} (LIKE smscope.{table} INCLUDING DEFAULTS INCLUDING STORAGE)"
        )];
        if *table == "received" {
            // In the page with the row, as long as that has room.
            statements.push(format!("ALTER TABLE smscope.{table}_{day} SET (toast_tuple_target = 8160)"));
        }
        if !personal.is_empty() {
            statements.push(format!("ALTER TABLE smscope.{table}_{day} {}", personal.join(", ")));
        }
        statements
            .push(format!("ALTER TABLE smscope.{table} ATTACH PARTITION smscope.{table}_{day} FOR VALUES {bound}"));
        statements
    }

    /// Columns that are in no statistics, which would repeat what is in them.
    fn personal(&self) -> &'static [&'static str] {
        match self.table {
            "received" => &["requests"],
            "journal" => &["event"],
            _ => &[],
        }
    }
}

/// Makes the partitions of the coming days that are missing.
///
/// # Errors
/// Those of the database.
pub async fn make_partitions(session: &Session) -> Result<(), PgError> {
    for partition in missing_partitions(session).await? {
        make_partition(session, &partition).await?;
    }
    Ok(())
}

/// Makes the partitions of the events of some days that are missing.
///
/// # Errors
/// Those of the database.
pub async fn make_partitions_of(session: &Session, days: &BTreeSet<i32>) -> Result<(), PgError> {
    for partition in of_events(days.iter().copied()).filter(missing_in(&existing(session).await?)) {
        make_partition(session, &partition).await?;
    }
    Ok(())
}

async fn missing_partitions(session: &Session) -> Result<Vec<Partition>, PgError> {
    let today = today(session).await?;
    let existing = existing(session).await?;
    let in_list = |day: i32| format!("IN ({day})");
    let keys = (today - DEDUP_DAYS..=today + AHEAD).map(|day| Partition { table: "dedup", day, bound: in_list(day) });
    Ok(of_events(today - 1..=today + AHEAD).chain(keys).filter(missing_in(&existing)).collect())
}

async fn existing(session: &Session) -> Result<HashSet<String>, PgError> {
    let sql = "SELECT relname::text FROM pg_class WHERE relispartition AND relnamespace = to_regnamespace('smscope')";
    Ok(session.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

fn of_events(days: impl Iterator<Item = i32>) -> impl Iterator<Item = Partition> {
    let tables = days.flat_map(|day| [("received", day), ("journal", day)]);
    tables.map(|(table, day)| Partition { table, day, bound: format!("FROM ({day}) TO ({})", day + 1) })
}

fn missing_in(existing: &HashSet<String>) -> impl Fn(&Partition) -> bool {
    |partition| !existing.contains(&format!("{}_{}", partition.table, partition.day))
}

async fn make_partition(session: &Session, partition: &Partition) -> Result<(), PgError> {
    let statements = partition.statements().join("; ");
    let statements = format!("BEGIN; SET LOCAL lock_timeout = '300ms'; {statements}; COMMIT");
    let mut attempts = 0;
    loop {
        let Err(error) = session.batch(&statements).await else { return Ok(()) };
        session.batch("ROLLBACK").await?;
        // Another replica makes the same one.
        let made = [&SqlState::DUPLICATE_TABLE, &SqlState::DUPLICATE_OBJECT, &SqlState::UNIQUE_VIOLATION];
        attempts += 1;
        match error.code() {
            Some(code) if made.contains(&code) => return Ok(()),
            Some(&SqlState::LOCK_NOT_AVAILABLE) if attempts < 5 => {}
            _ => return Err(error),
        }
    }
}

/// The day by the server's clock, in days since 1970-01-01.
///
/// # Errors
/// Those of the database.
pub async fn today(session: &Session) -> Result<i32, PgError> {
    let row = session.query_opt("SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::int", &[]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}
