//! The time by which messages and events expire.
//!
//! A clock that jumps ahead (a wrong time server, a machine that wakes up in another year) would make everything in the store old at
//! once, and what has been deleted does not return when the clock does. So a jump is trusted only after it has lasted. A start long
//! after the last end is no different, and is treated alike: for an hour, the provider, which has been retrying, has the time to
//! deliver before anything expires.
//!
//! A clock that is set back makes things look younger. Nothing is lost by that, so it is believed at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A clock may be ahead by this much without a question: whatever has a limit here has one of many hours.
const TOLERATED: Duration = Duration::from_secs(3600);

/// How long a jump has to last.
const BELIEVED_AFTER: Duration = Duration::from_secs(3600);

/// Clocks of provider and sidecar may differ by so much.
pub const CLOCK_SKEW: Duration = Duration::from_secs(3600);

pub struct SteadyClock {
    /// Wall-clock time that is believed, and when it was read.
    wall: Timestamp,
    read_at: Instant,
    jumped_at: Option<Instant>,
}

impl SteadyClock {
    /// Goes on from `seen`, the time of the last reading by the previous process.
    pub fn from(seen: Timestamp, at: Instant) -> Self {
        Self { wall: seen, read_at: at, jumped_at: None }
    }

    /// The time to go by, when the machine's clock says `wall`.
    pub fn read(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let steady = self.wall + at.duration_since(self.read_at);
        if wall.duration_since(steady) > jiff::SignedDuration::try_from(TOLERATED).unwrap_or(jiff::SignedDuration::MAX)
        {
            let jumped_at = *self.jumped_at.get_or_insert_with(|| {
                let ahead = wall.duration_since(steady);
                tracing::warn!("the clock is ahead by {ahead:#}; nothing expires or is deleted by it for an hour");
                at
            });
            if at.duration_since(jumped_at) < BELIEVED_AFTER {
                return steady;
            }
        }
        self.jumped_at = None;
        (self.wall, self.read_at) = (wall, at);
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_and_all_else_at_once() {
        let (noon, start): (Timestamp, _) = ("2026-03-01T12:00:00Z".parse().unwrap(), Instant::now());
        let mut clock = SteadyClock::from(noon, start);
        // Minutes since the start, by how much the machine's clock is ahead of that, and by how much ours is.
        for (minute, ahead, ours) in [
            (0, 0, 0),
            (10, 0, 0),
            (11, 59, 59),
            (12, 59, 59),
            (13, 5_000_000, 59),
            (72, 5_000_000, 59),
            (73, 5_000_000, 5_000_000),
            (74, 5_000_000, 5_000_000),
            // Set right, and wrong again for a moment.
            (75, 0, 0),
            (76, -9_000_000, -9_000_000),
            (77, 0, -9_000_000),
            (136, 0, -9_000_000),
            (137, 0, 0),
            // Two jumps, neither of which lasts.
            (140, 100, 0),
            (150, 0, 0),
            (160, 100, 0),
            (219, 100, 0),
        ] {
            let at = |ahead: i64| noon + jiff::SignedDuration::from_mins(minute as i64 + ahead);
            assert_eq!(clock.read(at(ahead), start + minute * MINUTE), at(ours), "minute {minute}");
        }
    }
}
