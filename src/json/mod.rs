//! JSON as senders write it: strictly first, leniently if that fails.
//!
//! One defect in a field that does not matter must not cost a receipt. What strict reading accepts, lenient reading reads the same;
//! past that, each defect costs as little as possible:
//!
//! - what cannot be a character (a lone surrogate, a bad `\u` escape, invalid UTF-8) is U+FFFD; control characters stand;
//! - an escape that JSON does not know is the character it shows;
//! - a number that is none (`NaN`, `1e999`, `1.2.3`) is `null`;
//! - what is nested deeper than 127 levels is `null`;
//! - what follows the document is cut off, unless it is another document; lines are documents of their own;
//! - a document that ends early has what stands whole in it. What the end cuts through is absent: half an id is another id;
//! - commas too many or too few, single quotes, names without quotes, quotation marks inside a text: what templates and `repr`
//!   write. Comments are not read: no program writes them.
//!
//! Numbers keep their digits: one that a float would write otherwise (an id of 23 digits, `1.10`) is a string with those digits.
//!
//! Time is linear in the input, memory too, with a factor that [`MAX_WEIGHT`] bounds; the stack is bounded by the depth.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use serde_json::Value;

mod borrowed;
mod lenient;
pub use borrowed::{Json, read_valid};
/// The lenient reader alone, for tests and the fuzzer, which compare the two.
pub use lenient::read as read_leniently;
#[cfg(test)]
mod tests;

/// Input up to this many bytes is read whatever it holds.
const ALWAYS_READ: usize = 64 << 10;

/// What larger input may hold: an object weighs ten, an array and each further value one. A thousand messages weigh 120,000; the
/// values of this weight take some 40 MB.
const MAX_WEIGHT: usize = 500_000;

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Documents {
    /// In their order; one or more.
    pub documents: Vec<Document>,
    /// It was not JSON (RFC 8259), and was read leniently.
    pub repaired: bool,
}

#[derive(Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    /// It ended before it was closed: there may have been more in it.
    pub truncated: bool,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    NotJson,
    /// More values than [`MAX_WEIGHT`] allows.
    TooManyValues,
}

/// Reads JSON, white space and a byte order mark around it allowed.
///
/// # Errors
/// It begins like no object, array or string and is no valid JSON; or it holds too many values.
pub fn read(bytes: &[u8]) -> Result<Documents, Unreadable> {
    if bytes.len() > ALWAYS_READ && weight(bytes) > MAX_WEIGHT {
        return Err(Unreadable::TooManyValues);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !is_utf_16(bytes) => text,
        _ => {
            // JSON is UTF-8, so whatever else it is has been repaired.
            let documents = read_text(&decoded(bytes))?.documents;
            return Ok(Documents { documents, repaired: true });
        }
    };
    read_text(text)
}

fn read_text(text: &str) -> Result<Documents, Unreadable> {
    match serde_json::from_str(text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}')) {
        Ok(value) if keeps_digits(&value) => {
            Ok(Documents { documents: vec![Document { value, truncated: false }], repaired: false })
        }
        // It is JSON, so it is one document on however many lines, and only numbers have to be read by their digits.
        Ok(value) => {
            let documents = lenient::read_sequence(text).unwrap_or_else(|| vec![Document { value, truncated: false }]);
            Ok(Documents { documents, repaired: false })
        }
        Err(_) => {
            let documents = lenient::read(text).ok_or(Unreadable::NotJson)?;
            Ok(Documents { documents, repaired: true })
        }
    }
}

/// Whether it begins as an object, an array or a string does, in any encoding that [`read`] knows.
pub fn looks_like_json(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start().first();
    matches!(start, Some(b'{' | b'[' | b'"')) || is_utf_16(bytes)
}

/// What may stand around everything: white space, control characters (a trailing NUL, a record separator), a byte order mark.
fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c == '\u{feff}'
}

fn is_utf_16(bytes: &[u8]) -> bool {
    utf_16(bytes).is_some()
}

/// By its byte order mark, or by the zero that half of an ASCII character is (RFC 4627, section 3).
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [0xff, 0xfe, ..] | [b'{' | b'[' | b'"', 0, _, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] | [0, b'{' | b'[' | b'"', ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// Bytes that are no UTF-8. Where other characters are UTF-8 the wrong ones are damage; where none is, it is Latin-1.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    if let Some(encoding) = utf_16(bytes) {
        return encoding.decode_with_bom_removal(bytes).0;
    }
    let has_utf_8 = bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii());
    if has_utf_8 { String::from_utf8_lossy(bytes) } else { WINDOWS_1252.decode_without_bom_handling(bytes).0 }
}

fn weight(bytes: &[u8]) -> usize {
    let weigh = |byte: &u8| match byte {
        b'{' => 10,
        b'[' | b',' => 1,
        _ => 0,
    };
    bytes.iter().map(weigh).sum()
}

/// Whether no float stands where an id may. An `amount` is a number, however it is written.
fn keeps_digits(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(values) => values.iter().all(keeps_digits),
        Value::Object(members) => {
            members.iter().all(|(name, value)| (value.is_number() && name == "amount") || keeps_digits(value))
        }
        _ => true,
    }
}
