//! A value that must not be shown.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A token, a password or a header's value. It shows as `<token>` wherever it is formatted.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Compared instead of the text, so that the time of a comparison shows neither content nor length.
    digest: [u8; 32],
}

impl Secret {
    pub fn new(text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes()).into();
        Self { text, digest }
    }

    /// The secret itself: for the one place that must show or send it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether `candidate` is this secret, in time that does not depend on either.
    pub fn matches(&self, candidate: &CandidateDigest) -> bool {
        self.digest.ct_eq(&candidate.0).into()
    }
}

/// What a caller presented, hashed once for all comparisons.
pub struct CandidateDigest([u8; 32]);

impl CandidateDigest {
    pub fn of(candidate: &[u8]) -> Self {
        Self(Sha256::digest(candidate).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<token>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_only_and_never_shows() {
        let secret = Secret::new("s3cret".into());
        assert!(secret.matches(&CandidateDigest::of(b"s3cret")));
        for other in ["s3cre", "s3crett", "", "S3CRET"] {
            assert!(!secret.matches(&CandidateDigest::of(other.as_bytes())), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "<token>");
    }
}
