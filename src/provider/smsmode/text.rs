//! Queries and form bodies -> parameters.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use percent_encoding::percent_decode;

/// Decoded parameters by lower-case name, those of the form before those of the query.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(form: Option<&[u8]>, query: &str) -> Self {
        let pairs = form.unwrap_or_default().split(|b| *b == b'&').chain(query.as_bytes().split(|b| *b == b'&'));
        Self(pairs.filter(|pair| !pair.is_empty()).map(decoded_pair).collect())
    }

    /// The first value of `name` that is more than white space, trimmed. `name` is in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values(name).map(str::trim).find(|value| !value.is_empty())
    }

    /// The first value of `name` as it came.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All parameters, by name and value.
    pub(super) fn sorted(mut self) -> Vec<(String, String)> {
        self.0.sort_unstable();
        self.0
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Does this body begin as a form does: a name of letters, digits and `_ - . [ ] %`, and `=`?
pub(super) fn looks_like_form(body: &[u8]) -> bool {
    let name = body.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_-.[]%+".contains(b)).count();
    name > 0 && body.get(name) == Some(&b'=')
}

/// UTF-8 where it is valid, else Windows-1252, which reads Latin-1 as well.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// The decoded name of a pair, in lower case.
pub(super) fn name_of(pair: &[u8]) -> String {
    let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    decoded_part(&pair[..equals]).trim().to_lowercase()
}

fn decoded_pair(pair: &[u8]) -> (String, String) {
    let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    (name_of(pair), decoded_part(pair.get(equals + 1..).unwrap_or_default()))
}

fn decoded_part(part: &[u8]) -> String {
    let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let bytes: Cow<'_, [u8]> = percent_decode(&spaced).into();
    decoded(&bytes).into_owned()
}
