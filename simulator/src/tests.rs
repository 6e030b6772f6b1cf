//! The plan as a whole: it repeats itself, it looks like life, and each scenario shows what it is named for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::clock::Clock;
use super::content::Flow;
use super::message::{Message, Payload, Receipt, ReplyBody};
use super::plan::{Plan, Settings};
use super::scenario::{SPIKE, Scenario};
use super::status::{Channel, Dialect, Meaning, Status, all_failures};
use super::wire;

fn settings() -> Settings {
    Settings {
        seed: 1,
        scenario: Scenario::Steady,
        rate: 100.0,
        duration: Duration::from_secs(60),
        compression: 600.0,
        legacy: 0.1,
        start: Timestamp::from_second(1_767_225_600).unwrap(),
        keywords: Settings::usual_keywords(),
        channel_ids: Settings::any_channel(),
    }
}

fn large() -> Settings {
    Settings { rate: 5_000.0, duration: Duration::from_secs(40), ..settings() }
}

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap()
}

/// The reasons that the tables of failures have.
fn all_reasons() -> BTreeSet<&'static str> {
    all_failures()
        .map(|failure| match failure.status.meaning {
            Meaning::Failed(reason) => reason,
            other => panic!("{other:?} is no failure"),
        })
        .collect()
}

/// Every webhook with its times, as one text.
fn written(settings: Settings) -> String {
    let clock = Clock::new(&settings, paris());
    let plan = Plan::new(settings);
    let mut text = String::new();
    for message in plan.messages() {
        for step in &message.steps {
            let arrivals = plan.arrivals(&message, step);
            text.push_str(&format!("{arrivals:?} {:?}\n", wire::request(&message, step, &clock)));
        }
    }
    text
}

fn final_meaning(message: &Message) -> Option<Meaning> {
    message.steps.iter().rev().find_map(|step| match &step.payload {
        Payload::Receipt(Receipt { status, .. }) if status.meaning.outcome() != "unknown" => Some(status.meaning),
        _ => None,
    })
}

fn is_failed(message: &Message) -> bool {
    matches!(final_meaning(message), Some(Meaning::Failed(_)))
}

fn share<'a>(messages: impl Iterator<Item = &'a Message>, is: impl Fn(&Message) -> bool) -> f64 {
    let (count, hits) = messages.fold((0, 0), |(count, hits), m| (count + 1, hits + usize::from(is(m))));
    hits as f64 / f64::from(count.max(1))
}

fn statuses(message: &Message) -> impl Iterator<Item = &super::status::Status> {
    message.steps.iter().filter_map(|step| match &step.payload {
        Payload::Receipt(Receipt { status, .. }) => Some(status),
        Payload::Reply(_) => None,
    })
}

#[test]
fn the_same_settings_give_the_same_bytes_and_others_give_other_ones() {
    let first = written(settings());
    assert_eq!(first, written(settings()));
    assert!(first.lines().count() > 6_000);
    assert_ne!(first, written(Settings { seed: 2, ..settings() }));
}

#[test]
fn other_settings_give_other_ids_so_that_two_runs_never_contradict_each_other() {
    let ids = |settings| Plan::new(settings).messages().map(|message| message.id).collect::<HashSet<_>>();
    let first = ids(settings());
    let start = Timestamp::from_second(1_767_225_601).unwrap();
    for other in [
        Settings { seed: 2, ..settings() },
        Settings { scenario: Scenario::Storm, ..settings() },
        Settings { rate: 99.0, ..settings() },
        Settings { compression: 60.0, ..settings() },
        Settings { legacy: 0.2, ..settings() },
        Settings { start, ..settings() },
    ] {
        assert!(first.is_disjoint(&ids(other)));
    }
}

#[test]
fn no_two_messages_share_a_key_and_no_two_receipts_of_one_are_the_same() {
    let mut keys = HashSet::new();
    for message in Plan::new(large()).messages() {
        let part = if message.dialect == Dialect::Legacy { message.recipient.clone() } else { String::new() };
        let distinct: HashSet<_> = statuses(&message).map(|status| (status.value, status.detail)).collect();
        assert_eq!(distinct.len(), statuses(&message).count(), "{message:?}");
        assert!(keys.insert((message.id, part)));
    }
}

