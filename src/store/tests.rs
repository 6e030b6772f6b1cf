use std::collections::BTreeMap;

use bytes::Bytes;
use tempfile::TempDir;

use super::query::ReadStore;
use super::*;
use crate::event::{Country, Event, Network, Outcome, Price, Reason, Receipt, Reply, ReplyKind, Status, Unrecognized};
use crate::record::Kind;
use crate::store::sqlite::harness::column;

mod export;
mod relays;
mod resends;

const DAY: Duration = Duration::from_secs(86_400);

pub fn settings() -> Settings {
    Settings {
        retention: 30 * DAY,
        horizon: 3 * DAY,
        export_retention: 7 * DAY,
        size_limit: None,
        sources: vec![source()],
        exports_logs: false,
        relays: Vec::new(),
        resends: Vec::new(),
        opt_outs: None,
        conversations: None,
        flood: FloodRule::silent(20),
    }
}

pub(super) fn source() -> SourceName {
    SourceName::new("smsmode").unwrap()
}

pub fn receipt(id: &str, value: &str, outcome: Outcome) -> Receipt {
    Receipt {
        message_id: id.into(),
        message_part: String::new(),
        part_text: None,
        shares_id: false,
        channel: Some("SMS".into()),
        channel_id: None,
        flow: Some("OTP".into()),
        number: Some("33612345678".into()),
        country: Country::new("FR"),
        originator: None,
        status: Status {
            value: value.into(),
            value_text: None,
            detail: None,
            outcome,
            time: None,
            time_text: String::new(),
        },
        accepted_at: None,
        sent_at: None,
        network: Network::default(),
        price: None,
        parts: None,
        ref_client: None,
        campaign_id: None,
        origin_message_id: None,
        text: None,
    }
}

pub(super) fn enroute(id: &str) -> Event {
    Event::Receipt(Box::new(receipt(id, "ENROUTE", Outcome::Enroute)))
}

pub fn delivered(id: &str) -> Event {
    Event::Receipt(Box::new(receipt(id, "DELIVERED", Outcome::Delivered)))
}

pub fn reply(id: &str) -> Reply {
    Reply {
        reply_id: id.into(),
        former_id: None,
        kind: ReplyKind::Reply,
        opts_in: false,
        channel: Some("SMS".into()),
        channel_id: None,
        flow: None,
        number: Some("33612345678".into()),
        country: Country::new("FR"),
        originator: Some("36111".into()),
        time: None,
        network: Network::default(),
        ref_client: None,
        campaign_id: None,
        origin_message_id: None,
        text: Some("yes".into()),
    }
}

pub(super) fn junk(byte: u8) -> Event {
    Event::Unrecognized(Unrecognized { digest: [byte; 32], channel_id: None, why: "no messageId".into() })
}

pub(super) fn submission(events: Vec<Event>) -> Submission {
    submission_at(Timestamp::now(), events)
}

pub fn submission_at(arrived_at: Timestamp, events: Vec<Event>) -> Submission {
    let raw = Raw { method: "POST".into(), query: String::new(), content_type: None, body: Bytes::from_static(b"{}") };
    Submission {
        source: source(),
        arrived_at,
        trace: None,
        reconciled: false,
        repaired: false,
        reprocessed: None,
        raw,
        events,
    }
}

pub struct Opened {
    store: Option<Store>,
    end: Option<StoreThreads>,
}

impl Opened {
    pub fn new(folder: &TempDir, settings: Settings) -> Self {
        let (store, end) = Store::open(folder.path(), settings).unwrap();
        Self { store: Some(store), end: Some(end) }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(super) async fn commit(&self, events: Vec<Event>) -> Result<IngestOutcome, StoreError> {
        self.store().commit(submission(events)).await
    }

    /// The series that are not 0: `name{value,value}` to value in the metric's unit.
    fn counts(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for family in self.store().blocking().snapshot().families {
            for sample in family.samples.iter().filter(|sample| sample.value != 0) {
                counts.insert(format!("{}{{{}}}", family.description.name, sample.labels.join(",")), sample.value);
            }
        }
        counts
    }

    pub fn count(&self, series: &str) -> i64 {
        self.counts().get(series).copied().unwrap_or(0)
    }

    pub async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("did not happen in 10 s: {what}; {:?}", self.counts());
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        drop(self.store.take());
        if let Some(end) = self.end.take() {
            end.wait();
        }
    }
}

