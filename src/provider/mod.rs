//! Decoding what a provider sends: bytes and query in, events out. Pure: nothing here does I/O.

use jiff::tz::TimeZone;

use crate::event::{Country, Event};

pub mod keyword;
pub mod smsmode;

pub use keyword::{DEFAULT_START_KEYWORDS, DEFAULT_STOP_KEYWORDS, fold_keyword};

/// What a source's configuration says about reading its events.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
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
