//! Metrics of the process: how one is declared, and those of the core. An optional part declares its own in its folder, and
//! `src/serve/metrics.rs` lists all.
//!
//! They are recorded through the `metrics` facade and start at 0 with the process. What has to survive a restart is in
//! [`crate::ledger`] instead. On the path of a webhook, handles are made once: a cached one costs 50 ns, a macro 1 µs. A handle that is
//! made before the recorder is installed counts nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, Label};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::ledger::catalogue::Unit;

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The declaration of one metric of the process.
#[derive(Debug, PartialEq)]
pub struct ProcessMetric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub help: &'static str,
    /// Upper bounds of a histogram's buckets, in its unit, `+Inf` left out; empty for the others.
    pub buckets: &'static [f64],
}

pub const fn counter(name: &'static str, annotation: &'static str, help: &'static str) -> ProcessMetric {
    ProcessMetric { name, kind: Kind::Counter, unit: Unit::Count(annotation), help, buckets: &[] }
}

pub const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> ProcessMetric {
    ProcessMetric { name, kind: Kind::Gauge, unit, help, buckets: &[] }
}

pub const fn seconds(name: &'static str, help: &'static str, buckets: &'static [f64]) -> ProcessMetric {
    ProcessMetric { name, kind: Kind::Histogram, unit: Unit::Seconds, help, buckets }
}

pub const WEBHOOK_REQUESTS: ProcessMetric =
    counter("smscope_webhook_requests_total", "{request}", "Requests to /hooks by result.");
pub const WEBHOOK_DURATION: ProcessMetric = seconds(
    "smscope_webhook_duration_seconds",
    "Time from request read to response written.",
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0],
);
pub const LAST_WEBHOOK: ProcessMetric = gauge(
    "smscope_last_webhook_timestamp_seconds",
    Unit::Seconds,
    "Arrival of the last webhook, probes aside, as a Unix time; no sample before the first.",
);
pub const WEBHOOK_REPAIRED: ProcessMetric = counter(
    "smscope_webhook_repaired_total",
    "{request}",
    "Requests to /hooks whose JSON was damaged and was read leniently.",
);
pub const WEBHOOK_UNREAD_RECEIPTS: ProcessMetric = counter(
    "smscope_webhook_unread_receipts_total",
    "{request}",
    "Requests to /hooks with something unrecognized that has a message id and a status, as a receipt has.",
);
pub const DELIVERY_DURATION: ProcessMetric = seconds(
    "sms_delivery_duration_seconds",
    "Time from sent (else accepted) to delivered, by the provider's clock.",
    &[1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 86400.0],
);
/// Each rung of the provider's retry ladder (30 s, 2 min, 10 min, 1 h, 5 h after one another) has a bucket of its own.
pub const RECEIPT_DELAY: ProcessMetric = seconds(
    "sms_receipt_delay_seconds",
    "Time from the provider's status time to the receipt's arrival here.",
    &[1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0, 180.0, 600.0, 900.0, 3600.0, 5400.0, 14400.0, 28800.0, 86400.0],
);
pub const EXPORT_RECORDS: ProcessMetric = counter(
    "smscope_export_records_total",
    "{record}",
    "Log records and metric data points that the OTLP endpoint accepted.",
);
pub const EXPORT_FAILURES: ProcessMetric =
    counter("smscope_export_failures_total", "{request}", "OTLP requests that failed; most are retried.");
