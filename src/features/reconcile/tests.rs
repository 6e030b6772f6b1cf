//! What is learnt by asking, against the stand-in for the provider's API and a real store.

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Flags};
use crate::inbound;
use crate::secret::Secret;
use crate::settings::{Api, ApiMode};
use crate::smsmode::{API_KEY, Fault, SmsmodeApi as StandIn};
use crate::store::{FloodRule, Settings, StoreThreads};

struct Bench {
    stand_in: StandIn,
    reconciler: Reconciler,
    store: Store,
    _folder: TempDir,
    _end: StoreThreads,
}

fn bench(max_pages: usize) -> Bench {
    let stand_in = StandIn::start();
    let source = Config::load(&Flags::default(), &BTreeMap::<String, String>::new()).unwrap().config.sources.remove(0);
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        retention: Duration::from_secs(3600),
        horizon: Duration::from_secs(3600),
        export_retention: Duration::from_secs(3600),
        size_limit: None,
        sources: vec![source.name.clone()],
        exports_logs: false,
        relays: Vec::new(),
        resends: Vec::new(),
        opt_outs: None,
        conversations: None,
        flood: FloodRule::silent(20),
    };
    let (store, end) = Store::open(folder.path(), settings).unwrap();
    let api = Api {
        key: Secret::new(API_KEY.to_owned()),
        mode: ApiMode::Rest,
        url: stand_in.url().parse().unwrap(),
        timeout: Duration::from_secs(5),
        tls: None,
        proxy: None,
    };
    let settings = Reconcile { enabled: true, after: Duration::ZERO, interval: Duration::from_secs(3600), max_pages };
    let api = SmsmodeApi::new(&source.name, api);
    let reconciler = Reconciler::new(&source, api, store.clone(), settings);
    Bench { stand_in, reconciler, store, _folder: folder, _end: end }
}

/// A message of the list, accepted at `minute` of an hour of 2026.
fn message(id: &str, minute: usize, status: &str) -> Value {
    json!({
        "messageId": id, "acceptedAt": format!("2026-01-01T12:{minute:02}:00Z"), "type": "SMS", "direction": "MT",
        "recipient": {"to": "33612345678"}, "body": {"text": "Hello"},
        "status": {"value": status, "deliveryDate": format!("2026-01-01T13:{minute:02}:00Z")}
    })
}

impl Bench {
    /// What a webhook with this would do.
    async fn webhook(&self, message: &Value) -> IngestOutcome {
        let message = inbound::api_message(&self.reconciler.source, "POST", message).unwrap();
        let submission = message.into_submission(Timestamp::now(), None, Origin::Webhook);
        self.store.commit(submission).await.unwrap()
    }

    fn counted(&self, name: &str) -> i64 {
        let snapshot = self.store.blocking().snapshot();
        let family = snapshot.families.iter().find(|family| family.description.name == name).unwrap();
        family.samples.iter().map(|sample| sample.value).sum()
    }

    fn pages(&self) -> usize {
        self.stand_in.asked().len()
    }
}

#[tokio::test]
async fn a_receipt_that_did_not_come_is_learnt_counted_once_and_marked() {
    let bench = bench(10);
    for (id, minute) in [("a", 1), ("b", 2)] {
        let mut pending = message(id, minute, "ENROUTE");
        pending["status"] = json!({"value": "ENROUTE"});
        assert_eq!(bench.webhook(&pending).await, IngestOutcome::Accepted);
    }
    bench.stand_in.set_messages(vec![
        message("unknown-here", 9, "DELIVERED"),
        message("b", 2, "UNDELIVERED"),
        message("a", 1, "DELIVERED"),
    ]);
    let tally = bench.reconciler.round().await.unwrap();
    assert_eq!((tally.read, tally.looked_for, tally.missed(), tally.is_incomplete), (3, 2, 2, false), "{tally:?}");
    assert_eq!(tally.missed["delivered"], 1);
    assert_eq!(bench.counted("sms_receipts_reconciled_total"), 2);
    assert_eq!(bench.counted("sms_messages_delivered_total"), 1);
    assert_eq!(bench.counted("sms_messages_failed_total"), 1);
    assert_eq!(bench.counted("sms_messages_pending"), 0);
    // The webhook comes after all.
    assert_eq!(bench.webhook(&message("a", 1, "DELIVERED")).await, IngestOutcome::Duplicate);
    assert_eq!(bench.reconciler.round().await.unwrap(), Tally::default());
    assert_eq!(bench.counted("sms_messages_total"), 2);
    let kept = bench.store.blocking().read(crate::record::Position(0), 10).unwrap();
    let marked: Vec<bool> = kept.iter().map(|entry| entry.record.reconciled).collect();
    assert_eq!(marked, [false, false, true, true]);
}

