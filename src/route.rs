//! Which relays accept an event, and which failures are resent: pure, and decided once, in the transaction that stores the event.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::event::{Reason, SourceName};
use crate::provider::fold_keyword;
use crate::record::{Kind, Record, Through};

/// The name of a relay: 1 to 32 of `a-z 0-9 - _`, a label of its metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayName(Arc<str>);

impl RelayName {
    /// `None` when `name` is empty, longer than 32 bytes or has other characters than `a-z 0-9 - _`.
    pub fn new(name: &str) -> Option<Self> {
        SourceName::new(name).map(|name| Self(name.as_str().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The format of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Format {
    /// CloudEvents 1.0, structured JSON.
    CloudEvents,
    /// The request as it arrived, once for all events in it.
    Raw,
}

/// Which events a relay accepts, and how long a delivery is retried.
#[derive(Clone, Debug)]
pub struct Route {
    pub relay: RelayName,
    pub format: Format,
    pub filter: Filter,
    /// Accepts only events that no route with keywords or a pattern accepts.
    pub is_fallback: bool,
    /// How long a delivery is retried.
    pub max_age: Duration,
}

/// Which failed messages are resent, and within what limits.
#[derive(Clone, Debug)]
pub struct ResendRule {
    /// A label of its metrics, of the form of a [`RelayName`].
    pub name: RelayName,
    pub filter: Filter,
    /// What sends, unless it is a dry run: smscope or a relay.
    pub through: Through,
    pub is_dry_run: bool,
    /// From the failure to the next message.
    pub delay: Duration,
    /// Messages at most that replace the first one, one after the other.
    pub attempts: u32,
    /// From when the first message was sent (else accepted, else seen): nothing is sent for it later.
    pub ttl: Duration,
    /// Messages at most within any hour.
    pub budget: u32,
}

impl ResendRule {
    /// What sends in effect: nothing, in a dry run.
    pub fn acts_through(&self) -> Through {
        if self.is_dry_run { Through::DryRun } else { self.through }
    }
}

/// The first rule that matches this failure.
pub fn resend_rule<'a>(rules: &'a [ResendRule], record: &Record) -> Option<&'a ResendRule> {
    rules.iter().find(|rule| rule.filter.takes(record))
}

/// The events that match. An empty list matches all, except `resend.requested`, which has to be named.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kinds: Vec<Kind>,
    pub reasons: Vec<Reason>,
    pub sources: Vec<SourceName>,
    /// These three in any case.
    pub channels: Vec<String>,
    pub flows: Vec<String>,
    pub countries: Vec<String>,
    pub campaigns: Vec<String>,
    /// As [`fold_keyword`] writes them; the text has to begin with one as a word.
    pub keywords: Vec<String>,
    /// Found anywhere in the text.
    pub pattern: Option<Regex>,
}

impl Filter {
    /// Whether it matches the text, so that it has precedence over a fallback.
    pub fn reads_text(&self) -> bool {
        !self.keywords.is_empty() || self.pattern.is_some()
    }

    /// Whether it accepts events of a source.
    pub fn takes_source(&self, source: &SourceName) -> bool {
        self.sources.is_empty() || self.sources.contains(source)
    }

    fn takes(&self, record: &Record) -> bool {
        let in_any_case = |wanted: &[String], value: &Option<String>| {
            let is_it = |value: &String| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value));
            wanted.is_empty() || value.as_ref().is_some_and(is_it)
        };
        let by_default = self.kinds.is_empty() && record.kind != Kind::Resend;
        (by_default || self.kinds.contains(&record.kind))
            && (self.reasons.is_empty() || record.reason.is_some_and(|reason| self.reasons.contains(&reason)))
            && self.takes_source(&record.source)
            && in_any_case(&self.channels, &record.channel)
            && in_any_case(&self.flows, &record.flow)
            && in_any_case(&self.countries, &record.country)
            && (self.campaigns.is_empty() || record.campaign_id.as_ref().is_some_and(|id| self.campaigns.contains(id)))
            && self.takes_text(record.text.as_deref())
    }

    fn takes_text(&self, text: Option<&str>) -> bool {
        if !self.reads_text() {
            return true;
        }
        let Some(text) = text else { return false };
        let folded = fold_keyword(text);
        let begins = |keyword: &String| {
            folded.strip_prefix(keyword.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let by_pattern = || self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
        (self.keywords.is_empty() || self.keywords.iter().any(begins)) && by_pattern()
    }
}

/// The routes that accept an event; a fallback only if none that reads the text does.
pub fn chosen<'a>(routes: &'a [Route], record: &Record) -> Vec<&'a Route> {
    let mut chosen: Vec<&Route> = routes.iter().filter(|route| route.filter.takes(record)).collect();
    if chosen.iter().any(|route| route.filter.reads_text()) {
        chosen.retain(|route| !route.is_fallback);
    }
    chosen
}

