//! The metrics of what smscope does of its own accord: calls of the provider's API, polls of the account, probes of the public URL,
//! rounds of reconciliation.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Label};

use super::{FirstSeen, ProcessMetric, Unit, counter, gauge, seconds, source_label};

pub const API_REQUESTS: ProcessMetric =
    counter("smscope_api_requests_total", "{request}", "Requests to the provider's API by what came of them.");
pub const API_DURATION: ProcessMetric = seconds(
    "smscope_api_duration_seconds",
    "Time from a request to the provider's API to the end of its answer, or to giving up.",
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
);
pub const ACCOUNT_POLLS: ProcessMetric =
    counter("smscope_account_polls_total", "{poll}", "Looks at the account through the provider's API.");
pub const ACCOUNT_LAST_SUCCESS: ProcessMetric = gauge(
    "smscope_account_last_success_timestamp_seconds",
    Unit::Seconds,
    "When the account was last seen, as a Unix time; no sample before the first.",
);
pub const SELF_PROBES: ProcessMetric =
    counter("smscope_self_probes_total", "{probe}", "Calls of our own callback URL under its public address.");
pub const SELF_PROBE_SUCCESS: ProcessMetric = gauge(
    "smscope_self_probe_success",
    Unit::Count("{probe}"),
    "1 when the last call of our own callback URL came through to this process, else 0.",
);
pub const SELF_PROBE_DURATION: ProcessMetric = seconds(
    "smscope_self_probe_duration_seconds",
    "Time from a call of our own callback URL to its answer, TLS aside.",
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0],
);
pub const SELF_PROBE_CERTIFICATE: ProcessMetric = gauge(
    "smscope_self_probe_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    "First end of the certificates that the public URL shows, as a Unix time; no sample without TLS.",
);
pub const RECONCILE_ROUNDS: ProcessMetric = counter(
    "smscope_reconcile_rounds_total",
    "{round}",
    "Rounds of asking the provider for messages that are pending for too long.",
);

/// The handles of one source's calls of the provider's API.
#[derive(Debug)]
pub struct ApiMetrics {
    source: String,
    known: &'static [&'static str],
    operations: Mutex<HashMap<&'static str, OfOperation>>,
}

#[derive(Debug)]
struct OfOperation {
    results: HashMap<&'static str, Counter>,
    duration: FirstSeen,
}

impl ApiMetrics {
    /// `results`: every value of the `result` label.
    pub fn new(source: &str, results: &'static [&'static str]) -> Self {
        Self { source: source.to_owned(), known: results, operations: Mutex::default() }
    }

    /// Every result of the operation exists at 0 from here on.
    pub fn open(&self, operation: &'static str) {
        self.with(operation, |_| ());
    }

    /// Counts one call; `took` is from the request to the end of its answer.
    pub fn answered(&self, operation: &'static str, result: &'static str, took: Duration) {
        self.with(operation, |handles| {
            if let Some(counter) = handles.results.get(result) {
                counter.increment(1);
            }
            handles.duration.record(took);
        });
    }

    fn with(&self, operation: &'static str, does: impl FnOnce(&OfOperation)) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        does(operations.entry(operation).or_insert_with(|| {
            let counter = |&result: &&'static str| {
                let source = self.source.clone();
                let counter = metrics::counter!(
                    API_REQUESTS.name, "source" => source, "operation" => operation, "result" => result
                );
                (result, counter)
            };
            let results = self.known.iter().map(counter).collect();
            let mut labels = source_label(&self.source);
            labels.push(Label::new("operation", operation));
            OfOperation { results, duration: FirstSeen::new(&API_DURATION, labels) }
        }));
    }
}

/// The handles of one source's account, at 0 from here on; the time of the last success exists with the first.
#[derive(Debug)]
pub struct AccountMetrics {
    source: String,
    successes: Counter,
    failures: Counter,
}

impl AccountMetrics {
    pub fn new(source: &str) -> Self {
        let polls = |result: &'static str| metrics::counter!(ACCOUNT_POLLS.name, "source" => source.to_owned(), "result" => result);
        Self { source: source.to_owned(), successes: polls("success"), failures: polls("failure") }
    }

    pub fn seen(&self, now: Timestamp) {
        self.successes.increment(1);
        set_time(&ACCOUNT_LAST_SUCCESS, &self.source, now);
    }

    pub fn not_seen(&self) {
        self.failures.increment(1);
    }
}

/// What came of a call of our own callback URL: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeResult {
    Ok,
    /// The name leads nowhere.
    Dns,
    /// Nobody takes the connection.
    Connect,
    /// The certificate is not to be trusted, or no TLS is spoken there.
    Tls,
    /// No whole answer in time.
    Timeout,
    /// Something answers, and not as smscope answers a probe.
    Refused,
    /// A smscope answers, but not this one.
    Other,
    /// It came through, too slowly for the provider.
    Slow,
}

