//! SMS providers: how the requests of each are verified, decoded, redacted and acknowledged. Pure: nothing here does I/O.
//!
//! A provider is a value of [`Provider`], which a source has from its configuration; nothing outside this module calls one by name.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event::{Country, Event};

pub mod keyword;
pub mod smsmode;

pub use keyword::{DEFAULT_START_KEYWORDS, DEFAULT_STOP_KEYWORDS, fold_keyword};

/// One provider, as one source has it. Called in the order of the methods, which must neither block nor fail on any input.
pub trait Provider: fmt::Debug + Send + Sync {
    /// What the provider accepts as a callback.
    fn callback_limits(&self) -> CallbackLimits;

    /// Verifies the signature of a request whose token and address have passed, before anything of it is parsed. The default is
    /// that of a provider that signs nothing.
    ///
    /// # Errors
    /// The signature is missing or wrong: the request is answered 401.
    fn verify(&self, _request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        Ok(())
    }

    /// Reads one webhook. Something that is no receipt or reply is an event of its own kind; no event at all is a probe.
    fn decode(&self, context: &DecodeContext<'_>, webhook: &Webhook<'_>) -> Decoded;

    /// Takes the texts out of `events`, and gives query and body of the webhook that they were decoded from without them.
    fn drop_text<'a>(&self, events: &mut [Event], webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>);

    /// The response to a probe by which the provider verifies a callback URL, where it expects one of its own.
    fn challenge(&self, _webhook: &Webhook<'_>) -> Option<Acknowledgement> {
        None
    }

    /// The response that the provider takes for a success.
    fn acknowledge(&self, success: Success) -> Acknowledgement;
}

/// The provider of a source whose configuration names none.
pub fn default_provider() -> Arc<dyn Provider> {
    Arc::new(smsmode::Smsmode)
}

/// What a provider accepts as a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackLimits {
    /// The longest callback URL, in characters.
    pub url_length: usize,
    /// The provider wants a response within this time.
    pub response_time: Duration,
}

/// A request as its provider signed it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    pub method: &'a Method,
    /// As on the wire, neither decoded nor without our own `traceparent`: a signed URL is signed whole. It holds the token.
    pub path_and_query: &'a str,
    pub headers: &'a HeaderMap,
    /// Decompressed. No known provider compresses what it signs.
    pub body: &'a [u8],
    pub received_at: Timestamp,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("no signature")]
    Missing,
    #[error("wrong signature")]
    Wrong,
}

/// What a source's configuration says about decoding its events.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext<'a> {
    /// Zone of timestamps without an offset.
    pub zone: &'a TimeZone,
    /// Country of numbers in national form.
    pub region: Country,
    /// Texts that are an opt-out, upper case without accents.
    pub stop_keywords: &'a [String],
    /// Texts that take an opt-out back, in the same form.
    pub start_keywords: &'a [String],
}

/// One authenticated webhook, decompressed.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// The query string as it came, without `?`, without our own `traceparent` parameter; empty when there is none.
    pub query: &'a str,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

/// The events of a webhook, in their order; empty when it has no content (no query and no body).
pub type Events = Vec<Event>;

/// What was read of one webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub events: Events,
    /// Its JSON was damaged, and was read leniently.
    pub repaired: bool,
    /// What was not recognized has a message id and a status, in whatever spelling: a receipt that could not be read.
    pub has_unread_receipt: bool,
}

/// Why a request is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// At least one recognized event was new, and is on disk.
    Accepted,
    /// All events were known.
    Duplicate,
    /// Something was new and is on disk, but nothing of that was recognized.
    Unrecognized,
    /// It has no event.
    Probe,
}

/// A response to a provider: what it has to be for the provider not to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub status: StatusCode,
    /// `None` with an empty body.
    pub content_type: Option<&'static str>,
    pub body: Bytes,
}
