use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::event::{Country, Event, Outcome, Reason, Receipt, Reply, ReplyKind};
use crate::record::{Kind, Record, Through};
use crate::route::{Filter, Format, RelayName, ResendRule, Route};
use crate::store::erase::{Regions, Subjects};
use crate::store::ids::ResendId;
use crate::store::resends::{ResendResult, SendDecision, SendResult, ToSend};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn rule(through: Through) -> ResendRule {
    ResendRule {
        name: RelayName::new("absent").unwrap(),
        filter: Filter { kinds: vec![Kind::Failed], reasons: vec![Reason::HandsetAbsent], ..Filter::default() },
        through: if through == Through::DryRun { Through::Api } else { through },
        is_dry_run: through == Through::DryRun,
        delay: SECOND,
        attempts: 2,
        ttl: HOUR,
        budget: 10,
    }
}

fn with(rule: ResendRule) -> Settings {
    Settings { resends: vec![rule], opt_outs: Some(Scope::Source), ..settings() }
}

/// A receipt of a message with text and refClient.
fn told(id: &str, value: &str, outcome: Outcome) -> Receipt {
    Receipt {
        text: Some("your parcel is here".into()),
        ref_client: Some("order-1042".into()),
        originator: Some("Shop".into()),
        ..receipt(id, value, outcome)
    }
}

fn absent(id: &str) -> Receipt {
    told(id, "UNDELIVERED", Outcome::Failed(Reason::HandsetAbsent))
}

fn event(receipt: Receipt) -> Event {
    Event::Receipt(Box::new(receipt))
}

struct Bench {
    opened: Option<Opened>,
    folder: TempDir,
    settings: Settings,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let folder = TempDir::new().unwrap();
        Self { opened: Some(Opened::new(&folder, settings.clone())), folder, settings }
    }

    /// Ends in whatever state it is, and opens again.
    fn restart(&mut self) {
        drop(self.opened.take());
        self.opened = Some(Opened::new(&self.folder, self.settings.clone()));
    }

    fn store(&self) -> &Store {
        self.opened.as_ref().unwrap().store()
    }

    fn count(&self, series: &str) -> i64 {
        self.opened.as_ref().unwrap().count(series)
    }

    async fn take(&self, receipt: Receipt) {
        self.opened.as_ref().unwrap().commit(vec![event(receipt)]).await.unwrap();
    }

    fn due_in(&self, wait: Duration) -> Vec<ResendId> {
        self.store().blocking().due_resends(&source(), Timestamp::now() + wait, 10).unwrap().ids
    }

    /// Begins the one that is due within the hour.
    async fn begin(&self) -> SendDecision {
        let due = self.due_in(HOUR);
        assert_eq!(due.len(), 1, "{due:?}");
        self.store().begin_resend(due[0]).await.unwrap()
    }

    /// Begins it, and has the provider answer with a message of this id.
    async fn send(&self, id: &str) {
        let due = self.due_in(HOUR);
        let SendDecision::Send(_) = self.begin().await else { panic!("it is not to be sent") };
        let answer = submission_at(Timestamp::now(), vec![event(told(id, "ENROUTE", Outcome::Enroute))]);
        self.store().end_resend(due[0], SendResult::Sent(Some(Box::new(answer)))).await.unwrap();
    }

    async fn erase(&self) {
        let store = self.store().clone();
        let regions = Regions::new([], Country::new("FR").unwrap());
        let subjects = Subjects::new(&["+33612345678".to_owned()], regions).unwrap();
        tokio::task::spawn_blocking(move || store.blocking().erase(&subjects, |_| true)).await.unwrap().unwrap();
    }

    fn records(&self) -> Vec<Record> {
        self.store().blocking().read(Position(0), 100).unwrap().into_iter().map(|entry| entry.record).collect()
    }
}

