//! Which recipients get too many messages within an hour: a loop in an application, or fraud that draws messages to a number.
//!
//! In memory alone: a window over the recipients of the newest messages, each as a hash with a random key. It holds an hour, or the
//! newest [`MOST`] messages where there were more, so that its size is bounded; the oldest leave it. A restart begins an empty one.
//!
//! Of a hash 32 bits are enough: among 200,000 recipients some five pairs have the same, and are counted as one for an hour.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Counter;

use crate::event::SourceName;
use crate::process_metrics;

/// In seconds.
const HOUR: u32 = 3_600;

/// From the first flood to the report that counts it, and from one report to the next, at least.
const GATHERED: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_secs(300);

/// Messages in the window: some 9 MB when it is full. Less than half of what a table of 2^19 places takes: with more, a table from which
/// the oldest leave would double once.
const MOST: usize = 200_000;

type Report = Arc<dyn Fn(&Flood) + Send + Sync>;

/// When a recipient is flooded, and who hears of it.
#[derive(Clone)]
pub struct FloodRule {
    /// Messages to one recipient within an hour.
    pub messages: usize,
    /// Called once in a while, for all floods since the last call.
    pub report: Report,
}

impl FloodRule {
    /// One that only counts.
    pub fn silent(messages: usize) -> Self {
        Self { messages, report: Arc::new(|_| {}) }
    }
}

impl std::fmt::Debug for FloodRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FloodRule").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// What is reported of floods.
#[derive(Clone, Debug, PartialEq)]
pub struct Flood {
    /// The source and the number of the last one.
    pub source: SourceName,
    pub number: String,
    /// How many there were.
    pub floods: u64,
}

/// A message that has been committed, as far as it matters here.
#[derive(Debug)]
pub struct FirstSight {
    pub source: SourceName,
    pub number: String,
}

pub struct Floods {
    rule: FloodRule,
    window: Window,
    hasher: RandomState,
    /// One for each configured source, at 0 from the start.
    counters: HashMap<SourceName, Counter>,
    unreported: Option<Flood>,
    /// When the next report is due: a while after its first flood, so that it counts those that come with it.
    report_at: Instant,
}

impl Floods {
    pub fn new(rule: FloodRule, sources: &[SourceName]) -> Self {
        let counters = sources
            .iter()
            .map(|source| (source.clone(), process_metrics::recipients_flooded(source.as_str())))
            .collect();
        let window = Window::new(rule.messages, MOST);
        Self { rule, window, hasher: RandomState::new(), counters, unreported: None, report_at: Instant::now() }
    }

    /// Takes note of a message that was seen for the first time.
    pub fn seen(&mut self, message: &FirstSight, now: Instant) {
        let recipient = self.hasher.hash_one((message.source.as_str(), &*message.number)) as u32;
        if self.window.reaches_the_limit(recipient, now) {
            if let Some(counter) = self.counters.get(&message.source) {
                counter.increment(1);
            }
            let before = self.unreported.take();
            if before.is_none() {
                self.report_at = self.report_at.max(now + GATHERED);
            }
            let FirstSight { source, number } = message;
            let floods = before.map_or(0, |before| before.floods) + 1;
            self.unreported = Some(Flood { source: source.clone(), number: number.clone(), floods });
        }
    }

    /// Reports what is due.
    pub fn report(&mut self, now: Instant) {
        if now >= self.report_at
            && let Some(flood) = self.unreported.take()
        {
            (self.rule.report)(&flood);
            self.report_at = now + QUIET;
        }
    }
}

struct Window {
    limit: usize,
    most: usize,
    began: Instant,
    /// The recipients of the newest messages and when each was, in seconds since `began`, oldest first.
    seen: VecDeque<(u32, u32)>,
    counts: HashMap<u32, Count>,
}

/// The messages of one recipient in the window.
#[derive(Default)]
struct Count {
    /// Since the limit was last reached.
    fresh: u32,
    /// Those that have been counted: the older ones, so they leave first.
    counted: u32,
}

impl Window {
    fn new(limit: usize, most: usize) -> Self {
        Self { limit, most, began: Instant::now(), seen: VecDeque::new(), counts: HashMap::new() }
    }

