//! Why nothing could be written.

use rusqlite::ErrorCode;

use super::OpenError;

/// Why a transaction has left nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "the database has been deleted, moved or replaced; put it back, or restart smscope to begin with what is there now"
    )]
    NotInPlace,
    #[error(
        "the database is damaged or cannot be read; if it stays so, see to the disk, stop smscope, and repair the database or \
         put a copy in its place"
    )]
    Damaged,
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::Sqlite(error),
            other => Self::Io(std::io::Error::other(other.to_string())),
        }
    }
}

/// Whether trying each request by itself would be of no use.
pub fn is_of_the_environment(failure: &Failure) -> bool {
    let Failure::Sqlite(error) = failure else { return true };
    is_damage(error)
        || matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
            )
        )
}

pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
