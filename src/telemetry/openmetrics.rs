//! All metrics as OpenMetrics text, version 1.0.0, for scrapers that ask for it: what is in [`super::prometheus`]' format, and beside it
//! the trace of one delivery and one failure of each series.
//!
//! Where the two formats differ: a counter's family is called without `_total`, units have a line of their own, HELP escapes quotes,
//! bounds of buckets are written as floats, and the end is marked.

use std::collections::HashMap;
use std::fmt::Write;

use super::prometheus::{decimal, encode_labels, encode_samples, escape};
use crate::event::hex;
use crate::ledger::Exemplar;
use crate::ledger::catalogue::{Description, Kind};
use crate::ledger::snapshot::{Family, LabelValues, Sample, Snapshot};

/// The traces to show, by a counter's name and its series' label values.
pub type Exemplars = HashMap<(&'static str, LabelValues), Exemplar>;

/// The ledger's families, then those of the process, which are rendered in the other format already.
pub fn encode(snapshot: &Snapshot, exemplars: &Exemplars, process: &str) -> String {
    let mut out = String::new();
    for family in snapshot.families.iter().filter(|family| !family.samples.is_empty()) {
        encode_family(family, exemplars, &mut out);
    }
    convert(process, &mut out);
    out.push_str("# EOF\n");
    out
}

fn encode_family(family: &Family, exemplars: &Exemplars, out: &mut String) {
    let Description { name, help, kind, .. } = *family.description;
    let of_family = if kind == Kind::Counter { family_of_counter(name) } else { name };
    head(of_family, kind.as_str(), out);
    write!(out, "# HELP {of_family} ").unwrap_or_default();
    escape(help, true, out);
    out.push('\n');
    let exemplar = |sample: &Sample, out: &mut String| {
        let Some(exemplar) = exemplars.get(&(name, sample.labels.clone())) else { return };
        out.push_str(" # ");
        let (trace, span) = (hex(&exemplar.trace_id), hex(&exemplar.span_id));
        encode_labels([("trace_id", &*trace), ("span_id", &*span)].into_iter(), out);
        out.push_str(" 1 ");
        decimal(exemplar.at.as_millisecond(), 1_000, out);
    };
    encode_samples(family, exemplar, out);
}

fn family_of_counter(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The type's line, and the unit's where the name ends in one.
fn head(name: &str, kind: &str, out: &mut String) {
    let unit = ["seconds", "bytes"].into_iter().find(|unit| name.strip_suffix(unit).is_some_and(|n| n.ends_with('_')));
    let unit = unit.map(|unit| format!("# UNIT {name} {unit}\n")).unwrap_or_default();
    write!(out, "# TYPE {name} {kind}\n{unit}").unwrap_or_default();
}

/// Appends text of the other format, of which each family has a HELP and then a TYPE line before its samples.
fn convert(text: &str, out: &mut String) {
    let mut help = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (name, kind) = match kind {
                "counter" => (family_of_counter(name), kind),
                "untyped" => (name, "unknown"),
                _ => (name, kind),
            };
            head(name, kind, out);
            if let Some((_, help)) = std::mem::take(&mut help).split_once(' ') {
                // Backslashes and line breaks are escaped there as here.
                writeln!(out, "# HELP {name} {}", help.replace('"', "\\\"")).unwrap_or_default();
            }
        } else {
            sample(line, out);
        }
    }
}

/// A line with the value of a series; the bound of a bucket as a float.
fn sample(line: &str, out: &mut String) {
    let bound = line.split_once("le=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?)));
    let written = match bound {
        Some((before, (bound, after))) if bound.bytes().all(|byte| byte.is_ascii_digit()) => {
            writeln!(out, "{before}le=\"{bound}.0\"{after}")
        }
        _ => writeln!(out, "{line}"),
    };
    written.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TraceParent;
    use crate::ledger::catalogue::{Metric, gauge};

    fn of(labels: &[&str], value: i64) -> Sample {
        Sample { labels: labels.iter().map(|&label| label.into()).collect(), value }
    }

    #[test]
    fn a_counter_loses_its_suffix_in_its_family_and_shows_the_trace_of_its_last_increment() {
        let delivered = Family {
            description: Metric::Delivered.description(),
            samples: vec![of(&["smsmode", "SMS", "OTP", "FR"], 3), of(&["smsmode", "SMS", "OTP", "BE"], 1)],
        };
        let trace = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let exemplar = Exemplar::of(trace, "2025-04-01T16:00:10.5Z".parse().unwrap()).unwrap();
        let key = (Metric::Delivered.description().name, delivered.samples[0].labels.clone());
        let text = encode(&Snapshot { families: vec![delivered] }, &HashMap::from([(key, exemplar)]), "");
        assert_eq!(
            text,
            "# TYPE sms_messages_delivered counter\n\
             # HELP sms_messages_delivered Messages that became delivered.\n\
             sms_messages_delivered_total{source=\"smsmode\",channel=\"SMS\",flow=\"OTP\",country=\"FR\"} 3 \
             # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7\"} 1 1743523210.5\n\
             sms_messages_delivered_total{source=\"smsmode\",channel=\"SMS\",flow=\"OTP\",country=\"BE\"} 1\n\
             # EOF\n"
        );
    }

    #[test]
    fn a_unit_has_its_line_and_a_series_without_labels_has_no_braces() {
        let size = Family { description: &gauge::STORE_SIZE, samples: vec![of(&[], 4096)] };
        let text = encode(&Snapshot { families: vec![size] }, &Exemplars::new(), "");
        assert!(
            text.starts_with("# TYPE smscope_store_size_bytes gauge\n# UNIT smscope_store_size_bytes bytes\n"),
            "{text}"
        );
        assert!(text.ends_with("\nsmscope_store_size_bytes 4096\n# EOF\n"), "{text}");
    }

    #[test]
    fn what_the_process_shows_is_converted_line_by_line() {
        let text = "# HELP a_total Said \"so\".\n# TYPE a_total counter\na_total{x=\"le=\"} 1\n\n\
                    # HELP d_seconds Time.\n# TYPE d_seconds histogram\nd_seconds_bucket{source=\"s\",le=\"0.5\"} 1\n\
                    d_seconds_bucket{source=\"s\",le=\"1\"} 1\nd_seconds_bucket{source=\"s\",le=\"+Inf\"} 1\n\
                    d_seconds_sum{source=\"s\"} 0.4\nd_seconds_count{source=\"s\"} 1\n\
                    # TYPE u untyped\nu 1.5\n";
        assert_eq!(
            encode(&Snapshot::default(), &Exemplars::new(), text),
            "# TYPE a counter\n# HELP a Said \\\"so\\\".\na_total{x=\"le=\"} 1\n\
             # TYPE d_seconds histogram\n# UNIT d_seconds seconds\n# HELP d_seconds Time.\n\
             d_seconds_bucket{source=\"s\",le=\"0.5\"} 1\nd_seconds_bucket{source=\"s\",le=\"1.0\"} 1\n\
             d_seconds_bucket{source=\"s\",le=\"+Inf\"} 1\nd_seconds_sum{source=\"s\"} 0.4\nd_seconds_count{source=\"s\"} 1\n\
             # TYPE u unknown\nu 1.5\n# EOF\n"
        );
    }
}
