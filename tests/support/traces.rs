//! Looking for something that should not be there, in every form that it may have.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A text as it is, in capitals, percent-encoded, in hexadecimal, in base64 at each of the three offsets that it may start at, and
/// escaped as JSON may have it; of a number also as people and other programs write it.
pub fn forms(secret: &str) -> Vec<String> {
    let mut plain = vec![secret.to_owned()];
    if let Some(digits) = secret.strip_prefix("33").filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())) {
        let pairs: Vec<&str> = std::iter::once(&digits[..1])
            .chain((1..digits.len()).step_by(2).map(|at| &digits[at..(at + 2).min(digits.len())]))
            .collect();
        plain.push(format!("0{digits}"));
        plain.push(digits.to_owned());
        plain.extend([" ", ".", "-", "%20", "+"].map(|between| pairs.join(between)));
    }
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for text in &plain {
        let bytes = text.as_bytes();
        let hex = |format: fn(&u8) -> String| bytes.iter().map(format).collect::<String>().into_bytes();
        forms.push(bytes.to_vec());
        forms.push(text.to_uppercase().into_bytes());
        forms.push(hex(|byte| format!("{byte:02x}")));
        forms.push(hex(|byte| format!("{byte:02X}")));
        forms.push(hex(|byte| format!("%{byte:02X}")));
        forms.push(hex(|byte| format!("\\u{byte:04x}")));
        forms.push(form_urlencoded::byte_serialize(bytes).collect::<String>().into_bytes());
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        for skipped in 0..3 {
            // The characters that depend on what stands before and behind are left out.
            for encoded in [STANDARD_NO_PAD.encode(&bytes[skipped..]), URL_SAFE_NO_PAD.encode(&bytes[skipped..])] {
                let whole = (bytes.len() - skipped) / 3 * 4;
                forms.push(encoded.as_bytes()[..whole].to_vec());
            }
        }
    }
    let mut forms: Vec<String> = forms.into_iter().map(|form| String::from_utf8(form).unwrap()).collect();
    // What is too short would be found anywhere.
    forms.retain(|form| form.len() >= 6);
    forms.sort();
    forms.dedup();
    forms
}

/// The forms of `secret` that are in `haystack`, readable.
pub fn traces(haystack: &[u8], secret: &str) -> Vec<String> {
    // The forms are ASCII, and the search of the standard library is fast in a debug build too.
    let haystack = String::from_utf8_lossy(haystack);
    forms(secret).into_iter().filter(|form| haystack.contains(form)).collect()
}

/// The bytes of each file under a folder.
pub fn bytes_under(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(bytes_under(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found
}
