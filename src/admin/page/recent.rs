//! What is so now: the last hour and the last day, from the counters as they were then.
//!
//! The earlier values are in memory, one a minute of the last hour and one a quarter of an hour of the day, so both begin with the
//! process. The counters themselves know no time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::events::words;
use super::format::{Count, Moment, percent};
use super::messages::samples;
use crate::ledger::catalogue::Metric;
use crate::ledger::snapshot::Snapshot;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The thresholds of `alerts/smscope.rules.yaml`: shares in per cent of decided messages, and how many have to be decided.
const FAILURE_RATIO_HIGH: i64 = 20;
const HIGH_DECIDED: i64 = 50;
const NETWORK_FAILURE_RATIO: i64 = 30;
const SPIKE_DECIDED: i64 = 30;

/// The counters at one moment, added up.
#[derive(Clone, Debug, Default)]
struct Totals {
    seen: i64,
    delivered: i64,
    failed: i64,
    reasons: BTreeMap<String, i64>,
    /// By name: delivered, failed.
    networks: BTreeMap<String, [i64; 2]>,
}

impl Totals {
    fn read(snapshot: &Snapshot) -> Self {
        let mut totals = Self::default();
        let sum = |metric| samples(snapshot, metric).map(|(_, value)| value).sum();
        totals.seen = sum(Metric::Messages);
        totals.delivered = sum(Metric::Delivered);
        for (labels, value) in samples(snapshot, Metric::Failed) {
            totals.failed += value;
            *totals.reasons.entry(labels.get("reason").to_owned()).or_default() += value;
        }
        for (labels, value) in samples(snapshot, Metric::NetworkOutcomes) {
            let outcomes = totals.networks.entry(labels.get("network_name").to_owned()).or_default();
            outcomes[usize::from(labels.get("outcome") == "failed")] += value;
        }
        totals
    }
}

/// The counters as they were.
#[derive(Debug, Default)]
pub struct History(VecDeque<(Timestamp, Totals)>);

impl History {
    /// Remembers the counters of `now`; what is no longer needed is forgotten.
    pub fn note(&mut self, now: Timestamp, snapshot: &Snapshot) {
        self.0.push_back((now, Totals::read(snapshot)));
        let age = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
        let mut quarter = None;
        self.0.retain(|(at, _)| {
            let is_first = quarter.replace(at.as_second() / 900) != Some(at.as_second() / 900);
            age(*at) <= HOUR + Duration::from_secs(90) || (is_first && age(*at) <= DAY + Duration::from_secs(1_800))
        });
    }

    /// What has come since an hour and since a day ago, as far as that is known.
    pub fn rows(&self, now: Timestamp, snapshot: &Snapshot) -> Vec<RecentRow> {
        let present = Totals::read(snapshot);
        let mut rows: Vec<RecentRow> = [("Last hour", HOUR), ("Last 24 hours", DAY)]
            .into_iter()
            .filter_map(|(name, age)| {
                let from = now.checked_sub(age).ok()?;
                // The newest that is old enough; where nothing is, the oldest.
                let (at, then) = self.0.iter().rev().find(|(at, _)| *at <= from).or(self.0.front())?;
                let is_whole = *at <= from;
                let name = if is_whole {
                    name.to_owned()
                } else {
                    format!("Since the start, {} ago", Moment { at: *at, now }.age())
                };
                Some(RecentRow::of(name, is_whole, then, &present))
            })
            .collect();
        // Before the first hour is over both are the same.
        rows.dedup_by(|second, first| !first.is_whole && !second.is_whole);
        rows
    }
}

/// One period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRow {
    pub name: String,
    is_whole: bool,
    pub seen: Count,
    pub delivered: Count,
    pub failed: Count,
    /// Of those decided; `None` of nothing.
    pub failed_share: Option<String>,
    pub is_bad: bool,
    pub worst_network: Option<WorstNetwork>,
    pub first_reason: Option<(String, Count)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstNetwork {
    pub name: String,
    pub failed_share: String,
    pub is_bad: bool,
}

