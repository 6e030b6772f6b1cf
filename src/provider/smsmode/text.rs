//! Queries and form bodies -> parameters.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};

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
const MACHINE_WRITTEN: [&str; 7] = ["numero", "statut", "date_reception", "mcc_mnc", "cost", "emetteur", "responseid"];

/// How often what has been decoded is decoded again.
const MAX_ENCODINGS: usize = 3;

/// A decoded parameter: its name and its value.
pub(super) type Pair = (String, String);

/// The parameters of a form.
pub(super) fn form(written: &[u8]) -> Vec<Pair> {
    decoded_pairs(written.split(|b| *b == b'&'))
}

/// The parameters of a query.
pub(super) fn query(written: &[u8]) -> Vec<Pair> {
    decoded_pairs(pairs(&whole(written)).into_iter())
}

fn decoded_pairs<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Vec<Pair> {
    let mut parameters: Vec<Pair> = pairs.filter(|pair| !pair.is_empty()).map(decoded_pair).collect();
    let was_encoded_twice = |(name, value): &Pair| {
        value.contains('%') && MACHINE_WRITTEN.contains(&folded(name).as_str()) && has_escape(value)
    };
    // A sender that encodes one value twice does so with all of them.
    for _ in 0..MAX_ENCODINGS {
        if !parameters.iter().any(was_encoded_twice) {
            break;
        }
        for (_, value) in &mut parameters {
            *value = decoded_part(value.as_bytes());
        }
    }
    parameters
}

/// Decoded parameters by the names under which they are compared.
pub(super) struct Parameters(Vec<Pair>);

impl Parameters {
    pub(super) fn of(pairs: &[Pair]) -> Self {
        Self(pairs.iter().map(|(name, value)| (folded(name), value.clone())).collect())
    }

    /// The members of an object that are texts or numbers.
    pub(super) fn of_members(members: &Map<String, Value>) -> Self {
        let pair = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Some((folded(name), text.clone())),
            Value::Number(number) => Some((folded(name), number.to_string())),
            _ => None,
        };
        Self(members.iter().filter_map(pair).collect())
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
    let decoded: Cow<'_, [u8]> = if is_encoded { percent_decode(query).into() } else { query.into() };
    // JSON may have `=` in its texts.
    if decoded.starts_with(b"{") || decoded.starts_with(b"[") { query.into() } else { decoded }
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

/// JSON that stands in a form as it is: `payload={"a":"b&c"}`. Whatever encodes a form encodes a brace, so nothing in this is.
pub(super) fn unencoded_json(form: &[u8]) -> Option<&[u8]> {
    let equals = form.iter().position(|b| *b == b'=')?;
    let value = form[equals + 1..].trim_ascii_start();
    matches!(value.first(), Some(b'{' | b'[')).then_some(value)
}

/// The name of a parameter as it is compared: in lower case. A URL that was copied out of HTML has `&amp;` between its pairs.
pub(super) fn folded(name: &str) -> String {
    let name = name.trim().to_lowercase();
    match name.strip_prefix("amp;") {
        Some(name) => name.to_owned(),
        None => name,
    }
}

fn name_of(pair: &[u8]) -> String {
    let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    folded(&decoded_part(&pair[..equals]))
}

fn decoded_pair(pair: &[u8]) -> Pair {
    let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    (decoded_part(&pair[..equals]), decoded_part(pair.get(equals + 1..).unwrap_or_default()))
}

pub(super) fn decoded_part(part: &[u8]) -> String {
    let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let bytes: Cow<'_, [u8]> = percent_decode(&spaced).into();
    decoded(&bytes).into_owned()
}
