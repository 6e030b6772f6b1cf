//! The challenge by which a probe of the callback URL identifies the smscope that responded: the header `Smscope-Probe` of the
//! request has a nonce, and that of the response a keyed digest of it, which only the smscope with the same data directory can make.
//!
//! Only a client with the token gets a response at all. The key is derived from that of the recipient hashes, so that no response is
//! the hash of a number.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::Sha256;

use crate::event::hex;

/// In the request the nonce, in the response the digest.
pub const HEADER: HeaderName = HeaderName::from_static("smscope-probe");

/// What the key is derived for.
const PURPOSE: &[u8] = b"smscope probe";

/// The key of one data directory.
#[derive(Clone)]
pub struct ChallengeKey(Hmac<Sha256>);

impl ChallengeKey {
    /// `hash_key` is that of the data directory.
    pub fn new(hash_key: &[u8; 32]) -> Self {
        let mut derived = keyed(hash_key);
        derived.update(PURPOSE);
        Self(keyed(&derived.finalize().into_bytes()))
    }

    /// The response to a nonce; `None` for what is no nonce of smscope's.
    pub fn response(&self, nonce: &str) -> Option<String> {
        let is_nonce = nonce.len() == NONCE_LENGTH && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_nonce.then(|| {
            let mut mac = self.0.clone();
            mac.update(nonce.as_bytes());
            hex(&mac.finalize().into_bytes())
        })
    }
}

impl std::fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChallengeKey")
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
    fn a_response_is_of_its_nonce_and_of_its_data_directory() {
        let (ours, theirs) = (ChallengeKey::new(&[1; 32]), ChallengeKey::new(&[2; 32]));
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(ours.response(&one), ours.response(&one));
        assert_ne!(ours.response(&one), ours.response(&other));
        assert_ne!(ours.response(&one), theirs.response(&one));
    }

    #[test]
    fn nothing_but_a_nonce_gets_a_response() {
        let key = ChallengeKey::new(&[1; 32]);
        for text in ["", "33612345678", &"g".repeat(32), &"a".repeat(31), &"a".repeat(33)] {
            assert_eq!(key.response(text), None, "{text}");
        }
    }
}