#[tokio::test]
async fn reconciled_messages_have_no_text_where_texts_are_dropped() {
    let mut bench = bench(10);
    let told = |bench: &Bench| {
        let message = inbound::api_message(&bench.reconciler.source, "GET", &message("a", 1, "DELIVERED")).unwrap();
        format!("{:?}", message.into_submission(Timestamp::now(), None, Origin::Reconciliation))
    };
    assert_eq!(told(&bench).matches("Hello").count(), 2, "of the event and of the request");
    bench.reconciler.source.privacy.text = crate::settings::Text::Dropped;
    assert!(!told(&bench).contains("Hello"));
}

#[tokio::test]
async fn no_request_is_sent_if_no_message_is_overdue() {
    let bench = bench(10);
    assert_eq!(bench.webhook(&message("a", 1, "DELIVERED")).await, IngestOutcome::Accepted);
    assert_eq!(bench.reconciler.round().await.unwrap(), Tally::default());
    assert_eq!(bench.pages(), 0);
}

#[tokio::test]
async fn a_message_that_is_still_on_its_way_is_found_and_nothing_is_counted() {
    let bench = bench(10);
    let mut pending = message("a", 1, "ENROUTE");
    pending["status"] = json!({"value": "ENROUTE"});
    bench.webhook(&pending).await;
    bench.stand_in.set_messages(vec![pending]);
    let tally = bench.reconciler.round().await.unwrap();
    assert_eq!((tally.looked_for, tally.missed()), (1, 0));
    assert_eq!(bench.counted("sms_messages_pending"), 1);
    assert_eq!(bench.counted("sms_receipts_reconciled_total"), 0);
}

/// So many messages, the newest first, a minute apart from 12:59 back; 60 to an hour.
fn newest_first(count: usize) -> Vec<Value> {
    (0..count)
        .map(|at| {
            let (hour, minute) = (23 - at / 60, 59 - at % 60);
            let mut message = message(&format!("m{at}"), 0, "DELIVERED");
            message["acceptedAt"] = format!("2026-01-01T{hour:02}:{minute:02}:00Z").into();
            message
        })
        .collect()
}

#[tokio::test]
async fn a_list_is_read_until_all_is_found_or_it_has_become_too_old_or_the_limit_is_reached() {
    for (overdue, pages, is_incomplete, why) in
        [("m150", 2, false, "it is on the second page"), ("m1150", 3, true, "the limit")]
    {
        let bench = bench(3);
        let list = newest_first(1_200);
        let at: usize = overdue[1..].parse().unwrap();
        let mut pending = list[at].clone();
        pending["status"] = json!({"value": "ENROUTE"});
        bench.webhook(&pending).await;
        bench.stand_in.set_messages(list);
        let tally = bench.reconciler.round().await.unwrap();
        assert_eq!((bench.pages(), tally.is_incomplete), (pages, is_incomplete), "{why}");
        assert!(bench.stand_in.asked().iter().all(|asked| asked.query.ends_with("&pageSize=100")));
    }
    // It is not in the list at all; that ends where it is an hour older than the message.
    let bench = bench(100);
    let list = newest_first(1_200);
    let mut gone = list[250].clone();
    gone["messageId"] = "gone".into();
    gone["status"] = json!({"value": "ENROUTE"});
    bench.webhook(&gone).await;
    bench.stand_in.set_messages(list);
    let tally = bench.reconciler.round().await.unwrap();
    assert_eq!((bench.pages(), tally.looked_for, tally.is_incomplete), (4, 0, false));
}

#[tokio::test]
async fn a_period_is_fed_whether_known_or_not_and_a_second_time_changes_nothing() {
    let bench = bench(100);
    let mut list = newest_first(300);
    list.push(json!({
        "messageId": "r1", "direction": "MO", "sentDate": "2026-01-01T22:30:00Z", "from": "33612345678",
        "recipient": {"to": "36111"}, "body": {"text": "STOP", "stop": true}
    }));
    list.push(json!({"messageId": "strange", "acceptedAt": "2026-01-01T22:30:00Z"}));
    bench.stand_in.set_messages(list);
    let (since, until) = ("2026-01-01T22:00:00Z".parse().unwrap(), "2026-01-01T23:00:00Z".parse().unwrap());
    let tally = bench.reconciler.period(since, until).await.unwrap();
    assert_eq!((tally.missed["delivered"], tally.missed.get("reply")), (60, None), "replies at the end are too old");
    assert_eq!(bench.pages(), 2, "the second page is older than the period");
    let again = bench.reconciler.period(since, until).await.unwrap();
    assert_eq!((again.looked_for, again.missed()), (60, 0));
    assert_eq!(bench.counted("sms_messages_delivered_total"), 60);

    bench.stand_in.set_messages(vec![json!({
        "messageId": "r1", "direction": "MO", "sentDate": "2026-01-01T22:30:00Z", "from": "33612345678",
        "recipient": {"to": "36111"}, "body": {"text": "STOP", "stop": true}
    })]);
    assert_eq!(bench.reconciler.period(since, until).await.unwrap().missed["reply"], 1);
    assert_eq!(bench.counted("sms_replies_total"), 1);
}