pub const EXPORT_DROPPED: ProcessMetric = counter(
    "smscope_export_dropped_records_total",
    "{record}",
    "Log records and metric data points given up: rejected by the OTLP endpoint, or too old.",
);
pub const STORE_COMMIT: ProcessMetric = seconds(
    "smscope_store_commit_duration_seconds",
    "Time of one durable commit of the store.",
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
);
pub const LABELS_CAPPED: ProcessMetric = counter(
    "smscope_labels_capped_total",
    "{event}",
    "Events whose label value became \"other\" because the label already has its limit of distinct values.",
);
pub const AUTH_FAILURES_THROTTLED: ProcessMetric = counter(
    "smscope_auth_failures_throttled_total",
    "{request}",
    "Requests with a wrong token or secret past the limit of their address: response delayed, connection closed.",
);
pub const HANDSHAKE_FAILURES: ProcessMetric = counter(
    "smscope_tls_handshake_failures_total",
    "{handshake}",
    "TLS handshakes of the webhook listener that failed; no sample without TLS.",
);
pub const CERTIFICATE_EXPIRY: ProcessMetric = gauge(
    "smscope_tls_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    "End of the webhook listener's certificate in use, as a Unix time; no sample without TLS.",
);
pub const TASK_FAILURES: ProcessMetric = counter(
    "smscope_task_failures_total",
    "{failure}",
    "Background tasks, threads and connections of smscope that panicked or ended unexpectedly.",
);
pub const RECIPIENTS_FLOODED: ProcessMetric = counter(
    "smscope_recipients_flooded_total",
    "{recipient}",
    "Times that a recipient reached the configured number of messages within an hour.",
);
/// Of fleet mode, as are the next three: each replica shows what it has seen itself.
pub const FLEET_LEADER: ProcessMetric = gauge(
    "smscope_fleet_leader",
    Unit::Count("{leader}"),
    "1 if this replica leads its fleet, else 0; no sample without fleet mode.",
);
pub const INBOX_EVENTS: ProcessMetric = gauge(
    "smscope_inbox_events",
    Unit::Count("{event}"),
    "Acknowledged events that the leader has not processed; no sample without fleet mode.",
);
pub const INBOX_OLDEST: ProcessMetric = gauge(
    "smscope_inbox_oldest_timestamp_seconds",
    Unit::Seconds,
    "Arrival of the oldest event that the leader has not processed, as a Unix time; no sample when there is none.",
);
pub const STORE_SYNCHRONOUS: ProcessMetric = gauge(
    "smscope_store_synchronous",
    Unit::Count("{store}"),
    "1 if a failover of the database loses nothing that was acknowledged, else 0; no sample without fleet mode.",
);
pub const BUILD_INFO: ProcessMetric =
    gauge("smscope_build_info", Unit::Count("{build}"), "Always 1; the labels are version, revision and compiler.");

/// The metrics of the core, `process_*` aside.
pub static CORE: &[&ProcessMetric] = &[
    &WEBHOOK_REQUESTS,
    &WEBHOOK_REPAIRED,
    &WEBHOOK_UNREAD_RECEIPTS,
    &WEBHOOK_DURATION,
    &LAST_WEBHOOK,
    &DELIVERY_DURATION,
    &RECEIPT_DELAY,
    &EXPORT_RECORDS,
    &EXPORT_FAILURES,
    &EXPORT_DROPPED,
    &STORE_COMMIT,
    &LABELS_CAPPED,
    &AUTH_FAILURES_THROTTLED,
    &HANDSHAKE_FAILURES,
    &CERTIFICATE_EXPIRY,
    &TASK_FAILURES,
    &RECIPIENTS_FLOODED,
    &FLEET_LEADER,
    &INBOX_EVENTS,
    &INBOX_OLDEST,
    &STORE_SYNCHRONOUS,
    &BUILD_INFO,
];

/// Annotations of the counts among `process_*`, whose crate has none.
const PROCESS_COUNTS: [(&str, &str); 3] =
    [("process_open_fds", "{descriptor}"), ("process_max_fds", "{descriptor}"), ("process_threads", "{thread}")];

