//! The schema, its version, and the steps from each earlier version.

use std::time::Duration;

use super::error::{PgError, Remedy};
use super::session::{Session, params};
use crate::event::hex;

/// `MIGRATIONS[n]` leads from version n to version n + 1. Only ever appended to.
const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql")];

/// The version that this smscope writes.
pub const VERSION: i32 = MIGRATIONS.len() as i32;

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

/// Makes the tables where there are none, and brings them to the present version. Replicas that start together do it one after the other.
///
/// # Errors
/// A newer smscope has written the tables, or the role may not make them.
pub async fn migrate(session: &Session) -> Result<(), SchemaError> {
    loop {
        match try_migrate(session).await {
            Err(SchemaError::Database(error)) if error.remedy() == Remedy::Retry => {
                session.batch("ROLLBACK").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                session.batch("ROLLBACK").await?;
                return Err(error);
            }
            Ok(()) => break,
        }
    }
    Ok(make_partitions(session).await?)
}

/// The version of the tables; `None`: there are none.
///
/// # Errors
/// Those of the database.
pub async fn version(session: &Session) -> Result<Option<i32>, PgError> {
    use tokio_postgres::error::SqlState;
    let found = session.query_opt("SELECT version FROM smscope.schema_version", &[]).await;
    match found {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        found => Ok(found?.map(|row| row.get(0))),
    }
}

async fn try_migrate(session: &Session) -> Result<(), SchemaError> {
    session.batch("BEGIN; SET LOCAL lock_timeout = '5s'").await?;
    // A lock that ends with the transaction: what a pooler does between transactions is no matter.
    session.batch("SELECT pg_advisory_xact_lock(7672, 7673)").await?;
    session.batch("CREATE SCHEMA IF NOT EXISTS smscope").await?;
    session.batch("CREATE TABLE IF NOT EXISTS smscope.schema_version (version int NOT NULL)").await?;
    let found = session.query_opt("SELECT version FROM smscope.schema_version", &[]).await?;
    let found: i32 = found.map_or(0, |row| row.get(0));
    if found > VERSION {
        return Err(SchemaError::Newer { found });
    }
    for step in &MIGRATIONS[found as usize..] {
        session.batch(step).await?;
    }
    session.batch("DELETE FROM smscope.schema_version").await?;
    session.execute("INSERT INTO smscope.schema_version VALUES ($1)", params![VERSION => INT4]).await?;
    if found == 0 {
        make_identity(session).await?;
    }
    Ok(session.batch("COMMIT").await?)
}

/// What a fleet has once, for as long as its database lives.
async fn make_identity(session: &Session) -> Result<(), PgError> {
    let (mut hash_key, mut salt) = ([0; 32], [0; 32]);
    for secret in [&mut hash_key, &mut salt] {
        getrandom::fill(secret).map_err(|error| PgError::Unreadable { table: "meta", why: error.to_string() })?;
    }
    let fleet = uuid::Uuid::new_v4().to_string();
    session
        .execute(
            "INSERT INTO smscope.meta (key, value) VALUES ('fleet_id', $1), ('hash_key', $2), ('erasure_salt', $3), \
             ('created_at', (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text)",
            params![fleet => TEXT, hex(&hash_key) => TEXT, hex(&salt) => TEXT],
        )
        .await?;
    session
        .batch(
            "INSERT INTO smscope.lease VALUES ('leader', 0, gen_random_uuid(), 0, clock_timestamp(), clock_timestamp())",
        )
        .await?;
    // Of sessions of this role in this database, also behind a pooler. A plan that was made while tables were empty would read all of
    // them from end to end until they are analyzed; a transaction of a frozen leader must not hold up the next one, nor a long statement of one that has ended.
    session
        .batch(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET synchronous_commit = on', current_database()); \
             EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET idle_in_transaction_session_timeout = ''2s''', current_database()); \
             EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET lock_timeout = ''2s''', current_database()); \
             EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET enable_seqscan = off', current_database()); \
             EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET client_connection_check_interval = ''1s''', current_database()); \
             EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET jit = off', current_database()); END $$",
        )
        .await
}

/// Makes the partitions of the coming days that are missing.
///
/// # Errors
/// Those of the database.
pub async fn make_partitions(session: &Session) -> Result<(), PgError> {
    let today = today(session).await?;
    for day in today - 1..=today + AHEAD {
        make_day(session, "received", day, &["decoded", "query", "body"]).await?;
        make_day(session, "journal", day, &["event"]).await?;
    }
    for day in today - DEDUP_DAYS..=today + AHEAD {
        make(
            session,
            &format!("CREATE TABLE IF NOT EXISTS smscope.dedup_{day} PARTITION OF smscope.dedup FOR VALUES IN ({day})"),
        )
        .await?;
    }
    Ok(())
}

/// Makes the partition of a day. What is `personal` is in no statistics, which would repeat it.
///
/// # Errors
/// Those of the database.
pub async fn make_day(session: &Session, table: &str, day: i32, personal: &[&str]) -> Result<(), PgError> {
    let columns: Vec<String> =
        personal.iter().map(|column| format!("ALTER COLUMN {column} SET STATISTICS 0")).collect();
    let (name, next, columns) = (format!("smscope.{table}_{day}"), day + 1, columns.join(", "));
    let statement = format!(
        "DO $$ BEGIN IF to_regclass('{name}') IS NULL THEN \
         CREATE TABLE {name} PARTITION OF smscope.{table} FOR VALUES FROM ({day}) TO ({next}); ALTER TABLE {name} {columns}; END IF; END $$"
    );
    make(session, &statement).await
}

/// Another replica may make the same table at the same moment, which IF NOT EXISTS does not see.
async fn make(session: &Session, statement: &str) -> Result<(), PgError> {
    use tokio_postgres::error::SqlState;
    match session.batch(statement).await {
        Err(error)
            if [&SqlState::UNIQUE_VIOLATION, &SqlState::DUPLICATE_TABLE, &SqlState::DUPLICATE_OBJECT]
                .into_iter()
                .any(|state| error.code() == Some(state)) =>
        {
            Ok(())
        }
        done => done,
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
