//! OTLP over HTTP: status, headers and body to outcome.

use std::time::Duration;

use hyper::http::StatusCode;
use prost::Message;
use serde_json::Value;

use super::{ExportOutcome, PartialSuccess, Reader, RpcStatus, explain, response};
use crate::process_metrics::Signal;

mod page;

/// The relevant parts of an HTTP response.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Reply<'a> {
    pub status: StatusCode,
    /// In lower case; empty when there is none.
    pub content_type: &'a str,
    /// Whether `body` came compressed, which smscope does not ask for.
    pub compressed: bool,
    pub retry_after: Option<Duration>,
    pub body: &'a [u8],
    /// Whether `body` is all of it: it was not too long, and could be decompressed.
    pub is_whole: bool,
}

/// Classes a reply as OTLP/HTTP says, with two exceptions: 500 is retried, for it is as often the gateway's own error; and a success
/// counts in any form but a web page.
pub(in crate::telemetry) fn classify(reader: &Reader, reply: Reply<'_>) -> ExportOutcome {
    let why = || explain(&reply.status.to_string(), &reader.excerpt(&error_text(reply)));
    match reply.status.as_u16() {
        200..=299 => success(reader, reply),
        400 | 413 | 422 => ExportOutcome::Bad { why: why() },
        408 | 429 | 503 => ExportOutcome::Retry { after: reply.retry_after, why: why() },
        501 | 505 => ExportOutcome::Rejected { why: why() },
        500.. => ExportOutcome::Fault { after: reply.retry_after, why: why() },
        _ => ExportOutcome::Rejected { why: why() },
    }
}

fn success(reader: &Reader, reply: Reply<'_>) -> ExportOutcome {
    let status = reply.status.as_str();
    let json = reply.is_whole.then(|| serde_json::from_slice::<Value>(reply.body).ok()).flatten();
    // A login page is a success too, and stores nothing. JSON is no page, however it is labeled.
    if !reader.strict && json.is_none() && page::is_one(reply.content_type, reply.body) {
        return ExportOutcome::Rejected { why: format!("answered {status} but with a web page") };
    }
    if let Some(response) = otlp_response(reader.signal, reply) {
        if reply.compressed {
            reader.unexpected(status, "compressed");
        }
        return reader.success(response);
    }
    if let Some(response) = json.as_ref().filter(|_| !reader.strict).and_then(|json| json_response(reader.signal, json))
    {
        reader.unexpected(status, &form(reply));
        return reader.success(response);
    }
    reader.success_in_words(status, &form(reply))
}

/// The form of an unexpected response, for people.
fn form(reply: Reply<'_>) -> String {
    let label = if reply.content_type.is_empty() { "no content type" } else { reply.content_type };
    match reply.is_whole {
        true => format!("{label}, {} bytes", reply.body.len()),
        false => format!("{label}, too long or not readable"),
    }
}

/// The response in the form of the specification: protobuf, or JSON that is labeled so.
fn otlp_response(signal: Signal, reply: Reply<'_>) -> Option<PartialSuccess> {
    match reply.body {
        _ if !reply.is_whole => None,
        [] => Some((0, String::new())),
        body if is_json(reply.content_type) => json_response(signal, &serde_json::from_slice(body).ok()?),
        _ if reply.content_type.starts_with("text/html") => None,
        body => response(signal, body),
    }
}

/// Protobuf's JSON writes 64-bit integers as strings, and readers take either; names come in camel or snake case.
fn json_response(signal: Signal, response: &Value) -> Option<PartialSuccess> {
    let response = response.as_object()?;
    let Some(partial) = response.get("partialSuccess").or_else(|| response.get("partial_success")) else {
        return Some((0, String::new()));
    };
    let names = match signal {
        Signal::Logs => ["rejectedLogRecords", "rejected_log_records"],
        Signal::Metrics => ["rejectedDataPoints", "rejected_data_points"],
    };
    let rejected = match names.iter().find_map(|name| partial.get(name)) {
        Some(Value::String(number)) => number.parse().ok()?,
        Some(number) => number.as_i64()?,
        None => 0,
    };
    let message = ["errorMessage", "error_message"].iter().find_map(|name| partial.get(name)?.as_str());
    Some((rejected, message.unwrap_or_default().to_owned()))
}

/// The error message of the server, from `google.rpc.Status`, JSON or text; empty for a web page.
fn error_text(reply: Reply<'_>) -> String {
    if page::is_one(reply.content_type, reply.body) {
        return String::new();
    }
    if let Ok(json) = serde_json::from_slice::<Value>(reply.body) {
        return words(&json).map_or_else(|| json.to_string(), str::to_owned);
    }
    let is_text = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    let text = match std::str::from_utf8(reply.body) {
        Ok(text) => Some(text),
        // Cut in the middle of a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&reply.body[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text.filter(is_text) {
        Some(text) => text.to_owned(),
        None if reply.content_type.starts_with("text/") => String::new(),
        None => RpcStatus::decode(reply.body).map_or_else(|_| String::new(), |status| status.message),
    }
}

/// The message of an error in JSON, under the names that backends use.
fn words(json: &Value) -> Option<&str> {
    const NAMES: [&str; 7] = ["message", "error", "errorMessage", "error_message", "detail", "reason", "title"];
    match json {
        Value::String(text) => Some(text),
        Value::Array(errors) => errors.iter().find_map(words),
        Value::Object(object) => {
            NAMES.iter().find_map(|name| words(object.get(*name)?)).or_else(|| words(object.get("errors")?))
        }
        _ => None,
    }
}

fn is_json(content_type: &str) -> bool {
    content_type.starts_with("application/json")
}

#[cfg(test)]
mod tests;
