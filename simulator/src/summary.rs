//! The result of a run, in a few lines.

use std::fmt::Write;

use super::plan::Settings;
use super::sender::Outcome;
use super::transport::Acknowledgement::{Accepted, Duplicate, Other, Unrecognized};

/// One line per aspect; the last one is what the sidecar should count.
pub fn summary(settings: &Settings, outcome: &Outcome) -> String {
    let (tally, ends) = (&outcome.tally, &outcome.model.ends);
    let seconds = outcome.took.as_secs_f64().max(0.001);
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{name:<13} {what}");
    };
    line(
        "scenario",
        format!(
            "{}, --seed {} --start {}, time {} times faster, {}{seconds:.1} s",
            settings.scenario,
            settings.seed,
            settings.start,
            settings.compression,
            if outcome.interrupted { "interrupted after " } else { "" },
        ),
    );
    line(
        "sent",
        format!("{} messages, {} requests, {} of them retries", tally.messages, tally.requests, tally.retries),
    );
    let [accepted, duplicates, unrecognized, other] =
        [Accepted, Duplicate, Unrecognized, Other].map(|acknowledgement| tally.acknowledged(acknowledgement));
    let rest = counts([(unrecognized, "unrecognized"), (other, "other 2xx")]).map(|count| format!(", {count}"));
    line("acknowledged", format!("{accepted} accepted, {duplicates} duplicates{}", rest.collect::<String>()));
    let failed = tally.failed.iter().map(|(what, count)| (*count, what.as_str()));
    let failed: Vec<String> =
        counts(failed.chain([(tally.given_up, "given up"), (tally.left, "left unsent")])).collect();
    if !failed.is_empty() {
        line("not", failed.join(", "));
    }
    let sent_for = settings.duration.min(outcome.took).as_secs_f64().max(0.001);
    let (messages, requests) = (tally.messages as f64 / sent_for, tally.requests as f64 / seconds);
    let behind = match tally.behind.as_secs_f64() {
        seconds if seconds > 1.0 => format!("; up to {seconds:.1} s behind the plan"),
        _ => String::new(),
    };
    line("rate", format!("{messages:.1} messages/s, {requests:.1} requests/s{behind}"));
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| tally.took.quantile(share).unwrap_or(0.0) * 1e3);
    line("answer time", format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"));
    line(
        "expected",
        format!(
            "{} messages: {} delivered ({} read), {} failed, {} pending; {} replies (opt-outs: {})",
            ends.messages, ends.delivered, ends.read, ends.failed, ends.pending, ends.replies, ends.stops,
        ),
    );
    if outcome.known_before > 0 {
        let known = outcome.known_before;
        line(
            "known before",
            format!("{known} webhooks, from an earlier run with this seed; --seed random plays new messages"),
        );
    }
    text
}

/// `3 given up`, for each count that is not 0.
fn counts<'a>(counts: impl IntoIterator<Item = (u64, &'a str)>) -> impl Iterator<Item = String> {
    counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"))
}