#[tokio::test]
async fn an_event_is_accepted_once_and_a_duplicate_ever_after() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    for event in [enroute("m1"), delivered("m1"), Event::Reply(Box::new(reply("r1")))] {
        assert_eq!(opened.commit(vec![event.clone()]).await, Ok(IngestOutcome::Accepted));
        assert_eq!(opened.commit(vec![event]).await, Ok(IngestOutcome::Duplicate));
    }
    assert_eq!(opened.commit(vec![junk(1)]).await, Ok(IngestOutcome::Unrecognized));
    assert_eq!(opened.commit(vec![junk(1)]).await, Ok(IngestOutcome::Duplicate));
    assert_eq!(opened.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 1);
    assert_eq!(opened.count("sms_messages_delivered_total{smsmode,SMS,OTP,FR}"), 1);
    assert_eq!(opened.count("sms_messages_pending{smsmode,SMS,OTP,FR,enroute}"), 0);
    assert_eq!(opened.count("sms_receipts_total{smsmode,SMS,DELIVERED,delivered}"), 1);
    assert_eq!(opened.count("sms_replies_total{smsmode,SMS,reply}"), 1);
    assert_eq!(opened.store().blocking().read(Position(0), 10).unwrap().len(), 4);
}

#[tokio::test]
async fn an_array_is_one_transaction_with_one_verdict() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let table: [(Vec<Event>, IngestOutcome); 5] = [
        (vec![enroute("a"), junk(1)], IngestOutcome::Accepted),
        (vec![enroute("a"), junk(1)], IngestOutcome::Duplicate),
        (vec![enroute("a"), junk(2)], IngestOutcome::Unrecognized),
        (vec![enroute("a"), enroute("b"), enroute("b")], IngestOutcome::Accepted),
        (vec![junk(3), junk(4)], IngestOutcome::Unrecognized),
    ];
    for (events, verdict) in table {
        assert_eq!(opened.commit(events.clone()).await, Ok(verdict), "{events:?}");
    }
}

#[tokio::test]
async fn a_new_detail_or_status_time_makes_a_new_receipt() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let plain = receipt("m", "UNDELIVERED", Outcome::Failed(Reason::Unknown));
    let mut detailed = plain.clone();
    detailed.status.detail = Some("SPAM".into());
    let mut later = plain.clone();
    later.status.time_text = "2025-04-01T16:00:10".into();
    for one in [plain, detailed, later] {
        let event = Event::Receipt(Box::new(one));
        assert_eq!(opened.commit(vec![event.clone()]).await, Ok(IngestOutcome::Accepted));
        assert_eq!(opened.commit(vec![event]).await, Ok(IngestOutcome::Duplicate));
    }
    assert_eq!(opened.count("sms_receipts_total{smsmode,SMS,UNDELIVERED,failed}"), 3);
    assert_eq!(opened.count("sms_messages_failed_total{smsmode,SMS,OTP,FR,unknown}"), 1);
}

