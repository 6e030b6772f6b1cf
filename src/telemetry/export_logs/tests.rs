use super::*;
use crate::event::SourceName;
use crate::process_metrics::Signal;
use crate::record::{Kind, Record};
use crate::telemetry::collector::{Collector, Say, Seen, eventually, ok, say, value_of};
use crate::telemetry::redaction::NumberHasher;
use crate::telemetry::redaction::PrivacyPolicy;
use crate::telemetry::resource::Resource;
use crate::telemetry::resource::tests::{INSTANCE, otlp};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A journal in memory, whose `advance` can be made to fail.
struct Memory {
    entries: Mutex<Vec<Entry>>,
    newest: watch::Sender<i64>,
    cursor: AtomicI64,
    broken: AtomicBool,
}

impl Memory {
    fn with(count: i64) -> Arc<Self> {
        let memory = Self {
            entries: Mutex::default(),
            newest: watch::channel(0).0,
            cursor: AtomicI64::new(0),
            broken: AtomicBool::new(false),
        };
        (0..count).for_each(|_| memory.add(Timestamp::now()));
        Arc::new(memory)
    }

    fn add(&self, received_at: Timestamp) {
        let position = self.newest().plus(1);
        let record: Record = serde_json::from_value(serde_json::json!({
            "kind": Kind::Delivered, "source": SourceName::new("smsmode"), "message_id": position.to_string(),
        }))
        .unwrap();
        self.entries.lock().unwrap().push(Entry { position, received_at, record });
        self.newest.send_replace(position.0);
    }
}

impl Journal for Memory {
    fn newest(&self) -> Position {
        Position(*self.newest.borrow())
    }

    fn cursor(&self) -> Position {
        Position(self.cursor.load(Ordering::SeqCst))
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, String> {
        let entries = self.entries.lock().unwrap();
        Ok(entries.iter().filter(|entry| entry.position > after).take(limit).cloned().collect())
    }

    async fn advance(&self, to: Position) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("disk full".to_owned());
        }
        assert!(to.0 >= self.cursor.swap(to.0, Ordering::SeqCst), "the cursor went back");
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn reached(&self, position: Position) {
        let _ = self.newest.subscribe().wait_for(|newest| *newest >= position.0).await;
    }
}

/// A running exporter and all that can be seen of it.
struct Running {
    journal: Arc<Memory>,
    status: Arc<ExportStatus>,
    scrape: PrometheusHandle,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

const HURRIED: Pace = Pace {
    gather: Duration::from_millis(1),
    backoff: Backoff::new(Duration::from_millis(2), Duration::from_millis(10)),
    rejected: Duration::from_millis(5),
    doubt: Duration::from_millis(50),
};

const DAY: Duration = Duration::from_secs(86_400);

impl Running {
    fn start(journal: Arc<Memory>, collector: &Collector, pace: Pace) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = metrics::with_local_recorder(&recorder, || ExportMetrics::new(Signal::Logs));
        let resource = Resource::new(&otlp("smscope", &[]), INSTANCE);
        let hasher = NumberHasher::new(&[0; 32]);
        let status = Arc::new(ExportStatus::default());
        let export = LogExport {
            journal: journal.clone(),
            sender: Sender::new(Signal::Logs, &collector.endpoint()),
            encoder: LogEncoder::new(resource, INSTANCE, PrivacyPolicy::default(), hasher),
            retention: 7 * DAY,
            metrics,
            status: status.clone(),
            pace,
        };
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(
            export,
            async {
                let _ = stopped.await;
            },
            Duration::from_secs(2),
        ));
        Self { journal, status, scrape: recorder.handle(), shutdown, task }
    }

    fn count(&self, what: &str) -> f64 {
        value_of(&self.scrape.render(), &format!("smscope_export_{what}_total{{signal=\"logs\"}}")).unwrap()
    }

    async fn until_at(&self, cursor: i64) {
        eventually(&format!("cursor at {cursor}"), || self.journal.cursor().0 == cursor).await;
    }

    async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// The message ids in a request, which are the positions.
