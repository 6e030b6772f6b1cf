//! The writer's maintenance: expiry, retention, the size limit. Each step is a short transaction between two of requests.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use super::connection::BUSY_TIMEOUT;
use super::retention::{self, EventLimits, STEP};
use super::writer::{Rules, Writer};
use super::{checkpoint, meta, outbox, search_index};
use crate::record::Position;
use crate::store::core::retention::{before, future, state_retention};
use crate::store::ids::MessageRowId;

/// How often the oldest messages are checked for ones that may be deleted.
const MESSAGE_ROUND: Duration = Duration::from_secs(60);

/// The search for what is to expire takes one part of this many of the writer's time at most.
const EXPIRY_SHARE: u32 = 100;

/// How often at most the write-ahead log is cut because of what was deleted.
const BETWEEN_CUTS: Duration = Duration::from_secs(10);

/// Bytes of the write-ahead log above which its file is cut: well above what `checkpoint.rs` lets it grow to under load, and what it
/// has after a burst.
const LONG: u64 = 96 << 20;
const LONG_WHEN_IDLE: u64 = 16 << 20;

/// Where the walk through the oldest messages stands.
pub enum MessageRound {
    At(MessageRowId),
    NextFrom(Instant),
}

impl Writer {
    /// Whether the store has room for more: within its size limit, or brought back to it by deleting what was exported.
    pub(super) fn enforce_size_limit(&mut self) -> bool {
        let Some(limit) = self.settings.size_limit else { return true };
        if !self.is_over(limit) {
            return true;
        }
        let limits = EventLimits {
            received_before: i64::MAX,
            exported_to: self.shared.export_cursor(),
            relayed_from: self.relayed_from(),
            given_up_before: i64::MIN,
            future: i64::MAX,
        };
        for _ in 0..10 {
            match self.maintain(|rules| retention::prune_events(rules.storage.connection, limits)) {
                Some(1..) if self.is_over(limit) => {}
                _ => break,
            }
        }
        !self.is_over(limit)
    }

    fn relayed_from(&self) -> Option<Position> {
        // What cannot be read cannot be deleted either.
        outbox::needed_from(&self.connection, &self.settings.relays).unwrap_or(Some(Position(0)))
    }

    fn is_over(&self, limit: u64) -> bool {
        retention::bytes_in_use(&self.connection).is_ok_and(|bytes| bytes as u64 > limit)
    }

    /// One step of each task. `true`: there is more to do at once.
    pub(super) fn run_maintenance(&mut self) -> bool {
        self.publisher.report_floods();
        if !self.is_sound() {
            return false;
        }
        if !self.shared.is_healthy() {
            self.probe();
            return false;
        }
        let now = self.shared.now();
        let (flushes, indexes) = self.write_keys();
        let expired = self.expire(now);
        // A message that is deleted while its key is flushed would leave the key behind.
        let pruned = !flushes && self.prune(now);
        let given_up = self.check_deliveries(now);
        self.shorten_log();
        flushes || indexes || expired || pruned || given_up
    }

    /// Checks whether writing works again, also without requests. Until it does, /readyz and the page say that it does not.
    fn probe(&mut self) {
        if !self.recovery.is_due(Instant::now()) {
            return;
        }
        if let Err(error) = self.files.have_room() {
            tracing::debug!(%error, "the disk has no room for a probe");
            self.recovery.failed(false, Instant::now());
            return;
        }
        let written = self.maintain(|rules| meta::save_probe(rules.storage.connection, Timestamp::now()));
        if written.is_some() {
            self.recovery.succeeded(Instant::now());
            self.shared.set_healthy(true);
            tracing::info!("the store can write again");
        }
    }

    /// Has the write-ahead log copied, and cuts its file to nothing where that is worth a pause: what went by its time is still in it,
    /// as it was; or a reader of an old state has let it grow, for nothing that comes after such a state can be written over. Once
    /// everything is copied this takes a moment. Under load the file is written over again and again, so only what has grown far
    /// beyond that is cut then.
    fn shorten_log(&mut self) {
        let size = self.files.log_size();
        self.shared.set_log_size(size);
        let is_idle = self.uncheckpointed == 0;
        let is_long = size > if is_idle { LONG_WHEN_IDLE } else { LONG };
        if !is_idle || is_long {
            self.uncheckpointed = 0;
            self.checkpointer.ring();
        }
        if (is_idle && self.log_holds_deleted) || (is_long && self.checkpointer.has_copied_all()) {
            self.cut_log();
        }
    }