#[tokio::test]
async fn everything_is_still_known_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    opened.commit(vec![enroute("m1"), delivered("m2"), Event::Reply(Box::new(reply("r1"))), junk(1)]).await.unwrap();
    let (before, created_at) = (opened.counts(), opened.store().created_at());
    drop(opened);

    let opened = Opened::new(&folder, settings());
    let after = opened.counts();
    let without_size = |counts: &BTreeMap<String, i64>| {
        counts
            .iter()
            .filter(|(name, _)| !name.starts_with("smscope_store_size") && !name.starts_with("smscope_store_wal_size"))
            .map(|(n, v)| (n.clone(), *v))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_size(&before), without_size(&after));
    assert_eq!(opened.store().created_at(), created_at);
    for known in [enroute("m1"), delivered("m2"), Event::Reply(Box::new(reply("r1"))), junk(1)] {
        assert_eq!(opened.commit(vec![known]).await, Ok(IngestOutcome::Duplicate));
    }
    assert_eq!(opened.commit(vec![delivered("m1")]).await, Ok(IngestOutcome::Accepted));
    assert_eq!(opened.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 2);
    assert_eq!(opened.count("sms_messages_delivered_total{smsmode,SMS,OTP,FR}"), 2);
}

#[tokio::test]
async fn the_labels_of_a_message_are_those_of_its_first_sight() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let first = Receipt { channel: None, flow: None, country: None, ..receipt("m", "ENROUTE", Outcome::Enroute) };
    opened.commit(vec![Event::Receipt(Box::new(first)), delivered("m")]).await.unwrap();
    assert_eq!(opened.count("sms_messages_total{smsmode,unknown,unknown,unknown}"), 1);
    assert_eq!(opened.count("sms_messages_delivered_total{smsmode,unknown,unknown,unknown}"), 1);
    assert_eq!(opened.count("sms_messages_delivered_total{smsmode,SMS,OTP,FR}"), 0);
    let entries = opened.store().blocking().read(Position(0), 10).unwrap();
    assert_eq!(entries[1].record.channel.as_deref(), Some("unknown"));
}

#[tokio::test]
async fn parts_and_cost_count_once_from_the_first_event_that_carries_them() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let price = |micros| Some(Price { micros, currency: Some("EUR".into()) });
    let first = receipt("m", "ENROUTE", Outcome::Enroute);
    let second = Receipt {
        price: price(45_000),
        parts: Some(2),
        ..receipt("m", "UNDELIVERED", Outcome::Failed(Reason::Content))
    };
    let third = Receipt { price: price(90_000), parts: Some(3), ..receipt("m", "DELIVERED", Outcome::Delivered) };
    for one in [first, second, third] {
        opened.commit(vec![Event::Receipt(Box::new(one))]).await.unwrap();
    }
    assert_eq!(opened.count("sms_message_parts_total{smsmode,SMS,FR}"), 2);
    assert_eq!(opened.count("sms_message_cost_total{smsmode,SMS,FR,EUR}"), 45_000);
    assert_eq!(opened.count("sms_message_failed_cost_total{smsmode,SMS,FR,EUR}"), 45_000);
}

#[tokio::test]
async fn a_network_outcome_uses_what_an_earlier_receipt_said_of_the_network() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let network = Network { mccmnc: Some("20801".into()), name: Some("Orange".into()) };
    let first = Receipt { network, ..receipt("m", "ENROUTE", Outcome::Enroute) };
    opened.commit(vec![Event::Receipt(Box::new(first)), delivered("m")]).await.unwrap();
    assert_eq!(opened.count("sms_network_outcomes_total{smsmode,20801,Orange,delivered}"), 1);
}

#[tokio::test]
async fn a_reply_takes_reference_and_campaign_from_the_message_that_it_answers() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let message = Receipt {
        ref_client: Some("order-7".into()),
        campaign_id: Some("spring".into()),
        ..receipt("m", "DELIVERED", Outcome::Delivered)
    };
    let answer = Reply { origin_message_id: Some("m".into()), kind: ReplyKind::Stop, ..reply("r") };
    opened.commit(vec![Event::Receipt(Box::new(message)), Event::Reply(Box::new(answer))]).await.unwrap();
    let entry = &opened.store().blocking().read(Position(1), 10).unwrap()[0];
    assert_eq!(entry.record.kind, Kind::Stop);
    assert_eq!(entry.record.ref_client.as_deref(), Some("order-7"));
    assert_eq!(entry.record.campaign_id.as_deref(), Some("spring"));
    assert_eq!(opened.count("sms_replies_total{smsmode,SMS,stop}"), 1);
}

