//! The accounts as gauges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::metrics as gauge;
use crate::event::SourceName;
use crate::ledger::catalogue::Description;
use crate::ledger::snapshot::{Family, Sample};
use crate::smsmode_api::{Channel, Organisation};

/// Organisations, and channels, of a source that are exported.
const MAX_ITEMS: usize = 50;

/// Characters of an id or a name in a label.
const MAX_LABEL: usize = 100;

/// A value is exported for at least so long after it was read.
const FRESH_FOR: Duration = Duration::from_secs(3600);

/// The label of an item without an id.
const UNKNOWN: &str = "unknown";

/// What was last read of each source.
#[derive(Debug)]
pub struct AccountStatus {
    fresh_for: Duration,
    // A std lock: held for copying, never across an await.
    sources: Mutex<BTreeMap<SourceName, Seen>>,
}

/// What was last read of one source, and when.
#[derive(Debug, Default)]
struct Seen {
    organisations: (Timestamp, Vec<Organisation>),
    channels: (Timestamp, Vec<Channel>),
}

/// A gauge of an organisation, without the source.
type OfOrganisation = (&'static Description, fn(&Organisation) -> Option<i64>, Option<&'static str>);

const OF_ORGANISATIONS: [OfOrganisation; 4] = [
    (&gauge::ACCOUNT_BALANCE, |organisation| organisation.balance, None),
    (&gauge::ACCOUNT_ACTIVE, |organisation| organisation.state.as_ref().map(|_| organisation.is_active().into()), None),
    (&gauge::ACCOUNT_CONSUMPTION, |organisation| organisation.monthly_consumption, Some("month")),
    (&gauge::ACCOUNT_LIMIT, |organisation| organisation.monthly_limit, Some("month")),
];

/// Amount and limit of a period of a channel.
type OfChannel = (&'static Description, fn(&Channel) -> [Option<i64>; 2]);

const OF_CHANNELS: [OfChannel; 2] = [
    (&gauge::CHANNEL_CONSUMPTION, |channel| [channel.daily_consumption, channel.monthly_consumption]),
    (&gauge::CHANNEL_LIMIT, |channel| [channel.daily_limit, channel.monthly_limit]),
];

impl AccountStatus {
    /// Values are exported for an hour, or as long as three polls take.
    pub fn new(interval: Duration) -> Self {
        Self { fresh_for: FRESH_FOR.max(interval.saturating_mul(3)), sources: Mutex::default() }
    }

    pub fn organisations(&self, source: &SourceName, organisations: Vec<Organisation>, now: Timestamp) {
        self.update(source, organisations, "organisations", |seen, all| seen.organisations = (now, all));
    }

    pub fn channels(&self, source: &SourceName, channels: Vec<Channel>, now: Timestamp) {
        self.update(source, channels, "channels", |seen, all| seen.channels = (now, all));
    }

    fn update<T>(&self, source: &SourceName, mut all: Vec<T>, what: &str, set: impl FnOnce(&mut Seen, Vec<T>)) {
        if all.len() > MAX_ITEMS {
            tracing::debug!(%source, "there are {} {what}; the first {MAX_ITEMS} are shown", all.len());
            all.truncate(MAX_ITEMS);
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        set(sources.entry(source.clone()).or_default(), all);
    }

    /// Each gauge with the values that are not too old at `now`.
    pub fn families(&self, now: Timestamp) -> Vec<Family> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |time: Timestamp| {
            let age: Duration = now.duration_since(time).try_into().unwrap_or_default();
            age <= self.fresh_for
        };
        let mut families = Vec::new();
        for (description, value, period) in OF_ORGANISATIONS {
            let fresh = sources.iter().filter(|(_, seen)| is_fresh(seen.organisations.0));
            let all = fresh.flat_map(|(source, seen)| seen.organisations.1.iter().map(move |one| (source, one)));
            families.push(family(
                description,
                all.map(|(source, organisation)| {
                    let labels = [source.to_string(), label(organisation.id.as_deref())].into_iter();
                    (labels.chain(period.map(str::to_owned)).collect(), value(organisation))
                }),
            ));
        }
        for (description, values) in OF_CHANNELS {
            let fresh = sources.iter().filter(|(_, seen)| is_fresh(seen.channels.0));
            let all = fresh.flat_map(|(source, seen)| seen.channels.1.iter().map(move |one| (source, one)));
            families.push(family(
                description,
                all.flat_map(|(source, channel)| {
                    ["day", "month"].into_iter().zip(values(channel)).map(move |(period, value)| {
                        let (id, name) = (label(Some(&channel.id)), label(channel.name.as_deref()));
                        (vec![source.to_string(), id, name, period.to_owned()], value)
                    })
                }),
            ));
        }
        families
    }
}

/// The values that are known, each set of labels once: two organisations without an id would be one series twice.
fn family(description: &'static Description, samples: impl Iterator<Item = (Vec<String>, Option<i64>)>) -> Family {
    let known: BTreeMap<Vec<String>, i64> = samples.filter_map(|(labels, value)| Some((labels, value?))).collect();
    let sample =
        |(labels, value): (Vec<String>, i64)| Sample { labels: labels.into_iter().map(Into::into).collect(), value };
    Family { description, samples: known.into_iter().map(sample).collect() }
}

/// An id or a name as a label: short, and without what could break a line.
fn label(text: Option<&str>) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect();
    text.map(clean).filter(|text: &String| !text.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
}
