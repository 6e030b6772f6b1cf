//! The provider's clock.
//!
//! A run is shorter than what it tells of: with time 600 times faster, a delivery that took an hour is told of six seconds after its
//! message was sent. Timestamps must nevertheless look real, durations above all. So each message has its story end now: the last
//! thing that arrives of it arrives, by the provider's clock, at the moment at which it is sent, and all that came before lies as
//! far in the past as it really takes. The same message's sending, delivery and reading are then minutes or hours apart,
//! as they would be, and nothing is ever told of that lies in the future.
//!
//! The price: of a message with a long story, the early receipts arrive long after the time that they bear.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::message::Message;
use super::plan::Settings;

/// Times of one run's messages, as the provider writes them.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Timestamp,
    compression: f64,
    zone: TimeZone,
}

impl Clock {
    /// `zone`: the one in which the provider writes.
    pub fn new(settings: &Settings, zone: TimeZone) -> Self {
        Self { start: settings.start, compression: settings.compression, zone }
    }

    /// The provider's time `seconds` after `message` was sent.
    pub fn at(&self, message: &Message, seconds: f64) -> Timestamp {
        let span = message.span();
        let after_start = message.accepted_at.as_secs_f64() + span / self.compression - span + message.waits + seconds;
        let offset = Duration::from_secs_f64(after_start.abs());
        let moved = if after_start < 0.0 { self.start.checked_sub(offset) } else { self.start.checked_add(offset) };
        moved.unwrap_or(self.start)
    }

    /// `2025-04-01T16:00:10`, as in REST v1.
    pub fn v1(&self, message: &Message, seconds: f64) -> String {
        self.written(message, seconds, "%Y-%m-%dT%H:%M:%S")
    }

    /// `2010-03-25 09:52:17`, as in legacy receipts.
    pub fn legacy_receipt(&self, message: &Message, seconds: f64) -> String {
        self.written(message, seconds, "%Y-%m-%d %H:%M:%S")
    }

    /// `01012013-122233`, as in legacy replies.
    pub fn legacy_reply(&self, message: &Message, seconds: f64) -> String {
        self.written(message, seconds, "%d%m%Y-%H%M%S")
    }

    fn written(&self, message: &Message, seconds: f64, format: &str) -> String {
        self.zone.to_datetime(self.at(message, seconds)).strftime(format).to_string()
    }
}
