//! The `metrics` facade over an OpenTelemetry meter: one instrument a name, one handle a key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::ledger::catalogue::otlp_name;
use crate::process_metrics::Declared;

/// Records into the instruments of a [`Meter`].
///
/// An instrument has the OTLP name of its metric, its help text and its unit; a histogram the buckets that are declared.
/// A description counts only if it comes before the first registration. Like the Prometheus exporter, it shows a counter or gauge
/// as 0 from its registration on.
pub struct MeterRecorder {
    /// One handle per key, because `absolute` needs the last value.
    registry: Registry<Key, Arc<Instruments>>,
    instruments: Arc<Instruments>,
}

struct Instruments {
    meter: Meter,
    declared: Declared,
    /// Unit and help text by name.
    described: Mutex<HashMap<String, (Option<Unit>, SharedString)>>,
}

impl MeterRecorder {
    pub fn new(meter: Meter, declared: Declared) -> Self {
        let instruments = Arc::new(Instruments { meter, declared, described: Mutex::default() });
        Self { registry: Registry::new(instruments.clone()), instruments }
    }

    fn describe(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.instruments.described().entry(key.as_str().to_owned()).or_insert((unit, description));
    }
}

impl Instruments {
    fn described(&self) -> MutexGuard<'_, HashMap<String, (Option<Unit>, SharedString)>> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// OTLP name, description and unit of a metric. All its series have the same.
    fn identity(&self, key: &Key) -> (String, String, &'static str) {
        let name = key.name();
        let mut described = self.described();
        let (unit, description) = described.entry(name.to_owned()).or_insert_with(|| {
            let help = self.declared.find(name).map_or("", |metric| metric.help);
            (None, help.into())
        });
        let unit = self.declared.unit_of(name, *unit);
        (otlp_name(name, unit), description.to_string(), unit.ucum())
    }
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    key.labels().map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned())).collect()
}

impl Storage<Key> for Instruments {
    type Counter = Arc<Count>;
    type Gauge = Arc<Level>;
    type Histogram = Arc<Spread>;

    fn counter(&self, key: &Key) -> Arc<Count> {
        let ((name, description, unit), attributes) = (self.identity(key), attributes(key));
        let instrument = self.meter.u64_counter(name).with_description(description).with_unit(unit).build();
        instrument.add(0, &attributes);
        Arc::new(Count { instrument, attributes, total: AtomicU64::new(0) })
    }

    fn gauge(&self, key: &Key) -> Arc<Level> {
        let ((name, description, unit), attributes) = (self.identity(key), attributes(key));
        let instrument = self.meter.f64_gauge(name).with_description(description).with_unit(unit).build();
        instrument.record(0.0, &attributes);
        Arc::new(Level { instrument, attributes, value: Mutex::new(0.0) })
    }

    fn histogram(&self, key: &Key) -> Arc<Spread> {
        let (name, description, unit) = self.identity(key);
        let builder = self.meter.f64_histogram(name).with_description(description).with_unit(unit);
        let instrument = match self.declared.find(key.name()) {
            Some(metric) => builder.with_boundaries(metric.buckets.to_vec()).build(),
            None => builder.build(),
        };
        Arc::new(Spread { instrument, attributes: attributes(key) })
    }
}

impl Recorder for MeterRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(key, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.get_or_create_counter(key, |counter| Counter::from_arc(counter.clone()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.get_or_create_gauge(key, |gauge| Gauge::from_arc(gauge.clone()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.get_or_create_histogram(key, |histogram| Histogram::from_arc(histogram.clone()))
    }
}

struct Count {
    instrument: opentelemetry::metrics::Counter<u64>,
    attributes: Vec<KeyValue>,
    total: AtomicU64,
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.total.fetch_add(value, Ordering::AcqRel);
        self.instrument.add(value, &self.attributes);
    }

    fn absolute(&self, value: u64) {
        let before = self.total.fetch_max(value, Ordering::AcqRel);
        if value > before {
            self.instrument.add(value - before, &self.attributes);
        }
    }
}

struct Level {
    instrument: opentelemetry::metrics::Gauge<f64>,
    attributes: Vec<KeyValue>,
    /// Held while recording, so that the instrument's last value is this one.
    value: Mutex<f64>,
}

impl Level {
    fn update(&self, change: impl FnOnce(f64) -> f64) {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *value = change(*value);
        self.instrument.record(*value, &self.attributes);
    }
}

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        self.update(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.update(|value| value - by);
    }

    fn set(&self, to: f64) {
        self.update(|_| to);
    }
}

struct Spread {
    instrument: opentelemetry::metrics::Histogram<f64>,
    attributes: Vec<KeyValue>,
}

impl HistogramFn for Spread {
    fn record(&self, value: f64) {
        self.instrument.record(value, &self.attributes);
    }
}
