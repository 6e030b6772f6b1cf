//! Hashes by which rows are found.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// 64 bits of the SHA-256 of some texts, each with its length, so that no two lists of texts run together.
pub fn short_hash(texts: &[&str]) -> i64 {
    let mut hash = Sha256::new();
    update(&mut hash, texts);
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

/// 128 bits of it.
pub fn long_hash(texts: &[&str]) -> Uuid {
    let mut digest = Sha256::new();
    update(&mut digest, texts);
    let digest: [u8; 32] = digest.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

/// Of the dedup key of a reply or an unrecognized request.
pub fn event_hash(source: &str, key: &str) -> Uuid {
    long_hash(&["event", source, key])
}

/// Adds each text with its length, so that no two lists of texts run together.
pub fn update(hash: &mut Sha256, texts: &[&str]) {
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_texts_run_together() {
        assert_ne!(short_hash(&["ab", "c"]), short_hash(&["a", "bc"]));
        assert_ne!(short_hash(&["ab", ""]), short_hash(&["ab"]));
    }
}
