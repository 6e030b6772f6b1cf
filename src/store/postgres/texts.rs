//! Texts: those of PostgreSQL have no NUL.

use std::borrow::Cow;

/// U+FFFD, the replacement character, in the place of each NUL.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same of a text that is owned.
pub fn owned_without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The same of all texts in a JSON text, where NUL is an escape.
pub fn json_without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let (mut clean, mut rest) = (String::with_capacity(json.len()), json.as_str());
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        // A backslash that is escaped begins no escape.
        let (escape, replaced) = if rest.starts_with(NUL) { (NUL.len(), "\\ufffd") } else { (2, &rest[..2]) };
        clean.push_str(replaced);
        rest = &rest[escape..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_and_nothing_else_is() {
        for (text, clean) in [("a\0b\0", "a\u{fffd}b\u{fffd}"), ("", ""), ("é\\0\\u0000", "é\\0\\u0000")] {
            assert_eq!(without_nul(text), clean);
            assert_eq!(owned_without_nul(text.to_owned()), clean);
        }
    }

    #[test]
    fn in_json_a_nul_is_an_escape_and_an_escaped_backslash_begins_none() {
        for text in ["a\0b\0", "\\u0000", "\\\0\\", "\\\\u0000\0", "é\n\"\0\"", "plain"] {
            let json = json_without_nul(serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.replace('\0', "\u{fffd}"), "{text:?}");
        }
    }
}
