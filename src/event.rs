//! The domain: what a provider tells us, in the field's own words. Plain data, no I/O.
//!
//! A *message* goes out (mobile terminated, MT) to a *recipient*; a *receipt* (delivery receipt, DLR) reports its
//! status; a *reply* comes in (mobile originated, MO).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumString, IntoStaticStr, VariantArray};

/// The name of one configured provider account: 1 to 32 of `a-z 0-9 - _`, as it stands in the callback URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// `None` when `name` is empty, longer than 32 bytes or has other characters than `a-z 0-9 - _`.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        fits.then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our normalised cause of a failure: a small closed set, so that it can be a label.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumCount,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Credit,
    Limit,
    SpamFiltered,
    Content,
    InvalidNumber,
    Blacklisted,
    HandsetAbsent,
    HandsetError,
    Network,
    Routing,
    Portability,
    Roaming,
    Expired,
    Cancelled,
    NotSupported,
    ProviderError,
    Unknown,
}

impl Reason {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// Reads [`Reason::as_str`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The label value, for example `spam_filtered`.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// What a receipt says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Scheduled,
    Enroute,
    Delivered,
    Failed(Reason),
    Read,
    /// A status that the provider does not document: never a failure.
    Unknown,
}

impl Outcome {
    /// The label value of `sms_receipts_total`.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Scheduled | Outcome::Enroute => "pending",
            Outcome::Delivered => "delivered",
            Outcome::Failed(_) => "failed",
            Outcome::Read => "read",
            Outcome::Unknown => "unknown",
        }
    }
}

/// The status part of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The provider's own value, in one spelling: `DELIVERED`, or the legacy code `11`.
    pub value: String,
    /// The same as it was written, where that differs: earlier versions knew a receipt by it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value_text: Option<String>,
    /// The provider's own detail, as it came: `BLACKLISTED`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    pub outcome: Outcome,
    /// When the status was reached, by the provider's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Timestamp>,
    /// The same as it was written, which tells two receipts apart where it could not be read; empty when absent.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub time_text: String,
}

/// ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// `None` unless `code` is two upper-case ASCII letters.
    pub const fn new(code: &str) -> Option<Self> {
        match code.as_bytes() {
            &[a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(Self([a, b])),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.as_str().to_owned()
    }
}

impl TryFrom<String> for Country {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::new(&code).ok_or("no country code")
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A price in millionths of its currency. `currency` is as the provider writes it (`EUR`), `credits` for legacy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub micros: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub currency: Option<String>,
}

/// Where a message went, as far as the provider looked it up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Mobile country code and network code: five or six digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mccmnc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

impl Network {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// A receipt: what the provider says of one outbound message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub message_id: String,
    /// Legacy only: the recipient in one spelling (`number::plain`), because one smsID covers many recipients. Empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message_part: String,
    /// The same as it was written, where that differs: earlier versions knew a message by it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part_text: Option<String>,
    /// Legacy only: the message id covers many recipients, or may.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub shares_id: bool,
    /// `SMS`, `RCS`, `WHATSAPP` or whatever came; `None` when nothing came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel_id: Option<String>,
    /// `MARKETING`, `TRANSACTIONAL`, `OTP` or whatever came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<String>,
    /// The recipient: digits of the E.164 form without `+` when it could be read as such, else as it came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub country: Option<Country>,
    /// The sender shown to the recipient.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub originator: Option<String>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Network::is_unknown", default)]
    pub network: Network,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ref_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub campaign_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    Reply,
    /// An opt-out: the provider says so, or the text is a stop keyword.
    Stop,
}

impl ReplyKind {
    pub const ALL: [ReplyKind; 2] = [ReplyKind::Reply, ReplyKind::Stop];

    pub fn as_str(self) -> &'static str {
        match self {
            ReplyKind::Reply => "reply",
            ReplyKind::Stop => "stop",
        }
    }
}

