use super::*;
use crate::event::{Reason, SourceName};
use crate::telemetry::resource::tests::{INSTANCE, otlp};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn encoder(privacy: Privacy) -> LogEncoder {
    let resource = Resource::new(&otlp("smscope", &[]), INSTANCE);
    LogEncoder::new(resource, INSTANCE, PrivacyPolicy::from_iter([(source(), privacy)]), NumberHasher::new(&[7; 32]))
}

/// All that an operator can ask for.
const PLAIN: Privacy = Privacy { recipient: Recipient::Plain, text: Text::Exported };

fn source() -> SourceName {
    SourceName::new("smsmode").unwrap()
}

fn bare(kind: Kind) -> Record {
    Record::new(kind, source())
}

fn whole(kind: Kind) -> Record {
    let text = |text: &str| Some(text.to_owned());
    Record {
        occurred_at: Some("2025-04-01T14:00:10Z".parse().unwrap()),
        channel: text("SMS"),
        flow: text("OTP"),
        country: text("FR"),
        message_id: text("8f0c1a2b-0000-4000-8000-000000000001"),
        ref_client: text("order-1"),
        origin_message_id: text("an-origin"),
        campaign_id: text("spring"),
        status: text("UNDELIVERED"),
        detail: text("BLACKLISTED"),
        reason: Some(Reason::Blacklisted),
        number: text("33612345278"),
        originator: text("ACME"),
        mccmnc: text("20801"),
        network: text("Orange"),
        parts: Some(2),
        cost_micros: Some(49_000),
        currency: text("EUR"),
        delivery_ms: Some(4_250),
        text: text("your code is 1234"),
        why: text("no messageId"),
        trace: text(TRACE),
        ..bare(kind)
    }
}

fn entry(position: i64, record: Record) -> Entry {
    Entry {
        position: crate::record::Position(position),
        received_at: "2025-04-01T14:00:12.5Z".parse().unwrap(),
        record,
    }
}

fn line(record: Record) -> String {
    let log = encoder(Privacy::default()).log_record(&entry(1, record));
    match log.body.and_then(|body| body.value) {
        Some(Value::StringValue(line)) => line,
        other => panic!("not a line: {other:?}"),
    }
}

#[test]
fn each_kind_has_its_event_name_its_severity_and_its_line() {
    let message = "message 8f0c1a2b… to +336•••••278";
    let reply = "reply 8f0c1a2b… from +336•••••278";
    for (kind, name, severity, text) in [
        (Kind::Scheduled, "sms.message.scheduled", "INFO", format!("{message} scheduled, FR, SMS")),
        (Kind::Enroute, "sms.message.enroute", "INFO", format!("{message} enroute, FR, SMS")),
        (Kind::Delivered, "sms.message.delivered", "INFO", format!("{message} delivered in 4.25 s, FR, SMS")),
        (Kind::Failed, "sms.message.failed", "WARN", format!("{message} failed: blacklisted (BLACKLISTED), FR, SMS")),
        (Kind::Read, "sms.message.read", "INFO", format!("{message} read, FR, SMS")),
        (Kind::Expired, "sms.message.expired", "WARN", format!("{message} expired: no final receipt in time, FR, SMS")),
        (
            Kind::Unknown,
            "sms.message.unknown",
            "WARN",
            format!("{message} has a status that is not known (BLACKLISTED), FR, SMS"),
        ),
        (Kind::Reply, "sms.reply.received", "INFO", format!("{reply} received, FR, SMS")),
        (Kind::Stop, "sms.reply.stop", "INFO", format!("{reply} is an opt-out (STOP), FR, SMS")),
        (
            Kind::Unrecognized,
            "sms.webhook.unrecognized",
            "WARN",
            "webhook of smsmode not recognized: no messageId, FR, SMS".to_owned(),
        ),
    ] {
        let log = encoder(Privacy::default()).log_record(&entry(1, whole(kind)));
        assert_eq!(log.event_name, name);
        assert_eq!(log.severity_text, severity, "{name}");
        let number = if severity == "WARN" { SeverityNumber::Warn } else { SeverityNumber::Info };
        assert_eq!(log.severity_number(), number, "{name}");
        assert_eq!(line(whole(kind)), text);
    }
}

