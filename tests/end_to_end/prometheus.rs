//! A real Prometheus that scrapes.

use serde_json::json;
use tempfile::TempDir;

use crate::peers::{Prometheus, Smscope, eventually, holds};
use crate::provider::receipt;

#[test]
fn prometheus_scrapes_smscope_and_answers_how_many_messages_were_delivered() {
    let folder = TempDir::new().unwrap();
    let smscope = Smscope::new(folder.path()).start();
    let Some(prometheus) = Prometheus::start(folder.path(), &smscope.admin_address()) else { return };
    let becomes = |query: &str, fits: fn(f64) -> bool| {
        eventually(query, || {
            let value = prometheus.query(query)?;
            holds(fits(value), || value.to_string())
        });
    };
    // The series exist from the first message on, so that increase() sees the ones after it.
    smscope.post("smsmode", &receipt("first", "ENROUTE", json!({})), "accepted");
    becomes("up", |up| up == 1.0);
    becomes("sum(sms_messages_total)", |messages| messages == 1.0);
    becomes("sum(sms_messages_delivered_total)", |delivered| delivered == 0.0);

    for number in 0..8 {
        let status = if number < 6 { "DELIVERED" } else { "UNDELIVERED BLACKLISTED" };
        smscope.post("smsmode", &receipt(&format!("m{number}"), status, json!({})), "accepted");
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
