//! The leader's part of retention: when what is deleted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::error::PgError;
use super::leader::Leader;
use super::read::gauges;
use super::retention::{self, EventLimits, MILLISECONDS_PER_DAY};
use super::session::Session;
use super::term::Term;
use super::{meta, schema};
use crate::store::core::STEP;
use crate::store::core::retention::{before, future, state_retention};
use crate::store::ids::MessageRowId;

/// How often the oldest messages and keys are checked for ones that may be deleted.
const ROUND: Duration = Duration::from_secs(60);
/// How often days are checked for ones that may be deleted, without a size limit and with one.
const DAYS: Duration = Duration::from_secs(600);
const DAYS_OF_LIMITED: Duration = Duration::from_secs(15);

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
            let pause = if leader.settings.size_limit.is_some() { DAYS_OF_LIMITED } else { DAYS };
            self.next_days = Instant::now() + pause;
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
    let (connector, relays, size_limit) = (leader.connector.clone(), settings.relays.clone(), settings.size_limit);
    leader.runtime.spawn(async move {
        let dropped = async {
            let session = connector.connect_for_long().await?;
            let relayed_from = retention::needed_from(&session, &relays).await?;
            let limits = EventLimits { relayed_from, ..limits };
            let dropped = retention::drop_partitions(&session, limits).await?;
            match size_limit {
                Some(limit) => Ok(dropped + enforce_size_limit(&session, limit, limits).await?),
                None => meta::save_over_limit(&session, false).await.map(|()| dropped),
            }
        };
        match dropped.await {
            Ok(0) => {}
            Ok(partitions) => tracing::debug!(partitions, "days that have passed are deleted"),
            Err(error) => tracing::warn!(%error, "a day that has passed cannot be deleted yet; it is tried again"),
        }
    })
}

/// Brings the tables back to their limit by dropping days early, the oldest first, of which all has been exported and relayed. While that
/// is not enough, no replica takes a webhook. Gives how many partitions were dropped.
async fn enforce_size_limit(session: &Session, limit: u64, limits: EventLimits) -> Result<usize, PgError> {
    let is_over = async || Ok::<_, PgError>(gauges::bytes_in_use(session).await? as u64 > limit);
    let today = i64::from(schema::today(session).await?);
    let oldest = limits.stored_before.div_euclid(MILLISECONDS_PER_DAY);
    let mut dropped = 0;
    for end in oldest..=today {
        if !is_over().await? {
            break;
        }
        let early = EventLimits { stored_before: end * MILLISECONDS_PER_DAY, given_up_before: i64::MIN, ..limits };
        dropped += retention::drop_partitions(session, early).await?;
    }
    meta::save_over_limit(session, is_over().await?).await?;
    Ok(dropped)
}
