//! The durable counters: plain integers by (metric, label values), changed only together with the events that they count.
//!
//! The store reads them at start, posts [`CounterUpdates`] of a transaction while it is open, saves what they make of each series in
//! that same transaction, and applies them here once it has committed. So what is shown is always what is on disk.

use std::collections::HashMap;
use std::sync::Arc;

use catalogue::Metric;
use jiff::Timestamp;
use snapshot::{Family, LabelValues, Sample};

use crate::event::TraceParent;

pub mod accounting;
pub mod caps;
pub mod catalogue;
pub mod snapshot;

/// The name of one series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    pub metric: Metric,
    /// In the order of the metric's label names.
    pub labels: LabelValues,
}

impl Series {
    /// `labels` in the order of the metric's label names.
    pub fn new(metric: Metric, labels: &[&str]) -> Self {
        debug_assert_eq!(metric.description().labels.len(), labels.len());
        Self { metric, labels: labels.iter().map(|&label| label.into()).collect() }
    }

    /// The value of the label of this name, where the metric has such a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        let place = self.metric.description().labels.iter().position(|label| *label == name)?;
        self.labels.get(place).map(|value| &**value)
    }
}

/// The trace of one increment of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub at: Timestamp,
}

impl Exemplar {
    /// `None` without a trace, or where nobody has recorded it.
    pub fn of(trace: Option<TraceParent>, at: Timestamp) -> Option<Self> {
        let TraceParent { trace_id, span_id, .. } = trace.filter(|trace| trace.is_sampled())?;
        Some(Self { trace_id, span_id, at })
    }
}

/// What one transaction adds to each series it touches; 0 makes a series exist.
#[derive(Debug, Default)]
pub struct CounterUpdates {
    // Found by metric and labels in one text: a batch posts to few series many times, and only a series' first makes anything.
    amounts: HashMap<Box<str>, (Series, i64)>,
    key: String,
    exemplars: Vec<(Series, Exemplar)>,
}

impl CounterUpdates {
    pub fn add(&mut self, metric: Metric, labels: &[&str], amount: i64) {
        self.key.clear();
        self.key.push_str(metric.description().name);
        for label in labels {
            // Not in any label: the caps turn values with control characters into "other".
            self.key.push('\0');
            self.key.push_str(label);
        }
        match self.amounts.get_mut(&*self.key) {
            Some((_, sum)) => *sum += amount,
            None => {
                self.amounts.insert(self.key.as_str().into(), (Series::new(metric, labels), amount));
            }
        }
    }

    /// Remembers the trace of an increment; the last one counts.
    pub fn exemplify(&mut self, metric: Metric, labels: &[&str], exemplar: Exemplar) {
        self.exemplars.push((Series::new(metric, labels), exemplar));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Series, i64)> {
        self.amounts.values().map(|(series, amount)| (series, *amount))
    }
}

/// All series and their values.
#[derive(Debug, Default)]
pub struct Ledger {
    places: HashMap<Series, usize>,
    /// Shared with the snapshots taken since it last grew: a scrape copies numbers, not names.
    series: Arc<Vec<Series>>,
    values: Vec<i64>,
    /// One a series at most. In memory only: a trace is of use for as long as its backend has it.
    exemplars: HashMap<Series, Exemplar>,
}

impl Ledger {
    pub fn contains(&self, series: &Series) -> bool {
        self.places.contains_key(series)
    }

    /// The present value; 0 when there is no such series.
    pub fn value(&self, series: &Series) -> i64 {
        self.places.get(series).map_or(0, |&place| self.values[place])
    }

    pub fn apply(&mut self, updates: CounterUpdates) {
        self.exemplars.extend(updates.exemplars);
        for (series, amount) in updates.amounts.into_values() {
            match self.places.get(&series) {
                Some(&place) => self.values[place] += amount,
                None => {
                    self.places.insert(series.clone(), self.values.len());
                    Arc::make_mut(&mut self.series).push(series);
                    self.values.push(amount);
                }
            }
        }
    }

    /// The name of each network that has been counted.
    pub fn network_names(&self) -> Vec<(String, Arc<str>)> {
        let networks = self.series.iter().filter(|series| series.metric == Metric::NetworkOutcomes);
        networks
            .filter_map(|series| Some((series.label("network")?.to_owned(), series.label("network_name")?.into())))
            .collect()
    }

