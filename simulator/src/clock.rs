//! The provider's clock.
//!
//! A run is shorter than what it reports: with time 600 times faster, a delivery that took an hour is reported six seconds after its
//! message was sent. Timestamps must look real all the same, durations above all. So the last webhook of each message has, by the
//! provider's clock, the time at which it is sent, and the time of each earlier one is as far in the past as it really takes. Sending,
//! delivery and reading of one message are then minutes or hours apart, as they would be, and no webhook reports the future.
//!
//! The price: the early receipts of a slow message arrive long after the time that they bear.

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

    /// That time as the provider writes it.
    pub fn written(&self, message: &Message, seconds: f64, format: &str) -> String {
        self.zone.to_datetime(self.at(message, seconds)).strftime(format).to_string()
    }
}
