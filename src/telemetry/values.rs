//! The counters and gauges of the process as numbers, for the page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::registry::{AtomicStorage, Registry};

/// A recorder that can be read.
#[derive(Clone)]
pub struct Values(Arc<Registry<Key, AtomicStorage>>);

/// One series of a metric.
#[derive(Clone, Debug)]
pub struct Series {
    key: Key,
    pub value: f64,
}

impl Series {
    /// The value of a label; empty if there is none, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.key.labels().find(|label| label.key() == name).map_or("", |label| label.value())
    }
}

impl Default for Values {
    fn default() -> Self {
        Self(Arc::new(Registry::atomic()))
    }
}

impl Values {
    /// The series of a counter or gauge.
    pub fn series(&self, metric: &str) -> Vec<Series> {
        let mut found = Vec::new();
        let mut add = |key: &Key, value: f64| {
            if key.name() == metric {
                found.push(Series { key: key.clone(), value });
            }
        };
        self.0.visit_counters(|key, counter| add(key, counter.load(Ordering::Relaxed) as f64));
        self.0.visit_gauges(|key, gauge| add(key, f64::from_bits(gauge.load(Ordering::Relaxed))));
        found
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.get_or_create_counter(key, |counter| counter.clone().into())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.get_or_create_gauge(key, |gauge| gauge.clone().into())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_their_labels_and_no_other_metrics() {
        let values = Values::default();
        metrics::with_local_recorder(&values, || {
            metrics::counter!("a_total", "source" => "x", "result" => "say \"hi\"").increment(3);
            metrics::counter!("a_total_of_b").increment(7);
            metrics::gauge!("b").set(1_743_523_210.5);
        });
        let found = values.series("a_total");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].label("source"), found[0].label("result"), found[0].value), ("x", "say \"hi\"", 3.0));
        let found = values.series("b");
        assert_eq!((found[0].label("source"), found[0].value), ("", 1_743_523_210.5));
    }
}
