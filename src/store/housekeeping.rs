//! The writer's chores: expiry, retention, the size limit. Each step is a short transaction between two of requests.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use super::connection::BUSY_TIMEOUT;
use super::jobs::Request;
use super::retention::{self, EventLimits};
use super::rows;
use super::transaction::Open;
use super::writer::Writer;
use super::{Refusal, checkpoint, relays};

/// How often the oldest messages are looked through for ones that may go.
const MESSAGE_ROUND: Duration = Duration::from_secs(60);

/// How often at most the write-ahead log is cut because of what went.
const BETWEEN_CUTS: Duration = Duration::from_secs(10);

/// Bytes of the write-ahead log above which its file is cut: well above what `checkpoint.rs` lets it grow to under load, and what it
/// has after a burst.
const LONG: u64 = 96 << 20;
const LONG_WHEN_IDLE: u64 = 16 << 20;

/// Where the walk through the oldest messages stands.
pub enum MessageRound {
    At(i64),
    NextFrom(Instant),
}

impl Writer {
    /// Refuses what would go beyond the size limit, once pruning of what was exported is not enough.
    pub(super) fn make_room(&mut self, keep: &mut Vec<Request>) {
        let Some(limit) = self.settings.size_limit else { return };
        if keep.is_empty() || !self.is_over(limit) {
            return;
        }
        let limits = EventLimits {
            received_before: i64::MAX,
            exported_to: self.shared.export_cursor(),
            relayed_from: self.relayed_from(),
            given_up_before: i64::MIN,
            future: i64::MAX,
        };
        for _ in 0..10 {
            match self.house_transaction(|open| retention::prune_events(open.connection, limits)) {
                Some(1..) if self.is_over(limit) => {}
                _ => break,
            }
        }
        if self.is_over(limit) {
            for request in keep.drain(..) {
                let _gone = request.answer.send(Err(Refusal::SizeLimit));
            }
        }
    }

    fn relayed_from(&self) -> Option<i64> {
        // What cannot be read cannot be deleted either.
        relays::needed_from(&self.connection, &self.settings.relays).unwrap_or(Some(0))
    }

    fn is_over(&self, limit: u64) -> bool {
        retention::bytes_in_use(&self.connection).is_ok_and(|bytes| bytes as u64 > limit)
    }

    /// One step of each chore. `true`: there is more to do at once.
    pub(super) fn keep_house(&mut self) -> bool {
        self.floods.report(Instant::now());
        if !self.is_sound() {
            return false;
        }
        if !self.shared.is_healthy() {
            self.probe();
            return false;
        }
        let now = self.shared.now();
        let moved = self.move_keys();
        let expired = self.expire(now);
        // A message that goes while its key moves would leave the key behind.
        let pruned = !moved && self.prune(now);
        let given_up = self.see_to_deliveries(now);
        self.shorten_log();
        moved || expired || pruned || given_up
    }

    /// Finds out whether writing works again, also when nobody calls. Until it does, /readyz and the page say that it does not.
    fn probe(&mut self) {
        if !self.recovery.is_due(Instant::now()) {
            return;
        }
        if let Err(error) = self.files.have_room() {
            tracing::debug!(%error, "the disk has no room for a probe");
            self.recovery.failed(false, Instant::now());
            return;
        }
        let now = Timestamp::now().as_millisecond();
        let written = self.house_transaction(|open| {
            open.connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('probed_at', ?1)", [now])
        });
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
        if (is_idle && self.log_holds_what_went) || (is_long && self.checkpointer.has_copied_all()) {
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
            Ok(is_cut) => self.log_holds_what_went = !is_cut,
            Err(error) => tracing::debug!(%error, "the write-ahead log is cut another time"),
        }
    }

    fn move_keys(&mut self) -> bool {
        if !self.lookup.has_many() {
            return false;
        }
        if let Some(end) = self.house_transaction(|open| open.lookup.write_step(open.connection)) {
            self.lookup.moved(end);
        }
        self.uncheckpointed += 1;
        self.lookup.has_many()
    }

    fn expire(&mut self, now: Timestamp) -> bool {
        let horizon = self.settings.horizon;
        let Ok(before) = now.checked_sub(horizon) else { return false };
        let Ok(ids) = retention::past_horizon(&self.connection, before) else { return false };
        if ids.is_empty() {
            return false;
        }
        let full = ids.len() as i64 == retention::STEP;
        let done = self.house_transaction(|open| {
            for id in ids {
                open.expire(id, now, horizon)?;
            }
            Ok(())
        });
        self.uncheckpointed += 1;
        done.is_some() && full
    }

    fn see_to_deliveries(&mut self, now: Timestamp) -> bool {
        if relays::is_misdated(&self.connection, &self.settings.relays, now).is_ok_and(|is_so| is_so) {
            self.house_transaction(|open| open.bring_forward(now));
        }
        let is_due = relays::oldest_pending(&self.connection, &self.settings.relays).is_ok_and(|oldest| {
            oldest.iter().any(|(relay, since)| {
                let max_age =
                    self.settings.relays.iter().find(|route| route.relay == *relay).map(|route| route.max_age);
                max_age.is_some_and(|max_age| *since < retention::before(now, max_age))
            })
        });
        if !is_due {
            return false;
        }
        let given_up = self.house_transaction(|open| open.give_up_old(now)).unwrap_or(0);
        given_up as i64 >= retention::STEP
    }

    fn prune(&mut self, now: Timestamp) -> bool {
        let future = retention::future(now);
        let limits = EventLimits {
            received_before: retention::before(now, self.settings.retention),
            exported_to: self.shared.export_cursor(),
            relayed_from: self.relayed_from(),
            given_up_before: retention::before(now, self.settings.retention.max(self.settings.export_retention)),
            future,
        };
        let state_before =
            retention::before(now, retention::state_retention(self.settings.retention, self.settings.horizon));
        let from = match self.message_round {
            MessageRound::At(from) => Some(from),
            MessageRound::NextFrom(time) => (time <= Instant::now()).then_some(0),
        };
        let oldest = retention::oldest_event(&self.connection, future);
        let events_due = matches!(oldest, Ok(Some(oldest)) if oldest < limits.received_before);
        if !events_due && from.is_none() {
            return false;
        }
        let done = self.house_transaction(|open| {
            let mut gone = if events_due { retention::prune_events(open.connection, limits)? } else { 0 };
            let mut pruned = retention::PrunedMessages::default();
            gone += open.forget_dead()?;
            if let Some(from) = from {
                gone += retention::prune_event_keys(open.connection, state_before, future)?;
                pruned = retention::prune_messages(open.connection, from, state_before, future)?;
                rows::save_seen(open.connection, now)?;
            }
            Ok((gone, pruned))
        });
        let Some((gone, pruned)) = done else { return false };
        let went = !pruned.messages.is_empty();
        for (key, message) in pruned.messages {
            self.lookup.forget(key, message);
        }
        let reached = pruned.reached;
        if from.is_some() {
            self.message_round = match reached {
                Some(place) => MessageRound::At(place),
                None => MessageRound::NextFrom(Instant::now() + MESSAGE_ROUND),
            };
        }
        self.log_holds_what_went |= gone > 0 || went;
        gone as i64 >= retention::STEP || reached.is_some()
    }

    fn house_transaction<T>(&mut self, work: impl FnOnce(&mut Open<'_>) -> rusqlite::Result<T>) -> Option<T> {
        let done = self.transaction(work).ok()?;
        Some(self.show(done))
    }
}
