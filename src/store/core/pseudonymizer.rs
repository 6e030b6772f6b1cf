//! What stands for a person where the person must not.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::event::hex;
use crate::store::ids::KeyedHash;

/// Keyed hashes of personal data. The key is in the database: an attacker who has all of it could try all numbers on it.
#[derive(Clone, Debug)]
pub struct Pseudonymizer {
    keyed: Hmac<Sha256>,
    /// Whether anybody was ever erased.
    pub has_erased: bool,
}

impl Pseudonymizer {
    pub fn new(salt: &[u8], has_erased: bool) -> Self {
        // An HMAC takes a key of any length.
        let keyed = Hmac::new_from_slice(salt).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { keyed, has_erased }
    }

    /// Stands for a person in the list of opt-outs.
    pub fn person(&self, number: &str) -> String {
        let mut mac = self.keyed.clone();
        // Another hash than that of a recipient, so that the two cannot be joined.
        mac.update(b"opt-out:");
        mac.update(number.as_bytes());
        hex(&mac.finalize().into_bytes()[..16])
    }

    /// A key under which something of a person is found.
    pub fn key(&self, parts: &[&str]) -> KeyedHash {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let bytes = mac.finalize().into_bytes();
        KeyedHash(bytes[..8].iter().fold(0, |key, byte| key << 8 | i64::from(*byte)))
    }

    /// Stands for the recipient of a legacy message. It is no number: those have no `~`.
    pub fn part(&self, recipient: &str) -> String {
        if recipient.starts_with('~') {
            return recipient.to_owned();
        }
        let mut mac = self.keyed.clone();
        mac.update(recipient.as_bytes());
        format!("~{}", hex(&mac.finalize().into_bytes()[..16]))
    }
}
