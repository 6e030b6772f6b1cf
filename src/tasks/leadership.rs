//! Which of several processes does what one of them does.

use std::time::Instant;

use tokio::sync::watch;

use super::supervisor::Shutdown;

/// Whether this process does what one process of a fleet does: shows the durable series, exports, relays, polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It is alone.
    ForLife,
    /// Of this term. Until then no other replica can lead, by this machine's clock.
    Until {
        epoch: i64,
        until: Instant,
    },
    No,
}

impl Leadership {
    /// Whether this process leads now.
    pub fn holds(self) -> bool {
        match self {
            Self::ForLife => true,
            Self::Until { until, .. } => Instant::now() < until,
            Self::No => false,
        }
    }

    /// The term, where it leads. Its end may have passed.
    pub fn term(self) -> Option<i64> {
        match self {
            Self::ForLife => Some(0),
            Self::Until { epoch, .. } => Some(epoch),
            Self::No => None,
        }
    }
}

/// Runs what `start` gives in each term of this process, until `shutdown` begins. At the end of a term it is dropped where it stands;
/// at the shutdown it is asked to end.
pub async fn while_leading<F: Future<Output = ()>>(
    mut leadership: watch::Receiver<Leadership>,
    shutdown: Shutdown,
    start: impl Fn(Shutdown) -> F,
) {
    loop {
        let term = tokio::select! {
            () = shutdown.clone().wait() => return,
            Ok(leads) = leadership.wait_for(|leadership| leadership.term().is_some()) => leads.term(),
        };
        tokio::select! {
            () = start(shutdown.clone()) => return,
            Ok(_) = leadership.wait_for(|leadership| leadership.term() != term) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_runs_once_in_each_term_and_not_between_two() {
        let leadership = watch::Sender::new(Leadership::No);
        let (stop, stopped) = watch::channel(false);
        let (started, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let job = {
            let (started, running) = (started.clone(), running.clone());
            move |shutdown: Shutdown| {
                let running = running.clone();
                started.fetch_add(1, Ordering::Relaxed);
                async move {
                    let _running = running;
                    shutdown.wait().await;
                }
            }
        };
        let task = tokio::spawn(while_leading(leadership.subscribe(), Shutdown::of(stopped), job));
        let until = Instant::now() + Duration::from_secs(9);
        let terms = [None, Some(1), Some(1), None, Some(2), Some(3), None];
        // Each job holds a reference.
        let expected = [(0, 0), (1, 1), (1, 1), (1, 0), (2, 1), (3, 1), (3, 0)];
        for (term, (starts, now)) in terms.into_iter().zip(expected) {
            leadership.send_replace(term.map_or(Leadership::No, |epoch| Leadership::Until { epoch, until }));
            tokio::time::sleep(Duration::from_secs(1)).await;
            // One is the test's, one that of `job`.
            let seen = (started.load(Ordering::Relaxed), Arc::strong_count(&running) - 2);
            assert_eq!(seen, (starts, now), "after {term:?}");
        }
        stop.send_replace(true);
        task.await.unwrap();
    }
}
