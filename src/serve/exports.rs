//! The export of logs and metrics by OTLP.

use std::sync::Arc;

use tracing::Span;

use super::journal::StoreJournal;
use super::scrape::Scrape;
use super::{Context, METRICS};
use crate::config::Config;
use crate::process_metrics::{ExportMetrics, Signal};
use crate::tasks::Task;
use crate::tasks::supervisor::Supervisor;
use crate::telemetry::export_logs::{self, LogExport, Pace};
use crate::telemetry::export_metrics::{self, MetricExport};
use crate::telemetry::logs::LogEncoder;
use crate::telemetry::process::{InstallError, ProcessMetrics};
use crate::telemetry::process_push::ProcessPush;
use crate::telemetry::redaction::{NumberHasher, PrivacyPolicy};
use crate::telemetry::resource::Resource;
use crate::telemetry::sender::Sender;

/// The metrics of the process.
pub(super) struct Recorders {
    pub scraped: Arc<ProcessMetrics>,
    /// To be pushed, if there is an endpoint for them.
    pub pushed: Option<ProcessPush>,
}

/// Installs the recorder.
///
/// # Errors
/// This process has one.
pub(super) fn process_metrics(config: &Config, resource: &Resource) -> Result<Recorders, InstallError> {
    let push = config.otlp.metrics.as_ref().map(|_| ProcessPush::new(resource, METRICS)).transpose()?;
    let (pushed, recorder) = push.unzip();
    Ok(Recorders { scraped: Arc::new(ProcessMetrics::install(METRICS, recorder)?), pushed })
}

pub(super) fn start(context: &Context<'_>, scrape: &Scrape, process: Option<ProcessPush>, supervisor: &mut Supervisor) {
    let Context { config, store, instance, resource, .. } = context;
    let limit = context.flush_limit();
    if let (Some(endpoint), Some(status)) = (&config.otlp.logs, &scrape.export) {
        tracing::info!(endpoint = %endpoint.shown_url(), "exporting logs");
        let encoder =
            LogEncoder::new(resource.clone(), *instance, privacy_policy(config), NumberHasher::new(&context.hash_key));
        let (store, endpoint, status) = (store.clone(), endpoint.clone(), status.clone());
        let retention = config.store.export_retention;
        let export = move || LogExport {
            journal: Arc::new(StoreJournal(store.clone())),
            sender: Sender::new(Signal::Logs, &endpoint),
            encoder: encoder.clone(),
            retention,
            metrics: ExportMetrics::new(Signal::Logs),
            status: status.clone(),
            pace: Pace::default(),
        };
        supervisor.spawn_led(Span::none(), Task::LogExporter, move |shutdown| {
            export_logs::run(export(), shutdown.wait(), limit)
        });
    }
    if let (Some(endpoint), Some(process)) = (&config.otlp.metrics, process) {
        let scrape = scrape.clone();
        let export = MetricExport {
            sender: Sender::new(Signal::Metrics, endpoint),
            snapshot: move || scrape.to_be_pushed(),
            process,
            resource: resource.clone(),
            created: store.created_at(),
            interval: config.otlp.metric_interval,
            metrics: ExportMetrics::new(Signal::Metrics),
        };
        tracing::info!(endpoint = %endpoint.shown_url(), "exporting metrics");
        supervisor.spawn(Task::MetricsExporter, |shutdown| export_metrics::run(export, shutdown.wait(), limit));
    }
}

pub(super) fn privacy_policy(config: &Config) -> PrivacyPolicy {
    config.sources.iter().map(|source| (source.name.clone(), source.privacy)).collect()
}
