//! `smscope report`: what became of the messages that were accepted in each hour, as a table, CSV or JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use crate::csv_output::{CsvOutput, harmless};
use crate::store::cohorts::Cohort;

/// What the rows are told apart by, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dimension {
    /// The hour of acceptance, in UTC
    Hour,
    Source,
    Channel,
    Flow,
    Country,
    /// The normalised cause of failure; rows are then of failed messages only
    Reason,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for a terminal
    #[default]
    Table,
    Csv,
    /// An array of objects
    Json,
}

impl Dimension {
    fn name(self) -> &'static str {
        match self {
            Dimension::Hour => "hour",
            Dimension::Source => "source",
            Dimension::Channel => "channel",
            Dimension::Flow => "flow",
            Dimension::Country => "country",
            Dimension::Reason => "reason",
        }
    }

    fn of(self, cohort: &Cohort) -> String {
        match self {
            Dimension::Hour => cohort.hour.strftime("%Y-%m-%dT%H:00Z").to_string(),
            Dimension::Source => cohort.source.clone(),
            Dimension::Channel => cohort.channel.clone(),
            Dimension::Flow => cohort.flow.clone(),
            Dimension::Country => cohort.country.clone(),
            Dimension::Reason => cohort.reason.clone().unwrap_or_default(),
        }
    }
}

/// One row's counts. `delivered` includes what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: u64,
    delivered: u64,
    failed: u64,
    expired: u64,
    pending: u64,
}

impl Counts {
    const NAMES: [&'static str; 5] = ["accepted", "delivered", "failed", "expired", "pending"];

    fn add(&mut self, state: &str, count: u64) {
        self.accepted += count;
        match state {
            "delivered" | "read" => self.delivered += count,
            "failed" => self.failed += count,
            "expired" => self.expired += count,
            _ => self.pending += count,
        }
    }

    fn values(self) -> [u64; 5] {
        [self.accepted, self.delivered, self.failed, self.expired, self.pending]
    }

    /// Delivered by now, of what was accepted; `None` of nothing.
    fn delivered_ratio(self) -> Option<f64> {
        (self.accepted > 0).then(|| self.delivered as f64 / self.accepted as f64)
    }
}

/// Renders the cohorts by `dimensions`.
pub fn render(cohorts: &BTreeMap<Cohort, u64>, dimensions: &[Dimension], format: Format) -> String {
    let mut rows: BTreeMap<Vec<String>, Counts> = BTreeMap::new();
    for (cohort, &count) in cohorts {
        if dimensions.contains(&Dimension::Reason) && cohort.reason.is_none() {
            continue;
        }
        let key = dimensions.iter().map(|dimension| dimension.of(cohort)).collect();
        rows.entry(key).or_default().add(&cohort.state, count);
    }
    match format {
        Format::Table => table(&rows, dimensions),
        Format::Csv => csv(&rows, dimensions),
        Format::Json => json(&rows, dimensions),
    }
}

/// The start of a report that reaches back by `age`, on a whole hour so that its first row is of a whole hour too.
pub fn start(now: Timestamp, age: std::time::Duration) -> Timestamp {
    let start = now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    Timestamp::from_second(start.as_second().div_euclid(3600) * 3600).unwrap_or(start)
}

fn header(dimensions: &[Dimension]) -> Vec<&'static str> {
    dimensions.iter().map(|dimension| dimension.name()).chain(Counts::NAMES).chain(["delivered_ratio"]).collect()
}

fn table(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    let mut lines: Vec<Vec<String>> = vec![header(dimensions).into_iter().map(str::to_owned).collect()];
    if let Some(last) = lines[0].last_mut() {
        *last = "delivered %".to_owned();
    }
    let mut total = Counts::default();
    for (key, counts) in rows {
        lines.push(line(key.clone(), *counts));
        for (sum, value) in total.fields().into_iter().zip(counts.values()) {
            *sum += value;
        }
    }
    let mut name = vec![String::new(); dimensions.len()];
    if let Some(first) = name.first_mut() {
        "all".clone_into(first);
    }
    lines.push(line(name, total));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let separator = if column == 0 { "" } else { "  " };
            let width = widths[column];
            let _infallible = if column < dimensions.len() {
                write!(text, "{separator}{cell:<width$}")
            } else {
                write!(text, "{separator}{cell:>width$}")
            };
        }
        text.push('\n');
    }
    text
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 5] {
        [&mut self.accepted, &mut self.delivered, &mut self.failed, &mut self.expired, &mut self.pending]
    }
}

