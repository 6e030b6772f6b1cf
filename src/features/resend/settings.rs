//! `[[resend]]`: which failed messages are resent, by what, and within what limits.

use std::time::Duration;

use crate::event::{Reason, SourceName};
use crate::record::{Kind, Through};
use crate::route::{Filter, Format, RelayName, ResendRule, Route};
use crate::settings::filter;
use crate::settings::prelude::*;
use crate::settings::{ApiMode, Source, Text, source};

// A relay that requests to resend are delivered to, for the documentation.
const TO_RESEND: &str = r#"[[relay]]
name = "sender"
url = "http://127.0.0.1:8080/"
events = ["resend.requested"]
"#;

settings! {
    NAME: RelayName = setting("resend.name", "name", |given| source::name(given, RelayName::new), RelayName::to_string,
        "its name in metrics and log records: 1 to 32 of `a-z 0-9 - _`").example(r#""absent""#).wrong(r#""Absent""#);
    REASONS: Vec<Reason> = setting("resend.reasons", "list", reasons, |reasons| filter::names(reasons, Reason::as_str),
        "failures of these reasons, not `blacklisted`, `invalid_number` or `spam_filtered`. Receipts of the REST API \
         report an absent handset as `unknown`").default_list(&["handset_absent", "network"])
        .example(r#"["handset_absent"]"#).wrong(r#"["blacklisted"]"#);
    SOURCES: Vec<SourceName> = list("resend.sources", "list", filter::sources, "of these sources only").absent("any")
        .example(r#"["smsmode"]"#).wrong(r#"["nobody"]"#);
    CHANNELS: Vec<String> = list("resend.channels", "list", channels, "of these channels only, in any case")
        .default_list(&["SMS"]).example(r#"["SMS"]"#).wrong(r#""SMS""#);
    FLOWS: Vec<String> = list("resend.flows", "list", |given| given.texts("texts"), "of these flows only, in any case")
        .absent("any").example(r#"["TRANSACTIONAL"]"#).wrong(r#""OTP""#);
    COUNTRIES: Vec<String> = list("resend.countries", "list", |given| given.texts("texts"), "of these countries only")
        .absent("any").example(r#"["FR", "BE"]"#).wrong(r#""FR""#);
    CAMPAIGNS: Vec<String> = list("resend.campaigns", "list", |given| given.texts("texts"),
        "of campaigns with these ids only").absent("any").example(r#"["spring"]"#).wrong(r#"[""]"#);
    THROUGH: Through = setting("resend.through", "word", through, |through| through.into_str().to_owned(),
        "`api`: smscope sends, by `[source.api]`; `relay`: relays with `resend.requested` among their `events` get \
                  the event").default("api").example(r#""relay""#).wrong(r#""sms""#).elsewhere(TO_RESEND);
    DELAY: Duration = duration("resend.delay", |given| given.duration(SECOND..=DAY),
        "from the arrival of the failure to the next message").default("5m").example(r#""15m""#).wrong(r#""2d""#);
    ATTEMPTS: u32 = number("resend.attempts", |given| given.number(1..=10),
        "messages at most that replace the first one, one after the other").default("1").example("2").wrong("0");
    TTL: Duration = duration("resend.ttl", |given| given.duration(SECOND..=DAY),
        "from when the first message was sent: nothing is sent for it later").default("1h").example(r#""6h""#)
        .wrong(r#""2d""#);
    BUDGET: u32 = number("resend.budget", |given| given.number(1..=1_000_000),
        "messages at most within any hour; further failures are given up").default("100").example("20").wrong("0");
    DRY_RUN: bool = switch("resend.dry_run", "nothing is sent; log records and metrics show what would be sent")
        .example("true").wrong(r#""yes""#);
}

const OF_MESSAGES: [&Setting<Vec<String>>; 4] = [&CHANNELS, &FLOWS, &COUNTRIES, &CAMPAIGNS];

/// Reasons that a second message does not change, or that are a person's decision.
const PERMANENT: [Reason; 3] = [Reason::Blacklisted, Reason::InvalidNumber, Reason::SpamFiltered];

/// Reasons that no receipt of the REST API has; those of the legacy API, which have them, have no text to resend.
const OF_LEGACY: [Reason; 5] =
    [Reason::HandsetAbsent, Reason::HandsetError, Reason::Network, Reason::Portability, Reason::Roaming];

pub(crate) fn read(
    tables: Vec<Table>,
    sources: &[Source],
    routes: &[Route],
    has_opt_outs: bool,
    inputs: &Inputs,
) -> Result<Vec<ResendRule>, ConfigError> {
    let mut rules: Vec<ResendRule> = Vec::with_capacity(tables.len());
    for table in tables {
        let rule = rule(table, sources, routes, has_opt_outs, &rules)?;
        if rule.acts_through() == Through::Api {
            for warning in warnings_of(&rule, &format!("resend[{}]", rules.len()), sources) {
                inputs.warn(warning);
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(
    mut table: Table,
    sources: &[Source],
    routes: &[Route],
    has_opt_outs: bool,
    others: &[ResendRule],
) -> Result<ResendRule, ConfigError> {
    let (given, name) = source::own_name(&mut table, &NAME, "resend", others.iter().map(|other| &other.name))?;
    if !has_opt_outs {
        let expected = "opt_outs.enabled = true: opted-out numbers get no messages";
        return Err(given.wrong("there is no list of opt-outs", expected).beside_others());
    }
    let reasons = table.get(&REASONS)?;
    let filter = Filter {
        kinds: vec![Kind::Failed],
        reasons,
        ..filter::of_messages(&mut table, sources, &SOURCES, OF_MESSAGES)?
    };
    let through_given = table.take(&THROUGH);
    let through = table.read(&THROUGH, through_given.as_ref())?;
    let named = through_given.as_ref().unwrap_or(&given);
    let mut meant = sources.iter().filter(|source| filter.takes_source(&source.name));
    match through {
        Through::Relay => {
            let is_taken = |source: &Source| routes.iter().any(|route| takes_requests(route, source));
            if let Some(source) = meant.find(|source| !is_taken(source)) {
                let problem = format!("no relay accepts those of source {:?}", source.name.as_str());
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
                    let expected = "sources whose texts are stored";
                    return Err(named.wrong(problem("has text = \"dropped\""), expected).beside_others());
                }
            }
        }
    }
    let (delay_given, ttl_given) = (table.take(&DELAY), table.take(&TTL));
    let delay = table.read(&DELAY, delay_given.as_ref())?;
    let attempts = table.get(&ATTEMPTS)?;
    let ttl = table.read(&TTL, ttl_given.as_ref())?;
    if delay >= ttl {
        let culprit = delay_given.or(ttl_given).unwrap_or(given);
        let problem = "nothing would be sent: delay is not shorter than ttl";
        return Err(culprit.wrong(problem, "a shorter delay").beside_others());
    }
    let (budget, is_dry_run) = (table.get(&BUDGET)?, table.get(&DRY_RUN)?);
    table.finish()?;
    Ok(ResendRule { name, filter, through, is_dry_run, delay, attempts, ttl, budget })
}

/// Reasons that may be temporary.
fn reasons(given: &Given) -> Result<Vec<Reason>, ConfigError> {
    const EXPECTED: &str =
        "a reason that may pass, such as handset_absent: not blacklisted, invalid_number or spam_filtered";
    let reason = |text: &str| Reason::from_name(text).filter(|reason| !PERMANENT.contains(reason));
    let reasons = given.list(EXPECTED, EXPECTED, reason)?;
    if reasons.is_empty() {
        return Err(given.wrong("empty", "at least one reason").beside_others());
    }
    Ok(reasons)
}

/// An empty list is the default.
fn channels(given: &Given) -> Result<Vec<String>, ConfigError> {
    let channels = given.texts("texts")?;
    Ok(if channels.is_empty() { vec!["SMS".to_owned()] } else { channels })
}

fn through(given: &Given) -> Result<Through, ConfigError> {
    given.word(&[Through::Api, Through::Relay])
}

/// Warnings about a rule that is valid, and matches too little or too much.
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
            "{key}: a client that knows the callback URL of source {:?} can trigger resends by false failures; expected `allow`, \
             `header` or `basic` of it",
            source.name.as_str()
        )
    });
    says_nothing.into_iter().chain(may_be_misused).collect()
}

fn takes_requests(route: &Route, source: &Source) -> bool {
    route.format == Format::CloudEvents
        && route.filter.kinds.contains(&Kind::Resend)
        && route.filter.takes_source(&source.name)
}
