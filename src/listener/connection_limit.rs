//! The limit of connections, and which connection is closed when it is reached.
//!
//! A client that opens connections and sends nothing could hold all slots, time-out after time-out, and lock the provider out. So if
//! no slot is free, the connection that has waited longest for a request is closed: a client with a request sends it soon after it has
//! connected. A connection with a request in flight is never closed for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// How long a connection may wait for its request before it can be closed for another: a few round trips to anywhere.
const GRACE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct ConnectionSlots {
    free: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The connections that wait for the head of a request, those that have waited longest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One connection's slot, free again when this is dropped.
pub struct Slot {
    waiting: Arc<Mutex<Waiting>>,
    number: Mutex<Option<u64>>,
    evicted: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: Arc::default() }
    }

    /// Waits for a slot; closes the connection that has been idle longest if none is free.
    pub async fn acquire(&self) -> Slot {
        let permit = loop {
            let freed = self.free.clone().acquire_owned();
            tokio::pin!(freed);
            // If all are busy: one whose request is done is seen at the next check.
            let due = self.oldest().unwrap_or_else(Instant::now) + GRACE;
            tokio::select! {
                biased;
                permit = &mut freed => break permit,
                () = sleep_until(due) => if self.evict_oldest() {
                    break freed.await;
                }
            }
        };
        let permit = permit.expect("the semaphore is never closed");
        let slot =
            Slot { waiting: self.waiting.clone(), number: Mutex::new(None), evicted: Arc::default(), _permit: permit };
        slot.set_idle();
        slot
    }

    fn oldest(&self) -> Option<Instant> {
        self.waiting().connections.first_key_value().map(|(_, (since, _))| *since)
    }

    /// Whether there was one whose grace is over.
    fn evict_oldest(&self) -> bool {
        let mut waiting = self.waiting();
        let due = waiting.connections.first_entry().filter(|oldest| oldest.get().0.elapsed() >= GRACE);
        due.map(|oldest| oldest.remove().1.notify_one()).is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Does `work`, which responds to a request: until it is done, the connection is not closed for another.
    pub fn busy_with<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.set_busy();
        let slot = self.clone();
        async move {
            let done = work.await;
            slot.set_idle();
            done
        }
    }

    /// The connection waits for a request from now on.
    fn set_idle(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, (Instant::now(), self.evicted.clone()));
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    /// A request has arrived.
    fn set_busy(&self) {
        let number = self.number.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = number {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).connections.remove(&number);
        }
    }

    /// Resolves when the slot is needed for another connection: this one has to be closed.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_busy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_waited_longest_is_closed_and_never_one_that_is_busy() {
        let slots = ConnectionSlots::new(3);
        let (busy, old, young) = (slots.acquire().await, slots.acquire().await, slots.acquire().await);
        busy.set_busy();
        tokio::time::advance(GRACE).await;
        young.set_busy();
        young.set_idle();
        tokio::time::advance(GRACE / 2).await;
        let newcomer = tokio::spawn({
            let slots = slots.clone();
            async move { slots.acquire().await }
        });
        old.evicted().await;
        drop(old);
        let newcomer = newcomer.await.unwrap();
        newcomer.set_busy();

        // `young` has its grace, and after that it is the only one to close.
        let start = Instant::now();
        let another = tokio::spawn(async move { slots.acquire().await });
        young.evicted().await;
        assert_eq!(start.elapsed(), GRACE / 2);
        drop(young);
        another.await.unwrap().set_busy();
        assert!(tokio::time::timeout(GRACE * 9, busy.evicted()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_are_busy_new_connections_wait() {
        let slots = ConnectionSlots::new(1);
        let only = slots.acquire().await;
        only.set_busy();
        assert!(tokio::time::timeout(GRACE * 9, slots.acquire()).await.is_err());
        drop(only);
        slots.acquire().await;
    }
}
