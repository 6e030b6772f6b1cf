//! The last events as the page may show them: no full number, no text, nothing long.

use jiff::Timestamp;

use super::format::Moment;
use crate::number::networks;
use crate::record::{Entry, Kind, Record};
use crate::telemetry::redaction::{mask, without_numbers};

/// How much is shown of a message id: enough to find it by.
const ID_SHOWN: usize = 8;

/// Most characters of a word of the provider's.
const WORD_SHOWN: usize = 40;

/// One stored event.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub arrived: Moment,
    pub source: String,
    /// What it counts as, for its color and mark.
    pub tone: &'static str,
    pub label: &'static str,
    /// Reason, then the words of the provider.
    pub said: Vec<String>,
    /// Masked.
    pub number: String,
    /// Country and network, where they are known.
    pub place: Vec<String>,
    pub message_id: String,
}

impl EventRow {
    pub fn of(entry: &Entry, now: Timestamp) -> Self {
        let record = &entry.record;
        let (tone, label) = face(record.kind);
        Self {
            arrived: Moment { at: entry.received_at, now },
            source: record.source.to_string(),
            tone,
            label,
            said: said(record),
            number: record.number.as_deref().map(mask).unwrap_or_default(),
            place: place(record),
            message_id: record.message_id.as_deref().map(short_id).unwrap_or_default(),
        }
    }
}

/// The tone (one of those of the style sheet) and the word of each kind.
fn face(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Scheduled => ("pending", "Scheduled"),
        Kind::Enroute => ("pending", "Enroute"),
        Kind::Delivered => ("delivered", "Delivered"),
        Kind::Read => ("delivered", "Read"),
        Kind::Failed => ("failed", "Failed"),
        Kind::Expired => ("expired", "Expired"),
        Kind::Unknown => ("other", "Unknown status"),
        Kind::Reply => ("other", "Reply"),
        Kind::Stop => ("other", "STOP"),
        Kind::Unrecognized => ("other", "Unrecognized"),
        Kind::Resend => ("pending", "Resend"),
    }
}

fn said(record: &Record) -> Vec<String> {
    let reason = record.reason.map(|reason| words(reason.as_str()));
    // A status that only repeats the kind adds nothing.
    let plain = |status: &&str| !status.eq_ignore_ascii_case(face(record.kind).1);
    let status = record.status.as_deref().filter(plain).map(shown);
    let others = [record.detail.as_deref(), record.why.as_deref()];
    reason.into_iter().chain(status).chain(others.into_iter().flatten().map(shown)).collect()
}

fn place(record: &Record) -> Vec<String> {
    let country = record.country.as_deref().filter(|country| *country != "unknown").map(shown);
    let network = networks::name_and_code(record.mccmnc.as_deref(), record.network.as_deref());
    country.into_iter().chain(network.as_deref().map(shown)).collect()
}

/// A label value in words: `spam_filtered` is `spam filtered`.
pub fn words(label: &str) -> String {
    label.replace('_', " ")
}

fn short_id(id: &str) -> String {
    let mut short: String = id.chars().filter(|c| !is_invisible(*c)).take(ID_SHOWN).collect();
    if id.chars().count() > ID_SHOWN {
        short.push('…');
    }
    short
}

/// A word of the provider, cut short, in which every run of digits that could be a number is hidden.
fn shown(word: &str) -> String {
    let visible: String = word.chars().filter(|c| !is_invisible(*c)).collect();
    let shown = without_numbers(&visible);
    let shown = shown.trim();
    match shown.char_indices().nth(WORD_SHOWN) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.to_owned(),
    }
}

/// Control characters, and those that turn the direction of what stands around them or take no room.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Reason, SourceName};

    fn record(kind: Kind) -> Record {
        Record::new(kind, SourceName::new("smsmode").unwrap())
    }

    fn row(record: Record) -> EventRow {
        let now: Timestamp = "2026-04-01T14:00:10Z".parse().unwrap();
        EventRow::of(&Entry { position: crate::record::Position(1), received_at: now, record }, now)
    }

    #[test]
    fn a_failure_shows_its_reason_and_the_providers_words_and_no_one_can_be_called() {
        let row = row(Record {
            number: Some("33612345678".into()),
            text: Some("Your code is 4711".into()),
            status: Some("UNDELIVERABLE".into()),
            detail: Some("SPAM".into()),
            reason: Some(Reason::SpamFiltered),
            country: Some("FR".into()),
            network: Some("Orange F".into()),
            mccmnc: Some("20801".into()),
            message_id: Some("0b9f3c1e-9d5a-4c56-8d38-2d1f6f1f3a6b".into()),
            ..record(Kind::Failed)
        });
        assert_eq!((row.tone, row.label), ("failed", "Failed"));
        assert_eq!(row.said, ["spam filtered", "UNDELIVERABLE", "SPAM"]);
        assert_eq!(row.number, "+336•••••678");
        assert_eq!(row.place, ["FR", "Orange (20801)"]);
        assert_eq!(row.message_id, "0b9f3c1e…");
        assert!(!format!("{row:?}").contains("4711"));
    }

    #[test]
    fn a_status_that_only_repeats_the_kind_is_left_out() {
        let row = row(Record { status: Some("DELIVERED".into()), ..record(Kind::Delivered) });
        assert!(row.said.is_empty() && row.place.is_empty() && row.number.is_empty() && row.message_id.is_empty());
    }

    #[test]
    fn what_could_be_a_number_is_hidden_wherever_the_provider_wrote_it() {
        for (word, expected) in [
            ("DELIVERED", "DELIVERED"),
            ("3501", "3501"),
            ("20801", "20801"),
            ("to 33612345678 now", "to ••••••••••• now"),
            ("+33 6 12 34 56 78", "+•• • •• •• •• ••"),
            ("٣٣٦١٢٣٤٥٦٧٨", "•••••••••••"),
            ("a\u{202E}b\u{0}c\u{200B}d", "abcd"),
            ("0123456789012345678901234567890123456789x", "••••••••••••••••••••••••••••••••••••••••…"),
            ("", ""),
        ] {
            assert_eq!(shown(word), expected, "{word}");
        }
    }

    #[test]
    fn no_whole_number_fits_into_a_short_id() {
        for (id, expected) in [("", ""), ("12345678", "12345678"), ("33612345678", "33612345…"), ("é\nabc", "éabc")]
        {
            assert_eq!(short_id(id), expected, "{id}");
        }
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let mut words: Vec<&str> = Kind::ALL.into_iter().map(|kind| face(kind).1).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
    }
}
