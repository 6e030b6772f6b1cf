//! The `metrics` facade over an OpenTelemetry meter: one instrument a name, one handle a key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::ledger::catalogue::otlp_name;
use crate::process_metrics::Declared;

/// Records what the facade is told into the instruments of a [`Meter`].
///
/// An instrument has the OTLP name of its metric, its help text and its unit; a histogram the buckets that are declared.
/// Descriptions count only for what is registered after them. Like the Prometheus exporter, it shows a counter or gauge
/// as 0 from its registration on.
pub struct MeterRecorder {
    meter: Meter,
    declared: Declared,
    known: Mutex<Known>,
}

/// By name: descriptions and instruments. By key: handles, which must be one a key because `absolute` remembers.
#[derive(Default)]
struct Known {
    described: HashMap<String, (Option<Unit>, SharedString)>,
    counters: ByName<opentelemetry::metrics::Counter<u64>, Count>,
    gauges: ByName<opentelemetry::metrics::Gauge<f64>, Level>,
    histograms: ByName<opentelemetry::metrics::Histogram<f64>, Spread>,
}

type Labels = Vec<(String, String)>;
type ByName<I, H> = HashMap<String, (I, HashMap<Labels, Arc<H>>)>;

impl MeterRecorder {
    pub fn new(meter: Meter, declared: Declared) -> Self {
        Self { meter, declared, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.known().described.entry(key.as_str().to_owned()).or_insert((unit, description));
    }
}

impl Known {
    /// OTLP name, description and unit of a metric.
    fn identity(&self, declared: Declared, name: &str) -> (String, String, &'static str) {
        let (unit, description) = match self.described.get(name) {
            Some((unit, description)) => (*unit, description.to_string()),
            None => (None, declared.find(name).map_or(String::new(), |meter| meter.help.to_owned())),
        };
        let unit = declared.unit_of(name, unit);
        (otlp_name(name, unit), description, unit.ucum())
    }
}

/// The handle of `key`, made with its instrument when they are new.
fn handle<I: Clone, H>(
    by_name: &mut ByName<I, H>,
    key: &Key,
    instrument: impl FnOnce() -> I,
    make: impl FnOnce(I, Vec<KeyValue>) -> H,
) -> Arc<H> {
    let (instrument, handles) = by_name.entry(key.name().to_owned()).or_insert_with(|| (instrument(), HashMap::new()));
    let labels: Labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
    let attributes = || labels.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    match handles.get(&labels) {
        Some(handle) => handle.clone(),
        None => {
            let handle = Arc::new(make(instrument.clone(), attributes()));
            handles.insert(labels, handle.clone());
            handle
        }
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
        let mut known = self.known();
        let (name, description, unit) = known.identity(self.declared, key.name());
        let instrument = || self.meter.u64_counter(name).with_description(description).with_unit(unit).build();
        Counter::from_arc(handle(&mut known.counters, key, instrument, |instrument, attributes| {
            instrument.add(0, &attributes);
            Count { instrument, attributes, total: AtomicU64::new(0) }
        }))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut known = self.known();
        let (name, description, unit) = known.identity(self.declared, key.name());
        let instrument = || self.meter.f64_gauge(name).with_description(description).with_unit(unit).build();
        Gauge::from_arc(handle(&mut known.gauges, key, instrument, |instrument, attributes| {
            instrument.record(0.0, &attributes);
            Level { instrument, attributes, value: Mutex::new(0.0) }
        }))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut known = self.known();
        let (name, description, unit) = known.identity(self.declared, key.name());
        let instrument = || {
            let builder = self.meter.f64_histogram(name).with_description(description).with_unit(unit);
            match self.declared.find(key.name()) {
                Some(meter) => builder.with_boundaries(meter.buckets.to_vec()).build(),
                None => builder.build(),
            }
        };
        Histogram::from_arc(handle(&mut known.histograms, key, instrument, |instrument, attributes| Spread {
            instrument,
            attributes,
        }))
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
