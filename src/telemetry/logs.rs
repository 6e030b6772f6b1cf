//! Journal entries as OTLP log records: one record per stored event.

use std::fmt::Write;

use bytes::Bytes;
use jiff::tz::Offset;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;
use uuid::Uuid;

use super::ledger_metrics::unix_nanos;
use super::redaction::{NumberHasher, PrivacyPolicy, full, mask, without_numbers};
use super::resource::{Resource, attribute, scope};
use crate::event::TraceParent;
use crate::number::networks;
use crate::record::{Entry, Kind, Record, Resend};
use crate::settings::{Privacy, Recipient, Text};

/// Turns entries into the bytes of an `ExportLogsServiceRequest`.
#[derive(Clone, Debug)]
pub struct LogEncoder {
    resource: Resource,
    instance: Uuid,
    policy: PrivacyPolicy,
    hasher: NumberHasher,
}

impl LogEncoder {
    /// `instance` is the identity in the data directory: with an entry's position it makes `log.record.uid`.
    pub fn new(resource: Resource, instance: Uuid, policy: PrivacyPolicy, hasher: NumberHasher) -> Self {
        Self { resource, instance, policy, hasher }
    }

    /// The encoded request that carries `entries` in their order.
    pub fn encode(&self, entries: &[Entry]) -> Bytes {
        let log_records = entries.iter().map(|entry| self.log_record(entry)).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..Default::default() }];
        let resource = Some(self.resource.to_proto());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..Default::default() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
    }

    /// The record of one entry. Text and full number are in it only where the source's operator says so.
    pub fn log_record(&self, entry: &Entry) -> LogRecord {
        let record = &entry.record;
        let privacy = self.policy.of(&record.source);
        let (severity, severity_text) = match record.kind {
            Kind::Failed | Kind::Expired | Kind::Unknown | Kind::Unrecognized => (SeverityNumber::Warn, "WARN"),
            _ => (SeverityNumber::Info, "INFO"),
        };
        let trace = record.trace.as_deref().and_then(TraceParent::parse);
        LogRecord {
            // The arrival, twice: a backend may reject what is much older than the newest of its stream, as Loki does.
            time_unix_nano: unix_nanos(entry.received_at),
            observed_time_unix_nano: unix_nanos(entry.received_at),
            severity_number: severity.into(),
            severity_text: severity_text.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body(record, privacy.recipient))) }),
            attributes: self.attributes(entry, privacy),
            flags: trace.map_or(0, |trace| trace.flags.into()),
            trace_id: trace.map_or_else(Vec::new, |trace| trace.trace_id.into()),
            span_id: trace.map_or_else(Vec::new, |trace| trace.span_id.into()),
            event_name: record.kind.event_name().to_owned(),
            ..Default::default()
        }
    }

    fn attributes(&self, entry: &Entry, privacy: Privacy) -> Vec<KeyValue> {
        let record = &entry.record;
        let number = record.number.as_deref();
        let uid = Uuid::new_v5(&self.instance, entry.position.to_string().as_bytes());
        let mut attributes = Attributes(Vec::with_capacity(24));
        attributes.text("log.record.uid", Some(&uid.to_string()));
        attributes.text("sms.source", Some(record.source.as_str()));
        attributes.text("sms.channel", record.channel.as_deref());
        attributes.text("sms.flow", record.flow.as_deref());
        attributes.text("messaging.message.id", record.message_id.as_deref());
        attributes.text("messaging.message.conversation_id", record.ref_client.as_deref());
        attributes.text("sms.status.value", record.status.as_deref().map(without_numbers).as_deref());
        attributes.text("sms.status.detail", record.detail.as_deref().map(without_numbers).as_deref());
        attributes.text("sms.status.time", status_time(record).as_deref());
        attributes.text("error.type", record.reason.map(|reason| reason.as_str()));
        if privacy.recipient != Recipient::Hashed {
            attributes.text("sms.recipient.masked", number.map(mask).as_deref());
        }
        attributes.text("sms.recipient.hash", number.map(|number| self.hasher.hash(number)).as_deref());
        attributes.text("sms.country", record.country.as_deref());
        attributes.text("sms.network.mccmnc", record.mccmnc.as_deref());
        let reported = record.network.as_deref().map(without_numbers);
        let operator = || record.mccmnc.as_deref().and_then(networks::operator);
        attributes.text("sms.network.name", reported.as_deref().or_else(operator));
        attributes.text("sms.campaign.id", record.campaign_id.as_deref());
        attributes.any("sms.parts", record.parts.map(|parts| Value::IntValue(parts.into())));
        attributes.any("sms.cost", record.cost_micros.map(|micros| Value::DoubleValue(micros as f64 / 1e6)));
        attributes.text("sms.currency", record.currency.as_deref());
        attributes.any("sms.delivery.duration", record.delivery_ms.map(|ms| Value::DoubleValue(ms as f64 / 1e3)));
        attributes.text("sms.replaces", record.replaces.as_deref());
        if let Some(Resend { rule, attempt, through, .. }) = &record.resend {
            attributes.text("sms.resend.rule", Some(rule));
            attributes.any("sms.resend.attempt", Some(Value::IntValue((*attempt).into())));
            attributes.text("sms.resend.through", Some(through.into_str()));
        }
        attributes.any("sms.reconciled", record.reconciled.then_some(Value::BoolValue(true)));
        attributes.any("sms.webhook.repaired", record.repaired.then_some(Value::BoolValue(true)));
        attributes.any("sms.reprocessed", record.reprocessed.then_some(Value::BoolValue(true)));
        attributes.text("sms.arrival.time", record.arrived_at.map(|at| at.to_string()).as_deref());
        attributes.text("sms.unrecognized.reason", record.why.as_deref());
        if privacy.text == Text::Exported {
            attributes.text("sms.text", record.text.as_deref());
        }
        if privacy.recipient == Recipient::Plain {
            attributes.text("sms.recipient.number", number.map(full).as_deref());
        }
        attributes.0
    }
}

