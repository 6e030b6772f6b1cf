//! Reconciliation: fetches missing receipts from the provider's API, since the provider stops its retries after 30 hours.
//!
//! A message of the API is processed like a webhook: decoded, stored under the same dedup keys, counted once. Its record is marked
//! as reconciled. Each channel has a list of its own, without a search and without a documented order: `walk.rs` reads it, `order.rs`
//! judges its order.

pub mod metrics;
mod order;
pub mod settings;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::diagnostics::LogThrottle;
use crate::event::{Event, SourceName};
use crate::inbound::{DecodedRequest, Origin};
use crate::settings::{Api, ApiMode, Source};
use crate::smsmode_api::{ApiError, MESSAGE_LISTS, MessageList, Operation, PAGE_SIZE, SmsmodeApi, pause, rest_apis};
use crate::store::{CLOCK_SKEW, IngestOutcome, Store, StoreError};
use crate::tasks::Task;
use crate::tasks::periodic::{jittered, repeat, stagger};
use crate::tasks::supervisor::Supervisor;

use metrics::RoundResult;
pub use settings::Reconcile;
use walk::Walk;

/// Attempts at one page, and the longest wait between two.
const MAX_ATTEMPTS: u32 = 3;
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Pages that a round may read of a list, and one more for each message that it searches for: enough to find one in a list of any length
/// that is newest first. In a list without an order one message is not worth reading all of it every hour.
const PAGES_PER_ROUND: usize = 30;

/// The provider's API and the store, for one source.
pub struct Reconciler {
    source: Source,
    api: SmsmodeApi,
    store: Store,
    settings: Reconcile,
}

/// What a walk searches for.
enum Search {
    /// These messages, by their ids, with the times at which they were accepted.
    Messages(HashMap<String, Timestamp>),
    /// All that was accepted from `since` on and before `until`.
    Period { since: Timestamp, until: Timestamp },
}

/// The result of one round, or of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages in the pages that were read.
    pub read: u64,
    /// Of those, the ones that were searched for.
    pub looked_for: u64,
    /// What was not known here, by outcome: `pending`, `delivered`, `failed`, `read`, `unknown`; `reply` for replies.
    pub missed: BTreeMap<String, u64>,
    /// The limit of pages was reached before the end.
    pub is_incomplete: bool,
}

impl Tally {
    pub fn missed(&self) -> u64 {
        self.missed.values().sum()
    }
}

/// Why a round failed; what it found until then is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
}

impl Reconciler {
    /// Must be used within a tokio runtime.
    pub fn new(source: &Source, api: SmsmodeApi, store: Store, settings: Reconcile) -> Self {
        api.register(&[Operation::Messages]);
        Self { source: source.clone(), api, store, settings }
    }

    /// One for the source of this name, or one for each that has an API. Must be used within a tokio runtime.
    ///
    /// # Errors
    /// None has an API.
    pub fn of(sources: &[Source], settings: Reconcile, name: Option<&str>, store: &Store) -> Result<Vec<Self>, String> {
        let reconciler = |(source, api): (&Source, Api)| {
            Self::new(source, SmsmodeApi::new(&source.name, api), store.clone(), settings)
        };
        Ok(rest_apis(sources, name)?.into_iter().map(reconciler).collect())
    }

    pub fn source(&self) -> &SourceName {
        &self.source.name
    }

    /// Searches for the messages that have been pending for too long.
    ///
    /// # Errors
    /// An error of the provider's API or of the store.
    pub async fn round(&self) -> Result<Tally, RoundError> {
        let limit = self.settings.max_pages * PAGE_SIZE;
        let before = Timestamp::now().checked_sub(self.settings.after).unwrap_or(Timestamp::MIN);
        let source = self.source.name.clone();
        let overdue = self.store.with_blocking(move |store| store.overdue(&source, before, limit)).await;
        let overdue = overdue.map_err(|error| RoundError::Unreadable(error.to_string()))?;
        if overdue.is_empty() {
            return Ok(Tally::default());
        }
        let mut by_list: BTreeMap<&str, HashMap<String, Timestamp>> = BTreeMap::new();
        for message in overdue {
            let list = MessageList::of(&message.channel);
            by_list.entry(list.channel).or_default().insert(message.message_id, message.accepted_at);
        }
        let searches = by_list.into_iter().map(|(channel, messages)| {
            let limit = self.settings.max_pages.min(PAGES_PER_ROUND + messages.len());
            (MessageList::of(channel), Search::Messages(messages), limit)
        });
        self.walk(searches.collect()).await
    }

    /// Reads all that was accepted from `since` on and before `until`, whether or not it is stored: from the lists of the channels that
    /// the source is known to have.
    ///
    /// # Errors
    /// As [`Reconciler::round`].
    pub async fn period(&self, since: Timestamp, until: Timestamp) -> Result<Tally, RoundError> {
        let seen: BTreeSet<&str> =
            self.store.channels(&self.source.name).iter().map(|channel| MessageList::of(channel).channel).collect();
        let is_read =
            |list: &&MessageList| seen.contains(list.channel) || (seen.is_empty() && *list == &MESSAGE_LISTS[0]);
        let lists = MESSAGE_LISTS.iter().filter(is_read);
        self.walk(lists.map(|list| (list, Search::Period { since, until }, self.settings.max_pages)).collect()).await
    }

