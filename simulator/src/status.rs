//! smsmode's statuses, details and legacy codes, the frequency of each, and what it has to be counted as.
//!
//! The meanings are written down here a second time, on purpose, from the metrics' contract and not from the decoder: they are
//! what `--verify` holds the sidecar to.

use strum::IntoStaticStr;

use super::dice::Dice;

/// The API generation that a message is reported in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// REST v1: POST, JSON.
    V1,
    /// Legacy HTTP API: GET, query.
    Legacy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE", const_into_str)]
pub enum Channel {
    Sms,
    Rcs,
    Whatsapp,
}

/// What a receipt has to be counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Scheduled,
    Enroute,
    Delivered,
    Read,
    /// With its reason, as the `reason` label has it.
    Failed(&'static str),
    Unknown,
}

impl Meaning {
    /// The `outcome` label of `sms_receipts_total`.
    pub fn outcome(self) -> &'static str {
        match self {
            Meaning::Scheduled | Meaning::Enroute => "pending",
            Meaning::Delivered => "delivered",
            Meaning::Read => "read",
            Meaning::Failed(_) => "failed",
            Meaning::Unknown => "unknown",
        }
    }
}

/// A status as the provider writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// `DELIVERED`, or a legacy code.
    pub value: &'static str,
    pub detail: Option<&'static str>,
    pub meaning: Meaning,
}

/// How soon a failure is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Rejected by the provider, or at once by the network.
    AtOnce,
    /// After attempts of minutes to hours.
    AfterTries,
}

/// One way to fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    pub status: Status,
    pub when: When,
    weight: f64,
}

impl Failure {
    /// One of those that a channel knows in a dialect.
    pub fn draw(dialect: Dialect, channel: Channel, dice: &mut Dice) -> Self {
        let known = match (dialect, channel) {
            (Dialect::Legacy, _) => LEGACY_FAILURES,
            (Dialect::V1, Channel::Sms) => SMS_FAILURES,
            (Dialect::V1, Channel::Rcs | Channel::Whatsapp) => RCS_FAILURES,
        };
        *dice.weighted(known, |failure| failure.weight)
    }

    /// Not of this message but of the account: no credit, or a limit that is reached.
    pub fn is_of_the_account(self) -> bool {
        matches!(self.status.meaning, Meaning::Failed("credit" | "limit"))
    }

    /// The provider's filter against spam.
    pub fn spam(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => v1("SPAM", "spam_filtered", When::AtOnce, 1.0),
            Dialect::Legacy => legacy("3524", "spam_filtered", When::AtOnce, 1.0),
        }
    }

    /// No credit is left.
    pub fn credit(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => v1("INSUFFICIENT_CREDIT", "credit", When::AtOnce, 1.0),
            Dialect::Legacy => legacy("33", "credit", When::AtOnce, 1.0),
        }
    }

    /// A failure of the recipient's network. REST v1 has no word for that: it reports UNDELIVERED and nothing more.
    pub fn network(dialect: Dialect, dice: &mut Dice) -> Self {
        match dialect {
            Dialect::V1 => UNEXPLAINED,
            Dialect::Legacy => *dice.pick(&[
                legacy("3501", "network", When::AfterTries, 1.0),
                legacy("3521", "network", When::AtOnce, 1.0),
                legacy("3502", "handset_absent", When::AfterTries, 1.0),
                legacy("3522", "handset_absent", When::AfterTries, 1.0),
            ]),
        }
    }
}

const fn status(value: &'static str, meaning: Meaning) -> Status {
    Status { value, detail: None, meaning }
}

const fn v1(detail: &'static str, reason: &'static str, when: When, weight: f64) -> Failure {
    let status = Status { value: "UNDELIVERABLE", detail: Some(detail), meaning: Meaning::Failed(reason) };
    Failure { status, when, weight }
}

const fn undelivered(detail: &'static str, reason: &'static str, weight: f64) -> Failure {
    let status = Status { value: "UNDELIVERED", detail: Some(detail), meaning: Meaning::Failed(reason) };
    Failure { status, when: When::AfterTries, weight }
}

const fn legacy(code: &'static str, reason: &'static str, when: When, weight: f64) -> Failure {
    Failure { status: status(code, Meaning::Failed(reason)), when, weight }
}

const UNEXPLAINED: Failure =
    Failure { status: status("UNDELIVERED", Meaning::Failed("unknown")), when: When::AfterTries, weight: 30.0 };

use When::{AfterTries, AtOnce};

const SMS_FAILURES: &[Failure] = &[
    UNEXPLAINED,
    v1("INVALID_PHONE_NUMBER", "invalid_number", AtOnce, 25.0),
    v1("BLACKLISTED", "blacklisted", AtOnce, 12.0),
    v1("SPAM", "spam_filtered", AtOnce, 12.0),
    v1("DAILY_LIMIT_EXCEEDED", "limit", AtOnce, 4.0),
    v1("ORGANISATION_MONTHLY_LIMIT_EXCEEDED", "limit", AtOnce, 2.0),
    v1("INSUFFICIENT_CREDIT", "credit", AtOnce, 3.0),
];