#[test]
fn an_ordinary_day_has_a_few_per_cent_of_failures_for_every_reason_in_both_dialects() {
    let messages: Vec<Message> = Plan::new(large()).messages().collect();
    let failed = share(messages.iter(), is_failed);
    assert!((0.035..0.046).contains(&failed), "{failed}");
    let legacy = share(messages.iter(), |message| message.dialect == Dialect::Legacy);
    assert!((0.09..0.11).contains(&legacy), "{legacy}");
    let pending = share(messages.iter(), |message| matches!(final_meaning(message), Some(Meaning::Enroute)));
    assert!((0.005..0.02).contains(&pending), "{pending}");

    let mut reasons = BTreeSet::new();
    let mut codes = BTreeMap::new();
    for message in &messages {
        for status in statuses(message) {
            *codes.entry((message.dialect == Dialect::Legacy, status.value)).or_insert(0) += 1;
            if let Meaning::Failed(reason) = status.meaning {
                reasons.insert(reason);
            }
        }
    }
    assert_eq!(reasons, all_reasons());
    assert_eq!(codes.keys().filter(|(legacy, _)| *legacy).count(), 41, "{codes:?}");
    assert_eq!(codes.keys().filter(|(legacy, _)| !*legacy).count(), 7, "{codes:?}");
    assert!(codes.len() <= 50, "a store keeps 50 status values apart");
}

#[test]
fn delivery_takes_seconds_with_a_long_tail() {
    let messages: Vec<Message> = Plan::new(large()).messages().collect();
    let mut took: Vec<f64> = messages
        .iter()
        .flat_map(|message| &message.steps)
        .filter(|step| matches!(&step.payload, Payload::Receipt(Receipt { status, .. }) if status.meaning == Meaning::Delivered))
        .map(|step| step.happens)
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |quantile: f64| took[(took.len() as f64 * quantile) as usize];
    assert!((2.0..7.0).contains(&at(0.5)), "{}", at(0.5));
    assert!(at(0.99) > 600.0, "{}", at(0.99));
    assert!(took[took.len() - 1] <= 7.0 * 3_600.0);
}

