//! Work that is done again and again until shutdown.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

/// Calls `work` after `first`, and then each time after the pause that it returns; `None` ends it. `shutdown` ends it at once, also in
/// the middle of the work.
pub async fn repeat<F>(first: Duration, shutdown: impl Future<Output = ()>, mut work: impl FnMut() -> F)
where
    F: Future<Output: Into<Option<Duration>>>,
{
    let working = async {
        sleep(first).await;
        while let Some(pause) = work().await.into() {
            sleep(pause).await;
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = working => {}
    }
}

/// Up to a tenth of `interval`: when to begin, so that what was started at once does not call at once.
pub fn stagger(interval: Duration) -> Duration {
    interval.mul_f64(fastrand::f64() / 10.0)
}

/// `interval`, five percent less to five percent more: polls by many processes do not fall into step.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + fastrand::f64() / 10.0)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_repeated_after_its_pause_and_broken_off_by_shutdown() {
        let start = Instant::now();
        let mut times = Vec::new();
        let shutdown = sleep(Duration::from_secs(26));
        let work = || {
            times.push(start.elapsed().as_secs());
            async {
                sleep(Duration::from_secs(2)).await;
                Duration::from_secs(10)
            }
        };
        repeat(Duration::from_secs(1), shutdown, work).await;
        assert_eq!((times, start.elapsed().as_secs()), (vec![1, 13, 25], 26));
    }

    #[test]
    fn chance_moves_a_poll_by_five_percent_at_most_and_its_start_by_ten() {
        let interval = Duration::from_secs(100);
        for _ in 0..100 {
            assert!((95.0..=105.0).contains(&jittered(interval).as_secs_f64()));
            assert!(stagger(interval) <= Duration::from_secs(10));
        }
    }
}
