//! The content of the page: what `/metrics` shows, and, for clients on this machine, the last events.

use jiff::Timestamp;

use super::events::{EventRow, words};
use super::format::{Count, Moment, percent, size};
use super::messages::{Bar, Messages, ReasonRow, family, reasons};
use super::recent::RecentRow;
use super::{About, Now};
use crate::ledger::catalogue::gauge;
use crate::ledger::snapshot::Snapshot;
use crate::process_metrics::{
    EXPORT_DROPPED, EXPORT_FAILURES, EXPORT_RECORDS, LAST_WEBHOOK, Signal, WEBHOOK_REQUESTS, WebhookResult,
};
use crate::record::Entry;
use crate::telemetry::values::{Series, Values};

/// The source label of requests that were addressed to no source.
const NO_SOURCE: &str = "unknown";

/// Everything on the page, ready for the templates.
#[derive(Clone, Debug)]
pub struct View {
    pub version: &'static str,
    pub revision: &'static str,
    /// Why webhooks are not accepted now.
    pub trouble: Option<&'static str>,
    pub as_of: Moment,
    /// When the process started; unknown on some systems.
    pub started: Option<Moment>,
    /// When counting began, for clients on this machine.
    pub since: Option<Moment>,
    /// The last hour and day.
    pub recent: Vec<RecentRow>,
    pub messages: Messages,
    pub reasons: Vec<ReasonRow>,
    pub sources: Vec<SourceView>,
    pub requests: Vec<RequestRow>,
    pub logs: SignalView,
    /// Log records that are not exported yet, and the arrival of the oldest.
    pub waiting: Count,
    pub oldest_waiting: Option<Moment>,
    pub metrics: SignalView,
    pub store_is_healthy: bool,
    pub store_events: Count,
    pub store_size: String,
    pub store_limit: Option<LimitView>,
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

/// The requests to one source, by result.
#[derive(Clone, Debug)]
pub struct RequestRow {
    pub source: String,
    /// The row of requests to no source.
    pub is_unknown: bool,
    pub last: Option<Moment>,
    pub accepted: Count,
    pub duplicate: Count,
    pub unrecognized: Count,
    pub rejected: Count,
    /// The rejected requests by result.
    pub rejections: Vec<(String, Count)>,
}

/// The export of one signal.
#[derive(Clone, Debug, Default)]
pub struct SignalView {
    pub is_on: bool,
    pub records: Count,
    pub failures: Count,
    pub dropped: Count,
}

#[derive(Clone, Debug)]
pub struct LimitView {
    pub size: String,
    pub used: String,
    pub bar: Bar,
}

/// The last events, or why they are not shown.
#[derive(Clone, Debug)]
pub enum EventsView {
    Rows(Vec<EventRow>),
    /// The client may not be on this machine.
    Hidden,
    Unreadable,
}

/// The last events, for clients on this machine. The error is not shown: it may name files.
pub type Latest = Result<Vec<Entry>, String>;

impl View {
    /// `latest` is `None` if the client may see only what `/metrics` shows.
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
        // The one series of a gauge; `None` if it has none.
        let value = |gauge| family(snapshot, gauge)?.samples.first().map(|sample| sample.value);
        let stored = value(&gauge::STORE_SIZE).unwrap_or(0);
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
            logs: signal(Signal::Logs, process),
            waiting: Count(value(&gauge::EXPORT_BACKLOG).unwrap_or(0)),
            oldest_waiting: value(&gauge::EXPORT_OLDEST).and_then(milliseconds).map(moment),
            metrics: signal(Signal::Metrics, process),
            store_is_healthy: now.store_is_healthy,
            store_events: Count(value(&gauge::STORE_EVENTS).unwrap_or(0)),
            store_size: size(stored),
            store_limit: value(&gauge::STORE_LIMIT).map(|limit| LimitView {
                size: size(limit),
                used: percent(stored, limit).unwrap_or_default(),
                bar: Bar::of(&[("used", stored.min(limit))], limit),
            }),
            events: match latest {
                None => EventsView::Hidden,
                Some(Err(_)) => EventsView::Unreadable,
                Some(Ok(entries)) => EventsView::Rows(entries.iter().rev().map(|e| EventRow::of(e, time)).collect()),
            },
        }
    }

    /// Whether rows have to name the source.
    pub fn has_many_sources(&self) -> bool {
        self.sources.len() > 1
    }
}

fn sources(about: &About, snapshot: &Snapshot, private: bool, now: Timestamp) -> Vec<SourceView> {
    let oldest = |name: &str| {
        let sample =
            family(snapshot, &gauge::PENDING_OLDEST)?.samples.iter().find(|sample| &*sample.labels[0] == name)?;
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

/// One row per source, then one of the requests to no source, if there were any.
fn requests(about: &About, process: &Values, now: Timestamp) -> Vec<RequestRow> {
    let counted = process.series(WEBHOOK_REQUESTS.name);
    let last = process.series(LAST_WEBHOOK.name);
    let row = |source: &str| {
        let count = |result: WebhookResult| {
            let is_it =
                |series: &&Series| series.label("source") == source && series.label("result") == result.as_str();
            Count(counted.iter().filter(is_it).map(|series| series.value as i64).sum())
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

/// The counters of a signal exist from the start if it is exported, and otherwise not at all.
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

fn milliseconds(unix: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(unix).ok()
}

fn unix_time(seconds: f64) -> Option<Timestamp> {
    milliseconds((seconds * 1_000.0) as i64)
}