/// Every metric of the process, `process_*` aside, as the parts declare them.
#[derive(Clone, Copy, Debug)]
pub struct Declared(pub &'static [&'static [&'static ProcessMetric]]);

impl Declared {
    pub fn iter(self) -> impl Iterator<Item = &'static ProcessMetric> {
        self.0.iter().copied().flatten().copied()
    }

    /// The metric of this Prometheus name, `None` for one that is not smscope's own.
    pub fn find(self, name: &str) -> Option<&'static ProcessMetric> {
        self.iter().find(|metric| metric.name == name)
    }

    /// The unit of a metric as OTLP has it: as declared, else from what the metric was described with.
    pub fn unit_of(self, name: &str, described: Option<metrics::Unit>) -> Unit {
        match (self.find(name), described) {
            (Some(metric), _) => metric.unit,
            (None, Some(metrics::Unit::Seconds)) => Unit::Seconds,
            (None, Some(metrics::Unit::Bytes)) => Unit::Bytes,
            _ => {
                let known = PROCESS_COUNTS.into_iter().find(|(known, _)| *known == name);
                Unit::Count(known.map_or("{count}", |(_, annotation)| annotation))
            }
        }
    }

    /// Registers help text and unit of each with the installed recorder.
    pub fn describe(self) {
        for metric in self.iter() {
            let unit = match metric.unit {
                Unit::Seconds => metrics::Unit::Seconds,
                Unit::Bytes => metrics::Unit::Bytes,
                Unit::Count(_) => metrics::Unit::Count,
            };
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
                Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
            }
        }
    }
}

/// Registers one counter per value of the label `result`, at 0, and adds 1 to that of `result`. For rare events: the handles are
/// looked up each time.
pub fn count_result(
    metric: &ProcessMetric,
    labels: &[Label],
    results: impl IntoIterator<Item = impl Into<&'static str>>,
    result: Option<&'static str>,
) {
    for known in results.into_iter().map(Into::into) {
        let labels = [labels, &[Label::new("result", known)]].concat();
        metrics::counter!(metric.name, labels).increment((Some(known) == result).into());
    }
}

/// Sets a gauge of a source to a Unix time.
pub fn set_time(metric: &ProcessMetric, source: &str, time: Timestamp) {
    metrics::gauge!(metric.name, source_label(source)).set(time.as_millisecond() as f64 / 1_000.0);
}

/// The result of a request to /hooks: the `result` label of `smscope_webhook_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum WebhookResult {
    Accepted,
    Duplicate,
    Unrecognized,
    Probe,
    Unauthorized,
    Forbidden,
    TooLarge,
    Timeout,
    Overloaded,
    Error,
}

impl WebhookResult {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// The label value, for example `too_large`.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A histogram that is registered by its first observation.
///
/// An OpenTelemetry histogram has no data point before that, so an earlier registration would show by scrape only.
#[derive(Debug)]
pub struct LazyHistogram {
    metric: &'static ProcessMetric,
    labels: Vec<Label>,
    handle: OnceLock<Histogram>,
}

impl LazyHistogram {
    pub fn new(metric: &'static ProcessMetric, labels: Vec<Label>) -> Self {
        Self { metric, labels, handle: OnceLock::new() }
    }

    pub fn record(&self, took: Duration) {
        self.handle
            .get_or_init(|| metrics::histogram!(self.metric.name, self.labels.clone()))
            .record(took.as_secs_f64());
    }
}

pub fn source_label(source: &str) -> Vec<Label> {
    vec![Label::new("source", source.to_owned())]
}

type ByCountry = HashMap<Box<str>, Histogram>;

/// The handles of one source's requests. Every result exists at 0 from here on.
#[derive(Debug)]
pub struct SourceMetrics {
    source: Arc<str>,
    requests: [Counter; WebhookResult::COUNT],
    pub repaired: Counter,
    pub unread_receipts: Counter,
    duration: LazyHistogram,
    receipt_delay: LazyHistogram,
    /// By channel.
    delivery: Mutex<HashMap<Box<str>, ByCountry>>,
    last: OnceLock<Gauge>,
}

impl SourceMetrics {
    /// `source` is a configured name, or `unknown`: never a client's input.
    pub fn new(source: &str) -> Self {
        let requests = WebhookResult::ALL.map(|result| {
            metrics::counter!(WEBHOOK_REQUESTS.name, "source" => source.to_owned(), "result" => result.as_str())
        });
        Self {
            source: source.into(),
            requests,
            repaired: metrics::counter!(WEBHOOK_REPAIRED.name, source_label(source)),
            unread_receipts: metrics::counter!(WEBHOOK_UNREAD_RECEIPTS.name, source_label(source)),
            duration: LazyHistogram::new(&WEBHOOK_DURATION, source_label(source)),
            receipt_delay: LazyHistogram::new(&RECEIPT_DELAY, source_label(source)),
            delivery: Mutex::default(),
            last: OnceLock::new(),
        }
    }

