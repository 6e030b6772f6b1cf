//! What smsmode's statuses mean.

use crate::event::{Outcome, Reason};

/// REST v1: `status.value` and `status.detail`, whatever their case. A detail counts on a failure only.
pub(super) fn v1(value: &str, detail: Option<&str>) -> Outcome {
    let is = |known: &str| value.eq_ignore_ascii_case(known);
    if is("DELIVERED") {
        Outcome::Delivered
    } else if is("ENROUTE") {
        Outcome::Enroute
    } else if is("SCHEDULED") {
        Outcome::Scheduled
    } else if is("UNDELIVERED") || is("UNDELIVERABLE") {
        Outcome::Failed(detail.map_or(Reason::Unknown, reason))
    } else if is("READ") {
        Outcome::Read
    } else {
        Outcome::Unknown
    }
}

/// Whether a text is one of REST v1's values.
pub(super) fn is_known(value: &str) -> bool {
    v1(value, None) != Outcome::Unknown
}

/// The details of SMS and RCS receipts.
fn reason(detail: &str) -> Reason {
    const REASONS: &[(&str, Reason)] = &[
        ("INSUFFICIENT_CREDIT", Reason::Credit),
        ("ORGANISATION_MONTHLY_LIMIT_EXCEEDED", Reason::Limit),
        ("DAILY_LIMIT_EXCEEDED", Reason::Limit),
        ("SPAM", Reason::SpamFiltered),
        ("INVALID_PHONE_NUMBER", Reason::InvalidNumber),
        ("BLACKLISTED", Reason::Blacklisted),
        ("ROUTE_NOT_AVAILABLE", Reason::Routing),
        ("PHONE_NOT_SUITABLE", Reason::NotSupported),
        ("NETWORK_NOT_SUITABLE", Reason::NotSupported),
        ("MEDIA_INVALID", Reason::Content),
        ("EXPIRED", Reason::Expired),
        ("CANCELLED", Reason::Cancelled),
        ("INTERNAL_ERROR", Reason::ProviderError),
        // IN_PROGRESS and DELIVERED_TO_NETWORK say how far a message came, not why it failed: unknown.
    ];
    REASONS.iter().find(|(known, _)| detail.eq_ignore_ascii_case(known)).map_or(Reason::Unknown, |&(_, reason)| reason)
}

/// The legacy HTTP API's `statut` in one spelling: `011` is `11`, `00` is `0`. What is no such number stays as it is.
pub(super) fn legacy_code(written: &str) -> String {
    let is_number = written.bytes().all(|b| b.is_ascii_digit());
    match written.parse::<u16>() {
        Ok(code) if is_number => code.to_string(),
        _ => written.to_owned(),
    }
}

/// The legacy HTTP API's `statut` (legacy HTTP manual, annex of status codes).
pub(super) fn legacy(code: &str) -> Outcome {
    let Ok(code) = code.parse::<u16>() else { return Outcome::Unknown };
    let reason = match code {
        0 | 1 | 10 | 12 | 13 | 15 => return Outcome::Enroute,
        // 16 is "listened", 101 "unread": the message is there.
        11 | 14 | 16 | 101 => return Outcome::Delivered,
        100 => return Outcome::Read,
        2 | 31 => Reason::ProviderError,
        21 | 22 | 39 | 50 | 999 | 3599 => Reason::Unknown,
        33 => Reason::Credit,
        34 | 3560 => Reason::Routing,
        35 | 3503 | 3523 => Reason::HandsetError,
        36 | 38 | 40 | 3525 => Reason::Content,
        37 => Reason::Expired,
        3501 | 3521 => Reason::Network,
        3502 | 3522 => Reason::HandsetAbsent,
        3504 | 3526 => Reason::Portability,
        3524 => Reason::SpamFiltered,
        3527 => Reason::Roaming,
        3998 => Reason::InvalidNumber,
        3999 => Reason::Blacklisted,
        _ => return Outcome::Unknown,
    };
    Outcome::Failed(reason)
}
