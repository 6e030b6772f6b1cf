//! The keys by which rows are found: 128 bits of a SHA-256. A text itself can be too long for an index.

use uuid::Uuid;

pub use crate::store::hash::{event_hash as event, long_hash as key};

/// The identity of a message.
pub fn message(source: &str, message_id: &str, part: &str) -> Uuid {
    key(&["message", source, message_id, part])
}

/// All messages with a legacy id.
pub fn id(source: &str, message_id: &str) -> Uuid {
    key(&["id", source, message_id])
}
