//! The durable metrics: their names, labels, units and help texts, in one place.
//!
//! The Prometheus name is the contract. The OTLP name is derived from it by [`otlp_name`].

use strum::{EnumCount, VariantArray};

/// What a metric is made of, as both encoders need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows: `_total` by scrape, a cumulative monotonic sum by OTLP.
    Counter,
    Gauge,
}

impl Kind {
    /// The type in both text formats of Prometheus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// UCUM units as OpenTelemetry writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    /// An annotation such as `{message}`: never `1`, which Prometheus exporters turn into `_ratio`.
    Count(&'static str),
}

impl Unit {
    pub fn ucum(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "By",
            Unit::Count(annotation) => annotation,
        }
    }

    fn prometheus_suffix(self) -> &'static str {
        match self {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::Count(_) => "",
        }
    }
}

/// The OTLP name of a metric: without `_total` and the unit's suffix, dots for underscores.
pub fn otlp_name(prometheus_name: &str, unit: Unit) -> String {
    let name = prometheus_name.strip_suffix("_total").unwrap_or(prometheus_name);
    name.strip_suffix(unit.prometheus_suffix()).unwrap_or(name).replace('_', ".")
}

/// Everything fixed about one metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// How many of the stored integers make one of the metric's unit: 1, or a million for money.
    pub scale: i64,
}

/// The metrics that are stored with the events that they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, VariantArray)]
pub enum Metric {
    Messages,
    Delivered,
    Failed,
    Read,
    Expired,
    Corrected,
    Pending,
    Receipts,
    NetworkOutcomes,
    Replies,
    Parts,
    Cost,
    FailedCost,
    Reconciled,
    RelayEvents,
    RelayAttempts,
    RelayGivenUp,
    RelayPending,
    RelayDeadLetters,
    OptOuts,
    AfterOptOut,
    Resends,
    ResendOutcomes,
    ResendsPending,
}

const BY_COUNTRY: &[&str] = &["source", "channel", "flow", "country"];

