//! What the page says: made of what `/metrics` shows, and, for those on this machine, of the last events.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::events::{EventRow, words};
use super::format::{Count, Moment, percent, size};
use super::messages::{Bar, Messages, ReasonRow, reasons};
use super::recent::RecentRow;
use super::{About, Now};
use crate::ledger::catalogue::gauge;
use crate::ledger::snapshot::Snapshot;
use crate::process_metrics::{
    EXPORT_DROPPED, EXPORT_FAILURES, EXPORT_RECORDS, LAST_WEBHOOK, Signal, WEBHOOK_REQUESTS, WebhookResult,
};
use crate::record::Entry;
use crate::telemetry::values::Values;

/// The source label of requests that were addressed to no source.
const NO_SOURCE: &str = "unknown";

/// Everything on the page, ready to be written out.
#[derive(Clone, Debug)]
pub struct View {
    pub version: &'static str,
    pub revision: &'static str,
    /// Why no webhook can be taken now.
    pub trouble: Option<&'static str>,
    pub as_of: Moment,
    /// When the process started; not known everywhere.
    pub started: Option<Moment>,
    /// When the counting began, for those who may know.
    pub since: Option<Moment>,
    /// The last hour and day.
    pub recent: Vec<RecentRow>,
    pub messages: Messages,
    pub reasons: Vec<ReasonRow>,
    pub sources: Vec<SourceView>,
    pub requests: Vec<RequestRow>,
    pub logs: LogsView,
    pub metrics: SignalView,
    pub store: StoreView,
    pub events: EventsView,
}

/// Where one source is called.
#[derive(Clone, Debug)]
pub struct SourceView {
    pub name: String,
    pub callback: String,
    /// First arrival of its oldest enroute message.
    pub oldest_pending: Option<Moment>,
}

/// What became of the requests to one source.
#[derive(Clone, Debug)]
pub struct RequestRow {
    pub source: String,
    /// Not a source, but what was addressed to none.
    pub is_unknown: bool,
    pub last: Option<Moment>,
    pub accepted: Count,
    pub duplicate: Count,
    pub unrecognized: Count,
    pub rejected: Count,
    /// The rejections by result.
    pub rejections: Vec<(String, Count)>,
}

#[derive(Clone, Debug)]
pub struct LogsView {
    pub signal: SignalView,
    pub waiting: Count,
    pub oldest: Option<Moment>,
}

/// One way out.
#[derive(Clone, Debug, Default)]
pub struct SignalView {
    pub is_on: bool,
    pub records: Count,
    pub failures: Count,
    pub dropped: Count,
}

#[derive(Clone, Debug)]
pub struct StoreView {
    pub is_healthy: bool,
    pub events: Count,
    pub size: String,
    pub limit: Option<LimitView>,
}

#[derive(Clone, Debug)]
pub struct LimitView {
    pub size: String,
    pub used: String,
    pub bar: Bar,
}

/// The last events, or why there are none to see.
#[derive(Clone, Debug)]
pub enum EventsView {
    Rows(Vec<EventRow>),
    /// Whoever asks may not be on this machine.
    Hidden,
    Unreadable,
}

/// What those on this machine may see besides. The error is not shown: it may name files.
pub type Latest = Result<Vec<Entry>, String>;

impl View {
    /// `latest` is `None` where only what `/metrics` shows may be seen.
    pub fn new(
        about: &About,
        now: &Now,
        trouble: Option<&'static str>,
        latest: Option<Latest>,
        time: Timestamp,
    ) -> Self {
        let moment = |at| Moment { at, now: time };
        let private = latest.is_some();
        let (snapshot, process) = (&now.snapshot, &now.process);
        let started = process.series("process_start_time_seconds").first().and_then(|series| unix_time(series.value));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("BUILD_REVISION"),
            trouble,
            as_of: moment(time),
            started: started.map(moment),
            since: private.then_some(moment(about.created_at)),
            recent: Vec::new(),
            messages: Messages::read(snapshot),
            reasons: reasons(snapshot),
            sources: sources(about, snapshot, private, time),
            requests: requests(about, process, time),
            logs: LogsView {
                signal: signal(Signal::Logs, process),
                waiting: Count(gauge_value(snapshot, gauge::EXPORT_BACKLOG.name).unwrap_or(0)),
                oldest: gauge_value(snapshot, gauge::EXPORT_OLDEST.name).and_then(milliseconds).map(moment),
            },
            metrics: signal(Signal::Metrics, process),
            store: store(snapshot, now.store_is_healthy),
            events: match latest {
                None => EventsView::Hidden,
                Some(Err(_)) => EventsView::Unreadable,
                Some(Ok(entries)) => EventsView::Rows(entries.iter().rev().map(|e| EventRow::of(e, time)).collect()),
            },
        }
    }

    /// Whether events have to be told apart by their source.
    pub fn has_many_sources(&self) -> bool {
        self.sources.len() > 1
    }
}

