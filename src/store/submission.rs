//! What is given to the store to be stored, and what it says of it.

use bytes::Bytes;
use jiff::Timestamp;

use super::backlog::Weight;
use crate::event::{Event, SourceName, TraceParent};
use crate::record::Position;

/// One request, decoded, to be stored whole or not at all.
#[derive(Clone, Debug)]
pub struct Submission {
    pub source: SourceName,
    pub arrived_at: Timestamp,
    pub trace: Option<TraceParent>,
    /// It did not come by a webhook: the provider was asked for it.
    pub reconciled: bool,
    /// Its JSON was damaged, and was read leniently.
    pub repaired: bool,
    /// It did not come now: a stored request, which arrived then, is read again.
    pub reprocessed: Option<Reprocessed>,
    pub raw: Raw,
    /// In the order of the request.
    pub events: Vec<Event>,
}

impl Submission {
    pub(super) fn weight(&self) -> Weight {
        Weight { events: self.events.len(), bytes: self.raw.body.len() + self.raw.query.len() }
    }
}

/// The request as it came, without anything secret, its body decompressed.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    pub method: String,
    pub query: String,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// What became of a submission that is on disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestOutcome {
    /// At least one recognized event was new.
    Accepted,
    /// All events were known.
    Duplicate,
    /// Something was new, but nothing of that was recognized.
    Unrecognized,
}

/// A request with one unrecognized event or more, that have not been read again with success.
#[derive(Clone, Debug, PartialEq)]
pub struct Unrecognized {
    /// The event that holds the request.
    pub request: Position,
    pub received_at: Timestamp,
    pub source: SourceName,
    pub trace: Option<TraceParent>,
    /// `None` where it was erased.
    pub raw: Option<Raw>,
    /// The unrecognized events of the request, in its order.
    pub events: Vec<Position>,
    /// The request has no other events.
    pub is_whole: bool,
}

/// That a submission reads a stored request again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reprocessed {
    /// The event that holds the request.
    pub request: Position,
    /// The unrecognized events that are understood now.
    pub resolves: Vec<Position>,
    /// Query and body without texts, where the source drops them and could not do so before.
    pub redacted: Option<(String, Vec<u8>)>,
    /// When it is read again. It is the place in the journal that follows the clock, not the arrival of the request.
    pub at: Timestamp,
}