#[test]
fn a_record_carries_its_times_its_trace_and_every_attribute_with_its_type() {
    let log = encoder(Privacy::default()).log_record(&entry(42, whole(Kind::Failed)));
    assert_eq!(log.time_unix_nano, 1_743_516_012_500_000_000);
    assert_eq!(log.observed_time_unix_nano, 1_743_516_012_500_000_000);
    assert_eq!(crate::event::hex(&log.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(crate::event::hex(&log.span_id), "00f067aa0ba902b7");
    assert_eq!(log.flags, 1);
    let text = |text: &str| Value::StringValue(text.to_owned());
    let uid = Uuid::new_v5(&INSTANCE, b"42").to_string();
    let hash = NumberHasher::new(&[7; 32]).hash("33612345278");
    let expected = [
        ("log.record.uid", text(&uid)),
        ("sms.source", text("smsmode")),
        ("sms.channel", text("SMS")),
        ("sms.flow", text("OTP")),
        ("messaging.message.id", text("8f0c1a2b-0000-4000-8000-000000000001")),
        ("messaging.message.conversation_id", text("order-1")),
        ("sms.status.value", text("UNDELIVERED")),
        ("sms.status.detail", text("BLACKLISTED")),
        ("sms.status.time", text("2025-04-01T14:00:10+00:00")),
        ("error.type", text("blacklisted")),
        ("sms.recipient.masked", text("+336•••••278")),
        ("sms.recipient.hash", text(&hash)),
        ("sms.country", text("FR")),
        ("sms.network.mccmnc", text("20801")),
        ("sms.network.name", text("Orange")),
        ("sms.campaign.id", text("spring")),
        ("sms.parts", Value::IntValue(2)),
        ("sms.cost", Value::DoubleValue(0.049)),
        ("sms.currency", text("EUR")),
        ("sms.delivery.duration", Value::DoubleValue(4.25)),
        ("sms.unrecognized.reason", text("no messageId")),
    ];
    assert_eq!(log.attributes, expected.map(|(key, value)| attribute(key, value)));
}

#[test]
fn a_receipt_that_is_hours_late_has_its_arrival_as_time_and_its_status_time_as_attribute() {
    let status_time = |record: Record| {
        let log = encoder(Privacy::default()).log_record(&entry(1, record));
        assert_eq!(log.time_unix_nano, 1_743_516_012_500_000_000);
        assert_eq!(log.time_unix_nano, log.observed_time_unix_nano);
        log.attributes.into_iter().find(|attribute| attribute.key == "sms.status.time").map(|attribute| attribute.value)
    };
    let occurred = |kind, time: &str| Record { occurred_at: Some(time.parse().unwrap()), ..bare(kind) };
    for (time, expected) in [
        ("2025-04-01T08:00:10Z", "2025-04-01T08:00:10+00:00"),
        ("2025-04-01T14:00:10+02:00", "2025-04-01T12:00:10+00:00"),
        ("2025-04-01T14:00:10.25Z", "2025-04-01T14:00:10.25+00:00"),
    ] {
        let value = attribute("", Value::StringValue(expected.to_owned())).value;
        assert_eq!(status_time(occurred(Kind::Failed, time)), Some(value), "{time}");
    }
    assert_eq!(status_time(bare(Kind::Failed)), None);
    // smscope itself says that a message expired; the provider said nothing.
    assert_eq!(status_time(occurred(Kind::Expired, "2025-04-01T08:00:10Z")), None);
}

#[test]
fn what_is_absent_is_left_out() {
    for kind in Kind::ALL {
        let log = encoder(PLAIN).log_record(&entry(1, bare(kind)));
        let keys: Vec<_> = log.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["log.record.uid", "sms.source"]);
        assert!(log.trace_id.is_empty() && log.span_id.is_empty() && log.flags == 0);
    }
    assert_eq!(line(bare(Kind::Failed)), "message failed: unknown reason");
    assert_eq!(line(bare(Kind::Delivered)), "message delivered");
}

#[test]
fn nothing_personal_is_exported_unless_the_operator_asked_for_it() {
    for kind in Kind::ALL {
        let silent = format!("{:?}", encoder(Privacy::default()).log_record(&entry(1, whole(kind))));
        assert!(!silent.contains("612345") && !silent.contains("1234\"") && !silent.contains("your code"), "{silent}");

        let log = encoder(PLAIN).log_record(&entry(1, whole(kind)));
        let last: Vec<_> = log.attributes.iter().rev().take(2).cloned().collect();
        let text = |key, text: &str| attribute(key, Value::StringValue(text.to_owned()));
        assert_eq!(last, [text("sms.recipient.number", "+33612345278"), text("sms.text", "your code is 1234")]);
        assert!(!line(whole(kind)).contains("612345"));
    }
}

#[test]
fn a_uid_is_the_same_each_time_and_another_for_each_position_and_instance() {
    let uid =
        |encoder: &LogEncoder, position| encoder.log_record(&entry(position, bare(Kind::Read))).attributes.remove(0);
    let one = encoder(Privacy::default());
    assert_eq!(uid(&one, 7), uid(&encoder(Privacy::default()), 7));
    assert_ne!(uid(&one, 7), uid(&one, 8));
    let elsewhere = LogEncoder { instance: Uuid::from_u128(1), ..one.clone() };
    assert_ne!(uid(&one, 7), uid(&elsewhere, 7));
}

#[test]
fn a_line_stays_one_line_whatever_the_provider_wrote() {
    let record =
        Record { detail: Some("two\nlines".to_owned()), message_id: Some("17".to_owned()), ..bare(Kind::Failed) };
    assert_eq!(line(record), "message 17 failed: unknown reason (two lines)");
}

#[test]
fn a_request_keeps_the_entries_in_order_under_one_resource_and_scope() {
    let entries = [entry(1, whole(Kind::Enroute)), entry(2, whole(Kind::Delivered))];
    let request = ExportLogsServiceRequest::decode(encoder(Privacy::default()).encode(&entries)).unwrap();
    assert_eq!(request.resource_logs.len(), 1);
    let scopes = &request.resource_logs[0].scope_logs;
    assert_eq!(scopes.len(), 1);
    assert_eq!(scopes[0].scope.as_ref().unwrap().name, "smscope");
    let names: Vec<_> = scopes[0].log_records.iter().map(|log| log.event_name.as_str()).collect();
    assert_eq!(names, ["sms.message.enroute", "sms.message.delivered"]);
}

#[test]
fn a_source_whose_recipients_are_hashed_shows_no_digit_of_them() {
    let hashed = encoder(Privacy { recipient: Recipient::Hashed, ..Privacy::default() });
    for kind in Kind::ALL {
        let log = hashed.log_record(&entry(1, whole(kind)));
        let keys: Vec<_> = log.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert!(keys.contains(&"sms.recipient.hash") && !keys.contains(&"sms.recipient.masked"), "{keys:?}");
        let said = format!("{log:?}");
        assert!(!said.contains("•••") && !said.contains("612345"), "{said}");
    }
}

#[test]
fn the_privacy_of_one_source_is_not_that_of_another() {
    let other = Record { source: SourceName::new("other").unwrap(), ..whole(Kind::Failed) };
    let said = format!("{:?}", encoder(PLAIN).log_record(&entry(1, other)));
    assert!(!said.contains("612345") && !said.contains("your code"), "{said}");
}

#[test]
fn a_number_among_the_words_of_the_provider_is_hidden() {
    let record = Record {
        status: Some("UNKNOWN 33612345278".to_owned()),
        detail: Some("+33 6 12 34 52 78 IS OFF".to_owned()),
        network: Some("0612345278".to_owned()),
        ..bare(Kind::Failed)
    };
    let said = format!("{:?}", encoder(PLAIN).log_record(&entry(1, record)));
    assert!(!said.contains("612345278") && !said.contains("12 34"), "{said}");
    assert!(said.contains("IS OFF"), "{said}");
}
