//! What is planned: messages, each with the steps of its story. Plain data.

use std::time::Duration;

use super::content::{Content, Flow};
use super::market::{Market, Network};
use super::status::{Channel, Dialect, Status};

/// One outbound message and all that the provider will tell of it.
///
/// Times that are numbers are seconds by the provider's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its place in the plan, from 0.
    pub number: u64,
    /// When the provider takes it, after the start of the run.
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
    /// The recipient has a `+` before it in what is sent.
    pub plus: bool,
    pub originator: &'static str,
    pub content: Content,
    /// Millionths of a euro, or of a credit where the dialect is legacy. `None`: it is never told.
    pub price: Option<i64>,
    /// The price is a JSON string rather than a number.
    pub price_as_text: bool,
    pub ref_client: Option<String>,
    pub campaign: Option<String>,
    pub channel_id: String,
    /// Receipts say that they are of a message that goes out (`direction`).
    pub tells_direction: bool,
    pub trace: Option<Trace>,
    /// How long it waits at the provider before it is sent: next to nothing, or hours where it is scheduled.
    pub waits: f64,
    /// In the order in which they happen.
    pub steps: Vec<Step>,
}

impl Message {
    /// From its acceptance to the arrival of its last step.
    pub fn span(&self) -> f64 {
        self.waits + self.steps.iter().map(|step| step.arrives).fold(0.0, f64::max)
    }

    /// Was it given a time to be sent at?
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
    /// When what it tells of happens, after the message was sent (negative: while it waits).
    pub happens: f64,
    /// When the webhook is first sent, counted in the same way.
    pub arrives: f64,
    /// When it is sent again without need, after `arrives`.
    pub copies: Vec<f64>,
    pub told: Told,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Receipt {
        status: Status,
        /// The network is told.
        lookup: bool,
        /// The price is told, if there is one.
        price: bool,
    },
    Reply(Reply),
}

/// What the recipient wrote back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// v1: its own message id; legacy: the responseID, which older accounts do not have.
    pub id: Option<String>,
    pub body: ReplyBody,
    /// The person stands in `recipient.to` rather than in `from`.
    pub person_in_recipient: bool,
    pub tells_direction: bool,
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
