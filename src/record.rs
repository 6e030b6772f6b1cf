//! The journal's record of one stored event: the source of its log record, and what commands show of it.
//!
//! It is stored as JSON with the raw request, so fields are only ever added, and every one but `kind` and `source` may be absent.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::event::{Reason, SourceName};

/// What happened. The names are the OTLP event names without their `sms.` prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumCount, VariantArray)]
pub enum Kind {
    #[serde(rename = "message.scheduled")]
    Scheduled,
    #[serde(rename = "message.enroute")]
    Enroute,
    #[serde(rename = "message.delivered")]
    Delivered,
    #[serde(rename = "message.failed")]
    Failed,
    #[serde(rename = "message.read")]
    Read,
    #[serde(rename = "message.expired")]
    Expired,
    #[serde(rename = "message.unknown")]
    Unknown,
    #[serde(rename = "reply.received")]
    Reply,
    #[serde(rename = "reply.stop")]
    Stop,
    #[serde(rename = "webhook.unrecognized")]
    Unrecognized,
    #[serde(rename = "resend.requested")]
    Resend,
}

impl Kind {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// Whether it is what a receipt says, and not what smscope found or a person wrote.
    pub fn is_receipt(self) -> bool {
        matches!(self, Kind::Scheduled | Kind::Enroute | Kind::Delivered | Kind::Failed | Kind::Read | Kind::Unknown)
    }

    /// The word in the journal: the event name without its `sms.` prefix.
    pub fn as_str(self) -> &'static str {
        let name = self.event_name();
        name.strip_prefix("sms.").unwrap_or(name)
    }

    /// The OTLP `EventName`.
    pub fn event_name(self) -> &'static str {
        match self {
            Kind::Scheduled => "sms.message.scheduled",
            Kind::Enroute => "sms.message.enroute",
            Kind::Delivered => "sms.message.delivered",
            Kind::Failed => "sms.message.failed",
            Kind::Read => "sms.message.read",
            Kind::Expired => "sms.message.expired",
            Kind::Unknown => "sms.message.unknown",
            Kind::Reply => "sms.reply.received",
            Kind::Stop => "sms.reply.stop",
            Kind::Unrecognized => "sms.webhook.unrecognized",
            Kind::Resend => "sms.resend.requested",
        }
    }
}

/// The message that a reply answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    pub message_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ref_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub campaign_id: Option<String>,
    /// When it was accepted, else sent, else first seen here.
    pub accepted_at: Timestamp,
    /// From then to the reply.
    pub after_ms: i64,
    pub matched_by: MatchedBy,
}

/// How it is known which message a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The reply names it.
    MessageId,
    /// It is the last with the reply's refClient.
    RefClient,
    /// It is the last to the reply's number, within the window.
    Number,
}

/// That a failed message is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resend {
    /// The name of the setting that says so.
    pub rule: String,
    /// From 1, along the chain of messages that stand for one another, and how many there may be.
    pub attempt: u32,
    pub attempts: u32,
    pub through: Through,
    /// It is of no use later: the sender has to check this.
    pub until: Timestamp,
}

/// For people: "by smscope: attempt 1 of 2 (absent)".
impl fmt::Display for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.through {
            Through::Api => "by smscope",
            Through::Relay => "by whom it is relayed to",
            Through::DryRun => "by nobody, this is a dry run",
        };
        write!(f, "{by}: attempt {} of {} ({})", self.attempt, self.attempts, self.rule)
    }
}

/// Who sends it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Through {
    /// smscope, by the provider's API.
    #[default]
    Api,
    /// Whoever takes the relayed event.
    Relay,
    /// Nobody: it is a rehearsal.
    DryRun,
}

/// One stored event, decoded. Labels (`channel`, `flow`, `country`) are those of the message, fixed at its first sight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub kind: Kind,
    pub source: SourceName,
    /// When it happened, by the provider.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub occurred_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ref_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub campaign_id: Option<String>,
    /// The provider's own status value and detail.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The normalised cause, on failures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// The other person's number: digits of E.164 without `+` where it could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    /// Our side: sender name or short code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub originator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mccmnc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<u32>,
    /// Price in millionths of `currency`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub currency: Option<String>,
    /// Sent (else accepted) to delivered, by the provider's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// What a reply answers, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answers: Option<Answers>,
    /// The provider's id of the failed message that this one was sent again for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaces: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resend: Option<Resend>,
    /// Why it was not recognized.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// The W3C traceparent of the request that sent the message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<String>,
    /// It did not come by a webhook: the provider was asked for it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub reconciled: bool,
    /// The JSON that it came in was damaged, and was read leniently.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repaired: bool,
    /// It was read from a stored request that was not understood at first; of an unrecognized event also: it is understood by now.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub reprocessed: bool,
    /// When its request arrived, where that is not when it was stored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arrived_at: Option<Timestamp>,
    /// The personal data in it has been erased.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub erased: bool,
}

impl Record {
    /// A record that says nothing yet but what happened and where it was reported.
    pub fn new(kind: Kind, source: SourceName) -> Self {
        Self {
            kind,
            source,
            occurred_at: None,
            channel: None,
            flow: None,
            country: None,
            message_id: None,
            ref_client: None,
            origin_message_id: None,
            campaign_id: None,
            status: None,
            detail: None,
            reason: None,
            number: None,
            originator: None,
            mccmnc: None,
            network: None,
            parts: None,
            cost_micros: None,
            currency: None,
            delivery_ms: None,
            text: None,
            answers: None,
            replaces: None,
            resend: None,
            why: None,
            trace: None,
            reconciled: false,
            repaired: false,
            reprocessed: false,
            arrived_at: None,
            erased: false,
        }
    }
}

/// An event's sequence number in the journal: grows by one with each stored event, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    /// The position `events` later.
    pub fn plus(self, events: usize) -> Self {
        Self(self.0.saturating_add_unsigned(events as u64))
    }

    /// The position `events` earlier.
    pub fn minus(self, events: usize) -> Self {
        Self(self.0.saturating_sub_unsigned(events as u64))
    }

    /// How many events are after `earlier`, up to this one; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0 - earlier.0).unwrap_or(0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record with its position in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub position: Position,
    pub received_at: Timestamp,
    pub record: Record,
}
