//! A real Prometheus that scrapes.

use serde_json::json;
use tempfile::TempDir;

use crate::support::peers::Prometheus;
use crate::support::provider::receipt;
use crate::support::{HOOK, Smscope, eventually, holds};

/// By OpenMetrics, which it asks for; one line that it cannot read would fail the whole scrape.
#[test]
fn prometheus_finds_the_trace_of_a_failure_beside_its_counter() {
    let folder = TempDir::new().unwrap();
    let smscope = Smscope::start();
    let Some(prometheus) = Prometheus::start(folder.path(), &smscope.admin.to_string()) else { return };
    let traced = format!("{HOOK}?traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let failure = receipt("m", "UNDELIVERED BLACKLISTED", json!({}));
    assert_eq!(smscope.post(&traced, failure.to_string()).result(), "accepted");
    eventually("the exemplar", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let query = format!("query_exemplars?query=sms_messages_failed_total&start={}&end={}", now - 600, now + 60);
        let found = prometheus.api(&query)?;
        let one = &found[0]["exemplars"][0];
        let is_ours = one["labels"]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736";
        holds(is_ours && found[0]["seriesLabels"]["reason"] == "blacklisted", || found.to_string())
    });
    assert_eq!(prometheus.query("up").unwrap(), 1.0);
}

#[test]
fn prometheus_scrapes_smscope_and_answers_how_many_messages_were_delivered() {
    let folder = TempDir::new().unwrap();
    let smscope = Smscope::start();
    let Some(prometheus) = Prometheus::start(folder.path(), &smscope.admin.to_string()) else { return };
    let becomes = |query: &str, fits: fn(f64) -> bool| {
        eventually(query, || {
            let value = prometheus.query(query)?;
            holds(fits(value), || value.to_string())
        });
    };
    // The series exist from the first message on, so that increase() sees the ones after it.
    smscope.accept(&receipt("first", "ENROUTE", json!({})));
    becomes("up", |up| up == 1.0);
    becomes("sum(sms_messages_total)", |messages| messages == 1.0);
    becomes("sum(sms_messages_delivered_total)", |delivered| delivered == 0.0);

    for number in 0..8 {
        let status = if number < 6 { "DELIVERED" } else { "UNDELIVERED BLACKLISTED" };
        smscope.accept(&receipt(&format!("m{number}"), status, json!({})));
    }
    becomes("sum(sms_messages_delivered_total)", |delivered| delivered == 6.0);
    becomes("sms_messages_failed_total{reason=\"blacklisted\",country=\"FR\"}", |failed| failed == 2.0);
    becomes("sum(sms_messages_delivered_total) / sum(sms_messages_total)", |ratio| (ratio - 6.0 / 9.0).abs() < 1e-9);
    becomes("sum(rate(sms_messages_delivered_total[1m]))", |rate| rate > 0.0);
    // Both are extrapolated, each from samples of its own.
    becomes("sum(increase(sms_messages_delivered_total[1m])) / sum(increase(sms_messages_total[1m]))", |ratio| {
        (0.5..=1.0).contains(&ratio)
    });
    becomes("time() - sms_messages_pending_oldest_timestamp_seconds", |age| (0.0..3600.0).contains(&age));
    becomes("histogram_quantile(0.5, sum by (le) (sms_delivery_duration_seconds_bucket))", |median| {
        (5.0..=10.0).contains(&median)
    });
}
