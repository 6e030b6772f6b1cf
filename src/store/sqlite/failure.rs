//! Why nothing could be written.

use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use crate::store::OpenError;

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
            Failure::Sqlite(error) => error.into(),
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

/// When a store that could not write is trusted again.
///
/// A full disk has room for a few small transactions again and again: the log starts over, a neighbor deletes a file. Were each of
/// them a recovery, /readyz and the page would flap. So nothing may have failed for a while, twice as long for each relapse, and then
/// a probe has to succeed that needs more room than they do.
#[derive(Debug)]
pub struct Recovery {
    last_failure: Option<Instant>,
    recovered: Option<Instant>,
    hold: Duration,
}

/// How long nothing may have failed, at first and at most.
const FIRST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// A failure so long after a recovery is a new one, and no relapse.
const STABLE: Duration = Duration::from_secs(300);

impl Default for Recovery {
    fn default() -> Self {
        Self { last_failure: None, recovered: None, hold: FIRST_HOLD }
    }
}

impl Recovery {
    /// Something could not be written; `was_healthy`: for the first time since it could.
    pub fn failed(&mut self, was_healthy: bool, now: Instant) {
        if was_healthy {
            let is_relapse = self.recovered.is_some_and(|recovered| now.duration_since(recovered) < STABLE);
            self.hold = if is_relapse { LONGEST_HOLD.min(2 * self.hold) } else { FIRST_HOLD };
        }
        self.last_failure = Some(now);
    }

    /// Whether it is time for a probe.
    pub fn is_due(&self, now: Instant) -> bool {
        self.last_failure.is_none_or(|failure| now.duration_since(failure) >= self.hold)
    }

    pub fn succeeded(&mut self, now: Instant) {
        self.recovered = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_relapse_has_to_be_over_for_twice_as_long_and_a_failure_much_later_is_no_relapse() {
        let mut recovery = Recovery::default();
        let mut now = Instant::now();
        for hold in [1, 2, 4, 8, 16, 32, 60, 60] {
            recovery.failed(true, now);
            now += Duration::from_secs(hold - 1);
            assert!(!recovery.is_due(now), "{hold}");
            recovery.failed(false, now);
            now += Duration::from_millis(1000 * hold - 1);
            assert!(!recovery.is_due(now), "{hold}: it has failed again meanwhile");
            now += Duration::from_millis(1);
            assert!(recovery.is_due(now), "{hold}");
            recovery.succeeded(now);
            now += Duration::from_secs(299);
        }
        now += Duration::from_secs(1);
        recovery.failed(true, now);
        assert!(recovery.is_due(now + Duration::from_secs(1)));
    }
}
