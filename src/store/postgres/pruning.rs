//! The leader's part of retention: when what is deleted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::error::PgError;
use super::leader::Leader;
use super::retention::{self, EventLimits};
use super::term::Term;
use crate::store::core::STEP;
use crate::store::core::retention::{before, future, state_retention};
use crate::store::ids::MessageRowId;

/// How often the oldest messages and keys are checked for ones that may be deleted.
const ROUND: Duration = Duration::from_secs(60);
/// How often days are checked for ones that may be deleted.
const DAYS: Duration = Duration::from_secs(600);

pub struct Pruning {
    messages: Round,
    next_days: Instant,
    /// On a connection of its own: it waits for readers.
    dropping: Option<JoinHandle<()>>,
}

/// Where the walk through the oldest messages stands.
enum Round {
    At(MessageRowId),
    NextFrom(Instant),
}

impl Pruning {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { messages: Round::NextFrom(now), next_days: now, dropping: None }
    }

    /// One step. `true`: there is more to do at once.
    ///
    /// # Errors
    /// Those that end the term.
    pub fn step(&mut self, leader: &mut Leader, term: &mut Term, now: Timestamp) -> Result<bool, PgError> {
        if Instant::now() >= self.next_days && self.dropping.as_ref().is_none_or(JoinHandle::is_finished) {
            self.next_days = Instant::now() + DAYS;
            self.dropping = Some(drop_days(leader, now));
        }
        let from = match self.messages {
            Round::At(from) => from,
            Round::NextFrom(time) if time <= Instant::now() => MessageRowId::default(),
            Round::NextFrom(_) => return Ok(false),
        };
        let expired = before(now, state_retention(leader.settings.retention, leader.settings.horizon));
        let (deleted, reached) = leader.write(term, |rules| {
            let purged = rules.purge_dead_letters()?;
            rules.storage.run(async |session| {
                let keys = retention::prune_event_keys(session, expired).await?;
                let dedup_keys = retention::prune_dedup_keys(session).await?;
                let reached = retention::prune_messages(session, from, expired, future(now)).await?;
                Ok((purged.max(keys).max(dedup_keys), reached))
            })
        })?;
        self.messages = match reached {
            Some(reached) => Round::At(reached),
            None if deleted >= STEP => Round::At(MessageRowId::default()),
            None => Round::NextFrom(Instant::now() + ROUND),
        };
        Ok(matches!(self.messages, Round::At(_)))
    }
}

/// Drops the days that have passed, meanwhile.
fn drop_days(leader: &Leader, now: Timestamp) -> JoinHandle<()> {
    let settings = &leader.settings;
    let limits = EventLimits {
        stored_before: before(now, settings.retention),
        exported_to: leader.shared.export_cursor(),
        relayed_from: None,
        given_up_before: before(now, settings.retention.max(settings.export_retention)),
    };
    let (connector, relays) = (leader.connector.clone(), settings.relays.clone());
    leader.runtime.spawn(async move {
        let dropped = async {
            let session = connector.connect_for_long().await?;
            let relayed_from = retention::needed_from(&session, &relays).await?;
            retention::drop_partitions(&session, EventLimits { relayed_from, ..limits }).await
        };
        match dropped.await {
            Ok(0) => {}
            Ok(partitions) => tracing::debug!(partitions, "days that have passed are deleted"),
            Err(error) => tracing::warn!(%error, "a day that has passed cannot be deleted yet; it is tried again"),
        }
    })
}
