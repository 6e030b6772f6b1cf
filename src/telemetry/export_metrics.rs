//! The metrics exporter: pushes the ledger's snapshot, then the metrics of the process, as requests of one resource.
//!
//! Nothing is queued: values are cumulative, so the next push has what a failed one had.

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

/// The parts of the metrics exporter.
pub struct MetricExport<F> {
    pub sender: Sender,
    /// The ledger at this moment, and the time of it.
    pub snapshot: F,
    pub process: ProcessPush,
    /// Of the ledger.
    pub resource: Resource,
    /// When the store was created: where the ledger's counters start.
    pub created: Timestamp,
    pub interval: Duration,
    pub metrics: ExportMetrics,
}

/// Pushes at once, then every interval until `shutdown` resolves, then once more within `flush_limit`.
pub async fn run<F>(export: MetricExport<F>, shutdown: impl Future<Output = ()>, flush_limit: Duration)
where
    F: Fn() -> (Snapshot, Timestamp) + Clone + Send + 'static,
{
    let pusher = Mutex::new(Pusher { export, not_before: Instant::now(), throttle: LogThrottle::default() });
    repeat(Duration::ZERO, shutdown, || async { pusher.lock().await.push_if_due().await }).await;
    let mut pusher = pusher.into_inner();
    if timeout(flush_limit, pusher.push()).await.is_err() {
        tracing::warn!("the last metrics were not pushed within {flush_limit:?}");
    }
}

struct Pusher<F> {
    export: MetricExport<F>,
    /// The server asked for no request before this time.
    not_before: Instant,
    throttle: LogThrottle,
}

impl<F: Fn() -> (Snapshot, Timestamp) + Clone + Send + 'static> Pusher<F> {
    /// Gives the time until the next push.
    async fn push_if_due(&mut self) -> Duration {
        let began = Instant::now();
        if began >= self.not_before {
            self.push().await;
        }
        self.export.interval.saturating_sub(began.elapsed())
    }

    /// Stops at the first outcome that rules out another request for now.
    async fn push(&mut self) {
        let mut accepted = true;
        let snapshot = self.export.snapshot.clone();
        // It blocks on the disk.
        let (snapshot, now) = tasks::blocking(snapshot).await;
        let ledger = metrics(&snapshot, self.export.created, now);
        for request in requests(&self.export.resource, ledger) {
            let answer = self.send(&request).await;
            if matches!(
                answer,
                ExportOutcome::Retry { .. } | ExportOutcome::Fault { .. } | ExportOutcome::Rejected { .. }
            ) {
                return;
            }
            accepted &= answer == ExportOutcome::Accepted;
        }
        if let Some(request) = self.export.process.collect().await {
            accepted &= self.send(&request).await == ExportOutcome::Accepted;
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
            ExportOutcome::Rejected { why } | ExportOutcome::Bad { why } => why,
        };
        metrics.failures.increment(1);
        if self.throttle.is_due(why) {
            tracing::error!("metrics were not pushed, the next push includes them: {why}");
        }
    }
}

#[cfg(test)]
mod tests;