impl RecentRow {
    fn of(name: String, is_whole: bool, then: &Totals, now: &Totals) -> Self {
        let (delivered, failed) = (now.delivered - then.delivered, now.failed - then.failed);
        let decided = delivered + failed;
        let worst = now
            .networks
            .iter()
            .filter_map(|(name, [delivered, failed])| {
                let before = then.networks.get(name).copied().unwrap_or_default();
                let (delivered, failed) = (delivered - before[0], failed - before[1]);
                (failed > 0).then_some((name, failed, delivered + failed))
            })
            // Where nothing can be judged the most failures are the worst.
            .max_by_key(|(_, failed, decided)| match *decided >= SPIKE_DECIDED {
                true => (1, 1_000 * failed / decided),
                false => (0, *failed),
            });
        let reason =
            now.reasons.iter().map(|(reason, count)| (reason, count - then.reasons.get(reason).copied().unwrap_or(0)));
        let reason = reason.filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
        Self {
            name,
            is_whole,
            seen: Count(now.seen - then.seen),
            delivered: Count(delivered),
            failed: Count(failed),
            failed_share: percent(failed, decided),
            is_bad: decided >= HIGH_DECIDED && 100 * failed > FAILURE_RATIO_HIGH * decided,
            worst_network: worst.map(|(name, failed, decided)| WorstNetwork {
                name: name.clone(),
                failed_share: percent(failed, decided).unwrap_or_default(),
                is_bad: decided >= SPIKE_DECIDED && 100 * failed > NETWORK_FAILURE_RATIO * decided,
            }),
            first_reason: reason.map(|(reason, count)| (words(reason), Count(count))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{CounterUpdates, Ledger};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn snapshot(delivered: i64, failed: i64) -> Snapshot {
        let (mut ledger, mut updates) = (Ledger::default(), CounterUpdates::default());
        let set = ["smsmode", "SMS", "OTP", "FR"];
        updates.add(&ledger, Metric::Messages, &set, delivered + failed);
        updates.add(&ledger, Metric::Delivered, &set, delivered);
        updates.add(&ledger, Metric::Failed, &["smsmode", "SMS", "OTP", "FR", "network"], failed);
        updates.add(&ledger, Metric::NetworkOutcomes, &["smsmode", "20801", "Orange", "delivered"], delivered);
        updates.add(&ledger, Metric::NetworkOutcomes, &["smsmode", "20810", "SFR", "failed"], failed);
        ledger.apply(updates);
        Snapshot { families: ledger.reading().families() }
    }

    #[test]
    fn an_hour_and_a_day_are_computed_from_earlier_counters() {
        let mut history = History::default();
        for minute in 0..=(26 * 60) {
            // Ten a minute; in the last half hour they fail.
            let bad = (minute - 1_530).max(0);
            history.note(at(minute), &snapshot(10 * (minute - bad), 10 * bad));
        }
        assert!(history.0.len() < 62 + 4 * 25, "{}", history.0.len());
        let rows = history.rows(at(26 * 60), &snapshot(15_300, 300));
        let row = |row: &RecentRow| (row.name.clone(), row.delivered.0, row.failed.0, row.is_bad);
        assert_eq!(row(&rows[0]), ("Last hour".to_owned(), 300, 300, true));
        assert_eq!(rows[0].failed_share.as_deref(), Some("50%"));
        let worst = WorstNetwork { name: "SFR".into(), failed_share: "100%".into(), is_bad: true };
        assert_eq!(rows[0].worst_network, Some(worst));
        assert_eq!(rows[0].first_reason, Some(("network".to_owned(), Count(300))));
        assert_eq!((rows[1].name.as_str(), rows[1].failed.0, rows[1].is_bad), ("Last 24 hours", 300, false));
        assert!((14_100..=14_250).contains(&rows[1].delivered.0), "{:?}", rows[1]);
    }

    #[test]
    fn a_process_that_has_just_started_shows_the_age_of_its_first_counters() {
        let mut history = History::default();
        assert!(history.rows(at(0), &snapshot(5, 5)).is_empty());
        history.note(at(0), &snapshot(1_000, 500));
        let rows = history.rows(at(12), &snapshot(1_005, 502));
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].name.as_str(), rows[0].failed.0, rows[0].is_bad),
            ("Since the start, 12 min ago", 2, false),
            "2 of 7 are few"
        );
        let rows = history.rows(at(90), &snapshot(1_005, 502));
        assert_eq!(
            rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
            ["Last hour", "Since the start, 1 h ago"]
        );
    }

    #[test]
    fn the_thresholds_are_those_of_the_alerts() {
        let rules = include_str!("../../../alerts/smscope.rules.yaml");
        for (name, value) in [
            ("failure_ratio_high", format!("{:.2}", FAILURE_RATIO_HIGH as f64 / 100.0)),
            ("high_decided", HIGH_DECIDED.to_string()),
            ("network_failure_ratio", format!("{:.2}", NETWORK_FAILURE_RATIO as f64 / 100.0)),
            ("spike_decided", SPIKE_DECIDED.to_string()),
        ] {
            let rule = format!("- record: smscope:threshold:{name}\n        expr: vector({value})\n");
            assert!(rules.contains(&rule), "{rule}");
        }
    }
}
