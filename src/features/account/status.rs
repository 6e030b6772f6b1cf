//! What is known of the accounts, as gauges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::metrics as gauge;
use crate::event::SourceName;
use crate::ledger::catalogue::Description;
use crate::ledger::snapshot::{Family, Sample};
use crate::smsmode_api::{Channel, Organisation};

/// Organisations, and channels, of a source whose values are shown.
const MOST: usize = 50;

/// Characters of an id or a name in a label.
const LONGEST_LABEL: usize = 100;

/// A value is shown for at least so long after it was learnt.
const FRESH_FOR: Duration = Duration::from_secs(3600);

/// The label of what has no id.
const UNKNOWN: &str = "unknown";

/// What was last learnt of each source.
#[derive(Debug)]
pub struct AccountStatus {
    fresh_for: Duration,
    // A std lock: held for copying, never across an await.
    sources: Mutex<BTreeMap<SourceName, Seen>>,
}

/// What was learnt of one source, and when.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    organisations: Option<(Timestamp, Vec<Organisation>)>,
    channels: Option<(Timestamp, Vec<Channel>)>,
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
    /// Values are shown for an hour, or as long as three polls take.
    pub fn new(interval: Duration) -> Self {
        Self { fresh_for: FRESH_FOR.max(interval.saturating_mul(3)), sources: Mutex::default() }
    }

    pub fn organisations(&self, source: &SourceName, organisations: Vec<Organisation>, now: Timestamp) {
        self.update(source, organisations, "organisations", |seen, organisations| {
            seen.organisations = Some((now, organisations));
        });
    }

    pub fn channels(&self, source: &SourceName, channels: Vec<Channel>, now: Timestamp) {
        self.update(source, channels, "channels", |seen, channels| seen.channels = Some((now, channels)));
    }

    fn update<T>(&self, source: &SourceName, mut all: Vec<T>, what: &str, set: impl FnOnce(&mut Seen, Vec<T>)) {
        if all.len() > MOST {
            tracing::debug!(%source, "there are {} {what}; the first {MOST} are shown", all.len());
            all.truncate(MOST);
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        set(sources.entry(source.clone()).or_default(), all);
    }

    /// Each gauge with the values that are not too old at `now`.
    pub fn families(&self, now: Timestamp) -> Vec<Family> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_fresh = |time: Timestamp| {
            let age: Duration = now.duration_since(time).try_into().unwrap_or_default();
            age <= self.fresh_for
        };
        let fresh = |seen: &Option<(Timestamp, Vec<Organisation>)>| match seen {
            Some((time, all)) if is_fresh(*time) => all.clone(),
            _ => Vec::new(),
        };
        let organisations = OF_ORGANISATIONS.map(|(description, value, period)| {
            let mut samples = Samples::default();
            for (source, seen) in &sources {
                for organisation in fresh(&seen.organisations) {
                    let id = label(organisation.id.as_deref());
                    let labels = [source.as_str(), &id].into_iter().chain(period);
                    samples.add(labels, value(&organisation));
                }
            }
            samples.family(description)
        });
        let channels = OF_CHANNELS.map(|(description, values)| {
            let mut samples = Samples::default();
            for (source, seen) in &sources {
                let all = seen.channels.iter().filter(|(time, _)| is_fresh(*time)).flat_map(|(_, all)| all);
                for channel in all {
                    let (id, name) = (label(Some(&channel.id)), label(channel.name.as_deref()));
                    for (period, value) in ["day", "month"].into_iter().zip(values(channel)) {
                        samples.add([source.as_str(), &id, &name, period], value);
                    }
                }
            }
            samples.family(description)
        });
        organisations.into_iter().chain(channels).collect()
    }
}

/// Each set of labels once: two organisations without an id would be one series twice.
#[derive(Default)]
struct Samples(BTreeMap<Vec<Box<str>>, i64>);

impl Samples {
    fn add<'a>(&mut self, labels: impl IntoIterator<Item = &'a str>, value: Option<i64>) {
        if let Some(value) = value {
            self.0.insert(labels.into_iter().map(Into::into).collect(), value);
        }
    }

    fn family(self, description: &'static Description) -> Family {
        let samples = self.0.into_iter().map(|(labels, value)| Sample { labels: labels.into(), value }).collect();
        Family { description, samples }
    }
}

/// An id or a name as a label: short, and without what could break a line.
fn label(text: Option<&str>) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_LABEL).collect();
    text.map(clean).filter(|text: &String| !text.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
}