fn positions(seen: &Seen) -> Vec<i64> {
    let request = ExportLogsServiceRequest::decode(seen.body.clone()).unwrap();
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    let id = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
        let attribute = record.attributes.iter().find(|attribute| attribute.key == "messaging.message.id");
        match attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(id)) => id.parse().unwrap(),
            other => panic!("no id: {other:?}"),
        }
    };
    records.iter().map(id).collect()
}

/// The positions of the requests for which `is_accepted` holds, in their order.
fn accepted(collector: &Collector, is_accepted: impl Fn(usize, &Seen) -> bool) -> Vec<i64> {
    let seen = collector.seen();
    seen.iter()
        .enumerate()
        .filter(|(number, seen)| is_accepted(*number, seen))
        .flat_map(|(_, seen)| positions(seen))
        .collect()
}

#[tokio::test]
async fn all_that_waits_and_all_that_comes_is_sent_once_in_order() {
    let collector = Collector::start(|_, _| ok()).await;
    let running = Running::start(Memory::with(1200), &collector, HURRIED);
    running.until_at(1200).await;
    running.journal.add(Timestamp::now());
    running.until_at(1201).await;
    assert_eq!(accepted(&collector, |_, _| true), (1..=1201).collect::<Vec<_>>());
    let sizes: Vec<_> = collector.seen().iter().map(|seen| positions(seen).len()).collect();
    assert_eq!(sizes, [512, 512, 176, 1]);
    assert_eq!(running.count("records"), 1201.0);
    assert_eq!((running.count("failures"), running.count("dropped_records")), (0.0, 0.0));
    eventually("nothing waits", || running.status.oldest().is_none()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_away_and_comes_back_misses_nothing() {
    let back = |number| number >= 3;
    let collector = Collector::start(move |number, _| match number {
        0 => Say::Close,
        _ if !back(number) => say(503, "", ""),
        _ => ok(),
    })
    .await;
    let running = Running::start(Memory::with(600), &collector, HURRIED);
    running.until_at(600).await;
    assert_eq!(accepted(&collector, |number, _| back(number)), (1..=600).collect::<Vec<_>>());
    assert_eq!((running.count("records"), running.count("failures")), (600.0, 3.0));
    running.stop().await;
}

#[tokio::test]
async fn what_waits_is_seen_from_outside() {
    let collector = Collector::start(|_, _| say(503, "", "")).await;
    let running = Running::start(Memory::with(3), &collector, HURRIED);
    eventually("two tries", || collector.seen().len() >= 2).await;
    let arrival = running.journal.entries.lock().unwrap()[0].received_at;
    assert_eq!(running.status.oldest(), Some(arrival));
    let families = running.status.families(running.journal.newest(), running.journal.cursor());
    assert_eq!(families[0].samples[0].value, 3);
    assert_eq!(families[1].samples[0].value, arrival.as_millisecond());
    assert!(ExportStatus::default().families(Position(3), Position(3))[1].samples.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_poison_record_is_found_skipped_and_counted_and_its_neighbours_arrive() {
    let poison = |seen: &Seen| positions(seen).contains(&137);
    let collector = Collector::start(move |_, seen| if poison(seen) { say(400, "", "") } else { ok() }).await;
    let running = Running::start(Memory::with(700), &collector, HURRIED);
    running.until_at(700).await;
    let expected: Vec<i64> = (1..=700).filter(|&position| position != 137).collect();
    assert_eq!(accepted(&collector, |_, seen| !poison(seen)), expected);
    assert_eq!((running.count("records"), running.count("dropped_records")), (699.0, 1.0));
    assert!(running.count("failures") <= 10.0);
    running.stop().await;
}

/// Answers 500 to what has one of these in it.
async fn tripping_over(poison: &'static [i64]) -> Collector {
    Collector::start(move |_, seen| {
        let trips = positions(seen).iter().any(|position| poison.contains(position));
        if trips { say(500, "", "") } else { ok() }
    })
    .await
}

#[tokio::test]
async fn records_that_the_endpoint_fails_at_for_ever_hold_up_no_other() {
    let poison = &[1, 137, 138, 139, 700];
    let collector = tripping_over(poison).await;
    let running = Running::start(Memory::with(701), &collector, HURRIED);
    running.until_at(701).await;
    let mut arrived = accepted(&collector, |_, seen| !positions(seen).iter().any(|at| poison.contains(at)));
    let compared = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    let expected: Vec<i64> = (1..=701).filter(|position| !poison.contains(position)).collect();
    assert_eq!(arrived, expected);
    assert!(compared - expected.len() <= 20, "few went twice: {compared}");
    assert_eq!((running.count("records"), running.count("dropped_records")), (696.0, 5.0));
    running.stop().await;
}

#[tokio::test]
async fn a_record_that_may_be_bad_is_not_dropped_until_the_endpoint_accepts_another() {
    let collector = tripping_over(&[1]).await;
    let running = Running::start(Memory::with(1), &collector, HURRIED);
    eventually("many tries", || collector.seen().len() >= 50).await;
    assert_eq!((running.journal.cursor().0, running.count("dropped_records")), (0, 0.0));
    running.journal.add(Timestamp::now());
    running.until_at(2).await;
    assert_eq!((running.count("records"), running.count("dropped_records")), (1.0, 1.0));
    running.stop().await;
}

#[tokio::test]
async fn an_outage_of_any_kind_and_length_drops_nothing() {
    let down = Arc::new(AtomicBool::new(true));
    for status in [400, 500, 502, 503, 429] {
        down.store(true, Ordering::SeqCst);
        let door = down.clone();
        let collector =
            Collector::start(move |_, _| if door.load(Ordering::SeqCst) { say(status, "", "") } else { ok() }).await;
        let running = Running::start(Memory::with(600), &collector, HURRIED);
        tokio::time::sleep(6 * HURRIED.doubt).await;
        eventually("many tries", || collector.seen().len() >= 25).await;
        assert_eq!((running.journal.cursor().0, running.count("dropped_records")), (0, 0.0), "{status}");
        let tried = collector.seen().len();
        down.store(false, Ordering::SeqCst);
        running.until_at(600).await;
        let after = accepted(&collector, |number, _| number >= tried);
        assert!((1..=600).all(|position| after.contains(&position)), "{status}");
        assert_eq!((running.count("records"), running.count("dropped_records")), (600.0, 0.0), "{status}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_batch_too_large_is_sent_in_parts_and_the_next_ones_start_smaller() {
    let too_large = |seen: &Seen| positions(seen).len() > 300;
    let collector = Collector::start(move |_, seen| if too_large(seen) { say(413, "", "") } else { ok() }).await;
    let running = Running::start(Memory::with(1024), &collector, HURRIED);
    running.until_at(1024).await;
    assert_eq!(accepted(&collector, |_, seen| !too_large(seen)), (1..=1024).collect::<Vec<_>>());
    assert_eq!((running.count("records"), running.count("dropped_records")), (1024.0, 0.0));
    assert_eq!(running.count("failures"), 1.0);
    running.stop().await;
}

#[tokio::test]
async fn what_is_partly_rejected_is_counted_and_not_resent() {
    let collector = Collector::start(|_, _| {
        say(200, "application/json", "{\"partialSuccess\":{\"rejectedLogRecords\":\"2\",\"errorMessage\":\"too old\"}}")
    })
    .await;
    let running = Running::start(Memory::with(5), &collector, HURRIED);
    running.until_at(5).await;
    assert_eq!(collector.seen().len(), 1);
    assert_eq!((running.count("records"), running.count("dropped_records")), (3.0, 2.0));
    running.stop().await;
}

#[tokio::test]
async fn a_refusal_holds_the_cursor_until_it_is_lifted() {
    let welcome = Arc::new(AtomicBool::new(false));
    let door = welcome.clone();
    let collector =
        Collector::start(move |_, _| if door.load(Ordering::SeqCst) { ok() } else { say(401, "", "") }).await;
    let running = Running::start(Memory::with(5), &collector, HURRIED);
    eventually("three tries", || collector.seen().len() >= 3).await;
    assert_eq!(running.journal.cursor().0, 0);
    assert_eq!(running.count("dropped_records"), 0.0);
    welcome.store(true, Ordering::SeqCst);
    running.until_at(5).await;
    assert_eq!(positions(collector.seen().last().unwrap()), [1, 2, 3, 4, 5]);
    running.stop().await;
}

#[tokio::test]
async fn the_servers_retry_after_is_waited_for() {
    let collector = Collector::start(|number, _| {
        let Say::Answer(mut response) = say(429, "", "") else { unreachable!() };
        response.headers_mut().insert("retry-after", "1".parse().unwrap());
        if number == 0 { Say::Answer(response) } else { ok() }
    })
    .await;
    let start = Instant::now();
    let running = Running::start(Memory::with(1), &collector, HURRIED);
    running.until_at(1).await;
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_dropped_unsent_and_counted() {
    let collector = Collector::start(|_, _| ok()).await;
    let journal = Memory::with(0);
    let old = Timestamp::now() - 8 * DAY;
    (0..3).for_each(|_| journal.add(old));
    (0..2).for_each(|_| journal.add(Timestamp::now()));
    let running = Running::start(journal, &collector, HURRIED);
    running.until_at(5).await;
    assert_eq!(accepted(&collector, |_, _| true), [4, 5]);
    assert_eq!((running.count("records"), running.count("dropped_records")), (2.0, 3.0));
    running.stop().await;
}

#[tokio::test]
async fn a_store_that_cannot_move_the_cursor_does_not_make_records_go_twice() {
    let collector = Collector::start(|_, _| ok()).await;
    let journal = Memory::with(3);
    journal.broken.store(true, Ordering::SeqCst);
    let running = Running::start(journal, &collector, HURRIED);
    eventually("sent", || running.count("records") == 3.0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(running.journal.cursor().0, 0);
    running.journal.broken.store(false, Ordering::SeqCst);
    running.until_at(3).await;
    assert_eq!(collector.seen().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn small_batches_are_gathered_between_requests() {
    let collector = Collector::start(|_, _| ok()).await;
    let pace = Pace { gather: Duration::from_millis(200), ..HURRIED };
    let running = Running::start(Memory::with(1), &collector, pace);
    running.until_at(1).await;
    let start = Instant::now();
    running.journal.add(Timestamp::now());
    running.until_at(2).await;
    for _ in 0..20 {
        running.journal.add(Timestamp::now());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.until_at(22).await;
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert!(collector.seen().len() <= 4, "{}", collector.seen().len());
    running.stop().await;
}

#[tokio::test]
async fn a_shutdown_sends_what_still_waits_without_waiting_for_a_better_moment() {
    let up = Arc::new(AtomicBool::new(false));
    let answer = up.clone();
    let collector =
        Collector::start(move |_, _| if answer.load(Ordering::SeqCst) { ok() } else { say(503, "", "") }).await;
    let patient = Pace { backoff: Backoff::new(DAY, DAY), ..HURRIED };
    let running = Running::start(Memory::with(700), &collector, patient);
    eventually("one try", || running.count("failures") == 1.0).await;
    up.store(true, Ordering::SeqCst);
    let journal = running.journal.clone();
    running.stop().await;
    assert_eq!(journal.cursor().0, 700);
}

#[tokio::test]
async fn a_shutdown_does_not_outlast_its_limit() {
    let collector = Collector::start(|_, _| Say::Hang).await;
    let running = Running::start(Memory::with(1), &collector, HURRIED);
    eventually("one try", || !collector.seen().is_empty()).await;
    let start = Instant::now();
    let journal = running.journal.clone();
    running.stop().await;
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(journal.cursor().0, 0);
}

#[test]
fn waits_double_up_to_the_longest_and_keep_half_for_chance() {
    let pace = Pace::default();
    for (failures, longest) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (1000, 60)] {
        let wait = pace.backoff.after(failures);
        let longest = Duration::from_secs(longest);
        assert!(wait >= longest / 2 && wait <= longest, "{failures}: {wait:?}");
    }
}
