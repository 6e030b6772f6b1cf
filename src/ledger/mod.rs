//! The durable counters: plain integers by (metric, label values), changed only together with the events that they count.
//!
//! The store reads them at start, posts [`CounterUpdates`] of a transaction while it is open, saves what they make of each series in
//! that same transaction, and applies them here once it has committed. So what is shown is always what is on disk.

use std::collections::{BTreeMap, HashMap};
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

/// Finds a series: metric and labels in one text, so that nothing is made to look one up.
fn write_key(key: &mut String, metric: Metric, labels: &[&str]) {
    key.clear();
    key.push_str(metric.description().name);
    for label in labels {
        // Not in any label: the caps turn values with control characters into "other".
        key.push('\0');
        key.push_str(label);
    }
}

/// What one transaction adds to each series it touches; 0 makes a series exist.
#[derive(Debug, Default)]
pub struct CounterUpdates {
    /// Of series that the ledger has, by their place in it.
    known: BTreeMap<usize, i64>,
    /// Of series that it is to have, in the order in which they are added to it.
    new: Vec<(Series, i64)>,
    new_places: HashMap<Box<str>, usize>,
    key: String,
    exemplars: Vec<(Series, Exemplar)>,
}

impl CounterUpdates {
    /// `ledger`: the one that these updates are for.
    pub fn add(&mut self, ledger: &Ledger, metric: Metric, labels: &[&str], amount: i64) {
        write_key(&mut self.key, metric, labels);
        if let Some(place) = ledger.places.get(&*self.key) {
            if amount != 0 {
                *self.known.entry(*place).or_default() += amount;
            }
        } else if let Some(place) = self.new_places.get(&*self.key) {
            self.new[*place].1 += amount;
        } else {
            self.new_places.insert(self.key.as_str().into(), self.new.len());
            self.new.push((Series::new(metric, labels), amount));
        }
    }

    /// Remembers the trace of an increment; the last one counts.
    pub fn exemplify(&mut self, metric: Metric, labels: &[&str], exemplar: Exemplar) {
        self.exemplars.push((Series::new(metric, labels), exemplar));
    }

    /// The place and the new value of each series of the ledger that changes.
    pub fn changed(&self, ledger: &Ledger) -> impl Iterator<Item = (usize, i64)> {
        self.known.iter().map(|(place, amount)| (*place, ledger.values[*place] + amount))
    }

    /// The series that the ledger is to have, and their values: their places follow on those that it has.
    pub fn new_series(&self) -> &[(Series, i64)] {
        &self.new
    }
}

/// All series and their values.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By their [`write_key`].
    places: HashMap<Box<str>, usize>,
    /// Shared with the snapshots made since it last grew: a scrape copies numbers, not names.
    series: Arc<Vec<Series>>,
    values: Vec<i64>,
    /// One a series at most. In memory only: a trace is of use for as long as its backend has it.
    exemplars: HashMap<Series, Exemplar>,
}

impl Ledger {
    /// How many series there are: their places are the numbers below it.
    pub fn series_count(&self) -> usize {
        self.values.len()
    }

    fn place(&self, metric: Metric, labels: &[&str]) -> Option<usize> {
        let mut key = String::with_capacity(96);
        write_key(&mut key, metric, labels);
        self.places.get(&*key).copied()
    }

    pub fn contains(&self, metric: Metric, labels: &[&str]) -> bool {
        self.place(metric, labels).is_some()
    }

    /// The present value; 0 when there is no such series.
    pub fn value(&self, metric: Metric, labels: &[&str]) -> i64 {
        self.place(metric, labels).map_or(0, |place| self.values[place])
    }

    /// Applies updates that were made for this ledger as it is.
    pub fn apply(&mut self, updates: CounterUpdates) {
        self.exemplars.extend(updates.exemplars);
        for (place, amount) in updates.known {
            self.values[place] += amount;
        }
        let had = self.values.len();
        self.places.extend(updates.new_places.into_iter().map(|(key, place)| (key, had + place)));
        for (series, amount) in updates.new {
            Arc::make_mut(&mut self.series).push(series);
            self.values.push(amount);
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

    /// A copy for a reader without a lock: cheap enough to be made while the writer waits.
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
                updates.add(&ledger, Metric::Replies, &["smsmode", "SMS", "reply"], amount);
            }
            updates.add(&ledger, Metric::Replies, &["smsmode", "SMS", "stop"], 0);
            ledger.apply(updates);
        }
        assert_eq!(ledger.value(Metric::Replies, &["smsmode", "SMS", "reply"]), 5);
        assert!(ledger.contains(Metric::Replies, &["smsmode", "SMS", "stop"]));

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
            updates.add(&ledger, Metric::Delivered, &labels, 1);
            if let Some(exemplar) = Exemplar::of(trace, Timestamp::from_second(second).unwrap()) {
                updates.exemplify(Metric::Delivered, &labels, exemplar);
            }
            ledger.apply(updates);
        };
        count(1, "01");
        count(2, "01");
        count(3, "00");
        let series = Series::new(Metric::Delivered, &labels);
        assert_eq!(ledger.value(Metric::Delivered, &labels), 3);
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
            updates.add(ledger, Metric::Replies, &["smsmode", channel, "reply"], 1);
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
