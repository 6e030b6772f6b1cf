//! The metrics of the periodic probe.

use super::Report;
use crate::event::SourceName;
use crate::ledger::catalogue::Unit;
use crate::process_metrics::{ProcessMetric, count_result, counter, gauge, seconds, set_time, source_label};

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

pub static METRICS: &[&ProcessMetric] =
    &[&SELF_PROBES, &SELF_PROBE_SUCCESS, &SELF_PROBE_DURATION, &SELF_PROBE_CERTIFICATE];

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

/// Registers every result at 0, and counts one.
pub fn count(source: &SourceName, result: Option<ProbeResult>) {
    let results = ProbeResult::ALL.map(ProbeResult::as_str);
    count_result(&SELF_PROBES, &source_label(source.as_str()), &results, result.map(ProbeResult::as_str));
}

/// Records a report.
pub fn record(source: &SourceName, report: &Report) {
    count(source, Some(report.result));
    let label = || source_label(source.as_str());
    if let Some(expires) = report.expires {
        set_time(&SELF_PROBE_CERTIFICATE, source.as_str(), expires);
    }
    metrics::gauge!(SELF_PROBE_SUCCESS.name, label()).set(f64::from(u8::from(report.result.came_through())));
    if let Some(took) = report.took {
        metrics::histogram!(SELF_PROBE_DURATION.name, label()).record(took);
    }
}
