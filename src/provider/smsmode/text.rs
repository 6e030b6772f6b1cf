//! Queries and form bodies -> parameters.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use percent_encoding::percent_decode;

/// What smsmode calls its parameters, in lower case.
const NAMES: [&str; 10] = [
    "numero",
    "statut",
    "smsid",
    "date_reception",
    "refclient",
    "mcc_mnc",
    "cost",
    "message",
    "emetteur",
    "responseid",
];

/// Those whose values are written by machines: an escape that is left in one of them was encoded twice.
const BY_MACHINES: [&str; 7] = ["numero", "statut", "date_reception", "mcc_mnc", "cost", "emetteur", "responseid"];

/// How often what has been decoded is decoded again.
const MOST_ENCODINGS: usize = 3;

/// Decoded parameters by lower-case name, those of the form before those of the query.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(form: Option<&[u8]>, query: &str) -> Self {
        Self::decoded(form.unwrap_or_default().split(|b| *b == b'&'))
            .joined(Self::decoded(pairs(&whole(query.as_bytes())).into_iter()))
    }

    fn decoded<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut parameters: Vec<(String, String)> = pairs.filter(|pair| !pair.is_empty()).map(decoded_pair).collect();
        let was_encoded_twice = |(name, value): &(String, String)| {
            value.contains('%') && BY_MACHINES.contains(&name.as_str()) && has_escape(value)
        };
        // Who encodes one value twice does so with all of them.
        for _ in 0..MOST_ENCODINGS {
            if !parameters.iter().any(was_encoded_twice) {
                break;
            }
            for (_, value) in &mut parameters {
                *value = decoded_part(value.as_bytes());
            }
        }
        Self(parameters)
    }

    fn joined(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
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

/// The pairs of a query. smsmode appends its parameters with `?` to a callback URL that has a query already, so a `?` before one of
/// their names separates pairs as `&` does.
pub(super) fn pairs(query: &[u8]) -> Vec<&[u8]> {
    let mut pairs = Vec::new();
    for mut rest in query.split(|b| *b == b'&') {
        let mut from = 0;
        while let Some(at) = rest[from..].iter().position(|b| *b == b'?').map(|at| from + at) {
            let next = &rest[at + 1..];
            from = at + 1;
            if next.contains(&b'=') && NAMES.contains(&name_of(next).as_str()) {
                pairs.push(&rest[..at]);
                (rest, from) = (next, 0);
            }
        }
        pairs.push(rest);
    }
    pairs
}

/// A query that was encoded as a whole, its `=` and `&` too, as it was before.
pub(super) fn whole(query: &[u8]) -> Cow<'_, [u8]> {
    let is_encoded = !query.contains(&b'=') && query.windows(3).any(|three| three.eq_ignore_ascii_case(b"%3D"));
    if is_encoded { percent_decode(query).into() } else { query.into() }
}

fn has_escape(value: &str) -> bool {
    value.as_bytes().windows(3).any(|three| three[0] == b'%' && three[1..].iter().all(u8::is_ascii_hexdigit))
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

/// The decoded name of a pair, in lower case. A URL that was copied out of HTML has `&amp;` between its pairs.
pub(super) fn name_of(pair: &[u8]) -> String {
    let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    let name = decoded_part(&pair[..equals]).trim().to_lowercase();
    match name.strip_prefix("amp;") {
        Some(name) => name.to_owned(),
        None => name,
    }
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
