//! Relays: deliver events to URLs of the operator, durably, at least once with a stable id, in order.
//!
//! # Design
//!
//! - Deliveries are in the store (`store/core/relays.rs`), written with the event. A relay reads due deliveries, attempts each, and
//!   stores the result. After a kill in between, the same delivery is attempted again with the same id.
//! - Each relay is a task of its own with connections of its own: a target that is dead or slow does not delay the others.
//! - Of an ordering key (the receipts of a message, the replies of a number) one delivery at a time is due, the oldest. So each key is in
//!   order, while other keys overtake a delivery that is retried.
//! - A target that keeps failing gets one attempt at a time, with growing pauses, until one succeeds.
//! - Anything but 2xx is a failure and is retried until the delivery is too old: a 404 may be a deployment. Then it is a dead letter.

mod address;
mod backoff;
mod envelope;
pub mod metrics;
pub mod settings;
mod signature;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::diagnostics::LogThrottle;
use crate::store::ids::DeliveryId;
use crate::store::relays::{AttemptOutcome, AttemptResult, Delivery, Due, Next};
use crate::store::{Store, StoreError};
use crate::tasks::supervisor::Supervisor;
use crate::tasks::{Task, join_logged};
use backoff::{BACKOFF, Health};
pub use settings::Relay;
use target::{DeliveryOutcome, Target};

/// The pause if the store cannot be read or written.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// One relay.
struct Worker {
    relay: Relay,
    store: Store,
    target: Target,
}

/// A finished attempt.
struct Finished {
    started: Instant,
    outcome: DeliveryOutcome,
}

/// Starts a task per relay. `instance` makes ids; attempts that are in flight at the shutdown get `limit` to end.
pub fn start(relays: &[Relay], store: &Store, instance: Uuid, limit: Duration, supervisor: &mut Supervisor) {
    for relay in relays {
        let (relay, store) = (relay.clone(), store.clone());
        let span = tracing::info_span!("relay", relay = %relay.route.relay);
        supervisor.spawn_led(span, Task::Relay, move |shutdown| {
            run(relay.clone(), store.clone(), instance, shutdown.wait(), limit)
        });
    }
}

async fn run(relay: Relay, store: Store, instance: Uuid, shutdown: impl Future<Output = ()>, limit: Duration) {
    let target = Target::new(&relay, instance);
    tracing::info!(relay = %relay.route.relay, url = %relay.shown_url(), format = relay.route.format.into_str(), "relaying");
    let worker = Arc::new(Worker { relay, store, target });
    let mut changed = worker.store.relays_changed();
    let mut running: JoinSet<Finished> = JoinSet::new();
    // Deliveries, by the task that makes the attempt.
    let mut in_flight: HashMap<Id, DeliveryId> = HashMap::new();
    let mut health = Health::default();
    let throttle = LogThrottle::default();
    tokio::pin!(shutdown);
    loop {
        let room = health.room(worker.relay.concurrency, Instant::now()).saturating_sub(in_flight.len());
        let mut wake = health.pause(Instant::now());
        if room > 0 {
            // Before the reading: a delivery that is added meanwhile is another change.
            changed.mark_unchanged();
            match worker.due(in_flight.values().copied().collect(), room).await {
                Ok(due) => {
                    for delivery in due.deliveries {
                        let id = delivery.id;
                        in_flight.insert(running.spawn(worker.clone().attempt(delivery).in_current_span()).id(), id);
                    }
                    let next = due.next.map(|next| Duration::try_from(next.duration_since(worker.store.now())));
                    wake = next.map(|wait| wait.unwrap_or_default());
                }
                Err(error) => {
                    tracing::warn!(relay = %worker.relay.route.relay, %error, "a relay cannot read the store");
                    wake = Some(STORE_PAUSE);
                }
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(joined) = running.join_next_with_id() => {
                // All that have finished meanwhile: one reading finds what takes their places.
                let mut next = Some(joined);
                while let Some(joined) = next {
                    in_flight.remove(&joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id));
                    // The result of a panicked attempt is stored as well; a panic here is a bug of the storing.
                    if let Some((_, finished)) = join_logged(Task::RelayAttempt, joined) {
                        health.note(finished.started, &finished.outcome);
                        worker.log(&throttle, &finished.outcome);
                    }
                    next = running.try_join_next_with_id();
                }
            }
            // The store outlives its handles.
            _ = changed.changed(), if room > 0 => {}
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
    }
    let _rest_is_retried = tokio::time::timeout(limit, async { while running.join_next().await.is_some() {} }).await;
}

impl Worker {
    async fn due(&self, in_flight: Vec<DeliveryId>, limit: usize) -> Result<Due, StoreError> {
        let (relay, now) = (self.relay.route.relay.clone(), self.store.now());
        self.store.with_blocking(move |store| store.due(&relay, now, &in_flight, limit)).await
    }

    /// Makes one attempt, and stores its result.
    async fn attempt(self: Arc<Self>, delivery: Delivery) -> Finished {
        let started = Instant::now();
        let delivery = Arc::new(delivery);
        let outcome = self.clone().deliver(delivery.clone()).await;
        let attempt = AttemptOutcome {
            delivery: delivery.id,
            attempt: delivery.attempts + 1,
            result: outcome.result,
            next: self.next(&delivery, &outcome, self.store.now()),
        };
        while self.store.save_attempt(attempt.clone()).await.is_err() {
            tokio::time::sleep(STORE_PAUSE).await;
        }
        Finished { started, outcome }
    }

    /// A panic in here is a failed attempt like any other: it is retried later, up to the age limit.
    async fn deliver(self: Arc<Self>, delivery: Arc<Delivery>) -> DeliveryOutcome {
        let mut attempt = JoinSet::new();
        attempt.spawn(async move { self.target.deliver(&delivery).await }.in_current_span());
        let joined = attempt.join_next().await;
        joined
            .and_then(|joined| join_logged(Task::RelayAttempt, joined))
            .unwrap_or_else(|| target::failed(AttemptResult::Failed, "smscope itself failed: the attempt panicked"))
    }

    fn next(&self, delivery: &Delivery, outcome: &DeliveryOutcome, now: Timestamp) -> Next {
        let why = outcome.why.clone();
        match outcome.result {
            AttemptResult::Delivered => return Next::Done,
            AttemptResult::Erased => return Next::Dead { why },
            _ => {}
        }
        let wait = BACKOFF.after(delivery.attempts + 1).max(outcome.after.unwrap_or_default());
        let until = delivery.since.checked_add(self.relay.route.max_age).unwrap_or(Timestamp::MAX);
        match now.checked_add(wait) {
            Ok(at) if at <= until => Next::Again { at, why },
            _ => Next::Dead { why },
        }
    }

    fn log(&self, throttle: &LogThrottle, outcome: &DeliveryOutcome) {
        let relay = &self.relay.route.relay;
        if outcome.result == AttemptResult::Delivered {
            if throttle.recovered() {
                tracing::info!(%relay, "the relay's target accepts events again");
            }
        } else if throttle.is_due(&outcome.why) {
            tracing::warn!(%relay, error = outcome.why, "a delivery to the relay's target failed");
        }
    }
}
