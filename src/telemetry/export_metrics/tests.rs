use super::*;
use crate::features::account;
use crate::ledger::catalogue::{self, Description, gauge};
use crate::ledger::snapshot::Family;
use crate::outbound::OUR_USER_AGENT;
use crate::process_metrics::{Signal, SourceMetrics};
use crate::serve::METRICS;
use crate::telemetry::collector::{Collector, Say, Seen, eventually, ok, say, value_of};
use crate::telemetry::ledger_metrics::tests::family;
use crate::telemetry::process::ProcessMetrics;
use crate::telemetry::process::tests::exercise;
use crate::telemetry::resource::tests::{INSTANCE, otlp};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeSet;
use tokio::sync::oneshot;

const HOUR: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(2);

fn names(seen: &Seen) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(seen.body.clone()).unwrap();
    assert_eq!(request.resource_metrics.len(), 1);
    assert_eq!(request.resource_metrics[0].scope_metrics.len(), 1);
    request.resource_metrics[0].scope_metrics[0].metrics.iter().map(|metric| metric.name.clone()).collect()
}

/// An exporter of `families` and of what is recorded in `record`, with what shows its counters.
fn exporter<R: FnOnce()>(
    collector: &Collector,
    families: Vec<Family>,
    interval: Duration,
    record: R,
) -> (MetricExport<impl Fn() -> (Snapshot, Timestamp) + Clone + Send + use<R>>, ProcessMetrics) {
    let resource = Resource::new(&otlp("smscope", &[]), INSTANCE);
    let (push, recorder) = ProcessPush::new(&resource, METRICS).unwrap();
    let (scrape, recorder) = ProcessMetrics::build(METRICS, Some(recorder)).unwrap();
    let metrics = metrics::with_local_recorder(&recorder, || {
        record();
        ExportMetrics::new(Signal::Metrics)
    });
    let export = MetricExport {
        sender: Sender::new(Signal::Metrics, &collector.endpoint()),
        snapshot: {
            let families = families.clone();
            move || (Snapshot { families: families.clone() }, Timestamp::now())
        },
        process: push,
        resource,
        created: Timestamp::UNIX_EPOCH,
        interval,
        metrics,
    };
    (export, scrape)
}

fn one_sample() -> Vec<Family> {
    vec![family(&gauge::STORE_SIZE, &[(&[], 4096)])]
}

fn one_source() {
    SourceMetrics::new("smsmode");
}

/// Runs an exporter until `done`, then shuts it down; gives the scrape.
async fn run_until(collector: &Collector, interval: Duration, done: impl Fn(&str) -> bool) -> String {
    let (export, scrape) = exporter(collector, one_sample(), interval, one_source);
    let (shutdown, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(run(export, stopped, LIMIT));
    eventually("done", || done(&scrape.render())).await;
    shutdown.send(()).unwrap();
    task.await.unwrap();
    scrape.render()
}

fn count(scrape: &str, what: &str) -> f64 {
    value_of(scrape, &format!("smscope_export_{what}_total{{signal=\"metrics\"}}")).unwrap()
}

/// One of the ledger, and of the process: ten results of a source and what it repaired and could not read, three counters of the
/// export.
const POINTS: f64 = 16.0;

#[tokio::test]
async fn the_ledger_and_the_process_are_pushed_at_once_and_once_more_at_the_end() {
    let collector = Collector::start(|_, _| ok()).await;
    let scrape = run_until(&collector, HOUR, |scrape| count(scrape, "records") == POINTS).await;
    let seen: Vec<_> = collector.seen().iter().map(names).collect();
    assert_eq!(seen.len(), 4);
    for push in seen.chunks(2) {
        assert_eq!(push[0], ["smscope.store.size"]);
        for name in ["smscope.webhook.requests", "smscope.export.records"] {
            assert!(push[1].iter().any(|known| known == name), "{name} is not in {push:?}");
        }
    }
    assert_eq!((count(&scrape, "records"), count(&scrape, "failures")), (2.0 * POINTS, 0.0));
}

#[tokio::test]
async fn both_are_sent_in_the_same_way() {
    let collector = Collector::start(|_, _| ok()).await;
    let mut endpoint = collector.endpoint();
    endpoint.gzip = true;
    endpoint.headers = vec![("x-api-key".parse().unwrap(), "c2VjcmV0".parse().unwrap())];
    let (mut export, _scrape) = exporter(&collector, one_sample(), HOUR, one_source);
    export.sender = Sender::new(Signal::Metrics, &endpoint);
    run(export, std::future::ready(()), LIMIT).await;
    let seen = collector.seen();
    let (ledger, process) = (&seen[0], &seen[1]);
    let fixed = |seen: &Seen| {
        let mut headers = seen.headers.clone();
        assert!(headers.remove("content-length").is_some());
        (seen.method.clone(), seen.path.clone(), headers)
    };
    assert_eq!(fixed(ledger), fixed(process));
    assert_eq!(process.headers["x-api-key"], "c2VjcmV0");
    assert_eq!(process.headers["user-agent"], OUR_USER_AGENT);
    let mut unzipped = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&process.body[..]), &mut unzipped).unwrap();
    assert!(names(&Seen { body: unzipped.into(), ..process.clone() }).iter().any(|name| name.contains("webhook")));
}