/// Which messages an opt-out covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OptOutScope {
    /// All messages of the source to the number. A STOP is written to a short code, which is no message's sender where that is a name.
    #[default]
    Source,
    /// Messages whose sender is the one that the STOP was written to.
    Sender,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, filter: Filter) -> Route {
        Route {
            relay: RelayName::new(name).unwrap(),
            format: Format::CloudEvents,
            filter,
            is_fallback: false,
            max_age: Duration::from_secs(60),
        }
    }

    fn record(kind: Kind) -> Record {
        Record {
            channel: Some("SMS".into()),
            flow: Some("OTP".into()),
            country: Some("FR".into()),
            campaign_id: Some("spring".into()),
            reason: (kind == Kind::Failed).then_some(Reason::Network),
            text: Some("Oui, merci".into()),
            ..Record::new(kind, SourceName::new("smsmode").unwrap())
        }
    }

    #[test]
    fn each_part_of_a_filter_matches_its_values_and_nothing_else() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let none = Filter::default;
        let source = |name: &str| vec![SourceName::new(name).unwrap()];
        for (filter, takes) in [
            (none(), true),
            (Filter { kinds: vec![Kind::Failed, Kind::Expired], ..none() }, true),
            (Filter { kinds: vec![Kind::Stop], ..none() }, false),
            (Filter { reasons: vec![Reason::Network], ..none() }, true),
            (Filter { reasons: vec![Reason::Credit], ..none() }, false),
            (Filter { sources: source("smsmode"), ..none() }, true),
            (Filter { sources: source("other"), ..none() }, false),
            (Filter { channels: words(&["rcs", "sms"]), ..none() }, true),
            (Filter { channels: words(&["RCS"]), ..none() }, false),
            (Filter { flows: words(&["otp"]), ..none() }, true),
            (Filter { flows: words(&["MARKETING"]), ..none() }, false),
            (Filter { countries: words(&["FR"]), ..none() }, true),
            (Filter { countries: words(&["BE"]), ..none() }, false),
            (Filter { campaigns: words(&["spring"]), ..none() }, true),
            (Filter { campaigns: words(&["Spring"]), ..none() }, false),
            (Filter { keywords: words(&["OUI"]), ..none() }, true),
            (Filter { keywords: words(&["OU"]), ..none() }, false),
            (Filter { pattern: Some(Regex::new("merci$").unwrap()), ..none() }, true),
            (Filter { pattern: Some(Regex::new("^merci").unwrap()), ..none() }, false),
            (Filter { kinds: vec![Kind::Failed], reasons: vec![Reason::Credit], ..none() }, false),
        ] {
            assert_eq!(filter.takes(&record(Kind::Failed)), takes, "{filter:?}");
        }
    }

    #[test]
    fn a_resend_request_matches_only_filters_that_name_it() {
        for (kinds, takes) in [(vec![], false), (vec![Kind::Failed], false), (vec![Kind::Failed, Kind::Resend], true)] {
            assert_eq!(Filter { kinds, ..Filter::default() }.takes(&record(Kind::Resend)), takes);
        }
    }

    #[test]
    fn the_first_rule_that_matches_a_failure_applies() {
        let rule = |name: &str, reasons: &[Reason]| ResendRule {
            name: RelayName::new(name).unwrap(),
            filter: Filter { kinds: vec![Kind::Failed], reasons: reasons.to_vec(), ..Filter::default() },
            through: Through::Api,
            is_dry_run: false,
            delay: Duration::ZERO,
            attempts: 1,
            ttl: Duration::from_secs(60),
            budget: 1,
        };
        let rules = [
            rule("absent", &[Reason::HandsetAbsent]),
            rule("network", &[Reason::Network]),
            rule("rest", &[Reason::Network]),
        ];
        let chosen = |record: &Record| resend_rule(&rules, record).map(|rule| rule.name.as_str().to_owned());
        assert_eq!(chosen(&record(Kind::Failed)).as_deref(), Some("network"));
        assert_eq!(chosen(&Record { reason: Some(Reason::Credit), ..record(Kind::Failed) }), None);
        assert_eq!(chosen(&record(Kind::Delivered)), None);
    }

    #[test]
    fn a_filter_of_what_an_event_does_not_have_does_not_take_it() {
        let bare = Record::new(Kind::Unrecognized, SourceName::new("smsmode").unwrap());
        for filter in [
            Filter { countries: vec!["FR".into()], ..Filter::default() },
            Filter { reasons: vec![Reason::Unknown], ..Filter::default() },
            Filter { keywords: vec!["YES".into()], ..Filter::default() },
            Filter { pattern: Some(Regex::new("").unwrap()), ..Filter::default() },
        ] {
            assert!(!filter.takes(&bare), "{filter:?}");
        }
    }

    #[test]
    fn a_fallback_accepts_what_no_keyword_and_no_pattern_matches() {
        let keywords = |words: &[&str]| Filter {
            keywords: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Filter::default()
        };
        let routes = [
            route("yes", keywords(&["OUI", "YES"])),
            route("one", keywords(&["1"])),
            route("audit", Filter::default()),
            Route { is_fallback: true, ..route("other", Filter::default()) },
        ];
        for (text, expected) in [
            (Some("Yes!"), &["yes", "audit"][..]),
            (Some("1"), &["one", "audit"]),
            (Some("11"), &["audit", "other"]),
            (Some("who is this?"), &["audit", "other"]),
            (None, &["audit", "other"]),
        ] {
            let reply = Record { text: text.map(str::to_owned), ..record(Kind::Reply) };
            let names: Vec<&str> = chosen(&routes, &reply).iter().map(|route| route.relay.as_str()).collect();
            assert_eq!(names, expected, "{text:?}");
        }
    }
}
