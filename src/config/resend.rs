//! `[[resend]]`: which failed messages are sent again, by whom, and within what bounds.

use std::time::Duration;

use super::file::Table;
use super::relay;
use super::source;
use super::value::{DAY, HOUR};
use super::{ApiMode, ConfigError, OptOuts, Relay, Source, Text};
use crate::event::Reason;
use crate::record::{Kind, Through};
use crate::route::{Filter, Format, RelayName, ResendRule};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What may pass by itself.
const TEMPORARY: [Reason; 2] = [Reason::HandsetAbsent, Reason::Network];

/// What is the same the second time, or is a person's will.
const FINAL: [Reason; 3] = [Reason::Blacklisted, Reason::InvalidNumber, Reason::SpamFiltered];

/// What no receipt of the REST API says; those of the legacy API, which do, have no text to send again.
const OF_LEGACY: [Reason; 5] =
    [Reason::HandsetAbsent, Reason::HandsetError, Reason::Network, Reason::Portability, Reason::Roaming];

pub(super) fn read(
    tables: Vec<Table>,
    sources: &[Source],
    relays: &[Relay],
    opt_outs: Option<&OptOuts>,
    warnings: &mut Vec<String>,
) -> Result<Vec<ResendRule>, ConfigError> {
    let mut rules: Vec<ResendRule> = Vec::with_capacity(tables.len());
    for table in tables {
        let rule = rule(table, sources, relays, opt_outs, &rules)?;
        if rule.acts_through() == Through::Api {
            warnings.extend(warnings_of(&rule, &format!("resend[{}]", rules.len()), sources));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(
    mut table: Table,
    sources: &[Source],
    relays: &[Relay],
    opt_outs: Option<&OptOuts>,
    others: &[ResendRule],
) -> Result<ResendRule, ConfigError> {
    let (given, name) = source::own_name(&mut table, "resend", RelayName::new, others.iter().map(|other| &other.name))?;
    if opt_outs.is_none() {
        let expected = "opt_outs.enabled = true: who opted out is not written to";
        return Err(given.wrong("nobody keeps the opt-outs", expected).beside_others());
    }
    let reasons = table.take("reasons");
    let mut filter = Filter { kinds: vec![Kind::Failed], ..Filter::default() };
    filter.reasons = match &reasons {
        Some(setting) => {
            let reason = |text: &str| Reason::from_name(text).filter(|reason| !FINAL.contains(reason));
            let expected =
                "a reason that may pass, such as handset_absent: not blacklisted, invalid_number or spam_filtered";
            relay::list(setting.clone(), expected, reason)?
        }
        None => TEMPORARY.to_vec(),
    };
    if let (Some(setting), true) = (&reasons, filter.reasons.is_empty()) {
        return Err(setting.wrong("empty", "at least one reason").beside_others());
    }
    relay::filter_of_messages(&mut table, sources, &mut filter)?;
    if filter.channels.is_empty() {
        filter.channels = vec!["SMS".to_owned()];
    }
    let through_given = table.take("through");
    let through = through_given.as_ref().map_or(Ok(Through::Api), |setting| {
        setting.parse("api or relay", |text| {
            [Through::Api, Through::Relay].into_iter().find(|through| through.as_str() == text.trim())
        })
    })?;
    let named = through_given.as_ref().unwrap_or(&given);
    let mut meant = sources.iter().filter(|source| filter.takes_source(&source.name));
    match through {
        Through::Relay => {
            let is_taken = |source: &Source| relays.iter().any(|relay| takes_requests(relay, source));
            if let Some(source) = meant.find(|source| !is_taken(source)) {
                let problem = format!("no relay takes those of source {:?}", source.name.as_str());
                let expected = "a relay of cloudevents with \"resend.requested\" among its events";
                return Err(named.wrong(problem, expected).beside_others());
            }
        }
        Through::Api | Through::DryRun => {
            for source in meant {
                let problem = |what: &str| format!("source {:?} {what}", source.name.as_str());
                if source.api.as_ref().is_none_or(|api| api.mode != ApiMode::Rest) {
                    let expected = "sources with a key of the REST API ([source.api]), or through = \"relay\"";
                    return Err(named.wrong(problem("has no API to send by"), expected).beside_others());
                }
                if source.privacy.text == Text::Dropped {
                    let expected = "sources whose texts are kept";
                    return Err(named.wrong(problem("has text = \"dropped\""), expected).beside_others());
                }
            }
        }
    }
    let mut duration = |key, default, range| match table.take(key) {
        Some(setting) => setting.duration(range).map(|value| (value, Some(setting))),
        None => Ok((default, None)),
    };
    let (delay, delay_given) = duration("delay", 5 * MINUTE, SECOND..=DAY)?;
    let (useful_for, useful_given) = duration("useful_for", HOUR, SECOND..=DAY)?;
    if delay >= useful_for {
        let culprit = delay_given.or(useful_given).unwrap_or(given);
        let problem = "nothing would be sent: delay is not shorter than useful_for";
        return Err(culprit.wrong(problem, "a shorter delay").beside_others());
    }
    let mut number = |key, default, range| table.take(key).map_or(Ok(default), |setting| setting.number(range));
    let attempts = number("attempts", 1, 1..=10)?;
    let budget = number("budget", 100, 1..=1_000_000)?;
    let is_dry_run = table.take("dry_run").map_or(Ok(false), |setting| setting.boolean())?;
    table.finish()?;
    let as_u32 = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(ResendRule {
        name,
        filter,
        through,
        is_dry_run,
        delay,
        attempts: as_u32(attempts),
        useful_for,
        budget: as_u32(budget),
    })
}

/// What works, and will not do what is wanted, or more.
fn warnings_of(rule: &ResendRule, key: &str, sources: &[Source]) -> Vec<String> {
    let says_nothing = rule.filter.reasons.iter().all(|reason| OF_LEGACY.contains(reason)).then(|| {
        format!(
            "{key}.reasons: receipts of the REST API say none of these; expected \"unknown\" as well, which is what an UNDELIVERED \
             without a detail has"
        )
    });
    let is_open = |source: &&Source| source.allow.is_empty() && source.header.is_none() && source.basic.is_none();
    let meant = sources.iter().filter(|source| rule.filter.takes_source(&source.name));
    let may_be_misused = meant.filter(is_open).map(|source| {
        format!(
            "{key}: whoever learns the callback URL of source {:?} can have messages sent by false failures; expected `allow`, \
             `header` or `basic` of it",
            source.name.as_str()
        )
    });
    says_nothing.into_iter().chain(may_be_misused).collect()
}

fn takes_requests(relay: &Relay, source: &Source) -> bool {
    let filter = &relay.route.filter;
    relay.route.format == Format::CloudEvents
        && filter.kinds.contains(&Kind::Resend)
        && filter.takes_source(&source.name)
}
