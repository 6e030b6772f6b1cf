//! The metrics of the periodic probe.

use strum::{IntoStaticStr, VariantArray};

use super::Report;
use crate::event::SourceName;
use crate::ledger::catalogue::Unit;
use crate::process_metrics::{ProcessMetric, count_result, counter, gauge, seconds, set_time, source_label};

pub const SELF_PROBES: ProcessMetric =
    counter("smscope_self_probes_total", "{probe}", "Probes of the callback URL under its public address.");
pub const SELF_PROBE_SUCCESS: ProcessMetric =
    gauge("smscope_self_probe_success", Unit::Count("{probe}"), "1 if the last probe reached this process, else 0.");
pub const SELF_PROBE_DURATION: ProcessMetric = seconds(
    "smscope_self_probe_duration_seconds",
    "Time from a probe to its response, without TLS.",
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0],
);
pub const SELF_PROBE_CERTIFICATE: ProcessMetric = gauge(
    "smscope_self_probe_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    "Earliest end of the public URL's certificates, as a Unix time; no sample without TLS.",
);

pub static METRICS: &[&ProcessMetric] =
    &[&SELF_PROBES, &SELF_PROBE_SUCCESS, &SELF_PROBE_DURATION, &SELF_PROBE_CERTIFICATE];

/// The result of a probe: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ProbeResult {
    Ok,
    /// The name does not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The certificate is not trusted, or the port does not support TLS.
    Tls,
    /// No complete response in time.
    Timeout,
    /// The response is not smscope's to a probe.
    Rejected,
    /// Another smscope responded.
    Other,
    /// Success, but too slow for the provider.
    Slow,
}

impl ProbeResult {
    /// Whether this process responded, however slowly.
    pub fn reached_us(self) -> bool {
        matches!(self, ProbeResult::Ok | ProbeResult::Slow)
    }
}

/// Registers every result at 0, and counts one.
pub fn count(source: &SourceName, result: Option<ProbeResult>) {
    count_result(&SELF_PROBES, &source_label(source.as_str()), ProbeResult::VARIANTS, result.map(Into::into));
}

/// Records a report.
pub fn record(source: &SourceName, report: &Report) {
    count(source, Some(report.result));
    let label = || source_label(source.as_str());
    if let Some(expires) = report.expires {
        set_time(&SELF_PROBE_CERTIFICATE, source.as_str(), expires);
    }
    metrics::gauge!(SELF_PROBE_SUCCESS.name, label()).set(f64::from(u8::from(report.result.reached_us())));
    if let Some(took) = report.took {
        metrics::histogram!(SELF_PROBE_DURATION.name, label()).record(took);
    }
}
