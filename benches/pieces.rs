//! The pure pieces on the way of a webhook, one at a time.

use divan::{Bencher, black_box};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use smscope::event::{Country, Outcome, SourceName};
use smscope::ledger::Ledger;
use smscope::ledger::snapshot::Snapshot;
use smscope::lifecycle::{self, Sighting};
use smscope::number;
use smscope::provider::{DecodeContext, Webhook, default_provider};
use smscope::record::{Entry, Kind, Record};
use smscope::telemetry::logs::LogEncoder;
use smscope::telemetry::redaction::{NumberHasher, PrivacyPolicy};
use smscope::telemetry::{prometheus, resource::Resource};

const RECEIPT: &[u8] = br#"{"messageId":"5f0c6a52-0001-4d3b-8f17-000000000001","acceptedAt":"2026-04-01T16:00:08","sentDate":"2026-04-01T16:00:08","channel":{"channelId":"9a6f0e56-5b0a-4d4c-b0c5-6f5d29f4b6f1","name":"main","type":"SMS","flow":"TRANSACTIONAL"},"type":"SMS","direction":"MT","recipient":{"to":"33612345678"},"from":"ACME","body":{"text":"Your order is ready for pick-up.","encoding":"GSM7","messagePartCount":1,"length":32},"price":{"amount":"0.045","currency":"EUR"},"status":{"deliveryDate":"2026-04-01T16:00:11","value":"DELIVERED","lookup":{"mccMnc":"20801","country":"France","network":"Orange"}},"refClient":"order-1"}"#;
const LEGACY: &str = "numero=33612345678&date_reception=2010-03-25%2009%3A52%3A17&statut=11&smsID=a1&refClient=order-1";

/// Counts the allocations of each piece.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn decode(bencher: Bencher, webhook: Webhook<'_>) {
    let zone = TimeZone::get("Europe/Paris").expect("compiled in");
    let region = Country::new("FR").expect("a country");
    let provider = default_provider();
    let context = DecodeContext { zone: &zone, region, stop_keywords: &[], start_keywords: &[] };
    bencher.bench_local(|| provider.decode(black_box(&context), black_box(&webhook)));
}

#[divan::bench]
fn decode_v1_receipt(bencher: Bencher) {
    decode(bencher, Webhook { query: "", content_type: Some("application/json"), body: RECEIPT });
}

/// In a list, a message is read by way of a tree of values, as one in damaged JSON is.
#[divan::bench]
fn decode_v1_receipt_in_a_list(bencher: Bencher) {
    let body = [b"[", RECEIPT, b"]"].concat();
    decode(bencher, Webhook { query: "", content_type: Some("application/json"), body: &body });
}

#[divan::bench]
fn decode_legacy_receipt(bencher: Bencher) {
    decode(bencher, Webhook { query: LEGACY, content_type: None, body: b"" });
}

#[divan::bench(args = ["33612345678", "0612345678", "+12025550123"])]
fn read_number(text: &str) -> number::Phone {
    number::read(black_box(text), Country::new("FR").expect("a country"))
}

#[divan::bench]
fn life_cycle_of_two_receipts() {
    let at = |second| Timestamp::from_second(second).expect("in range");
    let sighting = |outcome, second| Sighting { outcome, arrived_at: at(second), sent_at: None };
    let (enroute, _) = lifecycle::receive(None, black_box(sighting(Outcome::Enroute, 1)));
    black_box(lifecycle::receive(Some(enroute), black_box(sighting(Outcome::Delivered, 2))));
}

#[divan::bench]
fn encode_512_log_records(bencher: Bencher) {
    let source = SourceName::new("smsmode").expect("a name");
    let record = Record {
        message_id: Some("5f0c6a52-0001-4d3b-8f17-000000000001".into()),
        number: Some("33612345678".into()),
        channel: Some("SMS".into()),
        status: Some("DELIVERED".into()),
        ..Record::new(Kind::Delivered, source)
    };
    let entries: Vec<Entry> = (1..=512)
        .map(|position| Entry {
            position: smscope::record::Position(position),
            received_at: Timestamp::UNIX_EPOCH,
            record: record.clone(),
        })
        .collect();
    let config =
        smscope::config::Config::load(&Default::default(), &std::collections::BTreeMap::<String, String>::new());
    let config = config.expect("the defaults").config;
    let instance = uuid::Uuid::nil();
    let encoder = LogEncoder::new(
        Resource::new(&config.otlp, instance),
        instance,
        PrivacyPolicy::default(),
        NumberHasher::new(&[7; 32]),
    );
    bencher.bench_local(|| encoder.encode(black_box(&entries)));
}

#[divan::bench]
fn encode_a_scrape_of_5000_series(bencher: Bencher) {
    let mut ledger = Ledger::default();
    let mut updates = smscope::ledger::CounterUpdates::default();
    for number in 0..5_000 {
        let labels = ["smsmode", "SMS", "OTP", &format!("{number}")];
        updates.add(&ledger, smscope::ledger::catalogue::Metric::Messages, &labels, number);
    }
    ledger.apply(updates);
    let snapshot = Snapshot { families: ledger.reading().families() };
    bencher.bench_local(|| {
        let mut text = String::new();
        prometheus::encode(black_box(&snapshot), &mut text);
        text
    });
}
