//! The metrics of the process by both ways out: the scrape, and the push beside the ledger's.
//!
//! Both see every recording through one fan-out. The OpenTelemetry SDK only aggregates here: its reader is flushed into
//! memory when a push is due, and the data points leave with the ledger's in one request of our own sender. Its OTLP
//! exporter would read the environment a second time, hide partial success and need a client that works off the runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Fanout, FanoutBuilder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality};

use super::recorder::MeterRecorder;
use super::resource::SCOPE;
use crate::ledger::catalogue::otlp_name;
use crate::meters;

/// Observations are folded into their buckets this often when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Countries are not capped, so the histogram that has them needs more series than the SDK's 2000.
const SERIES_BY_COUNTRY: usize = 20_000;

/// The reader's own clock is never to run out: flushing is ours to do.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("a metrics recorder is installed already, expected one a process")]
    Installed,
    #[error("cannot set up the metrics recorder: {0}")]
    Build(#[from] BuildError),
}

/// What the process recorded, for whoever asks.
pub struct ProcessMetrics {
    scrape: PrometheusHandle,
    push: Option<Push>,
    process: metrics_process::Collector,
}

struct Push {
    provider: SdkMeterProvider,
    flushed: Arc<Mutex<Vec<Metric>>>,
}

impl ProcessMetrics {
    /// Builds it and makes it the recorder of the `metrics` facade: once a process, before any handle is made.
    /// `push` tells whether there is an OTLP endpoint for metrics. Descriptions are registered.
    pub fn install(push: bool) -> Result<Self, InstallError> {
        let (process, recorder) = Self::build(push)?;
        metrics::set_global_recorder(recorder).map_err(|_| InstallError::Installed)?;
        meters::describe_all();
        process.process.describe();
        Ok(process)
    }

    /// Builds it with the recorder that feeds it, and installs nothing.
    pub fn build(push: bool) -> Result<(Self, Fanout), BuildError> {
        let mut builder = PrometheusBuilder::new();
        for meter in meters::ALL.into_iter().filter(|meter| meter.kind == meters::Kind::Histogram) {
            builder = builder.set_buckets_for_metric(Matcher::Full(meter.name.to_owned()), meter.buckets)?;
        }
        let prometheus = builder.build_recorder();
        let scrape = prometheus.handle();
        let fanout = FanoutBuilder::default().add_recorder(prometheus);
        let (push, fanout) = if push {
            let (push, recorder) = Push::build();
            (Some(push), fanout.add_recorder(recorder))
        } else {
            (None, fanout)
        };
        Ok((Self { scrape, push, process: metrics_process::Collector::default() }, fanout.build()))
    }

    /// All of it as Prometheus text, `process_*` being of this moment.
    pub fn render(&self) -> String {
        self.process.collect();
        self.scrape.render()
    }

    /// All of it as OTLP metrics, `process_*` being of this moment; empty without a push. Blocks for the moment that
    /// another thread needs to collect.
    pub fn collect(&self) -> Vec<Metric> {
        let Some(push) = &self.push else { return Vec::new() };
        self.process.collect();
        if let Err(error) = push.provider.force_flush() {
            tracing::error!("the metrics of the process cannot be collected: {error}");
        }
        std::mem::take(&mut *push.flushed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps observations from piling up; never ends.
    pub async fn upkeep(&self) {
        let mut clock = tokio::time::interval(UPKEEP);
        loop {
            clock.tick().await;
            self.scrape.run_upkeep();
        }
    }
}

impl Push {
    fn build() -> (Self, MeterRecorder) {
        let flushed = Arc::new(Mutex::default());
        let by_country = otlp_name(meters::DELIVERY_DURATION.name, meters::DELIVERY_DURATION.unit);
        let provider = SdkMeterProvider::builder()
            .with_reader(PeriodicReader::builder(InMemory(flushed.clone())).with_interval(NEVER).build())
            .with_view(move |instrument: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(SERIES_BY_COUNTRY);
                (instrument.name() == by_country).then(|| stream.build().ok()).flatten()
            })
            .build();
        let recorder = MeterRecorder::new(provider.meter(SCOPE));
        (Self { provider, flushed }, recorder)
    }
}

/// The reader's exporter: keeps what was flushed for [`ProcessMetrics::collect`] to take.
struct InMemory(Arc<Mutex<Vec<Metric>>>);

impl PushMetricExporter for InMemory {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics);
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = scopes.flat_map(|scope| scope.metrics).collect();
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[cfg(test)]
mod tests;
