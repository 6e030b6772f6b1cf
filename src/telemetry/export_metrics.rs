//! The metrics exporter: pushes the ledger's snapshot and the metrics of the process, all in one request.
//!
//! Nothing is queued: values are cumulative, so what one push could not bring the next one does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::ledger_metrics::{metrics, request};
use super::notice::Notice;
use super::process::ProcessMetrics;
use super::resource::Resource;
use super::sender::{Answer, Sender};
use crate::ledger::snapshot::Snapshot;
use crate::meters::ExportMeters;

/// Everything that the metrics exporter is made of.
pub struct MetricExport<F> {
    pub sender: Sender,
    /// The ledger at this moment.
    pub snapshot: F,
    pub process: Arc<ProcessMetrics>,
    pub resource: Resource,
    /// When the store was made: where the ledger's counters start.
    pub created: Timestamp,
    pub interval: Duration,
    pub meters: ExportMeters,
}

/// Pushes at once, then every interval until `shutdown` resolves, then once more within `flush_limit`.
pub async fn run<F>(export: MetricExport<F>, shutdown: impl Future<Output = ()>, flush_limit: Duration)
where
    F: Fn() -> Snapshot,
{
    let mut pusher = Pusher { export, not_before: Instant::now(), notice: Notice::default() };
    tokio::select! {
        () = pusher.push_each_interval() => {}
        () = shutdown => {}
    }
    if timeout(flush_limit, pusher.push()).await.is_err() {
        tracing::warn!("the last metrics were not pushed within {flush_limit:?}");
    }
}

struct Pusher<F> {
    export: MetricExport<F>,
    /// The server asked us to stay away until then.
    not_before: Instant,
    notice: Notice,
}

impl<F: Fn() -> Snapshot> Pusher<F> {
    async fn push_each_interval(&mut self) {
        let mut clock = interval(self.export.interval);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if clock.tick().await >= self.not_before {
                self.push().await;
            }
        }
    }

    async fn push(&mut self) {
        let now = Timestamp::now();
        let mut all = metrics(&(self.export.snapshot)(), self.export.created, now);
        let process = self.export.process.clone();
        all.extend(tokio::task::spawn_blocking(move || process.collect()).await.unwrap_or_default());
        let points = all.iter().map(data_points).sum::<usize>() as u64;
        if points == 0 {
            return;
        }
        let answer = self.export.sender.send(request(&self.export.resource, all).encode_to_vec().into()).await;
        self.settle(points, answer);
    }

    fn settle(&mut self, points: u64, answer: Answer) {
        let meters = &self.export.meters;
        let why = match answer {
            Answer::Accepted => {
                meters.records.increment(points);
                if self.notice.all_is_well() {
                    tracing::info!("metrics are pushed again");
                }
                return;
            }
            Answer::Partial { rejected, message } => {
                let rejected = rejected.min(points);
                meters.records.increment(points - rejected);
                meters.dropped.increment(rejected);
                if self.notice.is_due(&message) {
                    tracing::warn!("the OTLP endpoint rejected {rejected} of {points} metric data points: {message}");
                }
                return;
            }
            Answer::Retry { after, why } => {
                self.not_before = Instant::now() + after.unwrap_or_default();
                why
            }
            Answer::Refused { why } | Answer::Bad { why } => why,
        };
        meters.failures.increment(1);
        if self.notice.is_due(&why) {
            tracing::error!("metrics were not pushed, the next push brings them: {why}");
        }
    }
}