const RCS_FAILURES: &[Failure] = &[
    UNEXPLAINED,
    v1("PHONE_NOT_SUITABLE", "not_supported", AtOnce, 25.0),
    v1("NETWORK_NOT_SUITABLE", "not_supported", AtOnce, 10.0),
    v1("ROUTE_NOT_AVAILABLE", "routing", AtOnce, 8.0),
    v1("MEDIA_INVALID", "content", AtOnce, 5.0),
    v1("INTERNAL_ERROR", "provider_error", AtOnce, 5.0),
    v1("CANCELLED", "cancelled", AtOnce, 4.0),
    v1("INVALID_PHONE_NUMBER", "invalid_number", AtOnce, 8.0),
    v1("BLACKLISTED", "blacklisted", AtOnce, 5.0),
    v1("SPAM", "spam_filtered", AtOnce, 5.0),
    undelivered("EXPIRED", "expired", 15.0),
    // These two say how far a message came, not why it failed.
    undelivered("DELIVERED_TO_NETWORK", "unknown", 3.0),
    undelivered("IN_PROGRESS", "unknown", 2.0),
];

/// Legacy HTTP manual, annex of status codes.
const LEGACY_FAILURES: &[Failure] = &[
    legacy("2", "provider_error", AtOnce, 2.0),
    legacy("21", "unknown", AfterTries, 2.0),
    legacy("22", "unknown", AfterTries, 2.0),
    legacy("31", "provider_error", AtOnce, 2.0),
    legacy("33", "credit", AtOnce, 2.0),
    legacy("34", "routing", AtOnce, 2.0),
    legacy("35", "handset_error", AfterTries, 4.0),
    legacy("36", "content", AtOnce, 2.0),
    legacy("37", "expired", AfterTries, 6.0),
    legacy("38", "content", AtOnce, 2.0),
    legacy("39", "unknown", AfterTries, 2.0),
    legacy("40", "content", AtOnce, 2.0),
    legacy("50", "unknown", AfterTries, 2.0),
    legacy("999", "unknown", AfterTries, 2.0),
    legacy("3501", "network", AfterTries, 5.0),
    legacy("3502", "handset_absent", AfterTries, 12.0),
    legacy("3503", "handset_error", AfterTries, 4.0),
    legacy("3504", "portability", AfterTries, 2.0),
    legacy("3521", "network", AtOnce, 3.0),
    legacy("3522", "handset_absent", AfterTries, 10.0),
    legacy("3523", "handset_error", AfterTries, 3.0),
    legacy("3524", "spam_filtered", AtOnce, 6.0),
    legacy("3525", "content", AtOnce, 2.0),
    legacy("3526", "portability", AfterTries, 2.0),
    legacy("3527", "roaming", AfterTries, 3.0),
    legacy("3560", "routing", AtOnce, 2.0),
    legacy("3599", "unknown", AfterTries, 3.0),
    legacy("3998", "invalid_number", AtOnce, 12.0),
    legacy("3999", "blacklisted", AtOnce, 6.0),
];

/// Waits until it is sent. In the legacy API it looks like [`enroute`].
pub const SCHEDULED: Status = status("SCHEDULED", Meaning::Scheduled);

/// On its way.
pub fn enroute(dialect: Dialect, channel: Channel, dice: &mut Dice) -> Status {
    const CODES: &[(&str, f64)] = &[("0", 4.0), ("1", 3.0), ("10", 2.0), ("12", 1.0), ("13", 1.0), ("15", 1.0)];
    match (dialect, channel) {
        (Dialect::Legacy, _) => status(dice.weighted(CODES, |code| code.1).0, Meaning::Enroute),
        (Dialect::V1, Channel::Rcs) => {
            let detail = dice.pick(&[None, Some("IN_PROGRESS"), Some("DELIVERED_TO_NETWORK")]);
            Status { detail: *detail, ..status("ENROUTE", Meaning::Enroute) }
        }
        (Dialect::V1, _) => status("ENROUTE", Meaning::Enroute),
    }
}

/// Arrived. The legacy API has words of its own for voice messages: listened to (16), not read yet (101).
pub fn delivered(dialect: Dialect, dice: &mut Dice) -> Status {
    const CODES: &[(&str, f64)] = &[("11", 95.0), ("14", 2.0), ("16", 1.5), ("101", 1.5)];
    match dialect {
        Dialect::V1 => status("DELIVERED", Meaning::Delivered),
        Dialect::Legacy => status(dice.weighted(CODES, |code| code.1).0, Meaning::Delivered),
    }
}

/// Opened by the recipient.
pub fn read(dialect: Dialect) -> Status {
    match dialect {
        Dialect::V1 => status("READ", Meaning::Read),
        Dialect::Legacy => status("100", Meaning::Read),
    }
}

/// A status that the provider does not document, as they appear before the documents do.
pub fn undocumented(dialect: Dialect) -> Status {
    match dialect {
        Dialect::V1 => status("BUFFERED", Meaning::Unknown),
        Dialect::Legacy => status("3700", Meaning::Unknown),
    }
}

/// Every failure that can be drawn.
pub fn all_failures() -> impl Iterator<Item = &'static Failure> {
    SMS_FAILURES.iter().chain(RCS_FAILURES).chain(LEGACY_FAILURES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_documented_detail_and_failure_code_is_reached() {
        let details: BTreeSet<&str> = all_failures().filter_map(|failure| failure.status.detail).collect();
        assert_eq!(details.len(), 15, "{details:?}");
        let codes: BTreeSet<&str> = LEGACY_FAILURES.iter().map(|failure| failure.status.value).collect();
        assert_eq!(codes.len(), 29, "{codes:?}");
    }
}