/// A reply: what a person sent to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// v1: the message id; legacy: responseID, else a hash of all parameters.
    pub reply_id: String,
    /// Where the id is a hash, what earlier versions made of the same parameters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub former_id: Option<String>,
    pub kind: ReplyKind,
    /// The text takes an opt-out back.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub opts_in: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow: Option<String>,
    /// The person who wrote, as [`Receipt::number`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub country: Option<Country>,
    /// Our side: the short code or sender that the person wrote to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub originator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Network::is_unknown", default)]
    pub network: Network,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ref_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub campaign_id: Option<String>,
    /// The message that this answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
}

/// One thing that a webhook reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Receipt(Box<Receipt>),
    Reply(Box<Reply>),
    /// Authenticated and with content, but of an unknown shape: stored raw.
    Unrecognized(Unrecognized),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecognized {
    /// SHA-256 of query and body: the same bytes again are the same event.
    #[serde(with = "digest")]
    pub digest: [u8; 32],
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel_id: Option<String>,
    /// What did not fit, in a few words and without anything of the content: `no messageId`.
    pub why: Cow<'static, str>,
}

/// A digest in JSON.
mod digest {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(digest))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        super::hex_bytes(&text).ok_or_else(|| de::Error::custom("no digest"))
    }
}

impl Event {
    /// The provider's channel id, where it names one.
    pub fn channel_id(&self) -> Option<&str> {
        match self {
            Event::Receipt(r) => r.channel_id.as_deref(),
            Event::Reply(r) => r.channel_id.as_deref(),
            Event::Unrecognized(u) => u.channel_id.as_deref(),
        }
    }

    /// Takes the text out, for an operator who keeps none.
    pub fn drop_text(&mut self) {
        match self {
            Event::Receipt(receipt) => receipt.text = None,
            Event::Reply(reply) => reply.text = None,
            Event::Unrecognized(_) => {}
        }
    }
}

/// A W3C trace context, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceParent {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub flags: u8,
}

impl TraceParent {
    /// Whether the one who began the trace may have recorded it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>` in lower case. `None` for anything else, all-zero ids included.
    ///
    /// Source: W3C Trace Context, section 3.2.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if version != "00" || fields.next().is_some() {
            return None;
        }
        let parsed = Self { trace_id: hex_bytes(trace)?, span_id: hex_bytes(span)?, flags: hex_bytes::<1>(flags)?[0] };
        (parsed.trace_id != [0; 16] && parsed.span_id != [0; 8]).then_some(parsed)
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

impl TryFrom<String> for TraceParent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no traceparent")
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace_id), hex(&self.span_id), self.flags)
    }
}

/// An id in one spelling: a UUID in lower case (RFC 9562: its case says nothing), anything else as it is.
pub fn plain_id(mut id: String) -> String {
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    if is_uuid {
        id.make_ascii_lowercase();
    }
    id
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

/// Reads [`hex`] back; `None` for anything else.
pub fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 || digits.iter().any(|d| d.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_name_is_what_fits_in_a_url() {
        for good in ["smsmode", "sms-mode_2", "a"] {
            assert!(SourceName::new(good).is_some(), "{good}");
        }
        for bad in ["", "Smsmode", "a/b", "é", "a b", &"x".repeat(33)] {
            assert!(SourceName::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_case_of_a_uuid_is_no_part_of_an_id_and_that_of_any_other_id_is() {
        for (written, plain) in [
            ("67C15045-96E8-4E5A-9C3B-0123456789AB", "67c15045-96e8-4e5a-9c3b-0123456789ab"),
            ("67c15045-96e8-4e5a-9c3b-0123456789ab", "67c15045-96e8-4e5a-9c3b-0123456789ab"),
            ("kTy/H", "kTy/H"),
            ("67C15045-96E8-4E5A-9C3B-0123456789AG", "67C15045-96E8-4E5A-9C3B-0123456789AG"),
            ("67C1504596E84E5A9C3B0123456789AB", "67C1504596E84E5A9C3B0123456789AB"),
            ("67C15045-96E8-4E5A-9C3B0-123456789AB", "67C15045-96E8-4E5A-9C3B0-123456789AB"),
            ("", ""),
        ] {
            assert_eq!(plain_id(written.to_owned()), plain, "{written}");
        }
    }

    #[test]
    fn a_trace_parent_reads_back_as_it_was_written_and_a_malformed_one_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).map(|t| t.to_string()).as_deref(), Some(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
