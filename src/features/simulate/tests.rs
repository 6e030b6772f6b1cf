//! The traffic of the simulator against what the sidecar knows: both were written from the same documents, apart from each other.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use smscope_simulator::clock::Clock;
use smscope_simulator::dice::{Dice, Stream};
use smscope_simulator::market::MARKETS;
use smscope_simulator::message::{Payload, Receipt};
use smscope_simulator::plan::{Plan, Settings};
use smscope_simulator::scenario::Scenario;
use smscope_simulator::status::{Meaning, all_failures};
use smscope_simulator::wire;

use crate::event::{Country, Event, Reason};
use crate::number;
use crate::provider::{DEFAULT_STOP_KEYWORDS, DecodeContext, Webhook, default_provider};

#[test]
fn the_sidecar_reads_every_webhook_as_what_it_was_meant_to_be() {
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let keywords: Vec<String> = DEFAULT_STOP_KEYWORDS.iter().map(|word| word.to_string()).collect();
    let context = DecodeContext {
        zone: &zone,
        region: Country::new("FR").unwrap(),
        stop_keywords: &keywords,
        start_keywords: &[],
    };
    let settings = Settings {
        seed: 1,
        scenario: Scenario::Steady,
        rate: 100.0,
        duration: Duration::from_secs(60),
        compression: 600.0,
        legacy: 0.5,
        start: Timestamp::from_second(1_767_225_600).unwrap(),
        keywords: Settings::usual_keywords(),
        channel_ids: Settings::any_channel(),
    };
    let clock = Clock::new(&settings, zone.clone());
    for message in Plan::new(settings).messages() {
        for step in &message.steps {
            let request = wire::request(&message, step, &clock);
            let query = request.query.unwrap_or_default();
            let query: Vec<&str> = query.split('&').filter(|part| !part.starts_with("traceparent=")).collect();
            let query = query.join("&");
            let body = request.body.unwrap_or_default();
            let webhook = Webhook { query: &query, content_type: None, body: body.as_bytes() };
            let events = default_provider().decode(&context, &webhook).events;
            match (&events[..], &step.payload) {
                ([Event::Receipt(receipt)], Payload::Receipt(Receipt { status, .. })) => {
                    assert_eq!(receipt.status.outcome.label(), status.meaning.outcome());
                    let number = receipt.number.as_deref().unwrap_or_default();
                    assert_eq!(number.trim_start_matches('+'), message.recipient);
                    assert_eq!(receipt.country.as_ref().map(|c| c.as_str()), Some(message.market.country));
                    assert!(receipt.status.time.is_some());
                }
                ([Event::Reply(read)], Payload::Reply(reply)) => {
                    assert_eq!(read.kind.as_str(), reply.body.kind());
                    let number = read.number.as_deref().unwrap_or_default();
                    assert_eq!(number.trim_start_matches('+'), message.recipient);
                    assert!(read.time.is_some());
                }
                (events, payload) => panic!("{payload:?} was read as {events:?}"),
            }
        }
    }
}

#[test]
fn every_reason_of_the_contract_is_reached_and_no_other() {
    let reached: BTreeSet<&str> = all_failures()
        .map(|failure| match failure.status.meaning {
            Meaning::Failed(reason) => reason,
            other => panic!("{other:?} is no failure"),
        })
        .collect();
    assert_eq!(reached, Reason::ALL.iter().map(|reason| reason.as_str()).collect());
}

#[test]
fn every_number_has_its_country_and_is_a_full_one() {
    let region = Country::new("FR").unwrap();
    for market in MARKETS {
        for message in 0..200 {
            let number = market.number(&mut Dice::new(1, Stream::Contents, message), message);
            for written in [number.clone(), format!("+{number}")] {
                let country = number::read(&written, region).country;
                assert_eq!(country.as_ref().map(Country::as_str), Some(market.country), "{written}");
                assert!(number::is_full(&written), "{written}");
            }
        }
    }
}

#[test]
fn every_network_is_of_its_country() {
    for market in MARKETS {
        for network in market.networks {
            let country = number::mcc::country(network.mccmnc);
            assert_eq!(country.as_ref().map(Country::as_str), Some(market.country), "{network:?}");
            assert_eq!(number::networks::operator(network.mccmnc), Some(network.name), "as smscope names it");
        }
    }
    let networks = MARKETS.iter().map(|market| market.networks.len()).sum::<usize>();
    assert!(networks < 50, "{networks}: a store keeps 50 apart");
}
