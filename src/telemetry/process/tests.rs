use super::*;
use crate::event::SourceName;
use crate::features::probe::{Report, metrics::ProbeResult};
use crate::features::reconcile::metrics::RoundResult;
use crate::features::{account, probe, reconcile, relay};
use crate::ledger::catalogue::{Unit, otlp_name};
use crate::process_metrics::{self, ExportMetrics, LazyHistogram, Signal, SourceMetrics, WebhookResult};
use crate::route::RelayName;
use crate::serve::METRICS;
use crate::smsmode_api::{self, Failure, Operation};
use crate::store;
use crate::telemetry::process_push::tests::{collected, pushed};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use std::collections::BTreeSet;

/// One series and its value: `name{a="b",c="d"} 1`, labels sorted.
fn line(name: &str, labels: &[(String, String)], value: impl std::fmt::Display) -> String {
    let mut labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    labels.sort();
    format!("{name}{{{}}} {value}", labels.join(","))
}

fn labels(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => (attribute.key.clone(), text),
        other => panic!("not a text: {other:?}"),
    };
    attributes.iter().map(text).collect()
}

/// What a Prometheus that is pushed to would show of a metric.
fn as_scraped(metric: &Metric) -> Vec<String> {
    let ours = METRICS.iter().find(|meter| otlp_name(meter.name, meter.unit) == metric.name);
    let name = ours.map_or(metric.name.as_str(), |meter| meter.name);
    let number = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsInt(value)) => *value as f64,
        Some(number_data_point::Value::AsDouble(value)) => *value,
        None => panic!("no value"),
    };
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{metric:?}");
            sum.data_points.iter().map(|p| line(name, &labels(&p.attributes), number(&p.value))).collect()
        }
        Data::Gauge(gauge) => {
            gauge.data_points.iter().map(|p| line(name, &labels(&p.attributes), number(&p.value))).collect()
        }
        Data::Histogram(histogram) => histogram
            .data_points
            .iter()
            .flat_map(|point| {
                let plain = labels(&point.attributes);
                let mut below = 0;
                let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                let mut lines: Vec<_> = bounds
                    .zip(&point.bucket_counts)
                    .map(|(bound, count)| {
                        below += count;
                        let with_bound = [&plain[..], &[("le".to_owned(), bound)]].concat();
                        line(&format!("{name}_bucket"), &with_bound, below)
                    })
                    .collect();
                lines.push(line(&format!("{name}_sum"), &plain, point.sum.unwrap()));
                lines.push(line(&format!("{name}_count"), &plain, point.count));
                lines
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn scraped(text: &str) -> BTreeSet<String> {
    let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    series
        .map(|series| {
            let (series, value) = series.rsplit_once(' ').unwrap();
            let (name, inside) = series.split_once('{').unwrap_or((series, "}"));
            let pairs = inside.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
            let labels: Vec<_> = pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap();
                    (key.to_owned(), value.trim_matches('"').to_owned())
                })
                .collect();
            line(name, &labels, value)
        })
        .collect()
}

fn of_this_process(series: &str) -> bool {
    series.starts_with("process")
}

/// Records something in every metric of the process.
pub fn exercise() {
    let source = SourceMetrics::new("smsmode");
    for (result, milliseconds) in [
        (WebhookResult::Accepted, 0),
        (WebhookResult::Accepted, 1),
        (WebhookResult::Duplicate, 3),
        (WebhookResult::Overloaded, 2_000),
    ] {
        source.answered(result, Duration::from_millis(milliseconds));
    }
    source.arrived("2025-04-01T16:00:10.5Z".parse().unwrap());
    source.receipt_delayed(Duration::from_secs(31));
    source.delivered_in("SMS", "FR", Duration::from_millis(4_250));
    source.delivered_in("SMS", "BE", Duration::from_secs(10));
    SourceMetrics::new("unknown").answered(WebhookResult::Unauthorized, Duration::from_micros(100));
    for signal in [Signal::Logs, Signal::Metrics] {
        ExportMetrics::new(signal).records.increment(512);
    }
    LazyHistogram::new(&process_metrics::STORE_COMMIT, Vec::new()).record(Duration::from_millis(4));
    process_metrics::labels_capped("network").increment(1);
    process_metrics::auth_failures_throttled().increment(1);
    process_metrics::handshake_failures().increment(1);
    process_metrics::certificate_expiry("2026-12-24T00:00:00Z".parse().unwrap());
    process_metrics::build_info("0.1.0", "abc", "1.95");
    process_metrics::task_failures("store").increment(1);
    process_metrics::recipients_flooded("smsmode").increment(1);
    store::metrics::leader(true);
    store::metrics::inbox(3, None);
    store::metrics::inbox_stuck().increment(1);
    store::metrics::synchronous(true);
    exercise_parts();
}

