//! OTLP over gRPC: status and response message to outcome.
//!
//! Sources: OTLP specification, "OTLP/gRPC Response", "Failures" and "OTLP/gRPC Throttling"; gRPC, "Status codes".

use std::time::Duration;

use prost::Message;

use super::{ExportOutcome, Reader, RpcStatus, explain, response};

/// The relevant parts of a gRPC response.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Reply<'a> {
    /// `grpc-status`.
    pub code: i32,
    /// `grpc-message`, decoded.
    pub message: &'a str,
    /// `grpc-status-details-bin`, decoded; empty when there is none.
    pub details: &'a [u8],
    /// The response message; `None` when it cannot be read.
    pub response: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Class {
    Success,
    Retry,
    Fault,
    /// Retry, unless the words say that the request is too large.
    RetryOrTooLarge,
    Rejected,
    Bad,
}

use Class::{Bad, Fault, Rejected, Retry, RetryOrTooLarge, Success};

/// By code. Where the specification would give up, smscope does so only if the request itself is at fault; a server that is broken
/// (UNKNOWN, INTERNAL) or not configured must not cost a day of events.
const CODES: [(&str, Class); 17] = [
    ("OK", Success),
    ("CANCELLED", Retry),
    ("UNKNOWN", Fault),
    ("INVALID_ARGUMENT", Bad),
    ("DEADLINE_EXCEEDED", Fault),
    ("NOT_FOUND", Rejected),
    ("ALREADY_EXISTS", Bad),
    ("PERMISSION_DENIED", Rejected),
    ("RESOURCE_EXHAUSTED", RetryOrTooLarge),
    ("FAILED_PRECONDITION", Rejected),
    ("ABORTED", Retry),
    ("OUT_OF_RANGE", RetryOrTooLarge),
    ("UNIMPLEMENTED", Rejected),
    ("INTERNAL", Fault),
    ("UNAVAILABLE", Retry),
    ("DATA_LOSS", Fault),
    ("UNAUTHENTICATED", Rejected),
];

/// The messages of servers for a request above their limit, under the same codes as overload: gRPC for Go and C++ (hence Python,
/// Ruby, PHP), Java, .NET, and tonic. A retry would never help; a smaller request does.
const TOO_LARGE: [&str; 4] =
    ["larger than max", "exceeds maximum size", "exceeds the maximum configured message size", "length too large"];

/// Classes a reply as OTLP/gRPC says, but for the exceptions at [`CODES`] and [`TOO_LARGE`].
pub(in crate::telemetry) fn classify(reader: &Reader, reply: Reply<'_>) -> ExportOutcome {
    let known = usize::try_from(reply.code).ok().and_then(|code| CODES.get(code).copied());
    let (name, class) = known.unwrap_or(("an unknown status", Retry));
    let why = || explain(name, &reader.excerpt(reply.message));
    match class {
        // The status alone says that it was accepted.
        Success => match reply.response.and_then(|body| response(reader.signal, body)) {
            Some(response) => reader.success(response),
            None => reader.success_in_words(name, "no OTLP response"),
        },
        RetryOrTooLarge if TOO_LARGE.iter().any(|words| reply.message.contains(words)) => {
            ExportOutcome::Bad { why: why() }
        }
        Retry | RetryOrTooLarge => ExportOutcome::Retry { after: retry_delay(reply.details), why: why() },
        Fault => ExportOutcome::Fault { after: retry_delay(reply.details), why: why() },
        Rejected => ExportOutcome::Rejected { why: why() },
        Bad => ExportOutcome::Bad { why: why() },
    }
}

/// A response without a status, as a proxy leaves it that drops trailers. A server sends the message of a unary call with success
/// alone, so one that can be read stands for it.
pub(in crate::telemetry) fn without_status(reader: &Reader, message: Option<&[u8]>) -> ExportOutcome {
    match message.and_then(|message| response(reader.signal, message)) {
        Some(response) if !reader.strict => {
            reader.unexpected("200 OK", "no grpc-status");
            reader.success(response)
        }
        _ => ExportOutcome::Fault { after: None, why: "the answer ended without a status".to_owned() },
    }
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::telemetry) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::telemetry) struct Delay {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

fn retry_delay(details: &[u8]) -> Option<Duration> {
    let details = RpcStatus::decode(details).ok()?.details;
    let info = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    let delay = Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999));
    Some(delay.min(crate::outbound::MAX_WAIT))
}

