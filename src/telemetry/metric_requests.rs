//! Metrics as encoded OTLP export requests, none too large for a collector.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use prost::Message;

use super::resource::{Resource, scope};

/// Data points in one request: some 200 bytes each, and collectors may reject more than 4 MiB.
pub(super) const POINTS_AT_MOST: usize = 2_000;

/// One encoded `ExportMetricsServiceRequest`.
#[derive(Clone, Debug)]
pub struct MetricRequest {
    /// Data points in it.
    pub points: u64,
    pub body: Bytes,
}

/// The requests with `metrics` of `resource`, in their order; a metric is not split.
pub fn requests(resource: &Resource, metrics: Vec<Metric>) -> Vec<MetricRequest> {
    let mut parts: Vec<(usize, Vec<Metric>)> = Vec::new();
    for metric in metrics {
        let points = data_points(&metric);
        match parts.last_mut() {
            Some((sum, part)) if *sum + points <= POINTS_AT_MOST => {
                *sum += points;
                part.push(metric);
            }
            _ => parts.push((points, vec![metric])),
        }
    }
    let encode = |(points, part)| {
        let body = request(resource, part).encode_to_vec().into();
        MetricRequest { points: points as u64, body }
    };
    parts.into_iter().map(encode).collect()
}

fn request(resource: &Resource, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.to_proto()),
            scope_metrics,
            ..Default::default()
        }],
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
    use crate::ledger::catalogue::{self, gauge};
    use crate::ledger::snapshot::{Sample, Snapshot};
    use crate::telemetry::ledger_metrics;
    use crate::telemetry::ledger_metrics::tests::family;
    use crate::telemetry::resource::tests::{INSTANCE, otlp};
    use jiff::Timestamp;

    fn resource() -> Resource {
        Resource::new(&otlp("smscope", &[]), INSTANCE)
    }

    /// The requests for families of so many samples each.
    fn requests_for(sizes: &[usize]) -> Vec<MetricRequest> {
        let families = sizes.iter().map(|&samples| {
            let mut family = family(catalogue::Metric::Messages.description(), &[]);
            let labels = |n: usize| ["smsmode", "SMS", "OTP", &n.to_string()].map(Box::from).to_vec().into();
            family.samples = (0..samples).map(|n| Sample { labels: labels(n), value: 1 }).collect();
            family
        });
        let snapshot = Snapshot { families: families.collect() };
        requests(&resource(), ledger_metrics::metrics(&snapshot, Timestamp::UNIX_EPOCH, Timestamp::now()))
    }

    #[test]
    fn a_request_has_the_resource_and_our_scope_once() {
        let snapshot = Snapshot { families: vec![family(&gauge::STORE_SIZE, &[(&[], 1)])] };
        let metrics = ledger_metrics::metrics(&snapshot, Timestamp::UNIX_EPOCH, Timestamp::now());
        let requests = requests(&resource(), metrics);
        assert_eq!(requests.len(), 1);
        let request = ExportMetricsServiceRequest::decode(requests[0].body.clone()).unwrap();
        assert_eq!(request.resource_metrics.len(), 1);
        assert_eq!(request.resource_metrics[0].resource, Some(resource().to_proto()));
        let scopes = &request.resource_metrics[0].scope_metrics;
        assert_eq!(scopes.len(), 1);
        assert_eq!(scopes[0].scope.as_ref().unwrap().name, "smscope");
    }

    fn encoded_points(body: Bytes) -> u64 {
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        request.resource_metrics[0].scope_metrics[0].metrics.iter().map(data_points).sum::<usize>() as u64
    }

    #[test]
    fn a_request_is_as_full_as_it_may_be_and_far_from_4_mib() {
        for (sizes, points) in [
            (&[][..], &[][..]),
            (&[0], &[]),
            (&[1, 1_999], &[2_000]),
            (&[1, 2_000, 1], &[1, 2_000, 1]),
            (&[1_500, 600, 600], &[1_500, 1_200]),
            (&[4_500, 100], &[2_000, 2_000, 600]),
        ] {
            let requests = requests_for(sizes);
            assert_eq!(requests.iter().map(|request| request.points).collect::<Vec<_>>(), points, "{sizes:?}");
            for request in requests {
                assert!(request.body.len() < 1 << 20, "{} bytes", request.body.len());
                assert_eq!(encoded_points(request.body), request.points);
            }
        }
    }
}
