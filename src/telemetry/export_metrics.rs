//! The metrics exporter: pushes the ledger's snapshot, then the metrics of the process, as requests of one resource.
//!
//! Nothing is queued: values are cumulative, so what one push could not bring the next one does.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::ledger_metrics::metrics;
use super::metric_requests::{MetricRequest, requests};
use super::process_push::ProcessPush;
use super::resource::Resource;
use super::sender::{ExportOutcome, Sender};
use crate::diagnostics::LogThrottle;
use crate::ledger::snapshot::Snapshot;
use crate::process_metrics::ExportMetrics;
use crate::tasks;
use crate::tasks::periodic::repeat;

/// Everything that the metrics exporter is made of.
pub struct MetricExport<F> {
    pub sender: Sender,
    /// The ledger at this moment.
    pub snapshot: F,
    pub process: ProcessPush,
    /// The one that `process` was made with.
    pub resource: Resource,
    /// When the store was made: where the ledger's counters start.
    pub created: Timestamp,
    pub interval: Duration,
    pub metrics: ExportMetrics,
}

/// Pushes at once, then every interval until `shutdown` resolves, then once more within `flush_limit`.
pub async fn run<F>(export: MetricExport<F>, shutdown: impl Future<Output = ()>, flush_limit: Duration)
where
    F: Fn() -> Snapshot + Clone + Send + 'static,
{
    let pusher = Mutex::new(Pusher { export, not_before: Instant::now(), throttle: LogThrottle::default() });
    repeat(Duration::ZERO, shutdown, || async { pusher.lock().await.push_if_due().await }).await;
    let mut pusher = pusher.into_inner();
    if timeout(flush_limit, pusher.push()).await.is_err() {
        tracing::warn!("the last metrics were not pushed within {flush_limit:?}");
    }
    pusher.export.process.close().await;
}

struct Pusher<F> {
    export: MetricExport<F>,
    /// The server asked us to stay away until then.
    not_before: Instant,
    throttle: LogThrottle,
}

impl<F: Fn() -> Snapshot + Clone + Send + 'static> Pusher<F> {
    /// Gives the time until the next push.
    async fn push_if_due(&mut self) -> Duration {
        let began = Instant::now();
        if began >= self.not_before {
            self.push().await;
        }
        self.export.interval.saturating_sub(began.elapsed())
    }

    /// Stops at the first request after which the server is not to be asked again for now.
    async fn push(&mut self) {
        let mut accepted = true;
        let snapshot = self.export.snapshot.clone();
        // It blocks on the disk.
        let snapshot = tasks::blocking(snapshot).await;
        let ledger = metrics(&snapshot, self.export.created, Timestamp::now());
        for request in requests(&self.export.resource, ledger) {
            let answer = self.send(&request).await;
            if matches!(
                answer,
                ExportOutcome::Retry { .. } | ExportOutcome::Fault { .. } | ExportOutcome::Refused { .. }
            ) {
                return;
            }
            accepted &= answer == ExportOutcome::Accepted;
        }
        if let Some(collected) = self.export.process.collect().await {
            let answer = self.send(&collected.request).await;
            accepted &= answer == ExportOutcome::Accepted;
            collected.settle(matches!(answer, ExportOutcome::Accepted | ExportOutcome::Partial { .. }));
        }
        if accepted && self.throttle.recovered() {
            tracing::info!("metrics are pushed again");
        }
    }

    async fn send(&mut self, request: &MetricRequest) -> ExportOutcome {
        let answer = self.export.sender.send(request.body.clone()).await;
        self.count(request.points, &answer);
        answer
    }

    fn count(&mut self, points: u64, answer: &ExportOutcome) {
        let metrics = &self.export.metrics;
        let why = match answer {
            ExportOutcome::Accepted => return metrics.records.increment(points),
            ExportOutcome::Partial { rejected, message } => {
                let rejected = points.min(*rejected);
                metrics.records.increment(points - rejected);
                metrics.dropped.increment(rejected);
                if self.throttle.is_due(message) {
                    tracing::warn!("the OTLP endpoint rejected {rejected} of {points} metric data points: {message}");
                }
                return;
            }
            ExportOutcome::Retry { after, why } | ExportOutcome::Fault { after, why } => {
                self.not_before = Instant::now() + after.unwrap_or_default();
                why
            }
            ExportOutcome::Refused { why } | ExportOutcome::Bad { why } => why,
        };
        metrics.failures.increment(1);
        if self.throttle.is_due(why) {
            tracing::error!("metrics were not pushed, the next push brings them: {why}");
        }
    }
}

#[cfg(test)]
mod tests;
