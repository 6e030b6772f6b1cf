//! The ledger's snapshot as OTLP metrics: cumulative, with the store's creation as start time.
//!
//! The stream continues over restarts: same resource, same start, absolute values. The SDK cannot set a start time,
//! hence these messages are built by hand.

use jiff::Timestamp;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum, metric::Data, number_data_point::Value,
};

use super::metric_requests::POINTS_AT_MOST;
use super::resource::text;
use crate::ledger::catalogue::{Description, Kind, otlp_name};
use crate::ledger::snapshot::{Sample, Snapshot};

/// One metric for each family with samples, or several of one name if it has more of them than one request may have.
///
/// `created` is when the store was made and every count was 0; `now` is the snapshot's time. Integers stay integers;
/// what has a scale (money, times) becomes the double nearest to the exact decimal.
pub fn metrics(snapshot: &Snapshot, created: Timestamp, now: Timestamp) -> Vec<Metric> {
    let (start, time) = (unix_nanos(created), unix_nanos(now));
    snapshot
        .families
        .iter()
        .flat_map(|family| {
            let parts = family.samples.chunks(POINTS_AT_MOST);
            parts.map(move |samples| metric(family.description, samples, start, time))
        })
        .collect()
}

/// Nanoseconds since the epoch as OTLP counts them; 0 before it.
pub(super) fn unix_nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

fn metric(description: &Description, samples: &[Sample], start: u64, time: u64) -> Metric {
    let counter = description.kind == Kind::Counter;
    let data_points = samples
        .iter()
        .map(|sample| NumberDataPoint {
            attributes: description.labels.iter().zip(sample.labels.iter()).map(|(k, v)| text(k, v)).collect(),
            start_time_unix_nano: if counter { start } else { 0 },
            time_unix_nano: time,
            value: Some(match description.scale {
                1 => Value::AsInt(sample.value),
                scale => Value::AsDouble(sample.value as f64 / scale as f64),
            }),
            ..Default::default()
        })
        .collect();
    let data = if counter {
        Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        })
    } else {
        Data::Gauge(Gauge { data_points })
    };
    Metric {
        name: otlp_name(description.name, description.unit),
        description: description.help.to_owned(),
        unit: description.unit.ucum().to_owned(),
        data: Some(data),
        ..Default::default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::catalogue::{self, gauge};
    use crate::ledger::snapshot::Family;
    use crate::telemetry::prometheus;
    use proptest::prelude::*;

    pub fn family(description: &'static catalogue::Description, samples: &[(&[&str], i64)]) -> Family {
        let samples = samples.iter().map(|(labels, value)| Sample {
            labels: labels.iter().map(|&label| label.into()).collect(),
            value: *value,
        });
        Family { description, samples: samples.collect() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn encoded(families: Vec<Family>) -> Vec<Metric> {
        metrics(&Snapshot { families }, at("2025-04-01T00:00:00Z"), at("2025-04-02T00:00:00.5Z"))
    }

    #[test]
    fn a_counter_is_a_cumulative_monotonic_sum_that_starts_when_the_store_was_made() {
        let delivered = catalogue::Metric::Delivered.description();
        let metrics = encoded(vec![family(delivered, &[(&["smsmode", "SMS", "OTP", "FR"], 7)])]);
        assert_eq!(metrics.len(), 1);
        assert_eq!(metrics[0].name, "sms.messages.delivered");
        assert_eq!(metrics[0].unit, "{message}");
        assert_eq!(metrics[0].description, delivered.help);
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("not a sum: {metrics:?}") };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(Value::AsInt(7)));
        assert_eq!(point.start_time_unix_nano, 1_743_465_600_000_000_000);
        assert_eq!(point.time_unix_nano, 1_743_552_000_500_000_000);
        let attributes = [("source", "smsmode"), ("channel", "SMS"), ("flow", "OTP"), ("country", "FR")];
        assert_eq!(point.attributes, attributes.map(|(key, value)| text(key, value)));
    }

    #[test]
    fn gauges_and_money_have_their_own_shapes_and_empty_families_are_left_out() {
        let metrics = encoded(vec![
            family(&gauge::PENDING_OLDEST, &[(&["smsmode"], 1_743_523_210_050)]),
            family(&gauge::STORE_LIMIT, &[]),
            family(catalogue::Metric::Cost.description(), &[(&["smsmode", "SMS", "FR", "EUR"], 49_000)]),
        ]);
        assert_eq!(metrics.len(), 2);
        assert_eq!(
            (metrics[0].name.as_str(), metrics[0].unit.as_str()),
            ("sms.messages.pending.oldest.timestamp", "s")
        );
        let Some(Data::Gauge(gauge)) = &metrics[0].data else { panic!("not a gauge: {metrics:?}") };
        assert_eq!(gauge.data_points[0].value, Some(Value::AsDouble(1_743_523_210.05)));
        assert_eq!(gauge.data_points[0].start_time_unix_nano, 0);
        assert_eq!((metrics[1].name.as_str(), metrics[1].unit.as_str()), ("sms.message.cost", "{currency}"));
        let Some(Data::Sum(cost)) = &metrics[1].data else { panic!("not a sum: {metrics:?}") };
        assert_eq!(cost.data_points[0].value, Some(Value::AsDouble(0.049)));
    }

    proptest! {
        /// Up to 2^33 units of a currency, where doubles are still closer together than millionths.
        #[test]
        fn a_double_prints_as_the_exact_decimal_of_the_scrape(value in -(1_000_000i64 << 33)..(1_000_000i64 << 33)) {
            for description in [catalogue::Metric::Cost.description(), &gauge::EXPORT_OLDEST] {
                let double = value as f64 / description.scale as f64;
                let mut text = String::new();
                let labels: Vec<&str> = description.labels.to_vec();
                prometheus::encode(&Snapshot { families: vec![family(description, &[(&labels, value)])] }, &mut text);
                prop_assert!(text.ends_with(&format!(" {double}\n")), "{double} is not in {text}");
            }
        }
    }
}