fn data_points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::catalogue::gauge;
    use crate::meters::{Signal, SourceMeters};
    use crate::telemetry::collector::{Collector, Say, Seen, ok, say, until, value_of};
    use crate::telemetry::ledger_metrics::tests::family;
    use crate::telemetry::resource::tests::{INSTANCE, otlp};
    use crate::telemetry::sender::OUR_USER_AGENT;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use tokio::sync::oneshot;

    fn names(seen: &Seen) -> Vec<String> {
        let request = ExportMetricsServiceRequest::decode(seen.body.clone()).unwrap();
        assert_eq!(request.resource_metrics.len(), 1);
        assert_eq!(request.resource_metrics[0].scope_metrics.len(), 1);
        request.resource_metrics[0].scope_metrics[0].metrics.iter().map(|metric| metric.name.clone()).collect()
    }

    /// Runs an exporter until `done`, then shuts it down; gives the scrape.
    async fn run_until(collector: &Collector, interval: Duration, done: impl Fn(&ProcessMetrics) -> bool) -> String {
        let (process, recorder) = ProcessMetrics::build(true).unwrap();
        let process = Arc::new(process);
        let meters = metrics::with_local_recorder(&recorder, || {
            SourceMeters::new("smsmode");
            ExportMeters::new(Signal::Metrics)
        });
        let export = MetricExport {
            sender: Sender::new(Signal::Metrics, &collector.endpoint(), OUR_USER_AGENT),
            snapshot: || Snapshot { families: vec![family(&gauge::STORE_SIZE, &[(&[], 4096)])] },
            process: process.clone(),
            resource: Resource::new(&otlp("smscope", &[]), INSTANCE),
            created: Timestamp::UNIX_EPOCH,
            interval,
            meters,
        };
        let (shutdown, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(run(export, stopped, Duration::from_secs(2)));
        until("done", || done(&process)).await;
        shutdown.send(()).unwrap();
        task.await.unwrap();
        process.render()
    }

    fn count(scrape: &str, what: &str) -> f64 {
        value_of(scrape, &format!("smscope_export_{what}_total{{signal=\"metrics\"}}")).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn the_ledger_and_the_process_go_together_at_once_and_once_more_at_the_end() {
        let collector = Collector::start(|_, _| ok()).await;
        let scrape = run_until(&collector, HOUR, |process| count(&process.render(), "records") > 0.0).await;
        let seen = collector.seen();
        assert_eq!(seen.len(), 2);
        for seen in &seen {
            let names = names(seen);
            for name in ["smscope.store.size", "smscope.webhook.requests", "smscope.export.records"] {
                assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
            }
        }
        // one of the ledger, ten results of a source, three counters of the export
        assert_eq!((count(&scrape, "records"), count(&scrape, "failures")), (28.0, 0.0));
    }

    #[tokio::test]
    async fn a_push_that_fails_is_counted_and_the_next_one_comes_all_the_same() {
        let collector = Collector::start(|number, _| match number {
            0 => say(503, "", ""),
            1 => say(401, "", ""),
            2 => say(400, "", ""),
            3 => Say::Close,
            _ => ok(),
        })
        .await;
        let often = Duration::from_millis(5);
        let scrape = run_until(&collector, often, |process| count(&process.render(), "records") > 0.0).await;
        assert_eq!((count(&scrape, "failures"), count(&scrape, "dropped_records")), (4.0, 0.0));
    }

    #[tokio::test]
    async fn what_is_partly_rejected_is_counted() {
        let collector = Collector::start(|number, _| match number {
            0 => say(200, "application/json", "{\"partialSuccess\":{\"rejectedDataPoints\":3}}"),
            _ => ok(),
        })
        .await;
        let scrape = run_until(&collector, HOUR, |process| count(&process.render(), "records") > 0.0).await;
        assert_eq!((count(&scrape, "records"), count(&scrape, "dropped_records")), (25.0, 3.0));
    }

    #[tokio::test]
    async fn a_server_that_asks_to_wait_is_left_alone_until_the_end() {
        let collector = Collector::start(|_, _| {
            let Say::Answer(mut response) = say(429, "", "") else { unreachable!() };
            response.headers_mut().insert("retry-after", "60".parse().unwrap());
            Say::Answer(response)
        })
        .await;
        let often = Duration::from_millis(5);
        run_until(&collector, often, |process| count(&process.render(), "failures") > 0.0).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(collector.seen().len(), 2);
    }
}
