//! The ledger's snapshot as Prometheus text, version 0.0.4.

use std::fmt::Write;

use crate::ledger::catalogue::Description;
use crate::ledger::snapshot::{Family, Sample, Snapshot};

/// Appends every family that has samples: its `HELP` and `TYPE` lines, then one line a series.
///
/// Values are exact decimals: integers, with up to as many fraction digits as the family's scale has zeros.
pub fn encode(snapshot: &Snapshot, out: &mut String) {
    for family in snapshot.families.iter().filter(|family| !family.samples.is_empty()) {
        encode_family(family, out);
    }
}

fn encode_family(family: &Family, out: &mut String) {
    let Description { name, help, kind, .. } = family.description;
    write!(out, "# HELP {name} ").unwrap_or_default();
    escape(help, false, out);
    write!(out, "\n# TYPE {name} {}\n", kind.as_str()).unwrap_or_default();
    encode_samples(family, |_, _| {}, out);
}

/// One line per series. `append` adds to it what follows the value.
pub(super) fn encode_samples(family: &Family, append: impl Fn(&Sample, &mut String), out: &mut String) {
    let Description { name, labels, scale, .. } = family.description;
    for sample in &family.samples {
        out.push_str(name);
        encode_labels(labels.iter().copied().zip(sample.labels.iter().map(|value| &**value)), out);
        out.push(' ');
        decimal(sample.value, *scale, out);
        append(sample, out);
        out.push('\n');
    }
}

/// `{name="value",…}`; nothing without labels.
pub(super) fn encode_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    let mut opening = '{';
    for (label, value) in labels {
        out.push(opening);
        out.push_str(label);
        out.push_str("=\"");
        escape(value, true, out);
        out.push('"');
        opening = ',';
    }
    if opening == ',' {
        out.push('}');
    }
}

pub(super) fn escape(text: &str, quotes: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// `value / scale` without rounding; `scale` is a power of ten.
pub(super) fn decimal(value: i64, scale: i64, out: &mut String) {
    let scale = scale.unsigned_abs().max(1);
    let (whole, mut fraction) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    if value < 0 {
        out.push('-');
    }
    let mut digits = scale.ilog10() as usize;
    let written = if fraction == 0 {
        write!(out, "{whole}")
    } else {
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        write!(out, "{whole}.{fraction:0digits$}")
    };
    written.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::catalogue::{Metric, gauge};

    fn sample(labels: &[&str], value: i64) -> Sample {
        Sample { labels: labels.iter().map(|&label| label.into()).collect(), value }
    }

    fn encoded(families: Vec<Family>) -> String {
        let mut out = String::new();
        encode(&Snapshot { families }, &mut out);
        out
    }

    #[test]
    fn a_family_has_its_help_its_type_and_one_line_a_series() {
        let messages = Family {
            description: Metric::Messages.description(),
            samples: vec![sample(&["smsmode", "SMS", "OTP", "FR"], 3), sample(&["smsmode", "RCS", "OTP", "BE"], 0)],
        };
        assert_eq!(
            encoded(vec![messages]),
            "# HELP sms_messages_total Distinct outbound messages first seen.\n\
             # TYPE sms_messages_total counter\n\
             sms_messages_total{source=\"smsmode\",channel=\"SMS\",flow=\"OTP\",country=\"FR\"} 3\n\
             sms_messages_total{source=\"smsmode\",channel=\"RCS\",flow=\"OTP\",country=\"BE\"} 0\n"
        );
    }

    #[test]
    fn a_series_without_labels_has_no_braces_and_a_family_without_samples_is_left_out() {
        let size = Family { description: &gauge::STORE_SIZE, samples: vec![sample(&[], 4096)] };
        let limit = Family { description: &gauge::STORE_LIMIT, samples: vec![] };
        assert_eq!(
            encoded(vec![size, limit]),
            "# HELP smscope_store_size_bytes Bytes in use in the database file.\n\
             # TYPE smscope_store_size_bytes gauge\n\
             smscope_store_size_bytes 4096\n"
        );
    }

    #[test]
    fn what_would_break_a_line_is_escaped_in_label_values() {
        let receipts = Family {
            description: Metric::Receipts.description(),
            samples: vec![sample(&["smsmode", "SMS", "a\"b\\c\nd é", "unknown"], 1)],
        };
        let text = encoded(vec![receipts]);
        assert!(text.ends_with(
            "sms_receipts_total{source=\"smsmode\",channel=\"SMS\",status=\"a\\\"b\\\\c\\nd é\",outcome=\"unknown\"} 1\n"
        ));
    }

    #[test]
    fn money_and_times_are_exact_decimals() {
        for (value, scale, text) in [
            (0, 1_000_000, "0"),
            (1, 1_000_000, "0.000001"),
            (49_000, 1_000_000, "0.049"),
            (1_000_000, 1_000_000, "1"),
            (100_500_000, 1_000_000, "100.5"),
            (-1_250_000, 1_000_000, "-1.25"),
            (-1, 1_000_000, "-0.000001"),
            (9_007_199_254_740_993, 1_000_000, "9007199254.740993"),
            (i64::MAX, 1_000_000, "9223372036854.775807"),
            (i64::MIN, 1, "-9223372036854775808"),
            (1_743_523_210_050, 1_000, "1743523210.05"),
            (12, 1, "12"),
        ] {
            let mut out = String::new();
            decimal(value, scale, &mut out);
            assert_eq!(out, text);
        }
    }
}
