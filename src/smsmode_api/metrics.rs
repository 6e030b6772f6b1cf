//! The metrics of requests to the provider's API.

use std::time::Duration;

use metrics::Label;

use super::{Failure, OK, Operation, RESULTS};
use crate::event::SourceName;
use crate::process_metrics::{ProcessMetric, count_result, counter, seconds};

pub const API_REQUESTS: ProcessMetric =
    counter("smscope_api_requests_total", "{request}", "Requests to the provider's API by what came of them.");
pub const API_DURATION: ProcessMetric = seconds(
    "smscope_api_duration_seconds",
    "Time from a request to the provider's API to the end of its answer, or to giving up.",
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
);

pub static METRICS: &[&ProcessMetric] = &[&API_REQUESTS, &API_DURATION];

/// Registers every result of an operation at 0.
pub fn register(source: &SourceName, operation: Operation) {
    count_result(&API_REQUESTS, &labels(source, operation), RESULTS, None);
}

/// Counts one request; `took` is from the request to the end of its response. `failure`: `None` if it succeeded.
pub fn count(source: &SourceName, operation: Operation, failure: Option<Failure>, took: Duration) {
    let labels = labels(source, operation);
    count_result(&API_REQUESTS, &labels, RESULTS, Some(failure.map_or(OK, Failure::as_str)));
    metrics::histogram!(API_DURATION.name, labels.to_vec()).record(took);
}

fn labels(source: &SourceName, operation: Operation) -> [Label; 2] {
    [Label::new("source", source.to_string()), Label::new("operation", operation.as_str())]
}
