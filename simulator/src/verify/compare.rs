//! Expected against counted, series by series.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{EXPIRED, FAMILIES, Page, Series};

/// The labels whose distinct values a store bounds: beyond that it counts under `other`.
const BOUNDED: [&str; 5] = ["channel", "flow", "status", "network", "currency"];

/// One series that differs, in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub series: Series,
    pub expected: i64,
    pub counted: i64,
}

/// What was compared, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Series in which something was expected or counted.
    pub series: usize,
    pub differences: Vec<Difference>,
    /// Messages that expired between the two pages. Where there are some, the pending ones are not compared: an expired message may
    /// have been pending since before.
    pub expired: i64,
}

impl Comparison {
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    /// Compares what `source` counted between two pages with what is expected of it, in millionths.
    pub fn new(expected: &BTreeMap<Series, i64>, before: &Page, after: &Page, source: &str) -> Self {
        let is_ours = |series: &Series| series.label("source") == Some(source);
        let increase = |series: &Series, value: i64| value - before.0.get(series).copied().unwrap_or(0);
        let expired = after.0.iter().filter(|(series, _)| series.name == EXPIRED && is_ours(series));
        let expired = expired.map(|(series, value)| increase(series, *value)).sum::<i64>() / 1_000_000;
        let is_compared = |series: &Series| {
            let by_expiry = (expired != 0 && series.name == "sms_messages_pending")
                || series.label("from").is_some_and(|from| from == "expired");
            FAMILIES.contains(&series.name.as_str()) && is_ours(series) && !by_expiry
        };

        // Expected and counted.
        let mut pairs: BTreeMap<Series, (i64, i64)> = BTreeMap::new();
        let shown = BOUNDED.map(|label| (label, shown(after, label)));
        for (series, value) in expected {
            pairs.entry(as_bounded(series, &shown)).or_default().0 += value;
        }
        for (series, value) in &after.0 {
            pairs.entry(series.clone()).or_default().1 += increase(series, *value);
        }
        for (series, value) in before.0.iter().filter(|(series, _)| !after.0.contains_key(series)) {
            pairs.entry(series.clone()).or_default().1 -= value;
        }
        pairs.retain(|series, (expected, counted)| is_compared(series) && (*expected != 0 || *counted != 0));
        let differences = pairs
            .iter()
            .filter(|(_, (expected, counted))| expected != counted)
            .map(|(series, (expected, counted))| Difference {
                series: series.clone(),
                expected: *expected,
                counted: *counted,
            })
            .collect();
        Self { series: pairs.len(), differences, expired }
    }
}

/// The series with `other` for each bounded value that is shown nowhere.
fn as_bounded(series: &Series, shown: &[(&str, BTreeSet<&str>)]) -> Series {
    let mut bounded = series.clone();
    for (label, values) in shown {
        if let Some(value) = bounded.labels.get_mut(*label)
            && !values.contains(value.as_str())
            && values.contains("other")
        {
            *value = "other".to_owned();
        }
    }
    if bounded.label("network") == Some("other") {
        bounded.labels.insert("network_name".to_owned(), "other".to_owned());
    }
    bounded
}

/// All values of one label.
fn shown<'a>(page: &'a Page, label: &str) -> BTreeSet<&'a str> {
    page.0.keys().filter_map(|series| series.label(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(status: &str, source: &str) -> Series {
        Series::new("sms_receipts_total", &[("source", source), ("status", status)])
    }

    fn page(values: &[(&Series, i64)]) -> Page {
        Page(values.iter().map(|(series, value)| ((*series).clone(), value * 1_000_000)).collect())
    }

    #[test]
    fn what_was_counted_before_and_for_others_does_not_matter() {
        let (ours, theirs) = (receipts("READ", "a"), receipts("READ", "b"));
        let before = page(&[(&ours, 5)]);
        let after = page(&[(&ours, 7), (&theirs, 3)]);
        let expected = |count| page(&[(&ours, count)]).0;
        let good = Comparison::new(&expected(2), &before, &after, "a");
        assert_eq!((good.agrees(), good.series), (true, 1));
        let bad = Comparison::new(&expected(3), &before, &after, "a");
        assert_eq!(bad.differences, [Difference { series: ours, expected: 3_000_000, counted: 2_000_000 }]);
    }

    #[test]
    fn a_series_that_is_not_expected_or_not_there_differs() {
        let (one, two) = (receipts("READ", "a"), receipts("DELIVERED", "a"));
        let comparison = Comparison::new(&page(&[(&one, 1)]).0, &page(&[]), &page(&[(&two, 1)]), "a");
        assert_eq!(comparison.differences.len(), 2);
        let reset = Comparison::new(&BTreeMap::new(), &page(&[(&one, 1)]), &page(&[]), "a");
        assert_eq!(reset.differences.len(), 1, "a count that is gone");
    }

    #[test]
    fn a_value_beyond_the_bound_is_counted_as_other() {
        let (new, other) = (receipts("3501", "a"), receipts("other", "a"));
        let expected = page(&[(&new, 1)]).0;
        assert!(Comparison::new(&expected, &page(&[]), &page(&[(&other, 1)]), "a").agrees());
        assert!(!Comparison::new(&expected, &page(&[]), &page(&[(&other, 0)]), "a").agrees());
        assert!(!Comparison::new(&expected, &page(&[]), &page(&[]), "a").agrees());
    }

    #[test]
    fn expiries_are_reported_and_exclude_the_pending_ones() {
        let expired = Series::new(EXPIRED, &[("source", "a")]);
        let pending = Series::new("sms_messages_pending", &[("source", "a")]);
        let expected = page(&[(&pending, 1)]).0;
        let comparison = Comparison::new(&expected, &page(&[]), &page(&[(&expired, 1)]), "a");
        assert_eq!((comparison.agrees(), comparison.expired), (true, 1));
    }
}