    /// Counts one request; `took` is from the request read to the response written.
    pub fn answered(&self, result: WebhookResult, took: Duration) {
        self.requests[result as usize].increment(1);
        self.duration.record(took);
    }

    /// Counts a request that was rejected before it was read, so that there is no time to observe.
    pub fn rejected_unread(&self, result: WebhookResult) {
        self.requests[result as usize].increment(1);
    }

    /// Records `now` as the arrival of the source's last webhook.
    pub fn arrived(&self, now: Timestamp) {
        let gauge = self.last.get_or_init(|| metrics::gauge!(LAST_WEBHOOK.name, source_label(&self.source)));
        gauge.set(now.as_millisecond() as f64 / 1_000.0);
    }

    /// Observes the delay of a receipt: from the provider's status time to its arrival.
    pub fn receipt_delayed(&self, delay: Duration) {
        self.receipt_delay.record(delay);
    }

    /// Observes a delivery: sent (else accepted) to delivered, by the provider's clock.
    pub fn delivered_in(&self, channel: &str, country: &str, took: Duration) {
        let mut delivery = self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        match delivery.get(channel).and_then(|countries| countries.get(country)) {
            Some(histogram) => histogram.record(took.as_secs_f64()),
            None => {
                let mut labels = source_label(&self.source);
                labels.push(Label::new("channel", channel.to_owned()));
                labels.push(Label::new("country", country.to_owned()));
                let histogram = metrics::histogram!(DELIVERY_DURATION.name, labels);
                histogram.record(took.as_secs_f64());
                delivery.entry(channel.into()).or_default().insert(country.into(), histogram);
            }
        }
    }
}

/// The two OTLP signals that leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    Logs,
    Metrics,
}

impl Signal {
    /// The `signal` label, and the word in diagnostics.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }
}

/// The counters of one signal's export, at 0 from here on.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    pub records: Counter,
    pub failures: Counter,
    pub dropped: Counter,
}

impl ExportMetrics {
    pub fn new(signal: Signal) -> Self {
        let signal = signal.as_str();
        Self {
            records: metrics::counter!(EXPORT_RECORDS.name, "signal" => signal),
            failures: metrics::counter!(EXPORT_FAILURES.name, "signal" => signal),
            dropped: metrics::counter!(EXPORT_DROPPED.name, "signal" => signal),
        }
    }
}

/// The counter of events whose value of `label` became `other`.
pub fn labels_capped(label: &'static str) -> Counter {
    metrics::counter!(LABELS_CAPPED.name, "label" => label)
}

/// The counter of a source's recipients that were flooded, at 0 from here on.
pub fn recipients_flooded(source: &str) -> Counter {
    metrics::counter!(RECIPIENTS_FLOODED.name, "source" => source.to_owned())
}

/// The counter of throttled authentication failures, at 0 from here on.
pub fn auth_failures_throttled() -> Counter {
    metrics::counter!(AUTH_FAILURES_THROTTLED.name)
}

/// The counter of handshakes that failed, at 0 from here on.
pub fn handshake_failures() -> Counter {
    metrics::counter!(HANDSHAKE_FAILURES.name)
}

/// Sets the end of the listener's certificate.
pub fn certificate_expiry(end: Timestamp) {
    metrics::gauge!(CERTIFICATE_EXPIRY.name).set(end.as_second() as f64);
}

/// The counter of failures of a task, at 0 from here on.
pub fn task_failures(task: &'static str) -> Counter {
    metrics::counter!(TASK_FAILURES.name, "task" => task)
}

/// Sets `smscope_build_info`.
pub fn build_info(version: &'static str, revision: &'static str, rustc: &'static str) {
    metrics::gauge!(BUILD_INFO.name, "version" => version, "revision" => revision, "rustc" => rustc).set(1.0);
}
