//! What a run came to, in a few lines.

use std::fmt::Write;
use std::time::Duration;

use super::plan::Settings;
use super::sender::Outcome;

/// One line a thing; the last one is what the sidecar should show.
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
    let mut acknowledged = format!("{} accepted, {} duplicates", tally.accepted, tally.duplicate);
    for (count, what) in [(tally.unrecognized, "unrecognized"), (tally.other, "other 2xx")] {
        if count > 0 {
            let _infallible = write!(acknowledged, ", {count} {what}");
        }
    }
    line("acknowledged", acknowledged);
    if tally.not_acknowledged() + tally.given_up + tally.left > 0 {
        let refused = tally.refused.iter().map(|(status, count)| (*count, format!("answered {}", status.as_u16())));
        let rest = [
            (tally.unreachable, "without a connection".to_owned()),
            (tally.silent, "without an answer".to_owned()),
            (tally.given_up, "given up".to_owned()),
            (tally.left, "left unsent".to_owned()),
        ];
        let parts: Vec<String> = refused
            .chain(rest)
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        line("not", parts.join(", "));
    }
    let sent_for = settings.duration.min(outcome.took).as_secs_f64().max(0.001);
    let mut rate = format!(
        "{:.1} messages/s, {:.1} requests/s",
        tally.messages as f64 / sent_for,
        tally.requests as f64 / seconds
    );
    if tally.behind > Duration::from_secs(1) {
        let _infallible = write!(rate, "; up to {:.1} s behind the plan", tally.behind.as_secs_f64());
    }
    line("rate", rate);
    let took = [tally.took.quantile(0.5), tally.took.quantile(0.99), tally.took.longest()].map(milliseconds);
    line("answer time", format!("p50 {}, p99 {}, max {}", took[0], took[1], took[2]));
    line(
        "expected",
        format!(
            "{} messages: {} delivered ({} read), {} failed, {} pending; {} replies (opt-outs: {})",
            ends.messages, ends.delivered, ends.read, ends.failed, ends.pending, ends.replies, ends.stops,
        ),
    );
    if outcome.known_before > 0 {
        line(
            "known before",
            format!(
                "{} webhooks, from an earlier run with this seed; --seed random plays new messages",
                outcome.known_before
            ),
        );
    }
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