    /// Adds one message; whether it is the one by which its recipient has `limit` of them that were not counted before.
    fn reaches_the_limit(&mut self, recipient: u32, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.began).as_secs() as u32;
        while self.seen.len() >= self.most
            || self.seen.front().is_some_and(|(time, _)| now.saturating_sub(*time) >= HOUR)
        {
            self.drop_oldest();
        }
        self.seen.push_back((now, recipient));
        let count = self.counts.entry(recipient).or_default();
        count.fresh += 1;
        let reached = count.fresh as usize >= self.limit;
        if reached {
            count.counted += count.fresh;
            count.fresh = 0;
        }
        reached
    }

    fn drop_oldest(&mut self) {
        let Some((_, recipient)) = self.seen.pop_front() else { return };
        let Some(count) = self.counts.get_mut(&recipient) else { return };
        if count.counted > 0 {
            count.counted -= 1;
        } else {
            count.fresh -= 1;
        }
        if count.counted + count.fresh == 0 {
            self.counts.remove(&recipient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The minutes at which a recipient's message at each of `minutes` reaches the limit.
    fn reached(window: &mut Window, recipient: u32, minutes: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let start = Instant::now();
        let mut reaches = |minute: &u64| window.reaches_the_limit(recipient, start + Duration::from_secs(60 * minute));
        minutes.into_iter().filter(|minute| reaches(minute)).collect()
    }

    #[test]
    fn floods_are_gathered_into_a_report_once_in_a_while() {
        let source = SourceName::new("smsmode").unwrap();
        let reports = Arc::new(std::sync::Mutex::new(Vec::new()));
        let report = {
            let reports = reports.clone();
            Arc::new(move |flood: &Flood| reports.lock().unwrap().push((flood.number.clone(), flood.floods)))
        };
        let mut floods = Floods::new(FloodRule { messages: 2, report }, std::slice::from_ref(&source));
        let start = Instant::now();
        let reported_at = |floods: &mut Floods, second: u64| {
            floods.report(start + Duration::from_secs(second));
            std::mem::take(&mut *reports.lock().unwrap())
        };
        let seen = |floods: &mut Floods, number: &str, second: u64| {
            let message = FirstSight { source: source.clone(), number: number.into() };
            for _ in 0..2 {
                floods.seen(&message, start + Duration::from_secs(second));
            }
        };
        seen(&mut floods, "1", 0);
        seen(&mut floods, "2", 20);
        assert_eq!(reported_at(&mut floods, 29), []);
        assert_eq!(reported_at(&mut floods, 31), [("2".to_owned(), 2)]);
        seen(&mut floods, "3", 40);
        assert_eq!(reported_at(&mut floods, 300), []);
        assert_eq!(reported_at(&mut floods, 332), [("3".to_owned(), 1)]);
        assert_eq!(reported_at(&mut floods, 900), []);
    }

    #[test]
    fn the_limit_is_of_any_hour_not_of_the_clocks() {
        assert_eq!(reached(&mut Window::new(3, 100), 1, [0, 58, 61, 62]), [62]);
        assert_eq!(reached(&mut Window::new(3, 100), 1, [0, 30, 60, 90, 120]), [] as [u64; 0]);
    }

    #[test]
    fn each_time_it_is_reached_counts_once() {
        assert_eq!(reached(&mut Window::new(3, 100), 1, [0, 1, 2, 3, 4, 5, 6]), [2, 5]);
        // Ten an hour for three hours: thirty messages, ten times three.
        let steady = reached(&mut Window::new(3, 100), 1, (0..30).map(|n| 6 * n));
        assert_eq!(steady.len(), 10, "{steady:?}");
    }

    #[test]
    fn recipients_do_not_add_up() {
        let mut window = Window::new(3, 100);
        for recipient in 0..50 {
            assert!(reached(&mut window, recipient, [0, 1]).is_empty());
        }
        assert_eq!(reached(&mut window, 7, [2]), [2]);
    }

    #[test]
    fn it_holds_no_more_than_its_bound_and_forgets_the_oldest() {
        let mut window = Window::new(3, 10);
        reached(&mut window, 0, [0, 0]);
        for recipient in 1..=1_000 {
            reached(&mut window, recipient, [0]);
        }
        assert_eq!((window.seen.len(), window.counts.len()), (10, 10));
        assert!(reached(&mut window, 0, [0]).is_empty(), "its first two are forgotten");
    }
}
