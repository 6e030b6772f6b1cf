//! What can go wrong with PostgreSQL, by what is to be done about it.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why a statement or a transaction did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A reason for each host.
    #[error("no PostgreSQL server takes writes: {0}")]
    Unreachable(String),
    #[error("PostgreSQL has not answered within {0:?}")]
    Timeout(Duration),
    /// The commit was made here, and a standby does not have it.
    #[error("the commit was not replicated: the wait for the standby was canceled")]
    NotReplicated,
    /// Nothing was written: it would have waited too.
    #[error("commits wait for a standby that does not answer")]
    StandbyHangs,
    /// Another replica leads by now, so nothing was written.
    #[error("another replica leads")]
    Deposed,
    #[error("a row of {table} cannot be read: {why}")]
    Unreadable { table: &'static str, why: String },
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same once more: somebody was in the way.
    Retry,
    /// The same once more on a new connection: it is not known whether it was done.
    Reconnect,
    /// One of the values is to blame.
    Isolate,
    /// An operator has to do something.
    Wait,
}

impl PgError {
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Database(error) => match error.code() {
                Some(state) => of_state(state),
                None => Remedy::Reconnect,
            },
            Self::Unreachable(_) | Self::Timeout(_) | Self::NotReplicated | Self::StandbyHangs => Remedy::Reconnect,
            Self::Deposed => Remedy::Wait,
            Self::Unreadable { .. } => Remedy::Isolate,
        }
    }

    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            _ => None,
        }
    }

    /// Whether it says only that an earlier statement of the transaction has failed.
    pub fn is_consequence(&self) -> bool {
        self.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    }
}

fn of_state(state: &SqlState) -> Remedy {
    let busy = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IN_FAILED_SQL_TRANSACTION,
    ];
    let gone = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::QUERY_CANCELED,
    ];
    match state.code() {
        _ if busy.contains(state) => Remedy::Retry,
        code if gone.contains(state) || code.starts_with("08") => Remedy::Reconnect,
        code if ["22", "23", "54"].contains(&&code[..2]) => Remedy::Isolate,
        _ => Remedy::Wait,
    }
}

/// One line, without the statement and its values.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => {
            // Each transaction gets another session, which has other statements.
            let by_a_pooler =
                [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT].contains(error.code());
            let hint = if by_a_pooler { "; behind this pooler, expected store.prepare = false" } else { "" };
            format!("PostgreSQL: {} ({}){hint}", error.message(), error.code().code())
        }
        None => format!("PostgreSQL: {}", crate::diagnostics::chain(error)),
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        Self::Database(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::harness::{connect, has_server};

    #[test]
    fn each_error_has_its_remedy() {
        for (state, remedy) in [
            ("40001", Remedy::Retry),
            ("40P01", Remedy::Retry),
            ("55P03", Remedy::Retry),
            ("25P02", Remedy::Retry),
            ("08006", Remedy::Reconnect),
            ("57P01", Remedy::Reconnect),
            ("57P03", Remedy::Reconnect),
            ("25006", Remedy::Reconnect),
            ("25P03", Remedy::Reconnect),
            ("53300", Remedy::Reconnect),
            ("22021", Remedy::Isolate),
            ("23505", Remedy::Isolate),
            ("54000", Remedy::Isolate),
            ("53100", Remedy::Wait),
            ("42501", Remedy::Wait),
            ("42P01", Remedy::Wait),
        ] {
            assert_eq!(of_state(&SqlState::from_code(state)), remedy, "{state}");
        }
    }

    #[tokio::test]
    async fn a_statement_that_was_prepared_in_another_session_is_reported_with_what_to_set() {
        if !has_server() {
            return;
        }
        let session = connect("postgres").await;
        let sql = "SELECT 1";
        session.query(sql, &[]).await.unwrap();
        // As behind a pooler, which has given the session to somebody else meanwhile.
        session.batch("DEALLOCATE ALL").await.unwrap();
        let error = session.query(sql, &[]).await.unwrap_err().to_string();
        assert!(error.ends_with("(26000); behind this pooler, expected store.prepare = false"), "{error}");
    }
}
