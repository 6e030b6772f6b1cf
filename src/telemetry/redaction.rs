//! How a person's number is exported: masked for people, hashed to identify the same person.

use std::borrow::Cow;
use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::event::{SourceName, hex};
use crate::settings::Privacy;

const HIDDEN: char = '•';

/// The most bullets in a row, so that garbage stays short.
const MAX_BULLETS: usize = 20;

/// From this many digits on, what the provider wrote could be a number.
const DIGITS_OF_A_NUMBER: usize = 7;

/// What the operator allows to be exported about the people of each source.
#[derive(Clone, Debug, Default)]
pub struct PrivacyPolicy(HashMap<SourceName, Privacy>);

impl PrivacyPolicy {
    /// The strictest setting for a source that is no longer configured.
    pub fn of(&self, source: &SourceName) -> Privacy {
        self.0.get(source).copied().unwrap_or_default()
    }
}

impl FromIterator<(SourceName, Privacy)> for PrivacyPolicy {
    fn from_iter<I: IntoIterator<Item = (SourceName, Privacy)>>(sources: I) -> Self {
        Self(HashMap::from_iter(sources))
    }
}

/// The number with its middle hidden, a bullet for each hidden digit: `+336•••••278` for `33612345678`.
///
/// Of fewer than ten digits only the last two are shown; of what is no number, nothing. The `+` stands where the
/// number can be one of E.164: seven digits or more, and no leading zero.
pub fn mask(number: &str) -> String {
    let digits = digits(number);
    let Some(digits) = digits else {
        return number.chars().take(MAX_BULLETS).map(|_| HIDDEN).collect();
    };
    let (first, last) = match digits.len() {
        10.. => (3, 3),
        3.. => (0, 2),
        _ => (0, 0),
    };
    let hidden = digits.len() - first - last;
    let mut masked = String::from(if is_international(digits) { "+" } else { "" });
    masked.push_str(&digits[..first]);
    masked.extend(std::iter::repeat_n(HIDDEN, hidden.min(MAX_BULLETS)));
    masked.push_str(&digits[first + hidden..]);
    masked
}

/// The number in full: with `+` where it can be one of E.164, else as it came.
pub fn full(number: &str) -> String {
    match digits(number) {
        Some(digits) if is_international(digits) => format!("+{digits}"),
        _ => number.to_owned(),
    }
}

/// A text of the provider's with every run of digits in it that could be somebody's number hidden.
pub fn without_numbers(text: &str) -> Cow<'_, str> {
    if text.chars().filter(|c| c.is_numeric()).count() < DIGITS_OF_A_NUMBER {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut run = String::new();
    for character in text.chars() {
        if character.is_numeric() || " +-./()".contains(character) {
            run.push(character);
        } else {
            shown.push_str(&hidden_if_long(&run));
            run.clear();
            shown.push(character);
        }
    }
    shown.push_str(&hidden_if_long(&run));
    Cow::Owned(shown)
}

fn hidden_if_long(run: &str) -> String {
    if run.chars().filter(|c| c.is_numeric()).count() < DIGITS_OF_A_NUMBER {
        return run.to_owned();
    }
    run.chars().map(|c| if c.is_numeric() { HIDDEN } else { c }).collect()
}

fn digits(number: &str) -> Option<&str> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn is_international(digits: &str) -> bool {
    (7..=15).contains(&digits.len()) && !digits.starts_with('0')
}

/// The keyed hash by which two records are known to be about the same person. Without the key no dictionary of numbers undoes it.
#[derive(Clone)]
pub struct NumberHasher {
    keyed: Hmac<Sha256>,
}

impl NumberHasher {
    pub fn new(key: &[u8; 32]) -> Self {
        Self { keyed: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// The first 16 bytes of HMAC-SHA256 over the digits (`+` aside), in lower-case hexadecimal.
    pub fn hash(&self, number: &str) -> String {
        let mut mac = self.keyed.clone();
        mac.update(digits(number).unwrap_or(number).as_bytes());
        hex(&mac.finalize().into_bytes()[..16])
    }
}

impl std::fmt::Debug for NumberHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NumberHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_masked_by_its_length() {
        for (number, masked) in [
            ("33612345678", "+336•••••678"),
            ("+33612345678", "+336•••••678"),
            ("3361234567", "+336••••567"),
            ("0612345678", "061••••678"),
            ("336123456", "+•••••••56"),
            ("36180", "•••80"),
            ("123", "•23"),
            ("12", "••"),
            ("", ""),
            ("+", "•"),
            ("ACME", "••••"),
            ("06 12 34", "••••••••"),
            ("é1", "••"),
            ("an address that is far too long", "••••••••••••••••••••"),
        ] {
            assert_eq!(mask(number), masked, "{number}");
        }
    }

    #[test]
    fn a_full_number_has_its_plus_where_it_is_one_of_e164() {
        for (number, shown) in [
            ("33612345678", "+33612345678"),
            ("+33612345678", "+33612345678"),
            ("0612345678", "0612345678"),
            ("36180", "36180"),
            ("ACME", "ACME"),
        ] {
            assert_eq!(full(number), shown);
        }
    }

    #[test]
    fn a_hash_is_hmac_sha256_cut_to_16_bytes_and_depends_on_the_key() {
        let hasher = NumberHasher::new(&[7; 32]);
        assert_eq!(hasher.hash("33612345678").len(), 32);
        assert_eq!(hasher.hash("33612345678"), hasher.hash("+33612345678"));
        assert_ne!(hasher.hash("33612345678"), hasher.hash("33612345679"));
        assert_ne!(hasher.hash("33612345678"), NumberHasher::new(&[8; 32]).hash("33612345678"));
        // printf 33612345678 | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
        assert_eq!(hasher.hash("33612345678"), "4fb35d2eaaca20170173bf70671b6a6e");
    }
}