#[tokio::test]
async fn transient_failures_are_retried_and_others_are_not() {
    let bench = bench(10);
    let mut pending = message("a", 1, "ENROUTE");
    pending["status"] = json!({"value": "ENROUTE"});
    bench.webhook(&pending).await;
    bench.stand_in.set_messages(vec![message("a", 1, "DELIVERED")]);
    for (fault, asked) in [(Fault::Status(401), 1), (Fault::TooMany(3600), 1)] {
        let before = bench.pages();
        bench.stand_in.always_fail(fault.clone());
        assert!(matches!(bench.reconciler.round().await, Err(RoundError::Api(_))), "{fault:?}");
        assert_eq!(bench.pages() - before, asked, "{fault:?}");
    }
    bench.stand_in.fail([Fault::TooMany(0), Fault::Half]);
    assert_eq!(bench.reconciler.round().await.unwrap().missed(), 1);
}

/// So many messages from 2026-01-02 back, ten seconds apart.
fn many_newest_first(count: i64) -> Vec<Value> {
    let newest: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    (0..count)
        .map(|at| {
            let mut message = message(&format!("m{at}"), 0, "DELIVERED");
            message["acceptedAt"] = (newest - Duration::from_secs(10 * at as u64)).to_string().into();
            message
        })
        .collect()
}

#[tokio::test]
async fn one_overdue_message_costs_few_requests_wherever_it_is_and_whether_it_is_there_or_not() {
    for (at, is_there) in [(50, true), (9_000, true), (9_000, false), (15_000, true), (15_000, false)] {
        for disorder in [false, true] {
            let bench = bench(100);
            let mut list = many_newest_first(20_000);
            let mut pending = list[at].clone();
            pending["status"] = json!({"value": "ENROUTE"});
            if !is_there {
                pending["messageId"] = "gone".into();
            }
            bench.webhook(&pending).await;
            if disorder {
                // Listed by another time than that of acceptance.
                list.chunks_mut(50).for_each(|some| some.swap(10, 11));
            }
            bench.stand_in.set_messages(list);
            let tally = bench.reconciler.round().await.unwrap();
            let what = format!("at {at}, there: {is_there}, disorder: {disorder}");
            assert_eq!((tally.looked_for, tally.is_incomplete), (u64::from(is_there), false), "{what}");
            assert!(bench.pages() <= 27, "{what}: {} requests", bench.pages());
        }
    }
}

#[tokio::test]
async fn in_a_list_without_an_order_a_round_reads_as_many_pages_as_what_it_looks_for_is_worth() {
    let bench = bench(100);
    let mut list = many_newest_first(6_000);
    fastrand::seed(7);
    fastrand::shuffle(&mut list);
    let mut gone = list[0].clone();
    gone["messageId"] = "gone".into();
    gone["status"] = json!({"value": "ENROUTE"});
    bench.webhook(&gone).await;
    bench.stand_in.set_messages(list);
    let tally = bench.reconciler.round().await.unwrap();
    assert_eq!((bench.pages(), tally.is_incomplete), (31, true));
}

#[tokio::test]
async fn the_list_of_a_message_s_channel_is_read() {
    let bench = bench(10);
    let rcs = |id: &str, status: &str| {
        let mut message = message(id, 1, status);
        message["type"] = "RCS".into();
        message
    };
    bench.webhook(&rcs("r", "ENROUTE")).await;
    bench.stand_in.set_rcs_messages(vec![rcs("r", "DELIVERED"), rcs("r2", "DELIVERED")]);
    assert_eq!(bench.reconciler.round().await.unwrap().missed(), 1);
    let paths = |bench: &Bench| bench.stand_in.asked().into_iter().map(|asked| asked.path).collect::<Vec<_>>();
    assert_eq!(paths(&bench), ["/rcs/v1/messages"], "nothing is overdue in the other list");

    let (since, until) = ("2026-01-01T12:00:00Z".parse().unwrap(), "2026-01-01T13:00:00Z".parse().unwrap());
    bench.webhook(&message("s", 2, "ENROUTE")).await;
    bench.stand_in.set_messages(vec![message("s", 2, "DELIVERED")]);
    assert_eq!(bench.reconciler.period(since, until).await.unwrap().missed["delivered"], 2);
    assert_eq!(paths(&bench)[1..], ["/sms/v1/messages", "/rcs/v1/messages"]);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_does_not_keep_the_other_from_being_read() {
    let bench = bench(10);
    let mut rcs = message("r", 1, "ENROUTE");
    rcs["type"] = "RCS".into();
    bench.webhook(&rcs).await;
    bench.webhook(&message("s", 2, "ENROUTE")).await;
    bench.stand_in.set_messages(vec![message("s", 2, "DELIVERED")]);
    // The list of RCS is asked first.
    bench.stand_in.fail([Fault::Status(403)]);
    assert!(matches!(bench.reconciler.round().await, Err(RoundError::Api(_))));
    assert_eq!(bench.counted("sms_messages_delivered_total"), 1);
}
