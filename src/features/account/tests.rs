//! What a watch shows of an account, and what it does when the provider does not do its part.

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::secret::Secret;
use crate::settings::Api;
use crate::smsmode::{API_KEY, Fault, SmsmodeApi as StandIn, channel};

fn source() -> SourceName {
    SourceName::new("smsmode").unwrap()
}

fn watch(stand_in: &StandIn, mode: ApiMode) -> Watch {
    let settings = Api {
        key: Secret::new(API_KEY.to_owned()),
        mode,
        url: stand_in.url().parse().unwrap(),
        timeout: Duration::from_secs(5),
        tls: None,
        proxy: None,
    };
    let interval = Duration::from_millis(20);
    Watch::new(source(), SmsmodeApi::new(&source(), settings), interval, Arc::new(AccountStatus::new(interval)))
}

/// Every sample as `name label,label value`.
fn shown(status: &AccountStatus, now: Timestamp) -> Vec<String> {
    let families = status.families(now);
    let line = |family: &crate::ledger::snapshot::Family, sample: &crate::ledger::snapshot::Sample| {
        let value = sample.value as f64 / family.description.scale as f64;
        assert_eq!(sample.labels.len(), family.description.labels.len(), "{}", family.description.name);
        format!("{} {} {value}", family.description.name.trim_start_matches("smscope_"), sample.labels.join(","))
    };
    families.iter().flat_map(|family| family.samples.iter().map(|sample| line(family, sample))).collect()
}

#[tokio::test]
async fn an_account_is_exported_in_the_providers_own_numbers() {
    let stand_in = StandIn::start();
    let watch = watch(&stand_in, ApiMode::Rest);
    watch.poll().await.unwrap();
    assert_eq!(
        shown(&watch.status, Timestamp::now()),
        [
            "account_balance smsmode,org-1 1250.5",
            "account_active smsmode,org-1 1",
            "account_consumption smsmode,org-1,month 300",
            "account_consumption_limit smsmode,org-1,month 5000",
            "channel_consumption smsmode,3f0c5a1e,OTP,day 12",
            "channel_consumption smsmode,3f0c5a1e,OTP,month 300.5",
            "channel_consumption_limit smsmode,3f0c5a1e,OTP,day 500",
            "channel_consumption_limit smsmode,3f0c5a1e,OTP,month 5000",
        ]
    );
}

#[tokio::test]
async fn the_legacy_credit_is_a_balance_and_all_that_there_is() {
    let stand_in = StandIn::start();
    let watch = watch(&stand_in, ApiMode::Legacy);
    watch.poll().await.unwrap();
    assert_eq!(shown(&watch.status, Timestamp::now()), ["account_balance smsmode,unknown 1250.5"]);
}

#[tokio::test]
async fn unknown_values_are_not_exported_and_no_series_is_duplicated() {
    let stand_in = StandIn::start();
    stand_in.set_organisations(vec![
        json!({"state": "BLOCKED", "balance": {"amount": -3}}),
        json!({"state": "BLOCKED", "balance": 7, "monthlyConsumption": "many"}),
    ]);
    stand_in.set_channels(vec![json!({"channelId": "a\nb", "dailyConsumption": "1,5"}), json!({"name": "no id"})]);
    let watch = watch(&stand_in, ApiMode::Rest);
    watch.poll().await.unwrap();
    assert_eq!(
        shown(&watch.status, Timestamp::now()),
        [
            "account_balance smsmode,unknown 7",
            "account_active smsmode,unknown 0",
            "channel_consumption smsmode,ab,unknown,day 1.5",
        ]
    );
}

#[tokio::test]
async fn a_hundred_channels_are_fifty() {
    let stand_in = StandIn::start();
    stand_in.set_channels((0..120).map(|at| channel(&format!("c{at}"), "many")).collect());
    let watch = watch(&stand_in, ApiMode::Rest);
    watch.poll().await.unwrap();
    let channels = shown(&watch.status, Timestamp::now());
    assert_eq!(channels.iter().filter(|line| line.starts_with("channel_consumption ")).count(), 100);
}

#[tokio::test]
async fn a_failed_half_leaves_the_other_and_old_values_are_not_exported() {
    let stand_in = StandIn::start();
    let watch = watch(&stand_in, ApiMode::Rest);
    stand_in.fail([Fault::Status(500)]);
    assert!(watch.poll().await.is_err());
    let now = Timestamp::now();
    assert!(shown(&watch.status, now).iter().all(|line| line.starts_with("channel_")));
    assert_eq!(shown(&watch.status, now).len(), 4);
    assert_eq!(shown(&watch.status, now + FRESH).len(), 4);
    assert_eq!(shown(&watch.status, now + FRESH + Duration::from_secs(2)), [""; 0]);
}

const FRESH: Duration = Duration::from_secs(3599);

#[tokio::test]
async fn polling_continues_after_any_failure_and_honors_retry_after() {
    let stand_in = StandIn::start();
    let watch = watch(&stand_in, ApiMode::Rest);
    let status = watch.status.clone();
    stand_in.fail([Fault::NotJson, Fault::Hangup, Fault::Status(401), Fault::Half]);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(Arc::new(watch).run(async { drop(stopped.await) }));
    let given_up = Instant::now() + Duration::from_secs(20);
    while shown(&status, Timestamp::now()).len() < 8 {
        assert!(Instant::now() < given_up, "{:?}", stand_in.asked());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stand_in.always_fail(Fault::TooMany(3600));
    let mut before = 0;
    // Until it has been told to wait.
    while before != stand_in.asked().len() {
        before = stand_in.asked().len();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stand_in.asked().len(), before);
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends at once").unwrap();
}
