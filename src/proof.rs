//! How a probe of the callback URL learns which smscope answered it: the header `Smscope-Probe` takes a nonce, and the answer has a
//! keyed digest of it under the same name, which only the smscope with the same data directory can make.
//!
//! Only who has the token is answered at all. The key is derived from that of the recipient hashes, so that nothing that is told
//! here is the hash of a number.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::Sha256;

use crate::event::hex;

/// In the request the nonce, in the answer the proof.
pub const HEADER: HeaderName = HeaderName::from_static("smscope-probe");

/// What the key is derived for.
const PURPOSE: &[u8] = b"smscope probe";

/// The key of one data directory.
#[derive(Clone)]
pub struct ProofKey(Hmac<Sha256>);

impl ProofKey {
    /// `hash_key` is that of the data directory.
    pub fn new(hash_key: &[u8; 32]) -> Self {
        let mut derived = keyed(hash_key);
        derived.update(PURPOSE);
        Self(keyed(&derived.finalize().into_bytes()))
    }

    /// The proof for a nonce; `None` for what is no nonce of ours.
    pub fn of(&self, nonce: &str) -> Option<String> {
        let is_nonce = nonce.len() == NONCE_LENGTH && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_nonce.then(|| {
            let mut mac = self.0.clone();
            mac.update(nonce.as_bytes());
            hex(&mac.finalize().into_bytes())
        })
    }
}

impl std::fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProofKey")
    }
}

const NONCE_LENGTH: usize = 32;

/// A nonce that has not been used before.
///
/// # Errors
/// The system gives no random bytes.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; NONCE_LENGTH / 2];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_its_nonce_and_of_its_data_directory() {
        let (ours, theirs) = (ProofKey::new(&[1; 32]), ProofKey::new(&[2; 32]));
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(ours.of(&one), ours.of(&one));
        assert_ne!(ours.of(&one), ours.of(&other));
        assert_ne!(ours.of(&one), theirs.of(&one));
    }

    #[test]
    fn nothing_but_a_nonce_is_answered() {
        let key = ProofKey::new(&[1; 32]);
        for text in ["", "33612345678", &"g".repeat(32), &"a".repeat(31), &"a".repeat(33)] {
            assert_eq!(key.of(text), None, "{text}");
        }
    }
}
