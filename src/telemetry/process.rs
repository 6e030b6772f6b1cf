//! The metrics of the process, for the scrape, the push and the page.
//!
//! Each sees every recording through one fan-out: here it is rendered for the scrape, in [`super::process_push`] exported, in
//! [`super::values`] read.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Fanout, FanoutBuilder};
use opentelemetry_otlp::ExporterBuildError;

use super::recorder::MeterRecorder;
use super::values::Values;
use crate::process_metrics::{Declared, Kind};
use crate::tasks::periodic::repeat;

/// How often observations are folded into their buckets if no scrape does it.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("a metrics recorder is installed already, expected one per process")]
    Installed,
    #[error("cannot set up the metrics recorder: {0}")]
    Build(#[from] BuildError),
    #[error("cannot set up the metrics exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// The recorded metrics, for the scrape and the page.
pub struct ProcessMetrics {
    scrape: PrometheusHandle,
    values: Values,
    process: metrics_process::Collector,
}

impl ProcessMetrics {
    /// Builds it and makes it the recorder of the `metrics` facade: once per process, before any handle is made.
    /// `push` receives every recording too. Descriptions are registered.
    ///
    /// # Errors
    /// There is a recorder already.
    pub fn install(declared: Declared, push: Option<MeterRecorder>) -> Result<Self, InstallError> {
        let (process, recorder) = Self::build(declared, push)?;
        metrics::set_global_recorder(recorder).map_err(|_| InstallError::Installed)?;
        declared.describe();
        process.process.describe();
        Ok(process)
    }

    /// Builds it with the recorder that feeds it and `push`, and installs nothing.
    ///
    /// # Errors
    /// None, as long as every declared histogram has buckets.
    pub fn build(declared: Declared, push: Option<MeterRecorder>) -> Result<(Self, Fanout), BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in declared.iter().filter(|metric| metric.kind == Kind::Histogram) {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
        }
        let prometheus = builder.build_recorder();
        let scrape = prometheus.handle();
        let values = Values::default();
        let fanout = FanoutBuilder::default().add_recorder(prometheus).add_recorder(values.clone());
        let fanout = match push {
            Some(push) => fanout.add_recorder(push),
            None => fanout,
        };
        Ok((Self { scrape, values, process: metrics_process::Collector::default() }, fanout.build()))
    }

    /// All of it as Prometheus text, by name, `process_*` being of this moment.
    pub fn render(&self) -> String {
        self.process.collect();
        let text = self.scrape.render();
        let mut families: Vec<&str> = text.split_terminator("\n\n").collect();
        families.sort_unstable();
        families.iter().flat_map(|family| [family, "\n"]).collect()
    }

    /// Its counters and gauges, `process_*` being of this moment.
    pub fn values(&self) -> Values {
        self.process.collect();
        self.values.clone()
    }

    /// Folds observations into their buckets, until `shutdown` resolves.
    pub async fn upkeep(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let upkeep = || async {
            self.scrape.run_upkeep();
            UPKEEP
        };
        repeat(Duration::ZERO, shutdown, upkeep).await;
    }
}

#[cfg(test)]
pub(super) mod tests;