impl Metric {
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.description().name == name)
    }

    pub fn description(self) -> &'static Description {
        match self {
            Metric::Messages => &Description {
                name: "sms_messages_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: BY_COUNTRY,
                help: "Distinct outbound messages first seen.",
                scale: 1,
            },
            Metric::Delivered => &Description {
                name: "sms_messages_delivered_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: BY_COUNTRY,
                help: "Messages that became delivered.",
                scale: 1,
            },
            Metric::Failed => &Description {
                name: "sms_messages_failed_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: &["source", "channel", "flow", "country", "reason"],
                help: "Messages that became failed, by normalised reason.",
                scale: 1,
            },
            Metric::Read => &Description {
                name: "sms_messages_read_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: BY_COUNTRY,
                help: "Messages that became read.",
                scale: 1,
            },
            Metric::Expired => &Description {
                name: "sms_messages_expired_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: BY_COUNTRY,
                help: "Messages with no final receipt within the horizon.",
                scale: 1,
            },
            Metric::Corrected => &Description {
                name: "sms_messages_corrected_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: &["source", "channel", "flow", "country", "from"],
                help: "Messages that left this final state again.",
                scale: 1,
            },
            Metric::Pending => &Description {
                name: "sms_messages_pending",
                kind: Kind::Gauge,
                unit: Unit::Count("{message}"),
                labels: &["source", "channel", "flow", "country", "state"],
                help: "Messages between first sight and a final state.",
                scale: 1,
            },
            Metric::Receipts => &Description {
                name: "sms_receipts_total",
                kind: Kind::Counter,
                unit: Unit::Count("{receipt}"),
                labels: &["source", "channel", "status", "outcome"],
                help: "Distinct receipts by the provider's own status value.",
                scale: 1,
            },
            Metric::NetworkOutcomes => &Description {
                name: "sms_network_outcomes_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: &["source", "network", "network_name", "outcome"],
                help: "Final outcomes by mobile network (MCCMNC and name), where it is known.",
                scale: 1,
            },
            Metric::Replies => &Description {
                name: "sms_replies_total",
                kind: Kind::Counter,
                unit: Unit::Count("{reply}"),
                labels: &["source", "channel", "kind"],
                help: "Inbound messages: replies and opt-outs (STOP).",
                scale: 1,
            },
            Metric::Parts => &Description {
                name: "sms_message_parts_total",
                kind: Kind::Counter,
                unit: Unit::Count("{part}"),
                labels: &["source", "channel", "country"],
                help: "SMS parts, once a message.",
                scale: 1,
            },
            Metric::Cost => &Description {
                name: "sms_message_cost_total",
                kind: Kind::Counter,
                unit: Unit::Count("{currency}"),
                labels: &["source", "channel", "country", "currency"],
                help: "Price of messages in units of the currency, once a message.",
                scale: 1_000_000,
            },
            Metric::FailedCost => &Description {
                name: "sms_message_failed_cost_total",
                kind: Kind::Counter,
                unit: Unit::Count("{currency}"),
                labels: &["source", "channel", "country", "currency"],
                help: "Price of messages that failed, in units of the currency, once a message.",
                scale: 1_000_000,
            },
            Metric::Reconciled => &Description {
                name: "sms_receipts_reconciled_total",
                kind: Kind::Counter,
                unit: Unit::Count("{receipt}"),
                labels: &["source", "outcome"],
                help: "Receipts that did not come and were learnt by asking the provider.",
                scale: 1,
            },
            Metric::RelayEvents => &Description {
                name: "sms_relay_events_total",
                kind: Kind::Counter,
                unit: Unit::Count("{event}"),
                labels: &["relay"],
                help: "Deliveries that a relay has taken on: an event each, or a request with its events.",
                scale: 1,
            },
            Metric::RelayAttempts => &Description {
                name: "sms_relay_attempts_total",
                kind: Kind::Counter,
                unit: Unit::Count("{request}"),
                labels: &["relay", "result"],
                help: "Attempts to deliver by a relay, by what became of them.",
                scale: 1,
            },
            Metric::RelayGivenUp => &Description {
                name: "sms_relay_given_up_total",
                kind: Kind::Counter,
                unit: Unit::Count("{event}"),
                labels: &["relay"],
                help: "Deliveries of a relay that became dead letters.",
                scale: 1,
            },
            Metric::RelayPending => &Description {
                name: "sms_relay_pending",
                kind: Kind::Gauge,
                unit: Unit::Count("{event}"),
                labels: &["relay"],
                help: "Deliveries that a relay has yet to make.",
                scale: 1,
            },
            Metric::RelayDeadLetters => &Description {
                name: "sms_relay_dead_letters",
                kind: Kind::Gauge,
                unit: Unit::Count("{event}"),
                labels: &["relay"],
                help: "Deliveries of a relay that were given up and are kept.",
                scale: 1,
            },
            Metric::OptOuts => &Description {
                name: "sms_opt_outs",
                kind: Kind::Gauge,
                unit: Unit::Count("{number}"),
                labels: &["source"],
                help: "Numbers that have opted out, once for each sender that they wrote to.",
                scale: 1,
            },
            Metric::AfterOptOut => &Description {
                name: "sms_messages_after_opt_out_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: BY_COUNTRY,
                help: "Messages that were accepted or sent after their recipient had opted out.",
                scale: 1,
            },
            Metric::Resends => &Description {
                name: "sms_resends_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: &["resend", "result"],
                help: "Failed messages that were to be sent again, by what became of that.",
                scale: 1,
            },
            Metric::ResendOutcomes => &Description {
                name: "sms_resend_outcomes_total",
                kind: Kind::Counter,
                unit: Unit::Count("{message}"),
                labels: &["resend", "outcome"],
                help: "Failed messages whose text arrived by another message (recovered), or did not (lost).",
                scale: 1,
            },
            Metric::ResendsPending => &Description {
                name: "sms_resends_pending",
                kind: Kind::Gauge,
                unit: Unit::Count("{message}"),
                labels: &["resend"],
                help: "Failed messages that wait to be sent again.",
                scale: 1,
            },
        }
    }
}