    /// Reads each list, also when another one could not be read.
    async fn walk(&self, lists: Vec<(&'static MessageList, Search, usize)>) -> Result<Tally, RoundError> {
        let mut tally = Tally::default();
        let mut failed = None;
        for (list, search, limit) in lists {
            failed = failed.or(Walk::new(self, list, search, &mut tally, limit).run().await.err());
        }
        failed.map_or(Ok(tally), Err)
    }

    async fn page(&self, list: &MessageList, page: usize) -> Result<Vec<Value>, ApiError> {
        let mut attempt = 1;
        loop {
            match self.api.messages(list, page).await {
                Ok(items) => return Ok(items),
                Err(error) => {
                    let wait = pause(&error, attempt);
                    if attempt == MAX_ATTEMPTS || !error.is_transient() || wait > MAX_PAUSE {
                        return Err(error);
                    }
                    tokio::time::sleep(wait).await;
                    attempt += 1;
                }
            }
        }
    }

    /// Submits each by itself, all at once: the store commits them in one transaction, and returns for each whether it was new.
    async fn store(&self, found: Vec<DecodedRequest<'_>>, tally: &mut Tally) -> Result<(), StoreError> {
        let mut commits = JoinSet::new();
        for message in found {
            let outcome = match &message.events[..] {
                [Event::Receipt(receipt)] => receipt.status.outcome.label(),
                _ => "reply",
            };
            let submission = message.into_submission(Timestamp::now(), None, Origin::Reconciliation);
            let store = self.store.clone();
            commits.spawn(async move { (outcome, store.commit(submission).await) });
        }
        let mut failed = None;
        while let Some(joined) = commits.join_next().await {
            match joined {
                Ok((outcome, Ok(IngestOutcome::Accepted))) => *tally.missed.entry(outcome.to_owned()).or_default() += 1,
                Ok((_, Ok(IngestOutcome::Duplicate | IngestOutcome::Unrecognized))) => {}
                Ok((_, Err(error))) => failed = Some(error),
                Err(_) => failed = Some(StoreError::CannotWrite),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Search {
    fn matches(&mut self, event: &Event) -> bool {
        match self {
            Search::Messages(messages) => match event {
                Event::Receipt(receipt) => messages.remove(&receipt.message_id).is_some(),
                _ => false,
            },
            // One without a time may be of the period: the store decides whether it is new.
            Search::Period { since, until } => time(event).is_none_or(|time| *since <= time && time < *until),
        }
    }

    fn is_satisfied(&self) -> bool {
        matches!(self, Search::Messages(messages) if messages.is_empty())
    }

    /// Nothing that is accepted later is searched for.
    fn newest(&self) -> Timestamp {
        match self {
            Search::Messages(messages) => {
                let newest = messages.values().max().copied().unwrap_or(Timestamp::MIN);
                newest.checked_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX)
            }
            Search::Period { until, .. } => *until,
        }
    }

    /// Nothing that is accepted before is searched for.
    fn oldest(&self) -> Timestamp {
        match self {
            Search::Messages(messages) => {
                let oldest = messages.values().min().copied().unwrap_or(Timestamp::MAX);
                oldest.checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN)
            }
            Search::Period { since, .. } => *since,
        }
    }
}

/// When it was accepted, if it has a time.
fn time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Receipt(receipt) => receipt.accepted_at.or(receipt.sent_at).or(receipt.status.time),
        Event::Reply(reply) => reply.time,
        Event::Unrecognized(_) => None,
    }
}

/// Starts the rounds of a source that has a key of the REST API, if reconciliation is enabled.
pub fn start(settings: Reconcile, source: &Source, store: &Store, supervisor: &mut Supervisor) {
    let api = SmsmodeApi::of(source).filter(|api| settings.enabled && api.mode() == ApiMode::Rest);
    let Some(api) = api else { return };
    let reconciler = Arc::new(Reconciler::new(source, api, store.clone(), settings));
    metrics::count(&source.name, None);
    let span = tracing::info_span!("reconcile", source = %source.name);
    supervisor.spawn_led(span, Task::Reconcile, move |shutdown| run(reconciler.clone(), shutdown.wait()));
}

/// Makes a round per interval until `shutdown` resolves. What a round has submitted to the store by then is stored.
async fn run(reconciler: Arc<Reconciler>, shutdown: impl Future<Output = ()>) {
    let source = &reconciler.source.name;
    let interval = reconciler.settings.interval;
    let throttle = LogThrottle::default();
    // Messages that were overdue before the start do not wait for an hour.
    repeat(stagger(interval), shutdown, || async {
        let ended = reconciler.round().await;
        let result = match &ended {
            Ok(Tally { is_incomplete: false, .. }) => RoundResult::Complete,
            Ok(_) => RoundResult::Incomplete,
            Err(_) => RoundResult::Failed,
        };
        metrics::count(source, Some(result));
        let wait = jittered(interval);
        match ended {
            Ok(tally) => {
                if throttle.recovered() {
                    tracing::info!(%source, "receipts can be fetched from smsmode again");
                }
                if tally.missed() > 0 {
                    tracing::info!(%source, missed = tally.missed(), "missing receipts were fetched");
                }
                if tally.is_incomplete {
                    tracing::warn!(%source, read = tally.read, "reconcile.max_pages is reached before all was found");
                }
                wait
            }
            Err(error) => {
                let text = error.to_string();
                if throttle.is_due(&text) {
                    tracing::warn!(%source, "cannot fetch receipts: {text}");
                }
                match error {
                    RoundError::Api(error) => wait.max(error.retry_after.unwrap_or_default()),
                    _ => wait,
                }
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests;