#[tokio::test]
async fn what_is_pending_past_its_horizon_expires_also_across_a_restart() {
    let folder = TempDir::new().unwrap();
    let long_ago = Timestamp::now() - 4 * DAY;
    {
        let opened = Opened::new(&folder, Settings { horizon: 30 * DAY, ..settings() });
        let events = (0..450).map(|n| enroute(&format!("m{n}"))).collect();
        opened.store().commit(submission_at(long_ago, events)).await.unwrap();
        assert_eq!(opened.count("sms_messages_pending{smsmode,SMS,OTP,FR,enroute}"), 450);
        let oldest = opened.count("sms_messages_pending_oldest_timestamp_seconds{smsmode}");
        assert_eq!(oldest, long_ago.as_millisecond());
    }
    let opened = Opened::new(&folder, settings());
    opened.eventually("450 expired", |o| o.count("sms_messages_expired_total{smsmode,SMS,OTP,FR}") == 450).await;
    assert_eq!(opened.count("sms_messages_pending{smsmode,SMS,OTP,FR,enroute}"), 0);
    assert_eq!(opened.count("sms_messages_pending_oldest_timestamp_seconds{smsmode}"), 0, "no sample");
    let last = opened.store().blocking().read(Position(899), 10).unwrap();
    assert_eq!(last[0].record.kind, Kind::Expired);
    assert_eq!(last[0].record.occurred_at.map(|t| t.as_second()), Some((long_ago + 3 * DAY).as_second()));

    assert_eq!(opened.commit(vec![delivered("m7")]).await, Ok(IngestOutcome::Accepted));
    assert_eq!(opened.count("sms_messages_corrected_total{smsmode,SMS,OTP,FR,expired}"), 1);
    assert_eq!(opened.count("sms_messages_delivered_total{smsmode,SMS,OTP,FR}"), 1);
}

#[tokio::test]
async fn old_events_go_but_what_is_known_of_their_messages_stays_for_as_long_as_promised() {
    let folder = TempDir::new().unwrap();
    let short = Settings { retention: DAY, ..settings() };
    let opened = Opened::new(&folder, short);
    // Five days hold: the horizon of three, and two more.
    let at = |days: u32| Timestamp::now() - days * DAY;
    opened
        .store()
        .commit(submission_at(at(6), vec![delivered("gone"), Event::Reply(Box::new(reply("gone")))]))
        .await
        .unwrap();
    opened
        .store()
        .commit(submission_at(at(4), vec![delivered("kept"), Event::Reply(Box::new(reply("kept")))]))
        .await
        .unwrap();
    opened.commit(vec![enroute("new")]).await.unwrap();
    opened.eventually("old events are pruned", |o| o.count("smscope_store_events{}") == 1).await;
    drop(opened);

    // The message round starts with the store.
    let opened = Opened::new(&folder, Settings { retention: DAY, ..settings() });
    assert_eq!(opened.commit(vec![delivered("kept")]).await, Ok(IngestOutcome::Duplicate));
    assert_eq!(opened.commit(vec![Event::Reply(Box::new(reply("kept")))]).await, Ok(IngestOutcome::Duplicate));
    let rows = |sql: &str| column::<i64>(folder.path(), sql)[0];
    opened.eventually("the oldest message is pruned", |_| rows("SELECT count(*) FROM messages") == 2).await;
    assert_eq!(rows("SELECT sum(length(receipts)) FROM messages"), 2 * 8);
    assert_eq!(rows("SELECT count(*) FROM event_keys"), 1);
    assert_eq!(opened.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 3, "counters never go back");
}

