//! When the provider comes back after an attempt that was not acknowledged.

use std::time::Duration;

/// smsmode's waits between attempts: 30 s, 2 min, 10 min, 1 h, 5 h, 24 h. After that it gives up.
const WAITS: [u64; 6] = [30, 120, 600, 3_600, 18_000, 86_400];

/// How long after attempt `attempt` (from 0) the next one comes, with time `compression` times faster; `None`: it gives up.
///
/// The provider knows its own ladder only. A `Retry-After` in the provider's time that is longer than the ladder's step is waited for;
/// no shorter one makes it come earlier.
pub fn wait(attempt: usize, retry_after: Duration, compression: f64) -> Option<Duration> {
    let step = Duration::from_secs(*WAITS.get(attempt)?);
    Some(step.max(retry_after).div_f64(compression))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_six_steps_and_a_shorter_retry_after_does_not_shorten_them() {
        let second = Duration::from_secs(1);
        let waits: Vec<u64> = (0..7).map_while(|attempt| wait(attempt, second, 1.0)).map(|w| w.as_secs()).collect();
        assert_eq!(waits, WAITS);
        assert_eq!(wait(6, second, 1.0), None);
        assert_eq!(wait(3, second, 600.0), Some(second * 6), "an hour");
        assert_eq!(wait(0, second * 60, 1.0), Some(second * 60));
    }
}