#[tokio::test]
async fn a_failure_is_answered_once_however_often_it_is_reported() {
    let mut bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    let mut again = absent("m-1");
    again.status.detail = Some("once more".into());
    bench.take(again.clone()).await;
    assert_eq!(bench.due_in(Duration::ZERO), [], "the delay has not passed");
    assert_eq!(bench.count("sms_resends_pending{absent}"), 1);

    let begun = bench.begin().await;
    let expected = ToSend {
        number: "33612345678".into(),
        text: "your parcel is here".into(),
        originator: Some("Shop".into()),
        ref_client: Some("order-1042".into()),
        trace: None,
        message_id: "m-1".into(),
    };
    assert_eq!(begun, SendDecision::Send(expected));
    // Killed here: the provider may have been asked.
    bench.restart();
    again.status.detail = Some("and again".into());
    bench.take(again).await;
    assert_eq!(bench.due_in(HOUR), []);
    assert_eq!(bench.count("sms_resends_total{absent,uncertain}"), 1);
    assert_eq!(bench.count("sms_resends_pending{absent}"), 0);

    // It had been, as its receipt shows.
    bench.take(told("m-2", "DELIVERED", Outcome::Delivered)).await;
    assert_eq!(bench.count("sms_resend_outcomes_total{absent,recovered}"), 1);
    assert_eq!(bench.records().last().unwrap().replaces.as_deref(), Some("m-1"));
}

#[tokio::test]
async fn a_chain_is_as_long_as_the_rule_says_and_each_of_it_names_the_one_before() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    bench.send("m-2").await;
    bench.take(absent("m-2")).await;
    bench.send("m-3").await;
    bench.take(absent("m-3")).await;
    assert_eq!(bench.due_in(HOUR), []);
    let chain: Vec<(Kind, Option<String>, Option<u32>)> = bench
        .records()
        .into_iter()
        .map(|one| (one.kind, one.replaces, one.resend.map(|resend| resend.attempt)))
        .collect();
    let of = |id: &str| Some(id.to_owned());
    assert_eq!(
        chain,
        [
            (Kind::Failed, None, None),
            (Kind::Resend, None, Some(1)),
            (Kind::Enroute, of("m-1"), None),
            (Kind::Failed, of("m-1"), None),
            (Kind::Resend, of("m-1"), Some(2)),
            (Kind::Enroute, of("m-2"), None),
            (Kind::Failed, of("m-2"), None),
        ]
    );
    assert_eq!(bench.count("sms_resends_total{absent,sent}"), 2);
    assert_eq!(bench.count("sms_resend_outcomes_total{absent,lost}"), 1);
    assert_eq!(bench.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 3);
    // A receipt that is late may still turn it.
    bench.take(told("m-3", "DELIVERED", Outcome::Delivered)).await;
    assert_eq!(bench.count("sms_resend_outcomes_total{absent,recovered}"), 1);
}

#[tokio::test]
async fn the_answer_and_the_receipt_may_come_in_any_order() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    let due = bench.due_in(HOUR);
    bench.begin().await;
    bench.take(told("m-2", "ENROUTE", Outcome::Enroute)).await;
    let answer = submission_at(Timestamp::now(), vec![event(told("m-2", "ENROUTE", Outcome::Enroute))]);
    bench.store().end_resend(due[0], SendResult::Sent(Some(Box::new(answer)))).await.unwrap();
    bench.take(told("m-2", "DELIVERED", Outcome::Delivered)).await;
    assert_eq!(bench.count("sms_messages_total{smsmode,SMS,OTP,FR}"), 2);
    assert_eq!(bench.count("sms_resends_total{absent,sent}"), 1);
    assert_eq!(bench.count("sms_resend_outcomes_total{absent,recovered}"), 1);
    // One of somebody else's to the same person stands for nothing.
    bench.take(Receipt { ref_client: Some("other".into()), ..told("m-9", "DELIVERED", Outcome::Delivered) }).await;
    assert_eq!(bench.records().last().unwrap().replaces, None);
}

