//! How long what is stored stays, in Unix milliseconds.

use std::time::Duration;

use jiff::Timestamp;

/// How long message state and duplicate keys outlive the last event.
pub fn state_retention(retention: Duration, horizon: Duration) -> Duration {
    retention.max(horizon + Duration::from_secs(48 * 3600))
}

/// `now - age`.
pub fn before(now: Timestamp, age: Duration) -> i64 {
    now.as_millisecond().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// What came after this, an hour from now, was dated by a wrong clock.
pub fn future(now: Timestamp) -> i64 {
    now.as_millisecond().saturating_add(3_600_000)
}