fn line(key: Vec<String>, counts: Counts) -> Vec<String> {
    let percent = counts.delivered_ratio().map_or("-".to_owned(), |ratio| format!("{:.1}", ratio * 100.0));
    key.into_iter().chain(counts.values().map(|value| value.to_string())).chain([percent]).collect()
}

fn csv(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    let mut text = Vec::new();
    let mut write = || -> std::io::Result<()> {
        let mut csv = CsvOutput::new(&mut text, &header(dimensions))?;
        for (key, counts) in rows {
            let cells = key.iter().map(|cell| harmless(cell)).chain(counts.values().map(|value| value.to_string()));
            let ratio = counts.delivered_ratio().map(|ratio| format!("{ratio:.4}"));
            csv.row(cells.chain([ratio.unwrap_or_default()]))?;
        }
        csv.finish()
    };
    // Memory takes everything.
    let _infallible = write();
    String::from_utf8_lossy(&text).into_owned()
}

fn json(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    let objects: Vec<serde_json::Value> = rows
        .iter()
        .map(|(key, counts)| {
            let names = dimensions.iter().map(|dimension| dimension.name().to_owned());
            let mut object: serde_json::Map<_, serde_json::Value> =
                names.zip(key.iter().map(|cell| cell.as_str().into())).collect();
            object.extend(Counts::NAMES.map(str::to_owned).into_iter().zip(counts.values().map(Into::into)));
            object.insert("delivered_ratio".to_owned(), counts.delivered_ratio().into());
            object.into()
        })
        .collect();
    let mut text = serde_json::Value::from(objects).to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohorts() -> BTreeMap<Cohort, u64> {
        let cohort = |hour: &str, country: &str, state: &str, reason: Option<&str>| Cohort {
            source: "smsmode".into(),
            hour: hour.parse().unwrap(),
            channel: "SMS".into(),
            flow: "OTP".into(),
            country: country.into(),
            state: state.into(),
            reason: reason.map(str::to_owned),
        };
        BTreeMap::from([
            (cohort("2026-01-01T10:00Z", "FR", "delivered", None), 90),
            (cohort("2026-01-01T10:00Z", "FR", "read", None), 5),
            (cohort("2026-01-01T10:00Z", "FR", "failed", Some("network")), 5),
            (cohort("2026-01-01T11:00Z", "DE", "enroute", None), 3),
            (cohort("2026-01-01T11:00Z", "DE", "expired", None), 1),
        ])
    }

    #[test]
    fn the_table_has_a_row_an_hour_and_their_sum() {
        let expected = "\
hour               accepted  delivered  failed  expired  pending  delivered %
2026-01-01T10:00Z       100         95       5        0        0         95.0
2026-01-01T11:00Z         4          0       0        1        3          0.0
all                     104         95       5        1        3         91.3
";
        assert_eq!(render(&cohorts(), &[Dimension::Hour], Format::Table), expected);
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let by = [Dimension::Country, Dimension::Reason];
        let csv =
            "country,reason,accepted,delivered,failed,expired,pending,delivered_ratio\nFR,network,5,0,5,0,0,0.0000\n";
        assert_eq!(render(&cohorts(), &by, Format::Csv), csv);
        let json: serde_json::Value = serde_json::from_str(&render(&cohorts(), &by, Format::Json)).unwrap();
        let expected = serde_json::json!([{"country": "FR", "reason": "network", "accepted": 5, "delivered": 0,
            "failed": 5, "expired": 0, "pending": 0, "delivered_ratio": 0.0}]);
        assert_eq!(json, expected);
    }

    #[test]
    fn nothing_makes_an_empty_report() {
        let none = BTreeMap::new();
        assert_eq!(render(&none, &[Dimension::Country], Format::Csv).lines().count(), 1);
        assert_eq!(render(&none, &[Dimension::Country], Format::Json), "[]\n");
        assert!(render(&none, &[Dimension::Country], Format::Table).ends_with("-\n"));
    }

    #[test]
    fn a_report_starts_on_a_whole_hour() {
        let now: Timestamp = "2026-01-02T10:59:59Z".parse().unwrap();
        let expected: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
        assert_eq!(start(now, std::time::Duration::from_secs(86_400)), expected);
    }
}
