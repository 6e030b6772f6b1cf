//! smsmode: REST v1 webhooks (JSON) and those of the legacy HTTP API (query or form).
//!
//! Liberal in what it accepts: damaged JSON is repaired, wrappers are opened, labels are not believed, an optional field of the wrong
//! type is absent, an unknown one is passed over, and what is no receipt or reply is
//! [`Unrecognized`](crate::event::Event::Unrecognized), so that it is stored.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::event::{Country, Event, Price};
use crate::number::{self, Phone, mcc};
use crate::provider::{Acknowledgement, CallbackLimits, DecodeContext, Decoded, Provider, Success, Webhook};

mod content;
mod legacy;
mod multipart;
mod redact;
mod resemblance;
mod status;
mod text;
mod time;
mod v1;

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wrapped_tests;

/// The longest callback URL, in characters.
pub const CALLBACK_URL_MAX: usize = 255;

/// smsmode, which signs nothing and takes any 2xx for a success.
#[derive(Clone, Copy, Debug)]
pub struct Smsmode;

impl Provider for Smsmode {
    fn callback_limits(&self) -> CallbackLimits {
        CallbackLimits { url_length: CALLBACK_URL_MAX, response_time: Duration::from_millis(300) }
    }

    /// No event only if there is neither a query nor a body, or nothing in the body but white space or an empty JSON array: a probe.
    /// A JSON array, or a document a line, is one event an element, in its order; one of more than 1,000 elements is a single
    /// unrecognized event.
    fn decode(&self, context: &DecodeContext<'_>, webhook: &Webhook<'_>) -> Decoded {
        let body = trimmed(webhook.body);
        if webhook.query.is_empty() && is_void(body) {
            return Decoded::default();
        }
        content::read(context, webhook, body)
    }

    fn drop_text<'a>(&self, events: &mut [Event], webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>) {
        events.iter_mut().for_each(Event::drop_text);
        redact::without_text(webhook)
    }

    fn acknowledge(&self, success: Success) -> Acknowledgement {
        let body = match success {
            Success::Accepted => r#"{"result":"accepted"}"#,
            Success::Duplicate => r#"{"result":"duplicate"}"#,
            Success::Unrecognized => r#"{"result":"unrecognized"}"#,
            Success::Probe => r#"{"result":"probe"}"#,
        };
        let body = Bytes::from_static(body.as_bytes());
        Acknowledgement { status: StatusCode::OK, content_type: Some("application/json"), body }
    }
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

/// A contact's number and country, the country from the network's code where the number has none.
fn contact(
    written: Option<&str>,
    mccmnc: Option<&str>,
    context: &DecodeContext<'_>,
) -> (Option<String>, Option<Country>) {
    let phone = written.map(|written| number::read(written, context.region));
    let (number, country) = phone.map_or((None, None), |Phone { number, country }| (Some(number), country));
    (number, country.or_else(|| mccmnc.and_then(mcc::country)))
}

/// What was written, where that is not what it is read as.
fn differs(written: &str, read: &str) -> Option<String> {
    (written != read).then(|| written.to_owned())
}

/// `20801`, `208-01` or `208 01` -> `20801`; `None` unless that gives five or six digits.
fn mccmnc(written: &str) -> Option<String> {
    let digits = written.replace(['-', ' '], "");
    (matches!(digits.len(), 5 | 6) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// `0.045` or `0,045` -> 45,000 micros. `None` for what is no number, negative or more than a thousand million.
fn price(amount: &str, currency: Option<String>) -> Option<Price> {
    let amount: f64 = amount.trim().parse().or_else(|_| amount.trim().replace(',', ".").parse()).ok()?;
    (0.0..=1e9).contains(&amount).then(|| Price { micros: (amount * 1e6).round() as i64, currency })
}
