//! What the response of an OTLP endpoint means for the request. Pure but for a line of diagnostics: bytes in, outcome out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

use crate::outbound::excerpt;
use crate::process_metrics::Signal;

pub(super) mod grpc;
pub(super) mod http;

/// The outcome of one request. A `why` is one line without anything of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportOutcome {
    /// All records were accepted.
    Accepted,
    /// `rejected` of the records were not accepted, and would not be if they were resent.
    Partial { rejected: u64, message: String },
    /// Nothing was accepted for now; `after` is how long the server asks to wait, at most an hour.
    Retry { after: Option<Duration>, why: String },
    /// Nothing was accepted: the server failed. An unhealthy server fails at any request, another one because of a record in this
    /// request; one response does not show which.
    Fault { after: Option<Duration>, why: String },
    /// The credentials or the address are wrong: the server would accept no other request either.
    Rejected { why: String },
    /// The request is at fault: too large, or with a record that the server cannot read.
    Bad { why: String },
}

/// An OTLP response: how many records were rejected, and a message.
type PartialSuccess = (i64, String);

/// The response of the signal, read from protobuf; `None` if it is something else.
fn response(signal: Signal, body: &[u8]) -> Option<PartialSuccess> {
    match signal {
        Signal::Logs => {
            let partial = ExportLogsServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
            Some((partial.rejected_log_records, partial.error_message))
        }
        Signal::Metrics => {
            let partial = ExportMetricsServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
            Some((partial.rejected_data_points, partial.error_message))
        }
    }
}

/// How the responses of one endpoint are read.
#[derive(Debug)]
pub(super) struct Reader {
    pub signal: Signal,
    /// What must not be quoted if the server repeats it.
    pub secrets: Vec<String>,
    /// Whether a success has to be an OTLP response to count as one.
    pub strict: bool,
    /// Whether the form of the responses has been logged.
    warned: AtomicBool,
}

impl Reader {
    pub fn new(signal: Signal, secrets: Vec<String>, strict: bool) -> Self {
        Self { signal, secrets, strict, warned: AtomicBool::new(false) }
    }

    /// A success with an OTLP response.
    fn success(&self, (rejected, message): PartialSuccess) -> ExportOutcome {
        let message = excerpt(&message, &self.secrets);
        match u64::try_from(rejected) {
            Ok(rejected @ 1..) => ExportOutcome::Partial { rejected, message },
            _ => {
                if !message.is_empty() {
                    let signal = self.signal.as_str();
                    tracing::warn!(signal, "the OTLP endpoint accepted all with a warning: {message}");
                }
                ExportOutcome::Accepted
            }
        }
    }

    /// A success without an OTLP response. Backends and gateways write it in many ways, so it is rejected only if the operator asks for
    /// that.
    fn success_in_words(&self, status: &str, form: &str) -> ExportOutcome {
        if self.strict {
            return ExportOutcome::Rejected { why: format!("answered {status} but not with an OTLP response") };
        }
        self.unexpected(status, form);
        ExportOutcome::Accepted
    }

    /// Warns, once, of a success in an unexpected form.
    fn unexpected(&self, status: &str, form: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let (signal, form) = (self.signal.as_str(), excerpt(form, &self.secrets));
            tracing::warn!(
                signal,
                "the OTLP endpoint answers success in an unexpected form ({status}, {form}); it counts as success unless \
                 otlp.strict_answers is true"
            );
        }
    }

    fn excerpt(&self, text: &str) -> String {
        excerpt(text, &self.secrets)
    }
}

/// `google.rpc.Status`: over HTTP the body of a failure, over gRPC the details of one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `answered 503 Service Unavailable: try later`.
fn explain(status: &str, words: &str) -> String {
    match words {
        "" => format!("answered {status}"),
        words => format!("answered {status}: {words}"),
    }
}

/// For fuzz/: a response of any bytes has an outcome, with one line, and no longer a wait than the limit.
#[cfg(fuzzing)]
pub fn classify_anything(input: &[u8]) {
    use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use crate::outbound::retry_after;

    let [kind, high, low, text @ ..] = input else { return };
    let signal = if kind & 1 == 0 { Signal::Logs } else { Signal::Metrics };
    let code = u16::from_be_bytes([*high, *low]);
    let mut parts = text.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (first, second, body) = (String::from_utf8_lossy(part()), String::from_utf8_lossy(part()), part());
    let reader = Reader::new(signal, vec!["secret".to_owned()], kind & 4 != 0);
    let answer = if kind & 2 == 0 {
        let Ok(status) = hyper::StatusCode::from_u16(code) else { return };
        let retry = HeaderValue::from_str(&second).ok().map(|value| (RETRY_AFTER, value));
        let reply = http::Reply {
            status,
            content_type: &first,
            compressed: kind & 8 != 0,
            retry_after: retry_after(&HeaderMap::from_iter(retry)),
            body,
            is_whole: kind & 16 == 0,
        };
        http::classify(&reader, reply)
    } else {
        let reply =
            grpc::Reply { code: code.into(), message: &first, details: second.as_bytes(), response: Some(body) };
        grpc::classify(&reader, reply)
    };
    let why = match answer {
        ExportOutcome::Accepted => return,
        ExportOutcome::Partial { rejected, message } => {
            assert!(rejected > 0);
            message
        }
        ExportOutcome::Retry { after, why } => {
            assert!(after.is_none_or(|after| after <= crate::outbound::MAX_WAIT));
            why
        }
        ExportOutcome::Rejected { why } | ExportOutcome::Fault { why, .. } | ExportOutcome::Bad { why } => why,
    };
    assert!(!why.contains(char::is_control) && why.len() < 2_000 && !why.contains("secret"), "{why:?}");
}

#[cfg(test)]
pub(super) fn class(answer: &ExportOutcome) -> &'static str {
    match answer {
        ExportOutcome::Accepted => "accepted",
        ExportOutcome::Partial { .. } => "partial",
        ExportOutcome::Retry { .. } => "retry",
        ExportOutcome::Fault { .. } => "fault",
        ExportOutcome::Rejected { .. } => "rejected",
        ExportOutcome::Bad { .. } => "bad",
    }
}