    fn cut_log(&mut self) {
        if self.next_cut > Instant::now() {
            return;
        }
        self.next_cut = Instant::now() + BETWEEN_CUTS;
        let no_wait = |connection: &Connection| {
            connection.busy_timeout(Duration::ZERO)?;
            let cut = checkpoint::cut(connection);
            connection.busy_timeout(BUSY_TIMEOUT)?;
            cut
        };
        match no_wait(&self.connection) {
            Ok(is_cut) => self.log_holds_deleted = !is_cut,
            Err(error) => tracing::debug!(%error, "the write-ahead log is cut another time"),
        }
    }

    /// Writes what is written later than its message: a step of each kind in one transaction. Gives whether each has more.
    fn write_keys(&mut self) -> (bool, bool) {
        let flushes = self.lookup.wants_flush();
        let run = search_index::next_run(&self.connection).unwrap_or_default();
        if !flushes && run.is_none() {
            return (false, false);
        }
        let done = self.maintain(|rules| {
            if let Some(run) = run {
                search_index::index_run(rules.storage.connection, run)?;
            }
            flushes.then(|| rules.storage.lookup.flush_step(rules.storage.connection)).transpose()
        });
        if let Some(Some(end)) = done {
            self.lookup.flushed(end);
        }
        self.uncheckpointed += 1;
        (flushes && self.lookup.wants_flush(), run.is_some() && done.is_some())
    }

    fn expire(&mut self, now: Timestamp) -> bool {
        let horizon = self.settings.horizon;
        let Ok(before) = now.checked_sub(horizon) else { return false };
        let started = Instant::now();
        if started < self.next_expiry {
            return false;
        }
        let Ok(ids) = retention::past_horizon(&self.connection, before) else { return false };
        // Messages that are scheduled for long after the horizon are passed over each time.
        self.next_expiry = started + EXPIRY_SHARE * started.elapsed();
        if ids.is_empty() {
            return false;
        }
        let is_full = ids.len() as i64 >= STEP;
        let done = self.maintain(|rules| ids.into_iter().try_for_each(|id| rules.expire(id, now, horizon)));
        self.uncheckpointed += 1;
        done.is_some() && is_full
    }

    fn check_deliveries(&mut self, now: Timestamp) -> bool {
        let routes = &self.settings.relays;
        if outbox::is_misdated(&self.connection, routes, now).is_ok_and(|is_so| is_so) {
            self.maintain(|rules| rules.promote_misdated(now));
        }
        let routes = &self.settings.relays;
        let is_due = outbox::oldest_pending(&self.connection, routes).is_ok_and(|oldest| {
            oldest.iter().any(|(relay, since)| {
                let route = routes.iter().find(|route| route.relay == *relay);
                route.is_some_and(|route| *since < before(now, route.max_age))
            })
        });
        is_due && self.maintain(|rules| rules.expire_deliveries(now)).unwrap_or(0) as i64 >= STEP
    }

    fn prune(&mut self, now: Timestamp) -> bool {
        let future = future(now);
        let limits = EventLimits {
            received_before: before(now, self.settings.retention),
            exported_to: self.shared.export_cursor(),
            relayed_from: self.relayed_from(),
            given_up_before: before(now, self.settings.retention.max(self.settings.export_retention)),
            future,
        };
        let state_before = before(now, state_retention(self.settings.retention, self.settings.horizon));
        let from = match self.message_round {
            MessageRound::At(from) => Some(from),
            MessageRound::NextFrom(time) => (time <= Instant::now()).then_some(MessageRowId::default()),
        };
        let oldest = retention::oldest_event(&self.connection, future);
        let events_due = matches!(oldest, Ok(Some(oldest)) if oldest < limits.received_before);
        if !events_due && from.is_none() {
            return false;
        }
        let done = self.maintain(|rules| {
            let connection = rules.storage.connection;
            let mut deleted = if events_due { retention::prune_events(connection, limits)? } else { 0 };
            let mut pruned = retention::PrunedMessages::default();
            deleted += rules.purge_dead_letters()?;
            if let Some(from) = from {
                deleted += retention::prune_event_keys(connection, state_before, future)?;
                pruned = retention::prune_messages(connection, from, state_before, future)?;
                meta::save_seen(connection, now)?;
            }
            Ok((deleted, pruned))
        });
        let Some((deleted, pruned)) = done else { return false };
        self.log_holds_deleted |= deleted > 0 || !pruned.messages.is_empty();
        for (key, message) in pruned.messages {
            self.lookup.forget(key, message);
        }
        let reached = pruned.reached;
        if from.is_some() {
            self.message_round = match reached {
                Some(id) => MessageRound::At(id),
                None => MessageRound::NextFrom(Instant::now() + MESSAGE_ROUND),
            };
        }
        deleted as i64 >= STEP || reached.is_some()
    }

    fn maintain<T>(&mut self, work: impl FnOnce(&mut Rules<'_>) -> rusqlite::Result<T>) -> Option<T> {
        let committed = self.transaction(work).ok()?;
        Some(self.publish(committed))
    }
}