#[tokio::test]
async fn past_its_size_limit_the_store_lets_old_events_go_and_then_refuses() {
    let folder = TempDir::new().unwrap();
    let limited = |exports_logs| Settings { size_limit: Some(600 << 10), exports_logs, ..settings() };
    let opened = Opened::new(&folder, limited(true));
    let big = |n: usize| {
        let mut big = submission(vec![enroute(&format!("m{n}"))]);
        // What cannot be compressed.
        let mut random = fastrand::Rng::with_seed(n as u64);
        big.raw.body = (0..100 << 10).map(|_| random.u8(..)).collect();
        big
    };
    let mut refused = None;
    for n in 0..20 {
        if let Err(refusal) = opened.store().commit(big(n)).await {
            refused = Some((n, refusal));
            break;
        }
    }
    let (kept, refusal) = refused.expect("a refusal before 2 MiB");
    assert_eq!(refusal, StoreError::SizeLimit);
    assert!(kept >= 3, "{kept}");
    opened.store().advance(Position(kept as i64)).await.unwrap();
    assert_eq!(opened.store().commit(big(99)).await, Ok(IngestOutcome::Accepted), "exported events made room");
    assert_eq!(opened.commit(vec![enroute("m0")]).await, Ok(IngestOutcome::Duplicate), "keys did not go");
    assert_eq!(opened.count("smscope_store_limit_bytes{}"), 600 << 10);
}

#[tokio::test]
async fn a_request_is_kept_raw_once_however_many_events_it_holds() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    opened.commit(vec![enroute("a")]).await.unwrap();
    opened.commit(vec![enroute("a"), enroute("b"), junk(1)]).await.unwrap();
    drop(opened);
    let (folder, of_events) = (folder.path(), "FROM events ORDER BY id");
    assert_eq!(column::<i64>(folder, &format!("SELECT id {of_events}")), [1, 2, 3]);
    assert_eq!(column::<Option<i64>>(folder, &format!("SELECT request {of_events}")), [None, None, Some(2)]);
    assert_eq!(
        column::<bool>(folder, &format!("SELECT coalesce(body, packed) IS NULL {of_events}")),
        [false, false, true]
    );
}

#[test]
fn a_file_that_is_no_database_is_refused_in_words() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("smscope.db"), "this is not a database, it only looks like one ".repeat(20))
        .unwrap();
    let error = Store::open(folder.path(), settings()).err().unwrap();
    assert!(error.to_string().contains("not a database"), "{error}");
}

#[tokio::test]
async fn a_cohort_is_of_the_hour_in_which_its_messages_were_accepted_however_late_the_receipts_came() {
    let folder = TempDir::new().unwrap();
    let opened = Opened::new(&folder, settings());
    let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let accepted = |id: &str, minutes: i64, outcome: Outcome| Receipt {
        accepted_at: Some(noon + jiff::SignedDuration::from_mins(minutes)),
        ..receipt(id, outcome.label(), outcome)
    };
    let receipts = [
        (1, accepted("before", -200, Outcome::Delivered)),
        (2, accepted("a", 5, Outcome::Enroute)),
        (400, accepted("late", 10, Outcome::Failed(Reason::Network))),
        (401, accepted("b", 65, Outcome::Read)),
        (402, accepted("a", 5, Outcome::Delivered)),
    ];
    for (minutes, one) in receipts {
        let at = noon + jiff::SignedDuration::from_mins(minutes);
        opened.store().commit(submission_at(at, vec![Event::Receipt(Box::new(one))])).await.unwrap();
    }
    let counts = ReadStore::open(folder.path()).unwrap().cohorts(noon, cohorts::Detail::default()).unwrap();
    let rows: Vec<(String, String, Option<String>, u64)> =
        counts.into_iter().map(|(c, n)| (c.quarter.to_string(), c.state, c.reason, n)).collect();
    let expected = [
        ("2026-03-01T12:00:00Z", "delivered", None, 1),
        ("2026-03-01T12:00:00Z", "failed", Some("network"), 1),
        ("2026-03-01T13:00:00Z", "read", None, 1),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(hour, state, reason, n)| (hour.to_string(), state.to_string(), reason.map(str::to_owned), *n))
        .collect();
    assert_eq!(rows, expected);
}
