//! The leader's maintenance: expiry, retention, partitions, and that it lives. Each step is a short transaction between two of the inbox.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::PgError;
use super::fleet;
use super::leader::Leader;
use super::pruning::Pruning;
use super::term::{Term, Work};
use super::{meta, retention, rewrites};
use crate::store::core::STEP;

const EVERY: Duration = Duration::from_millis(500);
/// Between two steps while there is more to do.
const SOON: Duration = Duration::from_millis(5);
const BEAT: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a rollout may take in which replicas have different settings.
const ROLLOUT: Duration = Duration::from_secs(600);
/// How often partitions are made ahead.
const PARTITIONS: Duration = Duration::from_secs(600);
/// Between two tables that are rewritten after an erasure, which hold up everything else.
const REWRITES: Duration = Duration::from_secs(10);

pub struct Maintenance {
    next: Instant,
    next_beat: Instant,
    next_deliveries: Instant,
    next_minute: Instant,
    next_partitions: Instant,
    pruning: Pruning,
    next_rewrite: Instant,
    /// Since when the replicas have different settings, until that has been said.
    differ_since: Option<Instant>,
}

impl Maintenance {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now,
            next_beat: now,
            next_deliveries: now,
            next_minute: now,
            next_partitions: now,
            pruning: Pruning::new(),
            next_rewrite: now,
            differ_since: None,
        }
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    /// One step of each task.
    ///
    /// # Errors
    /// Those that end the term.
    pub fn step(&mut self, leader: &mut Leader, term: &mut Term) -> Result<(), PgError> {
        leader.publisher.report_floods();
        let (now, at) = (leader.shared.now(), Instant::now());
        if at >= self.next_beat {
            self.next_beat = at + BEAT;
            let rate = term.inbox_rate.changed();
            let living = term.block_on(async {
                fleet::beat(&term.session, &leader.replica).await?;
                if let Some(rate) = rate {
                    fleet::save_inbox_rate(&term.session, rate).await?;
                }
                fleet::show_inbox(&term.session, &leader.backlog).await?;
                fleet::living(&term.session).await
            })?;
            leader.live.store(living.count, Ordering::Relaxed);
            self.compare_configurations(living.configurations, at);
            if living.newer > 0 {
                tracing::info!("a replica of a newer version is there, and is to lead");
                term.block_on(term.lease.release(&term.session))?;
                return Err(PgError::Deposed);
            }
        }
        if at >= self.next_partitions {
            self.next_partitions = at + PARTITIONS;
            term.turn_day()?;
        }
        if at >= self.next_minute {
            self.next_minute = at + MINUTE;
            let work = Work { read: None, shared: &leader.shared, settings: &leader.settings };
            term.transaction(work, |_, _, own| {
                meta::save_seen(own, now);
                Ok(())
            })?;
        }
        if at >= self.next_rewrite {
            rewrites::rewrite_next(leader, term, rewrites::AGAIN)?;
            self.next_rewrite = Instant::now() + REWRITES;
        }
        let mut more = expire(leader, term, now)?;
        more |= self.pruning.step(leader, term, now)?;
        if at >= self.next_deliveries {
            self.next_deliveries = at + BEAT;
            more |= expire_deliveries(leader, term, now)?;
        }
        self.next = Instant::now() + if more { SOON } else { EVERY };
        Ok(())
    }
}

impl Maintenance {
    /// Settings that stay different after a rollout are a mistake: those of the leader hold, whichever replica that is.
    fn compare_configurations(&mut self, configurations: i64, at: Instant) {
        if configurations < 2 {
            self.differ_since = None;
            return;
        }
        let since = *self.differ_since.get_or_insert(at);
        if at.duration_since(since) >= ROLLOUT {
            self.differ_since = Some(at);
            tracing::warn!("the replicas of the fleet have different settings; those of the leader hold");
        }
    }
}

fn expire(leader: &mut Leader, term: &mut Term, now: Timestamp) -> Result<bool, PgError> {
    let horizon = leader.settings.horizon;
    let Ok(before) = now.checked_sub(horizon) else { return Ok(false) };
    let ids = term.block_on(retention::past_horizon(&term.session, before))?;
    if ids.is_empty() {
        return Ok(false);
    }
    let is_full = ids.len() >= STEP;
    leader.write(term, |rules| {
        rules.storage.prefetch_messages(&ids)?;
        ids.into_iter().try_for_each(|id| rules.expire(id, now, horizon))
    })?;
    Ok(is_full)
}

fn expire_deliveries(leader: &mut Leader, term: &mut Term, now: Timestamp) -> Result<bool, PgError> {
    if leader.settings.relays.is_empty() {
        return Ok(false);
    }
    leader
        .write(term, |rules| {
            rules.promote_misdated(now)?;
            rules.expire_deliveries(now)
        })
        .map(|expired| expired >= STEP)
}
