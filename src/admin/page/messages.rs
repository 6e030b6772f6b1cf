//! The figures about messages, from the ledger.

use std::collections::BTreeMap;

use super::events::words;
use super::format::{Count, percent};
use crate::ledger::catalogue::{Description, Metric};
use crate::ledger::snapshot::{Family, Snapshot};

/// Reasons that have a row of their own; the rest share one.
const REASONS_SHOWN: usize = 6;

/// How long a bar is, in its own units.
const BAR: i64 = 1_000;

/// The shortest segment that can be seen.
const LEAST: i64 = 6;

/// Messages since the store was made: the totals of the counters, and of the gauge.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    pub seen: Count,
    pub delivered: Count,
    pub failed: Count,
    pub pending: Count,
    pub expired: Count,
    pub read: Count,
    pub replies: Count,
    pub stops: Count,
    /// Failed, but delivered after all.
    pub failed_corrected: Count,
    /// Expired, but with a final receipt after all.
    pub expired_corrected: Count,
    /// Messages with an outcome, each once.
    pub settled: Count,
    /// The share of those that is delivered.
    pub rate: Option<String>,
    pub bar: Bar,
}

/// How many messages failed for one reason.
#[derive(Clone, Debug)]
pub struct ReasonRow {
    pub reason: String,
    pub count: Count,
    pub share: String,
    pub bar: Bar,
}

/// Segments side by side, in thousandths of the bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bar(pub Vec<Segment>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub tone: &'static str,
    pub start: i64,
    pub width: i64,
}

impl Bar {
    /// One segment a part, in proportion to `whole`. What is not nothing can be seen.
    pub fn of(parts: &[(&'static str, i64)], whole: i64) -> Self {
        let parts: Vec<_> = parts.iter().filter(|(_, value)| *value > 0).collect();
        let room = BAR - LEAST * parts.len() as i64;
        let mut start = 0;
        let segment = |(tone, value): &(&'static str, i64)| {
            let share = i128::from(*value) * i128::from(room) / i128::from(whole.max(1));
            let width = LEAST + i64::try_from(share).unwrap_or(room);
            start += width;
            Segment { tone, start: start - width, width }
        };
        Self(parts.into_iter().map(segment).collect())
    }
}

impl Messages {
    pub fn read(snapshot: &Snapshot) -> Self {
        let total = |metric| sum(snapshot, metric, |_| true);
        let (delivered, failed, pending) = (total(Metric::Delivered), total(Metric::Failed), total(Metric::Pending));
        let expired = total(Metric::Expired);
        let corrected = |from: &str| sum(snapshot, Metric::Corrected, |labels| labels.get("from") == from);
        let (failed_corrected, expired_corrected) = (corrected("failed"), corrected("expired"));
        let replies = |kind: &str| Count(sum(snapshot, Metric::Replies, |labels| labels.get("kind") == kind));
        let (still_failed, still_expired) = (failed - failed_corrected, expired - expired_corrected);
        let settled = delivered + still_failed + still_expired;
        let parts =
            [("delivered", delivered), ("failed", still_failed), ("expired", still_expired), ("pending", pending)];
        Self {
            seen: Count(total(Metric::Messages)),
            delivered: Count(delivered),
            failed: Count(failed),
            pending: Count(pending),
            expired: Count(expired),
            read: Count(total(Metric::Read)),
            replies: replies("reply"),
            stops: replies("stop"),
            failed_corrected: Count(failed_corrected),
            expired_corrected: Count(expired_corrected),
            settled: Count(settled),
            rate: percent(delivered, settled),
            bar: Bar::of(&parts, settled + pending),
        }
    }

    /// Whether anything has been heard of.
    pub fn is_empty(&self) -> bool {
        self.seen.0 == 0 && self.replies.0 == 0 && self.stops.0 == 0
    }
}

/// The reasons of failure, the most frequent first.
pub fn reasons(snapshot: &Snapshot) -> Vec<ReasonRow> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (labels, value) in samples(snapshot, Metric::Failed) {
        *counts.entry(labels.get("reason")).or_default() += value;
    }
    let mut counts: Vec<(String, i64)> =
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(reason, count)| (words(reason), count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if counts.len() > REASONS_SHOWN + 1 {
        let rest = counts.split_off(REASONS_SHOWN);
        counts.push((format!("{} other reasons", rest.len()), rest.iter().map(|(_, count)| count).sum()));
    }
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let row = |(reason, count): (String, i64)| ReasonRow {
        reason,
        count: Count(count),
        share: percent(count, total).unwrap_or_default(),
        bar: Bar::of(&[("failed", count)], most),
    };
    counts.into_iter().map(row).collect()
}

/// The labels of a sample.
pub struct Labels<'a> {
    names: &'a [&'a str],
    values: &'a [Box<str>],
}

impl<'a> Labels<'a> {
    pub fn get(&self, name: &str) -> &'a str {
        self.names.iter().zip(self.values).find(|(label, _)| **label == name).map_or("", |(_, value)| value)
    }
}

