//! The metrics of requests to the provider's API.

use std::time::Duration;

use metrics::Label;
use strum::VariantArray;

use super::{Failure, Operation};
use crate::event::SourceName;
use crate::process_metrics::{ProcessMetric, count_result, counter, seconds};

pub const API_REQUESTS: ProcessMetric =
    counter("smscope_api_requests_total", "{request}", "Requests to the provider's API by result.");
pub const API_DURATION: ProcessMetric = seconds(
    "smscope_api_duration_seconds",
    "Time from a request to the provider's API to the end of its response, or to the time-out.",
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
);

pub static METRICS: &[&ProcessMetric] = &[&API_REQUESTS, &API_DURATION];

/// The `result` of a request that succeeded.
const OK: &str = "ok";

/// Registers every result of an operation at 0, and counts one.
fn results(source: &SourceName, operation: Operation, result: Option<&'static str>) -> [Label; 2] {
    let labels = [Label::new("source", source.to_string()), Label::new("operation", operation.into_str())];
    let all = [OK].into_iter().chain(Failure::VARIANTS.iter().map(|failure| failure.into_str()));
    count_result(&API_REQUESTS, &labels, all, result);
    labels
}

/// Registers every result of an operation at 0.
pub fn register(source: &SourceName, operation: Operation) {
    results(source, operation, None);
}

/// Counts one request; `took` is from the request to the end of its response. `failure`: `None` if it succeeded.
pub fn count(source: &SourceName, operation: Operation, failure: Option<Failure>, took: Duration) {
    let labels = results(source, operation, Some(failure.map_or(OK, |failure| failure.into_str())));
    metrics::histogram!(API_DURATION.name, labels.to_vec()).record(took);
}
