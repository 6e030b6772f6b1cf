//! The life of one message: its webhooks, with realistic delays.
//!
//! All times are seconds by the provider's clock after the message was sent.

use super::content::{self, Flow};
use super::dice::Dice;
use super::message::{Message, Payload, Receipt, Reply, ReplyBody, Step};
use super::status::{self, Channel, Dialect, Failure, Meaning, Status, When};

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Delivered,
    Failed(Failure),
    /// No final receipt ever comes.
    Forgotten,
    /// Reported as failed, delivered later all the same.
    FailedThenDelivered(Failure),
    /// A failure that is reported after the delivery, and means nothing.
    DeliveredThenFailed(Failure),
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;

/// The longest that anything takes: a run must end.
const LONGEST: f64 = 6.0 * HOUR;

/// Shares of all messages.
const FAILED: f64 = 0.04;
const FORGOTTEN: f64 = 0.01;
const FAILED_THEN_DELIVERED: f64 = 0.005;
const DELIVERED_THEN_FAILED: f64 = 0.003;
const SCHEDULED: f64 = 0.03;
const UNDOCUMENTED: f64 = 0.005;
/// Of deliveries: the handset was off, and comes back minutes to hours later.
const SLOW: f64 = 0.04;

/// Shares of all webhooks.
const HELD_UP: f64 = 0.01;
const HOURS_LATE: f64 = 0.005;
const REPEATED: f64 = 0.02;

impl Fate {
    /// The fate of an ordinary day.
    pub fn draw(dialect: Dialect, channel: Channel, dice: &mut Dice) -> Self {
        let failure = Failure::draw(dialect, channel, dice);
        let shares = [
            (Fate::Failed(failure), FAILED),
            (Fate::Forgotten, FORGOTTEN),
            (Fate::FailedThenDelivered(failure), FAILED_THEN_DELIVERED),
            (Fate::DeliveredThenFailed(failure), DELIVERED_THEN_FAILED),
            (Fate::Delivered, 1.0 - FAILED - FORGOTTEN - FAILED_THEN_DELIVERED - DELIVERED_THEN_FAILED),
        ];
        dice.weighted(&shares, |share| share.1).0
    }

    /// The failure that is reported, whatever follows.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Fate::Failed(failure) | Fate::FailedThenDelivered(failure) | Fate::DeliveredThenFailed(failure) => {
                Some(failure)
            }
            Fate::Delivered | Fate::Forgotten => None,
        }
    }
}

/// The steps of `message`, whose other fields are set; `keywords` are what opts out by its text.
pub fn steps(message: &Message, fate: Fate, keywords: &[String], dice: &mut Dice) -> Vec<Step> {
    let mut story = Story { message, keywords, steps: Vec::new(), dice };
    story.report(fate);
    story.steps
}

struct Story<'a> {
    message: &'a Message,
    keywords: &'a [String],
    steps: Vec<Step>,
    dice: &'a mut Dice,
}