pub fn family<'a>(snapshot: &'a Snapshot, metric: &Description) -> Option<&'a Family> {
    snapshot.families.iter().find(|family| family.description == metric)
}

/// The samples of a metric.
pub fn samples(snapshot: &Snapshot, metric: Metric) -> impl Iterator<Item = (Labels<'_>, i64)> {
    family(snapshot, metric.description()).into_iter().flat_map(|family| {
        let names = family.description.labels;
        family.samples.iter().map(move |sample| (Labels { names, values: &sample.labels }, sample.value))
    })
}

fn sum(snapshot: &Snapshot, metric: Metric, counts: impl Fn(&Labels<'_>) -> bool) -> i64 {
    samples(snapshot, metric).filter(|(labels, _)| counts(labels)).map(|(_, value)| value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{CounterUpdates, Ledger};

    fn snapshot(amounts: &[(Metric, &[&str], i64)]) -> Snapshot {
        let (mut ledger, mut updates) = (Ledger::default(), CounterUpdates::default());
        for (metric, labels, amount) in amounts {
            updates.add(&ledger, *metric, labels, *amount);
        }
        ledger.apply(updates);
        Snapshot { families: ledger.reading().families() }
    }

    const FR: [&str; 4] = ["smsmode", "SMS", "OTP", "FR"];

    fn with(last: &'static str) -> [&'static str; 5] {
        ["smsmode", "SMS", "OTP", "FR", last]
    }

    #[test]
    fn the_totals_are_over_all_labels_and_a_correction_counts_a_message_once() {
        let messages = Messages::read(&snapshot(&[
            (Metric::Messages, &FR, 100),
            (Metric::Messages, &["other", "RCS", "OTP", "BE"], 10),
            (Metric::Delivered, &FR, 90),
            (Metric::Failed, &with("network"), 8),
            (Metric::Failed, &with("credit"), 2),
            (Metric::Expired, &FR, 6),
            (Metric::Corrected, &with("failed"), 3),
            (Metric::Corrected, &with("expired"), 2),
            (Metric::Pending, &with("enroute"), 8),
            (Metric::Pending, &with("scheduled"), 1),
            (Metric::Replies, &["smsmode", "SMS", "reply"], 4),
            (Metric::Replies, &["smsmode", "SMS", "stop"], 5),
            (Metric::Read, &FR, 7),
        ]));
        assert_eq!((messages.seen.0, messages.delivered.0, messages.failed.0, messages.pending.0), (110, 90, 10, 9));
        assert_eq!((messages.expired.0, messages.read.0, messages.replies.0, messages.stops.0), (6, 7, 4, 5));
        assert_eq!(messages.settled.0, 90 + 7 + 4);
        // The invariant of the life cycle.
        assert_eq!(messages.seen.0, 9 + 90 + 10 + 6 - 3 - 2);
        assert_eq!(messages.rate.as_deref(), Some("89.1%"));
        assert_eq!(messages.bar.0.len(), 4);
    }

    #[test]
    fn without_messages_there_is_no_rate_and_no_bar() {
        let messages = Messages::read(&Snapshot::default());
        assert!(messages.is_empty() && messages.rate.is_none() && messages.bar.0.is_empty());
        assert!(reasons(&Snapshot::default()).is_empty());
    }

    #[test]
    fn the_most_frequent_reasons_come_first_and_the_rest_shares_a_row() {
        let names = ["credit", "network", "content", "limit", "roaming", "routing", "unknown", "spam_filtered"];
        let labels: Vec<[&str; 5]> = names.into_iter().chain(["expired"]).map(with).collect();
        let amounts: Vec<_> =
            labels.iter().zip([1, 2, 3, 4, 5, 6, 7, 8, 0]).map(|(l, n)| (Metric::Failed, &l[..], n)).collect();
        let rows = reasons(&snapshot(&amounts));
        let found: Vec<(&str, i64)> = rows.iter().map(|row| (&*row.reason, row.count.0)).collect();
        assert_eq!(
            found,
            [
                ("spam filtered", 8),
                ("unknown", 7),
                ("routing", 6),
                ("roaming", 5),
                ("limit", 4),
                ("content", 3),
                ("2 other reasons", 3)
            ]
        );
        assert_eq!(rows[0].share, "22.2%");
        assert_eq!(rows[0].bar.0[0].width, BAR);
    }

    #[test]
    fn a_bar_is_full_and_shows_even_one_in_a_million() {
        let bar = Bar::of(&[("delivered", 999_999), ("failed", 1), ("expired", 0)], 1_000_000);
        let [first, second] = bar.0[..] else { panic!("{bar:?}") };
        assert_eq!((first.start, first.width + LEAST), (0, second.start + LEAST));
        assert!(second.width >= LEAST && second.start + second.width <= BAR, "{bar:?}");
        assert_eq!(Bar::of(&[], 0), Bar::default());
    }
}