/// Gauges computed when they are read: from the store's indexes or the exporter's position, never counted up.
pub mod gauge {
    use super::{Description, Kind, Unit};

    pub const ALL: [&Description; 10] = [
        &PENDING_OLDEST,
        &RELAY_OLDEST,
        &STORE_EVENTS,
        &STORE_SIZE,
        &STORE_WAL_SIZE,
        &STORE_LIMIT,
        &EXPORT_BACKLOG,
        &EXPORT_OLDEST,
        &FLEET_INFO,
        &FLEET_REPLICAS,
    ];

    pub const PENDING_OLDEST: Description = Description {
        name: "sms_messages_pending_oldest_timestamp_seconds",
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        labels: &["source"],
        help: "First arrival of the oldest enroute message, as a Unix time; no sample when there is none.",
        scale: 1_000,
    };
    pub const STORE_EVENTS: Description = Description {
        name: "smscope_store_events",
        kind: Kind::Gauge,
        unit: Unit::Count("{event}"),
        labels: &[],
        help: "Events in the journal.",
        scale: 1,
    };
    pub const STORE_SIZE: Description = Description {
        name: "smscope_store_size_bytes",
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes in use in the database file.",
        scale: 1,
    };
    pub const STORE_WAL_SIZE: Description = Description {
        name: "smscope_store_wal_size_bytes",
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes of the write-ahead log; it grows for as long as a reader of an old state is open.",
        scale: 1,
    };
    pub const STORE_LIMIT: Description = Description {
        name: "smscope_store_limit_bytes",
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Configured size limit of the store; no sample when there is none.",
        scale: 1,
    };
    pub const EXPORT_BACKLOG: Description = Description {
        name: "smscope_export_backlog_records",
        kind: Kind::Gauge,
        unit: Unit::Count("{record}"),
        labels: &["signal"],
        help: "Log records that wait to be exported.",
        scale: 1,
    };
    pub const EXPORT_OLDEST: Description = Description {
        name: "smscope_export_oldest_timestamp_seconds",
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        labels: &["signal"],
        help: "Arrival of the oldest event that waits to be exported, as a Unix time; no sample when none waits.",
        scale: 1_000,
    };
    pub const RELAY_OLDEST: Description = Description {
        name: "sms_relay_pending_oldest_timestamp_seconds",
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        labels: &["relay"],
        help: "Since when the oldest delivery of a relay waits, as a Unix time; no sample when none waits.",
        scale: 1_000,
    };

    /// Of fleet mode alone: the leader shows them.
    pub const FLEET_INFO: Description = Description {
        name: "smscope_fleet_info",
        kind: Kind::Gauge,
        unit: Unit::Count("{fleet}"),
        labels: &["fleet"],
        help: "Always 1; the label is the id of the fleet, which all its replicas share.",
        scale: 1,
    };
    pub const FLEET_REPLICAS: Description = Description {
        name: "smscope_fleet_replicas",
        kind: Kind::Gauge,
        unit: Unit::Count("{replica}"),
        labels: &[],
        help: "Replicas of the fleet that are alive.",
        scale: 1,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_otlp_name_drops_the_suffixes_that_prometheus_adds() {
        for (prometheus, unit, otlp) in [
            ("sms_messages_total", Unit::Count("{message}"), "sms.messages"),
            ("sms_messages_pending", Unit::Count("{message}"), "sms.messages.pending"),
            ("sms_messages_pending_oldest_timestamp_seconds", Unit::Seconds, "sms.messages.pending.oldest.timestamp"),
            ("smscope_store_size_bytes", Unit::Bytes, "smscope.store.size"),
            ("process_cpu_seconds_total", Unit::Seconds, "process.cpu"),
        ] {
            assert_eq!(otlp_name(prometheus, unit), otlp);
        }
    }

    #[test]
    fn a_metric_is_found_by_its_name() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.description().name), Some(metric));
        }
        assert_eq!(Metric::from_name("sms_nonsense_total"), None);
    }
}