#[cfg(test)]
pub(in crate::telemetry) mod tests {
    use super::*;
    use crate::process_metrics::Signal;
    use crate::telemetry::answer::{Any, class};
    use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};

    /// The details of a status that asks for a wait.
    pub fn retry_info(seconds: i64, nanos: i32) -> Vec<u8> {
        let value = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) }.encode_to_vec();
        let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".to_owned(), value: vec![0xff] };
        let retry = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value };
        RpcStatus { code: 14, message: String::new(), details: vec![other, retry] }.encode_to_vec()
    }

    fn of(code: i32, message: &str, details: &[u8], response: Option<&[u8]>) -> ExportOutcome {
        read(false, code, message, details, response)
    }

    fn read(strict: bool, code: i32, message: &str, details: &[u8], response: Option<&[u8]>) -> ExportOutcome {
        let reader = Reader::new(Signal::Logs, vec!["s3cret".to_owned()], strict);
        classify(&reader, Reply { code, message, details, response })
    }

    #[test]
    fn every_code_has_its_class() {
        for (class_name, codes) in [
            ("accepted", &[0][..]),
            ("retry", &[1, 8, 10, 11, 14, 17, 99, -1]),
            ("fault", &[2, 4, 13, 15]),
            ("rejected", &[5, 7, 9, 12, 16]),
            ("bad", &[3, 6]),
        ] {
            for &code in codes {
                assert_eq!(class(&of(code, "why", b"", Some(b""))), class_name, "{code}");
            }
        }
    }

    #[test]
    fn a_request_that_is_too_large_is_bad_although_its_code_is_one_to_retry() {
        for (code, message) in [
            (8, "grpc: received message larger than max (5242880 vs. 4194304)"),
            (8, "grpc: received message after decompression larger than max 4194304"),
            (8, "SERVER: Received message larger than max (5242880 vs. 4194304)"),
            (8, "gRPC message exceeds maximum size 4194304: 5242880"),
            (8, "Received message exceeds the maximum configured message size."),
            (11, "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes"),
        ] {
            assert_eq!(class(&of(code, message, b"", None)), "bad", "{message}");
        }
        assert_eq!(class(&of(14, "larger than max", b"", None)), "retry");
        assert_eq!(class(&of(8, "quota of 100 requests a minute", b"", None)), "retry");
    }

    #[test]
    fn a_success_is_read_like_that_of_http() {
        let partial = |rejected_log_records, message: &str| {
            let error_message = message.to_owned();
            let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        };
        for (body, class_name) in [
            (Some(&partial(2, "too old")[..]), "partial"),
            (Some(&partial(0, "a warning")), "accepted"),
            (Some(b""), "accepted"),
        ] {
            assert_eq!(class(&of(0, "", b"", body)), class_name, "{body:?}");
        }
        for unread in [Some(&b"\xff\xff\xff"[..]), None] {
            assert_eq!(class(&of(0, "", b"", unread)), "accepted", "{unread:?}");
            assert_eq!(class(&read(true, 0, "", b"", unread)), "rejected", "{unread:?}");
        }
        let expected = ExportOutcome::Partial { rejected: 2, message: "too old".to_owned() };
        assert_eq!(of(0, "", b"", Some(&partial(2, "too\nold"))), expected);
    }

    #[test]
    fn a_message_without_a_status_is_a_success_unless_answers_are_read_strictly() {
        for (strict, message, class_name) in [
            (false, Some(&b""[..]), "accepted"),
            (true, Some(b""), "fault"),
            (false, Some(b"\xff\xff\xff"), "fault"),
            (false, None, "fault"),
        ] {
            let reader = Reader::new(Signal::Logs, Vec::new(), strict);
            assert_eq!(class(&without_status(&reader, message)), class_name, "{strict} {message:?}");
        }
    }

    #[test]
    fn the_delay_of_a_retry_info_is_honoured_up_to_an_hour() {
        for (details, millis) in [
            (retry_info(7, 500_000_000), Some(7_500)),
            (retry_info(0, 0), Some(0)),
            (retry_info(90_000, 0), Some(3_600_000)),
            (retry_info(i64::MAX, i32::MAX), Some(3_600_000)),
            (retry_info(-1, 0), None),
            (retry_info(0, -1), None),
            (b"\xff".to_vec(), None),
            (Vec::new(), None),
        ] {
            for code in [8, 14] {
                let after = millis.map(Duration::from_millis);
                let ExportOutcome::Retry { after: found, .. } = of(code, "", &details, None) else {
                    panic!("{details:?}")
                };
                assert_eq!(found, after, "{details:?}");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_code_and_quotes_no_secret() {
        for (code, message, why) in [
            (16, "", "answered UNAUTHENTICATED"),
            (16, "bad token\ns3cret", "answered UNAUTHENTICATED: bad token <redacted>"),
            (12, "unknown service", "answered UNIMPLEMENTED: unknown service"),
        ] {
            assert_eq!(of(code, message, b"", None), ExportOutcome::Rejected { why: why.to_owned() });
        }
        let why = "answered an unknown status: huh".to_owned();
        assert_eq!(of(77, "huh", b"", None), ExportOutcome::Retry { after: None, why });
    }
}
