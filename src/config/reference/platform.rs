//! Variables that platforms set for all processes of a host or a pod: proxies, and what of OpenTelemetry smscope has not.

use super::{Setting, variable};

const BLRP: &str = "not supported, as smscope says at its start: records wait in the store and leave in batches of up to 512, within a second";
const LIMIT: &str =
    "not supported, as smscope says at its start: records have at most some thirty attributes, each of them whole";
const SAME: &str = "the same, where the one in capitals is not set";

pub(super) static SETTINGS: &[Setting] = &[
    variable(
        "HTTPS_PROXY",
        "URL",
        "",
        "an HTTP proxy for what is sent to `https://` URLs: OTLP, relays, the provider's API; never for this machine itself \
         ([which way](running.md#proxies))",
    ),
    variable("https_proxy", "URL", "", SAME),
    variable("HTTP_PROXY", "URL", "", "the same for `http://` URLs"),
    variable("http_proxy", "URL", "", SAME),
    variable(
        "NO_PROXY",
        "list",
        "",
        "hosts that are reached directly: names with all below them, addresses, networks, each with a port or without, or `*`",
    ),
    variable("no_proxy", "list", "", SAME),
    variable(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "word",
        "",
        "`cumulative`; another one is not supported, as smscope says at its start: sums stay cumulative ([why](metrics.md#temporality-and-histograms))",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "word",
        "",
        "`explicit_bucket_histogram`; another one is not supported, as smscope says at its start: histograms have explicit buckets",
    ),
    variable("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "number", "", LIMIT),
    variable("OTEL_ATTRIBUTE_COUNT_LIMIT", "number", "", LIMIT),
    variable("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "number", "", LIMIT),
    variable("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "number", "", LIMIT),
    variable("OTEL_BLRP_SCHEDULE_DELAY", "number", "", BLRP),
    variable("OTEL_BLRP_EXPORT_TIMEOUT", "number", "", BLRP),
    variable("OTEL_BLRP_MAX_QUEUE_SIZE", "number", "", BLRP),
    variable("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "number", "", BLRP),
    variable(
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "number",
        "",
        "not supported, as smscope says at its start: a push ends by `OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`",
    ),
];
