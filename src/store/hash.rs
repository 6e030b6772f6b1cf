//! Short hashes, by which rows are found.

use sha2::{Digest, Sha256};

/// 64 bits of the SHA-256 of some texts, each with its length, so that no two lists of texts run together.
pub fn short_hash(texts: &[&str]) -> i64 {
    let mut hash = Sha256::new();
    update(&mut hash, texts);
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
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