impl Story<'_> {
    fn report(&mut self, fate: Fate) {
        let (dialect, channel) = (self.message.dialect, self.message.channel);
        if self.message.is_scheduled() {
            self.scheduled();
        }
        if self.dice.chance(0.55) || fate == Fate::Forgotten {
            let happens = self.dice.log_normal(0.6, 0.4);
            let status = status::enroute(dialect, channel, self.dice);
            self.receipt(status, happens);
        }
        if self.dice.chance(UNDOCUMENTED) {
            let happens = self.dice.log_normal(1.0, 0.4);
            self.receipt(status::undocumented(dialect), happens);
        }
        match fate {
            Fate::Forgotten => {}
            Fate::Delivered => {
                self.delivered();
            }
            Fate::Failed(failure) => {
                self.failed(failure, 0.0);
            }
            Fate::FailedThenDelivered(failure) => {
                let failed = self.failed(failure, 0.0);
                let happens = failed + self.dice.log_normal(20.0 * MINUTE, 0.8).min(HOUR);
                let status = status::delivered(dialect, self.dice);
                self.receipt(status, happens);
            }
            Fate::DeliveredThenFailed(failure) => {
                let delivered = self.delivered();
                self.failed(failure, delivered);
            }
        }
    }

    /// Accepted now, to be sent later.
    fn scheduled(&mut self) {
        let happens = 0.5 - self.message.waits;
        self.receipt(status::SCHEDULED, happens);
    }

    /// Gives when it was delivered.
    fn delivered(&mut self) -> f64 {
        let slow = !self.message.is_scheduled() && self.dice.chance(SLOW);
        let happens = if slow {
            self.dice.log_normal(20.0 * MINUTE, 1.1).clamp(MINUTE, LONGEST)
        } else {
            let median = match self.message.flow {
                Flow::Otp => 2.5,
                Flow::Transactional => 3.5,
                Flow::Marketing => 6.0,
            };
            self.dice.log_normal(median, 0.7).clamp(0.5, 10.0 * MINUTE)
        };
        let status = status::delivered(self.message.dialect, self.dice);
        self.receipt(status, happens);
        let reads = match (self.message.dialect, self.message.channel) {
            (Dialect::Legacy, _) => 0.02,
            (_, Channel::Sms) => 0.0,
            (_, Channel::Rcs) => 0.55,
            (_, Channel::Whatsapp) => 0.7,
        };
        if self.dice.chance(reads) {
            let read = happens + self.dice.log_normal(4.0 * MINUTE, 1.2).min(2.0 * HOUR);
            self.receipt(status::read(self.message.dialect), read);
        }
        self.replies(happens);
        happens
    }

    /// Gives when it failed.
    fn failed(&mut self, failure: Failure, after: f64) -> f64 {
        let takes = match failure.when {
            When::AtOnce => self.dice.log_normal(0.8, 0.5),
            When::AfterTries => self.dice.log_normal(15.0 * MINUTE, 1.2).min(LONGEST),
        };
        let happens = after + takes;
        self.receipt(failure.status, happens);
        happens
    }

    fn replies(&mut self, delivered: f64) {
        let (share, stops) = match self.message.flow {
            Flow::Otp => (0.0, 0.0),
            Flow::Transactional => (0.02, 0.05),
            Flow::Marketing => (0.03, 0.7),
        };
        if !self.dice.chance(share) {
            return;
        }
        let body = if self.dice.chance(stops) { self.stop() } else { self.answer() };
        let id = self.dice.uuid();
        let is_old = self.message.dialect == Dialect::Legacy && self.dice.chance(0.2);
        let payload = Payload::Reply(Reply {
            id: (!is_old).then_some(id),
            body,
            person_in_recipient: self.dice.chance(0.4),
            has_direction: self.dice.chance(0.9),
        });
        let happens = delivered + self.dice.log_normal(5.0 * MINUTE, 1.2).min(2.0 * HOUR);
        self.step(payload, happens);
    }

    fn stop(&mut self) -> ReplyBody {
        let flagged = self.message.dialect == Dialect::V1 && (self.keywords.is_empty() || self.dice.chance(0.5));
        if flagged {
            ReplyBody::FlaggedStop(content::answer(self.dice).to_owned())
        } else if self.keywords.is_empty() {
            self.answer()
        } else {
            let keyword = self.dice.pick(self.keywords);
            ReplyBody::Keyword(content::opt_out(keyword, self.dice))
        }
    }

    fn answer(&mut self) -> ReplyBody {
        if self.message.channel == Channel::Sms || self.dice.chance(0.6) {
            return ReplyBody::Text(content::answer(self.dice).to_owned());
        }
        match self.dice.below(3) {
            0 => ReplyBody::Suggestion,
            1 => ReplyBody::Location,
            _ => ReplyBody::File,
        }
    }

    fn receipt(&mut self, status: Status, happens: f64) {
        let is_final = !matches!(status.meaning, Meaning::Scheduled | Meaning::Enroute | Meaning::Unknown);
        let has_network = self.dice.chance(if is_final { 0.95 } else { 0.5 });
        let has_price = self.dice.chance(if is_final { 0.97 } else { 0.5 });
        self.step(Payload::Receipt(Receipt { status, has_network, has_price }), happens);
    }

    fn step(&mut self, payload: Payload, happens: f64) {
        let held_up = self.dice.chance(HELD_UP);
        // Scheduled messages take hours already.
        let hours_late = !self.message.is_scheduled() && self.dice.chance(HOURS_LATE);
        let transport = if hours_late {
            self.dice.log_uniform(HOUR, LONGEST)
        } else if held_up {
            self.dice.log_uniform(MINUTE, 30.0 * MINUTE)
        } else {
            self.dice.log_normal(0.4, 0.5)
        };
        // As if an acknowledgement had been lost once or twice: the provider's first and second retry.
        let copies = match (self.dice.chance(REPEATED), self.dice.chance(0.3)) {
            (false, _) => vec![],
            (true, false) => vec![30.0],
            (true, true) => vec![30.0, 150.0],
        };
        self.steps.push(Step { happens, arrives: happens + transport, copies, payload });
    }
}

/// [`Message::waits`]. The legacy API has no word for a scheduled message.
pub fn waits(dialect: Dialect, dice: &mut Dice) -> f64 {
    let scheduled = dice.chance(SCHEDULED);
    let at_once = dice.log_normal(0.3, 0.4).min(5.0);
    let ahead = dice.log_uniform(10.0 * MINUTE, 4.0 * HOUR);
    if scheduled && dialect == Dialect::V1 { ahead } else { at_once }
}
