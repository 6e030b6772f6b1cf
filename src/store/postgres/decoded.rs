//! A request as the front door decoded it, in JSON, for the leader. Both may be of different versions: fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::texts::json_without_nul;
use crate::event::{Event, SourceName, TraceParent};
use crate::store::{Raw, Submission};

/// The version of what is written here: a leader leaves what is newer to one that knows it.
pub const FORMAT: i16 = 1;

/// A submission without the request as it came, which is beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decoded {
    source: SourceName,
    arrived_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trace: Option<TraceParent>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    reconciled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    repaired: bool,
    events: Vec<Event>,
}

impl Decoded {
    /// What the leader needs of a submission, and the request.
    pub fn split(submission: Submission) -> (Self, Raw) {
        let Submission { source, arrived_at, trace, reconciled, repaired, raw, events, .. } = submission;
        (Self { source, arrived_at, trace, reconciled, repaired, events }, raw)
    }

    /// No text in it has a NUL.
    ///
    /// # Errors
    /// A time that cannot be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(json_without_nul)
    }

    /// # Errors
    /// It is of a newer version, which has written what this one does not know.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    pub fn into_submission(self, raw: Raw) -> Submission {
        let Self { source, arrived_at, trace, reconciled, repaired, events } = self;
        Submission { source, arrived_at, trace, reconciled, repaired, reprocessed: None, raw, events }
    }
}