/// The same for the outbound jobs.
fn exercise_parts() {
    let source = SourceName::new("smsmode").unwrap();
    let took = Duration::from_millis(70);
    relay::metrics::attempted(&RelayName::new("app").unwrap(), took);
    smsmode_api::metrics::count(&source, Operation::Channels, Some(Failure::Timeout), took);
    account::metrics::count(&source, Some(true));
    account::metrics::count(&source, Some(false));
    let expires = Some("2026-12-24T00:00:00Z".parse().unwrap());
    let report = Report { steps: Vec::new(), result: ProbeResult::Ok, took: Some(took), expires };
    probe::metrics::record(&source, &report);
    reconcile::metrics::count(&source, Some(RoundResult::Incomplete));
}

#[tokio::test]
async fn a_scrape_and_a_push_show_the_same_series_and_values() {
    let (push, recorder) = pushed();
    let (metrics, recorder) = ProcessMetrics::build(METRICS, Some(recorder)).unwrap();
    let _here = metrics::set_default_local_recorder(&recorder);
    METRICS.describe();
    metrics.process.describe();
    for _ in 0..2 {
        exercise();
        let scraped = scraped(&metrics.render());
        let pushed: BTreeSet<_> = collected(&push).await.iter().flat_map(as_scraped).collect();
        let ours = |all: &BTreeSet<String>| {
            let ours: Vec<_> = all.iter().filter(|series| !of_this_process(series)).cloned().collect();
            ours
        };
        assert_eq!(ours(&pushed), ours(&scraped));
        assert!(ours(&pushed).len() > 90, "{pushed:#?}");
        let process = |all: &BTreeSet<String>| all.iter().filter(|series| of_this_process(series)).count();
        assert_eq!(process(&pushed), process(&scraped));
    }
}

#[tokio::test]
async fn a_pushed_metric_has_its_name_unit_and_help() {
    let (push, recorder) = pushed();
    let (metrics, recorder) = ProcessMetrics::build(METRICS, Some(recorder)).unwrap();
    metrics::with_local_recorder(&recorder, || {
        METRICS.describe();
        metrics.process.describe();
        metrics.process.collect();
        exercise();
    });
    let pushed = collected(&push).await;
    for meter in METRICS.iter() {
        let name = otlp_name(meter.name, meter.unit);
        let metric = pushed.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), (meter.unit.ucum(), meter.help), "{name}");
    }
    for (name, unit) in [
        ("process.cpu", "s"),
        ("process.open.fds", "{descriptor}"),
        ("process.max.fds", "{descriptor}"),
        ("process.threads", "{thread}"),
        ("process.resident.memory", "By"),
        ("process.start.time", "s"),
    ] {
        let metric = pushed.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metric.unit, unit, "{name}");
        assert!(!metric.description.is_empty(), "{name}");
    }
    assert_eq!(METRICS.unit_of("something", None), Unit::Count("{count}"));
}

#[tokio::test]
async fn an_absolute_counter_grows_by_the_difference_and_never_shrinks() {
    let (push, recorder) = pushed();
    let (metrics, recorder) = ProcessMetrics::build(METRICS, Some(recorder)).unwrap();
    metrics::with_local_recorder(&recorder, || {
        for value in [5, 7, 6, 7, 9] {
            metrics::counter!("outside_total").absolute(value);
        }
        metrics::counter!("outside_total").increment(1);
        metrics::gauge!("level").increment(3.0);
        metrics::gauge!("level").decrement(1.0);
    });
    let pushed: BTreeSet<_> = collected(&push).await.iter().flat_map(as_scraped).collect();
    let expected = |series: &str| pushed.contains(series);
    assert!(expected("outside{} 10") && expected("level{} 2"), "{pushed:?}");
    assert_eq!(crate::telemetry::collector::value_of(&metrics.scrape.render(), "outside_total"), Some(10.0));
}

#[test]
fn a_histogram_is_never_rendered_as_a_summary() {
    let (metrics, recorder) = ProcessMetrics::build(METRICS, None).unwrap();
    metrics::with_local_recorder(&recorder, exercise);
    let text = metrics.scrape.render();
    for meter in METRICS.iter() {
        let kind = match meter.kind {
            process_metrics::Kind::Counter => "counter",
            process_metrics::Kind::Gauge => "gauge",
            process_metrics::Kind::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", meter.name)), "{} is not a {kind} in\n{text}", meter.name);
    }
}

#[test]
fn a_scrape_is_in_the_order_of_the_names_and_has_no_empty_lines() {
    let (metrics, recorder) = ProcessMetrics::build(METRICS, None).unwrap();
    let text = metrics::with_local_recorder(&recorder, || {
        METRICS.describe();
        metrics.process.describe();
        exercise();
        metrics.render()
    });
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    assert!(families.len() > METRICS.iter().count() && families.is_sorted(), "{families:#?}");
    assert!(text.ends_with('\n') && text.lines().all(|line| !line.is_empty()), "{text}");
}

#[test]
fn a_second_installation_is_an_error() {
    let _ = ProcessMetrics::install(METRICS, None);
    let again = ProcessMetrics::install(METRICS, None).err().expect("installed twice");
    assert_eq!(again.to_string(), "a metrics recorder is installed already, expected one per process");
}