#[tokio::test]
async fn no_metric_name_is_in_both_requests() {
    let all = catalogue::Metric::ALL.map(catalogue::Metric::description).into_iter().chain([
        &gauge::PENDING_OLDEST,
        &gauge::STORE_EVENTS,
        &gauge::STORE_SIZE,
        &gauge::STORE_LIMIT,
        &gauge::EXPORT_BACKLOG,
        &gauge::EXPORT_OLDEST,
        &account::metrics::ACCOUNT_BALANCE,
        &account::metrics::ACCOUNT_ACTIVE,
        &account::metrics::ACCOUNT_CONSUMPTION,
        &account::metrics::ACCOUNT_LIMIT,
        &account::metrics::CHANNEL_CONSUMPTION,
        &account::metrics::CHANNEL_LIMIT,
    ]);
    let sample = |description: &'static Description| family(description, &[(description.labels, 1)]);
    let families: Vec<_> = all.map(sample).collect();
    let of_ledger = families.len();
    let collector = Collector::start(|_, _| ok()).await;
    let (export, _scrape) = exporter(&collector, families, HOUR, || {
        exercise();
        let process = metrics_process::Collector::default();
        process.describe();
        process.collect();
    });
    run(export, std::future::ready(()), LIMIT).await;
    let [ledger, process] = &collector.seen().iter().map(names).collect::<Vec<_>>()[..] else { panic!("not two") };
    assert_eq!(ledger.len(), of_ledger);
    assert!(process.len() > METRICS.iter().count() && process.iter().any(|name| name == "process.cpu"));
    let distinct: BTreeSet<_> = ledger.iter().chain(process).collect();
    assert_eq!(distinct.len(), ledger.len() + process.len(), "{ledger:#?} {process:#?}");
}

#[tokio::test]
async fn a_large_ledger_needs_several_requests_and_a_rejected_one_does_not_delay_the_rest() {
    let collector = Collector::start(|number, _| if number == 1 { say(413, "", "") } else { ok() }).await;
    let mut large = family(catalogue::Metric::Messages.description(), &[(&["smsmode", "SMS", "OTP", "FR"], 1)]);
    large.samples = vec![large.samples[0].clone(); 5_000];
    let (export, scrape) = exporter(&collector, vec![large], HOUR, one_source);
    run(export, std::future::ready(()), LIMIT).await;
    assert_eq!(collector.seen().len(), 4);
    let scrape = scrape.render();
    assert_eq!((count(&scrape, "records"), count(&scrape, "failures")), (3_000.0 + POINTS - 1.0, 1.0));
}

#[tokio::test]
async fn a_push_that_fails_is_counted_and_the_next_one_comes_all_the_same() {
    let collector = Collector::start(|number, _| match number {
        // of the ledger, and the push ends there
        0 => say(503, "", ""),
        1 => say(401, "", ""),
        2 => Say::Close,
        // of the ledger, then of the process
        3 => say(400, "", ""),
        4 => say(400, "", ""),
        // of the process
        6 => say(503, "", ""),
        _ => ok(),
    })
    .await;
    let scrape = run_until(&collector, OFTEN, |scrape| count(scrape, "records") >= 1.0 + POINTS).await;
    let seen: Vec<_> = collector.seen().iter().take(9).map(|seen| names(seen).len() == 1).collect();
    assert_eq!(seen, [true, true, true, true, false, true, false, true, false], "which are of the ledger");
    assert_eq!((count(&scrape, "failures"), count(&scrape, "dropped_records")), (6.0, 0.0));
}

#[tokio::test]
async fn what_is_partly_rejected_is_counted() {
    let collector = Collector::start(|number, _| match number {
        1 => say(200, "application/json", "{\"partialSuccess\":{\"rejectedDataPoints\":3}}"),
        _ => ok(),
    })
    .await;
    let scrape = run_until(&collector, HOUR, |scrape| count(scrape, "dropped_records") > 0.0).await;
    assert_eq!((count(&scrape, "records"), count(&scrape, "dropped_records")), (2.0 * POINTS - 3.0, 3.0));
}

#[tokio::test]
async fn after_retry_after_nothing_is_pushed_before_the_flush_whichever_request_it_was() {
    for asked_at in [0, 1] {
        let collector = Collector::start(move |number, _| {
            if number < asked_at {
                return ok();
            }
            let Say::Answer(mut response) = say(429, "", "") else { unreachable!() };
            response.headers_mut().insert("retry-after", "60".parse().unwrap());
            Say::Answer(response)
        })
        .await;
        let (export, scrape) = exporter(&collector, one_sample(), OFTEN, one_source);
        let (shutdown, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(run(export, stopped, LIMIT));
        eventually("failed", || count(&scrape.render(), "failures") > 0.0).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(collector.seen().len(), asked_at + 1, "before the end");
        shutdown.send(()).unwrap();
        task.await.unwrap();
        assert_eq!(collector.seen().len(), asked_at + 2, "at the end");
    }
}

#[tokio::test]
async fn a_server_that_hangs_does_not_hold_up_the_end() {
    for hangs_at in [0, 1] {
        let collector = Collector::start(move |number, _| if number < hangs_at { ok() } else { Say::Hang }).await;
        let (export, _scrape) = exporter(&collector, one_sample(), HOUR, one_source);
        let limit = Duration::from_millis(100);
        tokio::time::timeout(LIMIT, run(export, std::future::ready(()), limit)).await.expect("still not ended");
        assert_eq!(collector.seen().len(), hangs_at + 1);
    }
}
