//! smsmode: REST v1 webhooks (JSON) and those of the legacy HTTP API (query or form).
//!
//! Liberal in what it takes: an optional field of the wrong type is absent, an unknown one is passed over, and whatever is no
//! receipt or reply is [`Unrecognized`](Event::Unrecognized), so that it is kept.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::{Country, Event, Price, Unrecognized};
use crate::number::{self, Phone, mcc};
use crate::provider::{Events, Reading, Webhook};

mod legacy;
mod redact;
mod status;
mod text;
mod time;
mod v1;

pub use redact::drop_text;

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;

/// Elements of a JSON array: a body of tiny ones must not become a transaction of a hundred thousand events.
const MAX_EVENTS: usize = 1_000;

/// Reads one webhook; never fails. No event only if there is neither a query nor a body, or nothing in the body but white space or
/// an empty JSON array: a probe. A JSON array is one event an element, in its order; one of more than 1,000 elements is kept as a single unrecognized event.
pub fn decode(reading: &Reading<'_>, webhook: &Webhook<'_>) -> Events {
    let body = trimmed(webhook.body);
    if webhook.query.is_empty() && is_void(body) {
        return Vec::new();
    }
    let media = webhook.content_type.map_or("", |t| t.split(';').next().unwrap_or(t).trim());
    let is_json = body.starts_with(b"{") || body.starts_with(b"[") || (!body.is_empty() && is_json_type(media));
    if is_json {
        return from_json(reading, webhook, body);
    }
    let is_form = media.eq_ignore_ascii_case("application/x-www-form-urlencoded") || text::looks_like_form(body);
    let parameters = text::Parameters::of(is_form.then_some(body), webhook.query);
    vec![legacy::event(reading, parameters).unwrap_or_else(|why| unrecognized(hashed(webhook), None, why))]
}

/// A body without white space around it and without a byte order mark.
fn trimmed(body: &[u8]) -> &[u8] {
    let body = body.trim_ascii();
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start()
}

/// Whether a body that has been trimmed has nothing in it.
fn is_void(body: &[u8]) -> bool {
    let inside = body.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(body);
    inside.trim_ascii().is_empty()
}

fn from_json(reading: &Reading<'_>, webhook: &Webhook<'_>, body: &[u8]) -> Events {
    let parsed = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_str(&text::decoded(body)),
    };
    match parsed {
        Ok(Value::Array(elements)) if (1..=MAX_EVENTS).contains(&elements.len()) => {
            from_elements(reading, webhook, &elements)
        }
        Ok(Value::Array(elements)) => {
            let why = if elements.is_empty() { "empty array" } else { "array too long" };
            vec![unrecognized(hashed(webhook), None, why)]
        }
        Ok(value) => vec![
            v1::event(reading, &value).unwrap_or_else(|why| unrecognized(hashed(webhook), v1::channel_id(&value), why)),
        ],
        Err(_) => vec![unrecognized(hashed(webhook), None, "broken JSON")],
    }
}

fn from_elements(reading: &Reading<'_>, webhook: &Webhook<'_>, elements: &[Value]) -> Events {
    // Hashed once, for what may be a large body, and only when an element is not recognized.
    let mut whole: Option<Sha256> = None;
    let event = |(index, element)| {
        v1::event(reading, element).unwrap_or_else(|why| {
            let hash = whole.get_or_insert_with(|| hashed(webhook)).clone();
            let hash = hash.chain_update((index as u64).to_be_bytes());
            unrecognized(hash, v1::channel_id(element), why)
        })
    };
    elements.iter().enumerate().map(event).collect()
}

fn is_json_type(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

fn hashed(webhook: &Webhook<'_>) -> Sha256 {
    Sha256::new().chain_update(webhook.query).chain_update([0]).chain_update(webhook.body)
}

fn unrecognized(hash: Sha256, channel_id: Option<String>, why: &'static str) -> Event {
    Event::Unrecognized(Unrecognized { digest: hash.finalize().into(), channel_id, why })
}

/// A contact's number and country, the country from the network's code where the number has none.
fn contact(written: Option<&str>, mccmnc: Option<&str>, reading: &Reading<'_>) -> (Option<String>, Option<Country>) {
    let phone = written.map(|written| number::read(written, reading.region));
    let (number, country) = phone.map_or((None, None), |Phone { number, country }| (Some(number), country));
    (number, country.or_else(|| mccmnc.and_then(mcc::country)))
}

/// What was written, where that is not what it is read as.
fn differs(written: &str, read: &str) -> Option<String> {
    (written != read).then(|| written.to_owned())
}

/// `20801`, `208-01` or `208 01` -> `20801`; `None` unless that gives five or six digits.
fn mccmnc(written: &str) -> Option<String> {
    let digits: String = written.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    (matches!(digits.len(), 5 | 6) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// `0.045` or `0,045` -> 45,000 micros. `None` for what is no number, negative or more than a thousand million.
fn price(amount: &str, currency: Option<String>) -> Option<Price> {
    let amount: f64 = amount.trim().replace(',', ".").parse().ok()?;
    (0.0..=1e9).contains(&amount).then(|| Price { micros: (amount * 1e6).round() as i64, currency })
}
