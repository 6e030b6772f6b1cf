//! Events to log records, counters to metrics, and the OTLP sender.