    /// The labels of each series of a metric.
    pub fn series_of(&self, metric: Metric) -> Vec<LabelValues> {
        self.series.iter().filter(|series| series.metric == metric).map(|series| series.labels.clone()).collect()
    }

    pub fn exemplars(&self) -> &HashMap<Series, Exemplar> {
        &self.exemplars
    }

    /// They may be of somebody who has just been erased.
    pub fn forget_exemplars(&mut self) {
        self.exemplars.clear();
    }

    /// A copy to be read at leisure: cheap enough to be taken while the writer waits.
    pub fn reading(&self) -> Reading {
        Reading { series: self.series.clone(), values: self.values.clone() }
    }
}

/// The ledger at one moment.
#[derive(Debug)]
pub struct Reading {
    series: Arc<Vec<Series>>,
    values: Vec<i64>,
}

impl Reading {
    /// Every metric, in the catalogue's order, its series sorted by their labels.
    pub fn families(&self) -> Vec<Family> {
        let mut by_metric: HashMap<Metric, Vec<Sample>> = HashMap::new();
        for (series, &value) in self.series.iter().zip(&self.values) {
            by_metric.entry(series.metric).or_default().push(Sample { labels: series.labels.clone(), value });
        }
        Metric::ALL
            .into_iter()
            .map(|metric| {
                let mut samples = by_metric.remove(&metric).unwrap_or_default();
                samples.sort_by(|a, b| a.labels.cmp(&b.labels));
                Family { description: metric.description(), samples }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_add_up_and_zero_makes_a_series_exist() {
        let mut ledger = Ledger::default();
        for amounts in [[1, 2], [3, -1]] {
            let mut updates = CounterUpdates::default();
            for amount in amounts {
                updates.add(Metric::Replies, &["smsmode", "SMS", "reply"], amount);
            }
            updates.add(Metric::Replies, &["smsmode", "SMS", "stop"], 0);
            ledger.apply(updates);
        }
        let reply = Series::new(Metric::Replies, &["smsmode", "SMS", "reply"]);
        assert_eq!(ledger.value(&reply), 5);
        assert!(ledger.contains(&Series::new(Metric::Replies, &["smsmode", "SMS", "stop"])));

        let families = ledger.reading().families();
        let replies = families.iter().find(|f| f.description.name == "sms_replies_total").unwrap();
        let values: Vec<i64> = replies.samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [5, 0]);
    }

    #[test]
    fn a_series_has_the_last_trace_that_was_recorded_and_no_more_than_one() {
        let mut ledger = Ledger::default();
        let labels = ["smsmode", "SMS", "OTP", "FR"];
        let mut count = |second: i64, flags: &str| {
            let trace =
                TraceParent::parse(&format!("00-4bf92f3577b34da6a3ce929d0e0e47{second:02}-00f067aa0ba902b7-{flags}"));
            let mut updates = CounterUpdates::default();
            updates.add(Metric::Delivered, &labels, 1);
            if let Some(exemplar) = Exemplar::of(trace, Timestamp::from_second(second).unwrap()) {
                updates.exemplify(Metric::Delivered, &labels, exemplar);
            }
            ledger.apply(updates);
        };
        count(1, "01");
        count(2, "01");
        count(3, "00");
        let series = Series::new(Metric::Delivered, &labels);
        assert_eq!(ledger.value(&series), 3);
        assert_eq!(ledger.exemplars().len(), 1);
        assert_eq!(ledger.exemplars()[&series].at, Timestamp::from_second(2).unwrap());
        ledger.forget_exemplars();
        assert!(ledger.exemplars().is_empty());
    }

    #[test]
    fn a_reading_does_not_move_with_the_ledger() {
        let mut ledger = Ledger::default();
        let post = |ledger: &mut Ledger, channel| {
            let mut updates = CounterUpdates::default();
            updates.add(Metric::Replies, &["smsmode", channel, "reply"], 1);
            ledger.apply(updates);
        };
        post(&mut ledger, "SMS");
        let before = ledger.reading();
        post(&mut ledger, "SMS");
        post(&mut ledger, "RCS");
        let count =
            |reading: &Reading| reading.families().iter().flat_map(|f| &f.samples).map(|s| s.value).collect::<Vec<_>>();
        assert_eq!(count(&before), [1]);
        assert_eq!(count(&ledger.reading()), [1, 2]);
    }
}
