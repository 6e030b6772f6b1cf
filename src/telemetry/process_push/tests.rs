use super::*;
use crate::process_metrics::{ExportMetrics, Signal, SourceMetrics};
use crate::serve::METRICS;
use crate::telemetry::resource::tests::{INSTANCE, otlp};
use crate::telemetry::resource::{scope, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use prost::Message;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// What is pushed as the tests' resource, with the recorder that feeds it.
pub fn pushed() -> (ProcessPush, MeterRecorder) {
    ProcessPush::new(&Resource::new(&otlp("smscope", &[]), INSTANCE), METRICS).unwrap()
}

/// The metrics of the next request.
pub async fn collected(push: &ProcessPush) -> Vec<Metric> {
    let mut request = decoded(push).await;
    assert_eq!(request.resource_metrics.len(), 1);
    assert_eq!(request.resource_metrics[0].scope_metrics.len(), 1);
    request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
}

async fn decoded(push: &ProcessPush) -> ExportMetricsServiceRequest {
    let request = push.collect().await.expect("nothing was recorded");
    ExportMetricsServiceRequest::decode(request.body).unwrap()
}

fn register(recorder: &MeterRecorder) -> ExportMetrics {
    metrics::with_local_recorder(recorder, || ExportMetrics::new(Signal::Metrics))
}

#[tokio::test]
async fn the_resource_is_the_ledgers_and_has_nothing_of_the_sdks_own() {
    let resource = Resource::new(&otlp("sms", &[("team", "a")]), INSTANCE);
    let (push, recorder) = ProcessPush::new(&resource, METRICS).unwrap();
    register(&recorder);
    let request = decoded(&push).await;
    let sorted = |mut resource: opentelemetry_proto::tonic::resource::v1::Resource| {
        resource.attributes.sort_by(|one, other| one.key.cmp(&other.key));
        resource
    };
    let of_request = &request.resource_metrics[0];
    assert_eq!(sorted(of_request.resource.clone().unwrap()), sorted(resource.to_proto()));
    assert_eq!(of_request.scope_metrics[0].scope, Some(scope()));
    assert_eq!((of_request.schema_url.as_str(), of_request.scope_metrics[0].schema_url.as_str()), ("", ""));
}

#[tokio::test]
async fn nothing_recorded_is_nothing_to_push() {
    let (push, _recorder) = pushed();
    assert!(push.collect().await.is_none());
}

#[tokio::test]
async fn the_points_are_counted() {
    let (push, recorder) = pushed();
    metrics::with_local_recorder(&recorder, || {
        SourceMetrics::new("smsmode").receipt_delayed(Duration::from_secs(1));
        ExportMetrics::new(Signal::Metrics)
    });
    // ten results of a source, what it repaired and could not read, a histogram, three counters of the export
    assert_eq!(push.collect().await.unwrap().points, 16);
}

#[tokio::test]
async fn what_was_not_sent_is_not_resent_and_the_next_push_is_of_its_own_moment() {
    let (push, recorder) = pushed();
    let metrics = register(&recorder);
    let of_logs = metrics::with_local_recorder(&recorder, || ExportMetrics::new(Signal::Logs));
    let total = |metrics: &[Metric]| format!("{metrics:?}").matches("AsInt(7)").count();

    drop(push.collect().await.unwrap());
    // Given up before the exporter has encoded anything.
    tokio::select! {
        biased;
        _ = push.collect() => panic!("too early to be cancelled"),
        () = std::future::ready(()) => {}
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    metrics.records.increment(7);
    of_logs.failures.increment(7);
    assert_eq!(total(&collected(&push).await), 2);
    assert!(push.encoded.lock().is_none());
}

#[tokio::test]
async fn it_ends_at_once() {
    let (push, recorder) = pushed();
    register(&recorder);
    drop(push.collect().await.unwrap());
    let started = std::time::Instant::now();
    drop(push);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

const IN_THE_CHILD: &str = "SMSCOPE_TEST_OF_THE_ENVIRONMENT";

/// Runs itself again, once with each environment, because a test cannot change the one that it shares with all others.
#[tokio::test]
async fn the_environment_cannot_disturb_it() {
    if std::env::var_os(IN_THE_CHILD).is_some() {
        return in_a_disturbing_environment().await;
    }
    let not_unicode = OsStr::from_bytes(b"\xff\xfe");
    for (protocol, compression) in [("grpc", "gzip"), ("http/json", "zstd"), ("carrier-pigeon", "lzma")] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "telemetry::process_push::tests::the_environment_cannot_disturb_it"]);
        child.env(IN_THE_CHILD, "1");
        for prefix in ["OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_METRICS"] {
            child.env(format!("{prefix}_PROTOCOL"), protocol);
            child.env(format!("{prefix}_COMPRESSION"), compression);
            child.env(format!("{prefix}_ENDPOINT"), not_unicode);
            child.env(format!("{prefix}_HEADERS"), "content-encoding=gzip,a\u{1}b=c,d=\u{1},=,%zz=%zz");
            child.env(format!("{prefix}_TIMEOUT"), "soon");
            child.env(format!("{prefix}_CERTIFICATE"), "/none.pem");
        }
        child.env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta");
        child.env("OTEL_METRIC_EXPORT_INTERVAL", "1");
        child.env("OTEL_SERVICE_NAME", "other").env("OTEL_RESOURCE_ATTRIBUTES", "team=other");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{protocol}, {compression}: {said}");
    }
}

async fn in_a_disturbing_environment() {
    let (push, recorder) = pushed();
    let metrics = register(&recorder);
    for _ in 0..2 {
        metrics.records.increment(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(push.encoded.lock().is_none(), "the reader has a clock of its own");
        let request = decoded(&push).await;
        let attributes = &request.resource_metrics[0].resource.as_ref().unwrap().attributes;
        assert!(attributes.contains(&text("service.name", "smscope")) && attributes.len() == 3, "{attributes:?}");
        let cumulative = "aggregation_temporality: Cumulative";
        assert_eq!(format!("{request:?}").matches(cumulative).count(), 3, "{request:?}");
    }
}
