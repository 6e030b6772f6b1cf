//! What is planned: messages, each with its webhooks. Plain data.

use std::time::Duration;

use super::content::{Content, Flow};
use super::market::{Market, Network};
use super::status::{Channel, Dialect, Status};

/// One outbound message and all its webhooks.
///
/// Times that are numbers are seconds by the provider's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its index in the plan, from 0.
    pub number: u64,
    /// When the provider accepts it, after the start of the run.
    pub accepted_at: Duration,
    pub dialect: Dialect,
    /// v1: a UUID; legacy: the smsID, which several messages may share.
    pub id: String,
    pub channel: Channel,
    pub flow: Flow,
    pub market: &'static Market,
    pub network: &'static Network,
    /// Digits of the E.164 form.
    pub recipient: String,
    /// Whether webhooks write the recipient with a `+`.
    pub plus: bool,
    pub originator: &'static str,
    pub content: Content,
    /// Millionths of a euro, or of a credit if the dialect is legacy. `None`: no webhook has it.
    pub price: Option<i64>,
    /// Whether the price is a JSON string rather than a number.
    pub price_as_text: bool,
    pub ref_client: Option<String>,
    pub campaign: Option<String>,
    pub channel_id: String,
    /// Whether receipts have `direction`.
    pub has_direction: bool,
    pub trace: Option<Trace>,
    /// How long it waits at the provider before it is sent: next to nothing, or hours if it is scheduled.
    pub waits: f64,
    /// In the order in which they happen.
    pub steps: Vec<Step>,
}

impl Message {
    /// From its acceptance to the arrival of its last step.
    pub fn span(&self) -> f64 {
        self.waits + self.steps.iter().map(|step| step.arrives).fold(0.0, f64::max)
    }

    /// Whether the application gave a time to send it at.
    pub fn is_scheduled(&self) -> bool {
        self.waits > 60.0
    }
}

/// A traceparent that the application put into the callback URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    Query(String),
    Path(String),
}

/// One webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When what it reports happens, after the message was sent (negative: while it waits).
    pub happens: f64,
    /// When the webhook is first sent, by the same clock.
    pub arrives: f64,
    /// When it is resent without need, after `arrives`.
    pub copies: Vec<f64>,
    pub payload: Payload,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Receipt(Receipt),
    Reply(Reply),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub status: Status,
    /// Whether it names the network.
    pub has_network: bool,
    /// Whether it has the price, if there is one.
    pub has_price: bool,
}

/// What the recipient wrote back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// v1: its own message id; legacy: the responseID, which older accounts do not have.
    pub id: Option<String>,
    pub body: ReplyBody,
    /// Whether the person is in `recipient.to` rather than in `from`.
    pub person_in_recipient: bool,
    pub has_direction: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBody {
    Text(String),
    /// The provider itself says that it is an opt-out (v1).
    FlaggedStop(String),
    /// An opt-out by its text alone.
    Keyword(String),
    Suggestion,
    Location,
    File,
}

impl ReplyBody {
    /// The `kind` label of `sms_replies_total`.
    pub fn kind(&self) -> &'static str {
        match self {
            ReplyBody::FlaggedStop(_) | ReplyBody::Keyword(_) => "stop",
            _ => "reply",
        }
    }
}
