//! The metrics of the process on their way out by OTLP: aggregated by the OpenTelemetry SDK, encoded by its OTLP exporter,
//! and handed over to the task that pushes.
//!
//! The exporter has no network of its own. It works on the SDK's thread, which has no reactor, and it would try again
//! and log by itself; so its HTTP client is a channel, and the metrics leave like all else that smscope sends. Nothing
//! but the body of its request is used: what it reads from the environment (OTEL_EXPORTER_OTLP_*), smscope has read before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyper::http::StatusCode;
use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::metric_requests::MetricRequest;
use super::recorder::MeterRecorder;
use super::resource::{Resource, SCOPE};
use crate::ledger::catalogue::otlp_name;
use crate::process_metrics::{DELIVERY_DURATION, Declared};

/// Countries are not capped, so the histogram that has them needs more series than the SDK's 2000.
const SERIES_BY_COUNTRY: usize = 20_000;

/// The reader's own clock is never to run out: flushing is ours to do.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The exporter must have a URL, or it looks for one in the environment; no one ever sees it.
const NO_URL: &str = "http://smscope.invalid/";

/// What the process recorded, to be pushed.
pub struct ProcessPush {
    // Dropped before the provider, which on its way out waits for a last export.
    requests: mpsc::UnboundedReceiver<Collected>,
    provider: SdkMeterProvider,
    process: metrics_process::Collector,
    /// The last flush, which may be under way still if its push was given up.
    flush: Option<JoinHandle<OTelSdkResult>>,
}

/// A request that the exporter waits for an answer to; dropping it is a failure.
#[derive(Debug)]
pub struct Collected {
    pub request: MetricRequest,
    answer: oneshot::Sender<StatusCode>,
}

impl ProcessPush {
    /// Builds it with the recorder that feeds it; `resource` is who speaks. Starts the thread of the SDK's reader.
    ///
    /// # Errors
    /// None, as long as nothing that the exporter reads from the environment can make it fail.
    pub fn new(resource: &Resource, declared: Declared) -> Result<(Self, MeterRecorder), ExporterBuildError> {
        let (sender, requests) = mpsc::unbounded_channel();
        let points = Arc::new(AtomicU64::new(0));
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(HandOver { requests: sender, points: points.clone() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(NO_URL)
            .with_timeout(NEVER)
            .with_retry_policy(RetryPolicy::disabled())
            .with_temporality(Temporality::Cumulative)
            .build()?;
        let by_country = otlp_name(DELIVERY_DURATION.name, DELIVERY_DURATION.unit);
        let provider = SdkMeterProvider::builder()
            .with_resource(resource.to_sdk())
            .with_reader(PeriodicReader::builder(Counting { exporter, points }).with_interval(NEVER).build())
            .with_view(move |instrument: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(SERIES_BY_COUNTRY);
                (instrument.name() == by_country).then(|| stream.build().ok()).flatten()
            })
            .build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let recorder = MeterRecorder::new(provider.meter_with_scope(scope), declared);
        Ok((Self { requests, provider, process: metrics_process::Collector::default(), flush: None }, recorder))
    }

    /// All of it as the exporter encodes it, `process_*` being of this moment. `None` when nothing was recorded, or it
    /// cannot be collected, which is logged. May be cancelled: the next call starts afresh.
    pub async fn collect(&mut self) -> Option<Collected> {
        if let Some(given_up) = &mut self.flush {
            loop {
                tokio::select! {
                    _ = &mut *given_up => break,
                    Some(old) = self.requests.recv() => drop(old),
                }
            }
        }
        let (provider, process) = (self.provider.clone(), self.process.clone());
        let flush = self.flush.insert(spawn_blocking(move || {
            process.collect();
            provider.force_flush()
        }));
        let flushed = tokio::select! {
            Some(collected) = self.requests.recv() => return Some(collected),
            flushed = flush => flushed,
        };
        self.flush = None;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::error!("the metrics of the process cannot be collected: {flushed:?}");
        }
        None
    }

    /// Ends the reader's thread. What was recorded since the last push is lost.
    pub async fn close(self) {
        let Self { requests, provider, .. } = self;
        drop(requests);
        let _nobody_took_its_last_export = spawn_blocking(move || provider.shutdown()).await;
    }
}

impl Collected {
    /// Tells the exporter what became of it. A failure is one to leave it at.
    pub fn settle(self, taken: bool) {
        let status = if taken { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let _exporter_gone = self.answer.send(status);
    }
}

/// The exporter, and the data points of what it exports: they can be counted before it encodes them.
struct Counting {
    exporter: MetricExporter,
    points: Arc<AtomicU64>,
}

impl PushMetricExporter for Counting {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.points.store(data_points(metrics), Ordering::Relaxed);
        self.exporter.export(metrics).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

fn data_points(metrics: &ResourceMetrics) -> u64 {
    fn count<T>(data: &MetricData<T>) -> usize {
        match data {
            MetricData::Gauge(gauge) => gauge.data_points().count(),
            MetricData::Sum(sum) => sum.data_points().count(),
            MetricData::Histogram(histogram) => histogram.data_points().count(),
            MetricData::ExponentialHistogram(histogram) => histogram.data_points().count(),
        }
    }
    let metrics = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
    let counts = metrics.map(|metric| match metric.data() {
        AggregatedMetrics::F64(data) => count(data),
        AggregatedMetrics::U64(data) => count(data),
        AggregatedMetrics::I64(data) => count(data),
    });
    counts.sum::<usize>() as u64
}

/// The exporter's HTTP client.
#[derive(Debug)]
struct HandOver {
    requests: mpsc::UnboundedSender<Collected>,
    /// In the request that comes.
    points: Arc<AtomicU64>,
}

#[async_trait]
impl HttpClient for HandOver {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = MetricRequest { points: self.points.load(Ordering::Relaxed), body: request.into_body() };
        let (answer, answered) = oneshot::channel();
        self.requests.send(Collected { request, answer })?;
        Ok(Response::builder().status(answered.await?).body(Bytes::new())?)
    }
}

#[cfg(test)]
pub(super) mod tests;