/// When it happened by the provider's clock, in ISO 8601 with an offset that is always +00:00: texts of one offset sort like the times.
///
/// No expiry has one: the provider sent nothing.
fn status_time(record: &Record) -> Option<String> {
    let time = record.occurred_at.filter(|_| record.kind != Kind::Expired)?;
    Some(time.display_with_offset(Offset::UTC).to_string())
}

/// Attributes of one record; what is absent is left out.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn text(&mut self, key: &str, value: Option<&str>) {
        self.any(key, value.map(|value| Value::StringValue(value.to_owned())));
    }

    fn any(&mut self, key: &str, value: Option<Value>) {
        self.0.extend(value.map(|value| attribute(key, value)));
    }
}

/// One line for a person to read, which does not identify the recipient.
fn body(record: &Record, recipient: Recipient) -> String {
    let mut line = String::new();
    let said = record.detail.as_deref().or(record.status.as_deref()).map(without_numbers);
    let reason = record.reason.map_or("unknown reason", |reason| reason.as_str());
    match record.kind {
        Kind::Unrecognized => {
            let why = record.why.as_deref().unwrap_or("unknown shape");
            line = format!("webhook of {} not recognized: {why}", record.source);
        }
        Kind::Reply | Kind::Stop => {
            subject(&mut line, "reply", "from", record, recipient);
            line.push_str(if record.kind == Kind::Stop { " is an opt-out (STOP)" } else { " received" });
        }
        kind => {
            subject(&mut line, "message", "to", record, recipient);
            let written = match (kind, said) {
                (Kind::Failed, Some(said)) => write!(line, " failed: {reason} ({said})"),
                (Kind::Failed, None) => write!(line, " failed: {reason}"),
                (Kind::Unknown, Some(said)) => write!(line, " has a status that is not known ({said})"),
                (Kind::Unknown, None) => write!(line, " has a status that is not known"),
                (Kind::Expired, _) => write!(line, " expired: no final receipt in time"),
                (Kind::Scheduled, _) => write!(line, " scheduled"),
                (Kind::Delivered, _) => match record.delivery_ms {
                    Some(ms) => write!(line, " delivered in {} s", ms as f64 / 1e3),
                    None => write!(line, " delivered"),
                },
                (Kind::Read, _) => write!(line, " read"),
                (Kind::Resend, _) => match &record.resend {
                    Some(resend) => write!(line, " to be resent {resend}"),
                    None => write!(line, " to be resent"),
                },
                _ => write!(line, " enroute"),
            };
            written.unwrap_or_default();
            if let Some(replaced) = &record.replaces {
                let _infallible = write!(line, ", resent for {}", short(replaced));
            }
        }
    }
    for place in [record.country.as_deref(), record.channel.as_deref()].into_iter().flatten() {
        if place != "unknown" {
            line.push_str(", ");
            line.push_str(place);
        }
    }
    line.replace(char::is_control, " ")
}

fn subject(line: &mut String, what: &str, preposition: &str, record: &Record, recipient: Recipient) {
    line.push_str(what);
    if let Some(id) = &record.message_id {
        line.push(' ');
        line.push_str(&short(id));
    }
    if recipient != Recipient::Hashed
        && let Some(number) = &record.number
    {
        line.push(' ');
        line.push_str(preposition);
        line.push(' ');
        line.push_str(&mask(number));
    }
}

/// Enough of an id to find it by; the whole of it is an attribute.
fn short(id: &str) -> String {
    match id.char_indices().nth(8) {
        Some((end, _)) if id.chars().count() > 12 => format!("{}…", &id[..end]),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests;
