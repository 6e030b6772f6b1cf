//! The places that connections take, and who has to give up one.
//!
//! There are only so many. Whoever opens connections and says nothing could take them all, time-out after time-out, and lock the
//! provider out. So when none is left the connection that has waited longest for a request is closed: whoever has something to say
//! says it soon after he has come in. One on which a request is being answered is never closed for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// What a connection has for its request before another one may have its place: a few round trips to anywhere.
const GRACE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The connections that wait for the head of a request, those that have waited longest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One connection's place, free again when this is dropped.
pub struct Place {
    waiting: Arc<Mutex<Waiting>>,
    number: Mutex<Option<u64>>,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: Arc::default() }
    }

    /// Waits for a place, and makes one if it can.
    pub async fn take(&self) -> Place {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            let due = self.oldest().map(|since| since + GRACE);
            let freed = self.free.clone().acquire_owned();
            let permit = match due {
                Some(due) => tokio::select! {
                    permit = freed => permit,
                    () = sleep_until(due) => {
                        if !self.close_oldest() {
                            continue;
                        }
                        self.free.clone().acquire_owned().await
                    }
                },
                // All are busy. One that gets done with its request is seen at the next look.
                None => tokio::select! {
                    permit = freed => permit,
                    () = sleep_until(Instant::now() + GRACE) => continue,
                },
            };
            break permit.expect("the semaphore is never closed");
        };
        let place =
            Place { waiting: self.waiting.clone(), number: Mutex::new(None), leave: Arc::default(), _permit: permit };
        place.waits();
        place
    }

    fn oldest(&self) -> Option<Instant> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.connections.first_key_value().map(|(_, (since, _))| *since)
    }

    /// Whether there was one whose time is over.
    fn close_oldest(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due = waiting.connections.first_entry().filter(|oldest| oldest.get().0.elapsed() >= GRACE);
        let found = due.is_some();
        if let Some(oldest) = due {
            oldest.remove().1.notify_one();
        }
        found
    }
}

impl Place {
    /// Does `work`, which answers a request that has come: until it is done, nobody else may have the place.
    pub fn busy_with<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.is_busy();
        let place = self.clone();
        async move {
            let done = work.await;
            place.waits();
            done
        }
    }

    /// The connection has nothing to do from now on.
    fn waits(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, (Instant::now(), self.leave.clone()));
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    /// A request has come.
    fn is_busy(&self) {
        let number = self.number.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = number {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).connections.remove(&number);
        }
    }

    /// Resolves when the place is wanted for another.
    pub async fn is_wanted(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_busy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_goes_and_never_one_that_is_busy() {
        let places = Places::new(3);
        let (busy, old, young) = (places.take().await, places.take().await, places.take().await);
        busy.is_busy();
        tokio::time::advance(GRACE).await;
        young.is_busy();
        young.waits();
        tokio::time::advance(GRACE / 2).await;
        let newcomer = tokio::spawn({
            let places = places.clone();
            async move { places.take().await }
        });
        old.is_wanted().await;
        drop(old);
        let newcomer = newcomer.await.unwrap();
        newcomer.is_busy();

        // `young` has its grace, and after that it is the only one to go.
        let start = Instant::now();
        let another = tokio::spawn(async move { places.take().await });
        young.is_wanted().await;
        assert_eq!(start.elapsed(), GRACE / 2);
        drop(young);
        another.await.unwrap().is_busy();
        assert!(tokio::time::timeout(GRACE * 9, busy.is_wanted()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_are_busy_newcomers_wait() {
        let places = Places::new(1);
        let only = places.take().await;
        only.is_busy();
        assert!(tokio::time::timeout(GRACE * 9, places.take()).await.is_err());
        drop(only);
        places.take().await;
    }
}
