use super::*;
use crate::serve::METRICS;
use metrics_exporter_prometheus::PrometheusBuilder;

#[test]
fn every_result_of_a_source_exists_at_zero_from_the_start_and_its_clock_only_when_it_has_been_seen() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let metrics = SourceMetrics::new("smsmode");
        let text = handle.render();
        for result in WebhookResult::ALL {
            let line = format!("smscope_webhook_requests_total{{source=\"smsmode\",result=\"{}\"}} 0", result.as_str());
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("duration") && !text.contains("last_webhook"), "{text}");

        metrics.answered(WebhookResult::TooLarge, Duration::from_millis(2));
        metrics.arrived("2025-04-01T16:00:10.5Z".parse().unwrap());
    });
    let text = handle.render();
    assert!(text.contains("smscope_webhook_requests_total{source=\"smsmode\",result=\"too_large\"} 1"), "{text}");
    assert!(text.contains("smscope_last_webhook_timestamp_seconds{source=\"smsmode\"} 1743523210.5"), "{text}");
}

#[test]
fn each_result_counts_under_its_own_label() {
    for (index, result) in WebhookResult::ALL.into_iter().enumerate() {
        assert_eq!(result as usize, index, "{}", result.as_str());
    }
}

#[test]
fn names_end_in_what_their_kind_and_unit_ask_for() {
    for metric in METRICS.iter() {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert_eq!(metric.name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{}", metric.name);
        assert_eq!(metric.buckets.is_empty(), metric.kind != Kind::Histogram, "{}", metric.name);
        assert!(metric.buckets.is_sorted(), "{}", metric.name);
        assert_eq!(METRICS.find(metric.name), Some(metric));
    }
}
