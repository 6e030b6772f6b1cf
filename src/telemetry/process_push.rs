//! The metrics of the process for the push: aggregated by the OpenTelemetry SDK and encoded by its OTLP exporter.
//!
//! The exporter sends nothing itself: it works on the SDK's thread, which has no reactor, and has retries and log lines of its own. So its
//! HTTP client stores the body of the request, and smscope sends it as it sends all else. Nothing but that body is used: what the
//! exporter reads from the environment (OTEL_EXPORTER_OTLP_*), smscope has read before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality};

use super::metric_requests::MetricRequest;
use super::recorder::MeterRecorder;
use super::resource::{Resource, SCOPE};
use crate::ledger::catalogue::otlp_name;
use crate::process_metrics::{DELIVERY_DURATION, Declared};
use crate::tasks;

/// Countries are not capped, so the histogram that has them needs more series than the SDK's 2000.
const SERIES_BY_COUNTRY: usize = 20_000;

/// The reader's own clock never runs out: each push flushes it.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The exporter must have a URL, or it looks for one in the environment; nothing connects to it.
const NO_URL: &str = "http://smscope.invalid/";

/// The recorded metrics, as the next push sends them.
pub struct ProcessPush {
    provider: SdkMeterProvider,
    /// Locked during a collection: one that was given up may still be running when the next begins.
    process: Arc<Mutex<metrics_process::Collector>>,
    encoded: Encoded,
}

/// The last request that the exporter encoded.
#[derive(Clone, Debug, Default)]
struct Encoded(Arc<Mutex<Option<MetricRequest>>>);

impl Encoded {
    fn lock(&self) -> MutexGuard<'_, Option<MetricRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProcessPush {
    /// Builds it with the recorder that feeds it. Starts the thread of the SDK's reader.
    ///
    /// # Errors
    /// None, as long as nothing that the exporter reads from the environment can make it fail.
    pub fn new(resource: &Resource, declared: Declared) -> Result<(Self, MeterRecorder), ExporterBuildError> {
        let encoded = Encoded::default();
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(encoded.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(NO_URL)
            .with_timeout(NEVER)
            .with_retry_policy(RetryPolicy::disabled())
            .with_temporality(Temporality::Cumulative)
            .build()?;
        let exporter = Counting { exporter, encoded: encoded.clone() };
        let by_country = otlp_name(DELIVERY_DURATION.name, DELIVERY_DURATION.unit);
        let provider = SdkMeterProvider::builder()
            .with_resource(resource.to_sdk())
            .with_reader(PeriodicReader::builder(exporter).with_interval(NEVER).build())
            .with_view(move |instrument: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(SERIES_BY_COUNTRY);
                (instrument.name() == by_country).then(|| stream.build().ok()).flatten()
            })
            .build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let recorder = MeterRecorder::new(provider.meter_with_scope(scope), declared);
        Ok((Self { provider, process: Arc::default(), encoded }, recorder))
    }

    /// All of it, `process_*` being of this moment. `None` if nothing was recorded, or it cannot be collected, which is logged.
    pub async fn collect(&self) -> Option<MetricRequest> {
        let (provider, process, encoded) = (self.provider.clone(), self.process.clone(), self.encoded.clone());
        let collected = tasks::blocking(move || {
            let process = process.lock().unwrap_or_else(PoisonError::into_inner);
            process.collect();
            *encoded.lock() = None;
            provider.force_flush().map(|()| encoded.lock().take())
        });
        collected.await.unwrap_or_else(|error| {
            tracing::error!("the metrics of the process cannot be collected: {error}");
            None
        })
    }
}

/// The exporter; beside a request it stores the number of its data points.
struct Counting {
    exporter: MetricExporter,
    encoded: Encoded,
}

impl PushMetricExporter for Counting {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.exporter.export(metrics).await?;
        if let Some(request) = &mut *self.encoded.lock() {
            request.points = data_points(metrics);
        }
        Ok(())
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
#[async_trait]
impl HttpClient for Encoded {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.lock() = Some(MetricRequest { points: 0, body: request.into_body() });
        Ok(Response::new(Bytes::new()))
    }
}

#[cfg(test)]
pub(super) mod tests;
