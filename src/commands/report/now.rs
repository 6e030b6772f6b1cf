//! The end of a report: the last hour and the last day at a glance, and what is worst in them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::Counts;
use crate::store::cohorts::Cohort;

/// How far back the longest line reaches.
pub const LONGEST_PERIOD: Duration = Duration::from_secs(86_400);

/// Decided messages below which a network is not ranked: one failure of one message is no evidence.
const MIN_DECIDED: u64 = 10;

/// Delivered and failed messages together.
fn decided(counts: Counts) -> u64 {
    let [_, delivered, failed, ..] = counts.0;
    delivered + failed
}

fn failed_percent(counts: Counts) -> f64 {
    100.0 * counts.0[2] as f64 / decided(counts).max(1) as f64
}

/// `cohorts`: of [`LONGEST_PERIOD`] at least, by network.
pub fn now(cohorts: &BTreeMap<Cohort, u64>, now: Timestamp) -> String {
    let mut text = String::new();
    for (name, age) in [("last hour", Duration::from_secs(3_600)), ("last 24 h", LONGEST_PERIOD)] {
        // The quarter of an hour that the age reaches into counts whole.
        let since = now.checked_sub(age + Duration::from_secs(899)).unwrap_or(Timestamp::UNIX_EPOCH);
        let within = cohorts.iter().filter(|(cohort, _)| cohort.quarter >= since);
        let mut all = Counts::default();
        let mut networks: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (cohort, &count) in within {
            all.add(&cohort.state, count);
            if !cohort.network.is_empty() {
                networks.entry(&cohort.network).or_default().add(&cohort.state, count);
            }
            if let Some(reason) = &cohort.reason {
                *reasons.entry(reason).or_default() += count;
            }
        }
        let [accepted, delivered, failed, ..] = all.0;
        let _infallible = write!(text, "{name}: {accepted} accepted");
        if decided(all) > 0 {
            let _infallible = write!(text, ", {delivered} delivered, {failed} failed ({:.1} %)", failed_percent(all));
        }
        let worst = networks
            .iter()
            .filter(|(_, counts)| decided(**counts) >= MIN_DECIDED && counts.0[2] > 0)
            .max_by(|(_, one), (_, other)| failed_percent(**one).total_cmp(&failed_percent(**other)));
        if let Some((network, &counts)) = worst {
            let (percent, failed, decided) = (failed_percent(counts), counts.0[2], decided(counts));
            let _infallible = write!(text, "; worst network {network}: {percent:.1} % failed ({failed} of {decided})");
        }
        if let Some((reason, count)) = reasons.iter().max_by_key(|(_, count)| **count) {
            let _infallible = write!(text, "; first reason {}: {count}", reason.replace('_', " "));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hour_and_day_name_what_is_worst() {
        let cohort = |quarter: &str, network: &str, reason: Option<&str>| Cohort {
            source: "smsmode".into(),
            quarter: quarter.parse().unwrap(),
            channel: "SMS".into(),
            flow: "OTP".into(),
            country: "FR".into(),
            campaign: String::new(),
            network: network.into(),
            state: if reason.is_some() { "failed" } else { "delivered" }.into(),
            reason: reason.map(str::to_owned),
        };
        let cohorts = BTreeMap::from([
            (cohort("2026-01-02T11:30Z", "SFR", Some("network")), 12),
            (cohort("2026-01-02T11:30Z", "SFR", None), 8),
            (cohort("2026-01-02T11:30Z", "Orange", None), 80),
            (cohort("2026-01-02T11:30Z", "Rare", Some("routing")), 1),
            (cohort("2026-01-01T20:00Z", "Orange", Some("spam_filtered")), 80),
            (cohort("2026-01-01T10:00Z", "Orange", Some("credit")), 1_000),
        ]);
        let expected = "\
last hour: 101 accepted, 88 delivered, 13 failed (12.9 %); worst network SFR: 60.0 % failed (12 of 20); first reason network: 12
last 24 h: 181 accepted, 88 delivered, 93 failed (51.4 %); worst network SFR: 60.0 % failed (12 of 20); first reason spam filtered: 80
";
        assert_eq!(now(&cohorts, "2026-01-02T12:10:00Z".parse().unwrap()), expected);
        assert_eq!(now(&BTreeMap::new(), Timestamp::now()), "last hour: 0 accepted\nlast 24 h: 0 accepted\n");
    }
}