#[tokio::test]
async fn what_is_not_to_be_sent_says_why_and_is_lost_or_needless() {
    for (prepare, rule, result, is_lost) in [
        ("delivered", rule(Through::Api), "cancelled", false),
        ("stop", rule(Through::Api), "opted_out", true),
        ("no text", rule(Through::Api), "no_text", true),
        ("erased", rule(Through::Api), "erased", true),
        ("", ResendRule { ttl: Duration::from_millis(1), ..rule(Through::Api) }, "too_late", true),
        ("", ResendRule { budget: 0, ..rule(Through::Api) }, "over_budget", true),
        ("", rule(Through::DryRun), "dry_run", false),
        ("no text", rule(Through::Relay), "requested", false),
    ] {
        let bench = Bench::new(with(rule));
        let text = (prepare != "no text").then(|| "your parcel is here".to_owned());
        bench.take(Receipt { text, ..absent("m-1") }).await;
        match prepare {
            "delivered" => bench.take(told("m-1", "DELIVERED", Outcome::Delivered)).await,
            "stop" => {
                let stop = Event::Reply(Box::new(Reply { kind: ReplyKind::Stop, ..reply("r-1") }));
                bench.store().commit(submission_at(Timestamp::now(), vec![stop])).await.map(drop).unwrap();
            }
            "erased" => bench.erase().await,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        let begun = bench.begin().await;
        assert_eq!(
            begun,
            SendDecision::Ended(ResendResult::ALL.into_iter().find(|one| one.as_str() == result).unwrap())
        );
        assert_eq!(bench.count(&format!("sms_resends_total{{absent,{result}}}")), 1, "{result}");
        assert_eq!(bench.count("sms_resend_outcomes_total{absent,lost}"), i64::from(is_lost), "{result}");
        assert_eq!(bench.count("sms_resends_pending{absent}"), 0);
        assert_eq!(bench.due_in(HOUR), []);
    }
}

#[tokio::test]
async fn an_erasure_leaves_nothing_of_the_person_in_what_was_asked_for() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    bench.begin().await;
    bench.erase().await;
    for record in bench.records() {
        let kept = (record.erased, record.number, record.text, record.ref_client, record.resend.is_some());
        assert_eq!(kept, (true, None, None, None, record.kind == Kind::Resend), "{:?}", record.kind);
    }
    let expects: Vec<Option<i64>> = column(bench.folder.path(), "SELECT expects FROM resends");
    assert_eq!(expects, [None]);
}

#[tokio::test]
async fn what_has_arrived_by_an_earlier_message_of_the_chain_is_not_sent_again() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    bench.send("m-2").await;
    bench.take(told("m-1", "DELIVERED", Outcome::Delivered)).await;
    bench.take(absent("m-2")).await;
    assert_eq!(bench.begin().await, SendDecision::Ended(ResendResult::Cancelled));
}

#[tokio::test]
async fn the_useful_life_begins_with_the_first_receipt_where_none_has_a_time() {
    let bench = Bench::new(with(rule(Through::Api)));
    let long_ago = Timestamp::now() - 2 * HOUR;
    let first = submission_at(long_ago, vec![event(told("m-1", "ENROUTE", Outcome::Enroute))]);
    bench.store().commit(first).await.unwrap();
    bench.take(absent("m-1")).await;
    assert_eq!(bench.begin().await, SendDecision::Ended(ResendResult::TooLate));
}

#[tokio::test]
async fn what_is_sent_a_day_later_with_the_same_ref_client_stands_for_nothing() {
    let bench = Bench::new(with(rule(Through::Relay)));
    bench.take(absent("m-1")).await;
    bench.begin().await;
    let tomorrow = submission_at(Timestamp::now() + 24 * HOUR, vec![event(told("m-9", "ENROUTE", Outcome::Enroute))]);
    bench.store().commit(tomorrow).await.unwrap();
    assert_eq!(bench.records().last().unwrap().replaces, None);
}

#[tokio::test]
async fn what_waits_for_a_source_that_the_rule_has_no_more_is_needless() {
    let mut bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    bench.settings.resends[0].filter.sources = vec![SourceName::new("other").unwrap()];
    bench.restart();
    assert_eq!(bench.count("sms_resends_total{absent,cancelled}"), 1);
    assert_eq!(bench.count("sms_resends_pending{absent}"), 0);
}