impl ProbeResult {
    pub const ALL: [ProbeResult; 8] = [
        ProbeResult::Ok,
        ProbeResult::Dns,
        ProbeResult::Connect,
        ProbeResult::Tls,
        ProbeResult::Timeout,
        ProbeResult::Refused,
        ProbeResult::Other,
        ProbeResult::Slow,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ProbeResult::Ok => "ok",
            ProbeResult::Dns => "dns",
            ProbeResult::Connect => "connect",
            ProbeResult::Tls => "tls",
            ProbeResult::Timeout => "timeout",
            ProbeResult::Refused => "refused",
            ProbeResult::Other => "other",
            ProbeResult::Slow => "slow",
        }
    }

    /// Whether the probe came through to this process, however slowly.
    pub fn came_through(self) -> bool {
        matches!(self, ProbeResult::Ok | ProbeResult::Slow)
    }
}

/// The handles of one source's self-probe: the counts at 0 from here on, the rest from the first probe on.
#[derive(Debug)]
pub struct ProbeMetrics {
    source: String,
    results: [Counter; ProbeResult::ALL.len()],
    success: std::sync::OnceLock<Gauge>,
    duration: FirstSeen,
}

impl ProbeMetrics {
    pub fn new(source: &str) -> Self {
        let results = ProbeResult::ALL.map(
            |result| metrics::counter!(SELF_PROBES.name, "source" => source.to_owned(), "result" => result.as_str()),
        );
        let duration = FirstSeen::new(&SELF_PROBE_DURATION, source_label(source));
        Self { source: source.to_owned(), results, success: std::sync::OnceLock::new(), duration }
    }

    /// `took`: from the call to its answer, where there was one; `expires`: the first end of the certificates that were shown.
    pub fn probed(&self, result: ProbeResult, took: Option<Duration>, expires: Option<Timestamp>) {
        if let Some(expires) = expires {
            set_time(&SELF_PROBE_CERTIFICATE, &self.source, expires);
        }
        self.results[result as usize].increment(1);
        let gauge = self.success.get_or_init(|| metrics::gauge!(SELF_PROBE_SUCCESS.name, source_label(&self.source)));
        gauge.set(if result.came_through() { 1.0 } else { 0.0 });
        if let Some(took) = took {
            self.duration.record(took);
        }
    }
}

/// How a round of reconciliation ended: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoundResult {
    /// All that was looked for was found, or the whole list was read.
    Complete,
    /// The limit of pages came first.
    Incomplete,
    /// The provider's API or our own store did not do its part.
    Failed,
}

impl RoundResult {
    pub const ALL: [RoundResult; 3] = [RoundResult::Complete, RoundResult::Incomplete, RoundResult::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            RoundResult::Complete => "complete",
            RoundResult::Incomplete => "incomplete",
            RoundResult::Failed => "failed",
        }
    }
}

/// The handles of one source's rounds of reconciliation, at 0 from here on.
#[derive(Debug)]
pub struct ReconcileMetrics([Counter; RoundResult::ALL.len()]);

impl ReconcileMetrics {
    pub fn new(source: &str) -> Self {
        Self(RoundResult::ALL.map(|result| {
            metrics::counter!(RECONCILE_ROUNDS.name, "source" => source.to_owned(), "result" => result.as_str())
        }))
    }

    pub fn ended(&self, result: RoundResult) {
        self.0[result as usize].increment(1);
    }
}

fn set_time(metric: &'static ProcessMetric, source: &str, time: Timestamp) {
    metrics::gauge!(metric.name, source_label(source)).set(time.as_millisecond() as f64 / 1_000.0);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_result_counts_under_its_own_label() {
        for (index, result) in ProbeResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index, "{}", result.as_str());
        }
        for (index, result) in RoundResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index, "{}", result.as_str());
        }
    }

    #[test]
    fn what_can_be_known_in_advance_exists_at_zero_and_what_cannot_does_not() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let api = ApiMetrics::new("smsmode", &["ok", "rate_limited"]);
            api.open("channels");
            let account = AccountMetrics::new("smsmode");
            let probe = ProbeMetrics::new("smsmode");
            let text = handle.render();
            for line in [
                "smscope_api_requests_total{source=\"smsmode\",operation=\"channels\",result=\"rate_limited\"} 0",
                "smscope_account_polls_total{source=\"smsmode\",result=\"failure\"} 0",
                "smscope_self_probes_total{source=\"smsmode\",result=\"other\"} 0",
            ] {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
            assert!(!text.contains("success_timestamp") && !text.contains("probe_success"), "{text}");
            account.seen("2025-04-01T16:00:10.5Z".parse().unwrap());
            probe.probed(ProbeResult::Slow, None, None);
        });
        let text = handle.render();
        for line in [
            "smscope_account_last_success_timestamp_seconds{source=\"smsmode\"} 1743523210.5",
            "smscope_self_probe_success{source=\"smsmode\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