fn sources(about: &About, snapshot: &Snapshot, private: bool, now: Timestamp) -> Vec<SourceView> {
    let family = snapshot.families.iter().find(|family| family.description.name == gauge::PENDING_OLDEST.name);
    let oldest = |name: &str| {
        let sample = family?.samples.iter().find(|sample| &*sample.labels[0] == name)?;
        Some(Moment { at: milliseconds(sample.value)?, now })
    };
    let view = |source: &super::CallbackUrl| SourceView {
        name: source.source.to_string(),
        // The host is in no metric.
        callback: if private { source.url.clone() } else { format!("/hooks/{}/<token>", source.source) },
        oldest_pending: oldest(source.source.as_str()),
    };
    about.callback_urls.iter().map(view).collect()
}

/// One row a source, then one of what was addressed to none, if there was such a thing.
fn requests(about: &About, process: &Values, now: Timestamp) -> Vec<RequestRow> {
    let mut counts: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for series in process.series(WEBHOOK_REQUESTS.name) {
        let results = counts.entry(series.label("source").to_owned()).or_default();
        *results.entry(series.label("result").to_owned()).or_default() += series.value as i64;
    }
    let last = process.series(LAST_WEBHOOK.name);
    let row = |source: &str| {
        let count = |result: WebhookResult| {
            Count(counts.get(source).and_then(|results| results.get(result.as_str())).copied().unwrap_or(0))
        };
        let rejections = WebhookResult::ALL.into_iter().filter(|result| is_rejection(*result));
        let rejections =
            rejections.map(|result| (words(result.as_str()), count(result))).filter(|(_, count)| count.0 > 0);
        let rejections: Vec<_> = rejections.collect();
        let last = last.iter().find(|series| series.label("source") == source);
        RequestRow {
            source: source.to_owned(),
            is_unknown: source == NO_SOURCE,
            last: last.and_then(|series| unix_time(series.value)).map(|at| Moment { at, now }),
            accepted: count(WebhookResult::Accepted),
            duplicate: count(WebhookResult::Duplicate),
            unrecognized: count(WebhookResult::Unrecognized),
            rejected: Count(rejections.iter().map(|(_, count)| count.0).sum()),
            rejections,
        }
    };
    let mut rows: Vec<RequestRow> = about.callback_urls.iter().map(|source| row(source.source.as_str())).collect();
    let unknown = row(NO_SOURCE);
    if unknown.rejected.0 > 0 && !rows.iter().any(|row| row.is_unknown) {
        rows.push(unknown);
    }
    rows
}

fn is_rejection(result: WebhookResult) -> bool {
    use WebhookResult::{Accepted, Duplicate, Probe, Unrecognized};
    !matches!(result, Accepted | Duplicate | Unrecognized | Probe)
}

/// The counters of a signal exist from the start when it is exported, and else not at all.
fn signal(signal: Signal, process: &Values) -> SignalView {
    let count = |metric| {
        let series = process.series(metric);
        let found = series.iter().find(|series| series.label("signal") == signal.as_str());
        found.map(|series| Count(series.value as i64))
    };
    SignalView {
        is_on: count(EXPORT_RECORDS.name).is_some(),
        records: count(EXPORT_RECORDS.name).unwrap_or_default(),
        failures: count(EXPORT_FAILURES.name).unwrap_or_default(),
        dropped: count(EXPORT_DROPPED.name).unwrap_or_default(),
    }
}

fn store(snapshot: &Snapshot, is_healthy: bool) -> StoreView {
    let bytes = gauge_value(snapshot, gauge::STORE_SIZE.name).unwrap_or(0);
    let limit = gauge_value(snapshot, gauge::STORE_LIMIT.name).map(|limit| LimitView {
        size: size(limit),
        used: percent(bytes, limit).unwrap_or_default(),
        bar: Bar::of(&[("used", bytes.min(limit))], limit),
    });
    StoreView {
        is_healthy,
        events: Count(gauge_value(snapshot, gauge::STORE_EVENTS.name).unwrap_or(0)),
        size: size(bytes),
        limit,
    }
}

/// The one series of a gauge; `None` when it has none.
fn gauge_value(snapshot: &Snapshot, name: &str) -> Option<i64> {
    let family = snapshot.families.iter().find(|family| family.description.name == name)?;
    family.samples.first().map(|sample| sample.value)
}

fn milliseconds(unix: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(unix).ok()
}

fn unix_time(seconds: f64) -> Option<Timestamp> {
    milliseconds((seconds * 1_000.0) as i64)
}
