//! Queries on a Prometheus that scrapes a running smscope: each has to give data.

use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::peers::Prometheus;

/// A query and where it is defined.
pub struct Asked {
    pub place: String,
    pub query: String,
    /// Over how long before now; `None` for now.
    pub back: Option<Duration>,
}

/// Queries that have this in them cannot give data in a test, for this reason. They have to be answered all the same.
pub struct Barren {
    pub part: &'static str,
    pub reason: &'static str,
}

/// Queries until each has given data once, while the traffic continues. Each of `barren` has to be of use.
///
/// # Panics
/// A query is rejected, or gives nothing and is not one of `barren`.
pub fn all_give_data(prometheus: &Prometheus, queries: Vec<Asked>, barren: &[Barren]) {
    let deadline = Instant::now() + PATIENCE;
    let count = |asked: &Asked| {
        let series = prometheus.series(&asked.query, asked.back);
        series.unwrap_or_else(|error| panic!("{}: {error}\n{}", asked.place, asked.query))
    };
    let may_be_empty = |asked: &Asked| barren.iter().position(|barren| asked.query.contains(barren.part));
    let mut waiting = queries;
    while Instant::now() < deadline {
        waiting.retain(|asked| count(asked) == 0);
        if waiting.iter().all(|asked| may_be_empty(asked).is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let empty: Vec<_> = waiting.iter().filter(|asked| may_be_empty(asked).is_none()).collect();
    let listed: Vec<_> = empty.iter().map(|asked| format!("{}:\n{}", asked.place, asked.query)).collect();
    assert!(listed.is_empty(), "no data for {} queries:\n{}", listed.len(), listed.join("\n\n"));
    for (index, barren) in barren.iter().enumerate() {
        let used = waiting.iter().any(|asked| may_be_empty(asked) == Some(index));
        assert!(used, "no query is empty for this: {}: {}", barren.part, barren.reason);
    }
}
