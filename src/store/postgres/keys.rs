//! The keys by which rows are found: 128 bits of a SHA-256. A text itself can be too long for an index.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::hash;

/// A hash of some texts, in their order.
pub fn key(texts: &[&str]) -> Uuid {
    let mut digest = Sha256::new();
    hash::update(&mut digest, texts);
    let digest: [u8; 32] = digest.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

/// The identity of a message.
pub fn message(source: &str, message_id: &str, part: &str) -> Uuid {
    key(&["message", source, message_id, part])
}

/// All messages with a legacy id.
pub fn id(source: &str, message_id: &str) -> Uuid {
    key(&["id", source, message_id])
}

/// A reply or an unrecognized request.
pub fn event(source: &str, event_key: &str) -> Uuid {
    key(&["event", source, event_key])
}