#[tokio::test]
async fn the_text_may_be_that_of_an_earlier_receipt() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(told("m-1", "ENROUTE", Outcome::Enroute)).await;
    bench.take(Receipt { text: None, ..absent("m-1") }).await;
    let SendDecision::Send(to_send) = bench.begin().await else { panic!("it is not to be sent") };
    assert_eq!(to_send.text, "your parcel is here");
}

#[tokio::test]
async fn a_budget_is_of_the_last_hour_and_what_was_not_sent_takes_nothing_of_it() {
    let bench = Bench::new(with(ResendRule { budget: 1, ..rule(Through::Api) }));
    for id in ["m-1", "m-2", "m-3"] {
        bench.take(Receipt { ref_client: Some(id.into()), ..absent(id) }).await;
    }
    let due = bench.due_in(HOUR);
    let begin = |at: usize| bench.store().begin_resend(due[at]);
    assert!(matches!(begin(0).await, Ok(SendDecision::Send(_))));
    bench.store().end_resend(due[0], SendResult::Rejected).await.unwrap();
    assert!(matches!(begin(1).await, Ok(SendDecision::Send(_))));
    assert_eq!(begin(2).await, Ok(SendDecision::Ended(ResendResult::OverBudget)));
}

#[tokio::test]
async fn what_the_provider_puts_off_waits_again_within_its_useful_life() {
    let bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    let due = bench.due_in(HOUR);
    for (wait, pending) in [(HOUR / 2, 1), (2 * HOUR, 0)] {
        assert!(matches!(bench.store().begin_resend(due[0]).await, Ok(SendDecision::Send(_))));
        bench.store().end_resend(due[0], SendResult::Again(Timestamp::now() + wait)).await.unwrap();
        assert_eq!(bench.count("sms_resends_pending{absent}"), pending);
    }
    assert_eq!(bench.count("sms_resends_total{absent,too_late}"), 1);
    let asked = bench.records().iter().filter(|record| record.kind == Kind::Resend).count();
    assert_eq!(asked, 1, "it is told of once");
}

#[tokio::test]
async fn who_sends_by_a_relay_is_told_with_all_that_is_needed_and_nobody_else_is() {
    let route = |name: &str, kinds: Vec<Kind>| Route {
        relay: RelayName::new(name).unwrap(),
        format: Format::CloudEvents,
        filter: Filter { kinds, ..Filter::default() },
        is_fallback: false,
        max_age: HOUR,
    };
    let relays = vec![route("sender", vec![Kind::Resend]), route("audit", vec![])];
    let bench = Bench::new(Settings { relays, ..with(rule(Through::Relay)) });
    bench.take(absent("m-1")).await;
    bench.begin().await;
    let due = |relay: &str| {
        let due = bench
            .store()
            .blocking()
            .due(&RelayName::new(relay).unwrap(), Timestamp::now() + SECOND, &[], 10)
            .unwrap()
            .deliveries;
        due.into_iter().map(|delivery| delivery.entry.record).collect::<Vec<_>>()
    };
    let [request] = <[Record; 1]>::try_from(due("sender")).unwrap();
    assert_eq!(request.text.as_deref(), Some("your parcel is here"));
    assert_eq!(request.resend.map(|resend| (resend.attempt, resend.attempts)), Some((1, 2)));
    assert_eq!(due("audit").into_iter().map(|record| record.kind).collect::<Vec<_>>(), [Kind::Failed]);
    // The team's own message has the same refClient.
    bench.take(Receipt { text: Some("shorter".into()), ..told("m-2", "DELIVERED", Outcome::Delivered) }).await;
    assert_eq!(bench.count("sms_resend_outcomes_total{absent,recovered}"), 1);
}

#[tokio::test]
async fn what_waits_for_a_rule_that_is_gone_is_needless() {
    let mut bench = Bench::new(with(rule(Through::Api)));
    bench.take(absent("m-1")).await;
    bench.settings.resends.clear();
    bench.restart();
    assert_eq!(bench.due_in(HOUR), []);
    bench.settings.resends.push(rule(Through::Api));
    bench.restart();
    assert_eq!(bench.count("sms_resends_total{absent,cancelled}"), 1);
    assert_eq!(bench.count("sms_resends_pending{absent}"), 0);
}
