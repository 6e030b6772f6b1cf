//! Variables of the OpenTelemetry specification that smscope does not support.

use crate::settings::prelude::*;

pub(crate) struct Unsupported {
    pub setting: Setting<Given>,
    /// The value for what smscope does anyway.
    same: &'static str,
    /// What it does.
    instead: &'static str,
}

/// Numeric variables without an effect, since smscope does `instead`.
macro_rules! unsupported {
    ($($variable:literal)*: $instead:literal) => {
        [$(Unsupported {
            setting: raw($variable, "number", concat!("not supported, as smscope says at its start: ", $instead)),
            same: "",
            instead: $instead,
        }),*]
    };
}

pub(crate) static UNSUPPORTED: [&[Unsupported]; 4] = [
    &[
        Unsupported {
            setting: raw(
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                "word",
                "`cumulative`; another one is not supported, as smscope says at its start: sums stay cumulative \
                 ([why](metrics.md#temporality-and-histograms))",
            ),
            same: "cumulative",
            instead: "sums are cumulative; a backend of deltas needs a Collector with the processor cumulativetodelta before it",
        },
        Unsupported {
            setting: raw(
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                "word",
                "`explicit_bucket_histogram`; another one is not supported, as smscope says at its start: histograms have explicit buckets",
            ),
            same: "explicit_bucket_histogram",
            instead: "histograms have the explicit buckets of docs/metrics.md",
        },
    ],
    &unsupported! {
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" "OTEL_ATTRIBUTE_COUNT_LIMIT" "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "records have at most some thirty attributes, each of them whole"
    },
    &unsupported! {
        "OTEL_BLRP_SCHEDULE_DELAY" "OTEL_BLRP_EXPORT_TIMEOUT" "OTEL_BLRP_MAX_QUEUE_SIZE" "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE":
        "records wait in the store and leave in batches of up to 512, within a second"
    },
    &[Unsupported {
        setting: raw(
            "OTEL_METRIC_EXPORT_TIMEOUT",
            "number",
            "not supported, as smscope says at its start: a push ends by `OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`",
        ),
        same: "",
        instead: "a push ends by OTEL_EXPORTER_OTLP_TIMEOUT",
    }],
];

/// One warning per variable that requests what smscope does not support.
pub(crate) fn warn(inputs: &Inputs, logs_on: bool, metrics_on: bool) {
    for Unsupported { setting, same, instead } in UNSUPPORTED.into_iter().flatten() {
        let is_on = if setting.variable_name().contains("METRIC") { metrics_on } else { logs_on };
        let asks = |given: &Given| given.text("").map_or(true, |text| !text.eq_ignore_ascii_case(same));
        if let Some(given) = inputs.variable(setting).filter(|given| is_on && asks(given)) {
            inputs.warn(given.remark(format_args!("not supported: {instead}")));
        }
    }
}