#[test]
fn everything_that_life_brings_occurs() {
    let messages: Vec<Message> = Plan::new(large()).messages().collect();
    let steps = || messages.iter().flat_map(|message| message.steps.iter().map(move |step| (message, step)));
    let some = |what: &str, is: &dyn Fn(&Message) -> bool| assert!(messages.iter().any(is), "{what}");
    for country in super::market::MARKETS {
        some(country.country, &|message| message.market.country == country.country);
    }
    for channel in [Channel::Sms, Channel::Rcs, Channel::Whatsapp] {
        some(channel.into_str(), &|message| message.channel == channel);
    }
    for flow in [Flow::Otp, Flow::Transactional, Flow::Marketing] {
        some(flow.into_str(), &|message| message.flow == flow);
    }
    some("several parts", &|message| message.content.parts > 1);
    some("a campaign", &|message| message.campaign.is_some());
    some("a trace", &|message| message.trace.is_some());
    some("read after delivered", &|message| final_meaning(message) == Some(Meaning::Read));
    some("scheduled", &|message| statuses(message).any(|status| status.meaning == Meaning::Scheduled));
    some("undocumented", &|message| statuses(message).any(|status| status.meaning == Meaning::Unknown));
    some("failed and then delivered", &|message| {
        let failed = statuses(message).position(|status| matches!(status.meaning, Meaning::Failed(_)));
        failed.is_some_and(|at| statuses(message).skip(at).any(|status| status.meaning == Meaning::Delivered))
    });
    some("out of order", &|message| message.steps.windows(2).any(|pair| pair[0].arrives > pair[1].arrives));
    assert!(steps().any(|(_, step)| step.arrives - step.happens > 3_600.0), "hours late");
    assert!(steps().any(|(_, step)| step.copies.len() == 2), "sent three times");

    let mut kinds = BTreeMap::new();
    for (message, step) in steps() {
        if let Payload::Reply(reply) = &step.payload {
            let kind = match reply.body {
                ReplyBody::Text(_) => "text",
                ReplyBody::FlaggedStop(_) => "flag",
                ReplyBody::Keyword(_) => "keyword",
                ReplyBody::Suggestion => "suggestion",
                ReplyBody::Location => "location",
                ReplyBody::File => "file",
            };
            *kinds.entry((message.dialect == Dialect::Legacy, kind)).or_insert(0) += 1;
        }
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn nothing_is_reported_before_it_happens_and_durations_are_real() {
    for compression in [1.0, 600.0, 50_000.0] {
        let settings = Settings { compression, ..settings() };
        let (start, clock) = (settings.start, Clock::new(&settings, paris()));
        let plan = Plan::new(settings);
        for message in plan.messages() {
            for step in &message.steps {
                let arrives = start.checked_add(plan.arrivals(&message, step)[0]).unwrap();
                let happens = clock.at(&message, step.happens);
                assert!(happens <= arrives, "{happens} {arrives}");
                let since_sent = happens.duration_since(clock.at(&message, 0.0)).as_secs_f64();
                assert!((since_sent - step.happens).abs() < 0.001, "{since_sent} {}", step.happens);
            }
        }
    }
}

#[test]
fn in_a_spike_one_network_fails_in_the_middle_third() {
    let settings = Settings { scenario: Scenario::Spike, ..large() };
    let duration = settings.duration;
    let messages: Vec<Message> = Plan::new(settings).messages().collect();
    let hit = |message: &&Message| (message.market.country, message.network.mccmnc) == SPIKE;
    let in_middle = |message: &&Message| (duration / 3..duration * 2 / 3).contains(&message.accepted_at);
    let failing = share(messages.iter().filter(hit).filter(in_middle), is_failed);
    assert!(failing > 0.8, "{failing}");
    let before_and_after = share(messages.iter().filter(hit).filter(|m| !in_middle(m)), is_failed);
    let others = share(messages.iter().filter(|m| !hit(m)), is_failed);
    assert!(before_and_after < 0.06 && others < 0.06, "{before_and_after} {others}");
    let reasons: BTreeSet<&str> = messages
        .iter()
        .filter(|message| hit(message) && in_middle(message) && message.dialect == Dialect::Legacy)
        .flat_map(statuses)
        .filter_map(|status| match status.meaning {
            Meaning::Failed(reason) => Some(reason),
            _ => None,
        })
        .collect();
    assert!(reasons.contains("network") && reasons.contains("handset_absent"), "{reasons:?}");
    let of_the_account = |status: &Status| matches!(status.meaning, Meaning::Failed("credit" | "limit"));
    assert!(!messages.iter().flat_map(statuses).any(of_the_account), "they have alerts of their own");
}

#[test]
fn in_an_outage_nothing_arrives_in_the_middle_third_and_much_at_its_end() {
    let settings = Settings { scenario: Scenario::Outage, ..settings() };
    let duration = settings.duration;
    let plan = Plan::new(settings);
    let arrivals: Vec<Duration> = plan
        .messages()
        .flat_map(|message| message.steps.iter().flat_map(|step| plan.arrivals(&message, step)).collect::<Vec<_>>())
        .collect();
    let within = |from: Duration, to: Duration| arrivals.iter().filter(|at| (from..to).contains(*at)).count();
    assert_eq!(within(duration / 3, duration * 2 / 3), 0);
    let end = duration * 2 / 3;
    assert!(within(end, end + Duration::from_millis(1)) > arrivals.len() / 5);
}

#[test]
fn the_filter_rejects_marketing_only() {
    let messages: Vec<Message> =
        Plan::new(Settings { scenario: Scenario::Filtered, ..settings() }).messages().collect();
    let spam = |message: &Message| final_meaning(message) == Some(Meaning::Failed("spam_filtered"));
    let marketing = |message: &&Message| message.flow == Flow::Marketing;
    assert!(share(messages.iter().filter(marketing), spam) > 0.6);
    assert!(share(messages.iter().filter(|m| !marketing(m)), spam) < 0.02);
}

#[test]
fn without_credit_everything_fails_from_the_middle_on_and_costs_nothing() {
    let settings = Settings { scenario: Scenario::CreditExhausted, ..settings() };
    let half = settings.duration / 2;
    let messages: Vec<Message> = Plan::new(settings).messages().collect();
    let credit = |message: &Message| final_meaning(message) == Some(Meaning::Failed("credit"));
    assert!(messages.iter().filter(|m| m.accepted_at >= half).all(|m| credit(m) && m.price.is_none()));
    assert!(share(messages.iter().filter(|m| m.accepted_at < half), credit) < 0.02);
}

#[test]
fn in_a_storm_everything_comes_many_times() {
    let plan = Plan::new(Settings { scenario: Scenario::Storm, ..settings() });
    for message in plan.messages() {
        for step in &message.steps {
            assert!((6..=13).contains(&plan.arrivals(&message, step).len()));
        }
    }
}
