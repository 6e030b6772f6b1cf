//! `smscope report`: the outcomes of the messages that were accepted in each hour, as a table, CSV or JSON.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use strum::IntoStaticStr;

use super::Exit;
use super::csv_output::{csv_text, harmless};
use super::parse::duration;
use super::store_view::view;
use super::table::{Column, Table};
use super::terminal::print;
use crate::config::Loaded;
use crate::store::cohorts::{Cohort, Detail};

mod now;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// How far to reach back
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub since: Duration,
    /// What to tell rows apart by; several with commas between them [default: hour, unless --per says more]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub by: Vec<Dimension>,
    /// A row for each such period as well
    #[arg(long, value_parser = PossibleValuesParser::new(PERIODS).try_map(|name| Dimension::from_str(&name, false)))]
    pub per: Option<Dimension>,
    /// Where hours and days begin, such as Europe/Paris
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub timezone: TimeZone,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The dimensions that are periods.
const PERIODS: [&str; 4] = ["hour", "day", "week", "month"];

/// The dimensions of the rows, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, ValueEnum)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Dimension {
    /// The hour of acceptance
    Hour,
    /// The day of acceptance
    Day,
    /// The week of acceptance, by ISO 8601
    Week,
    /// The month of acceptance
    Month,
    Source,
    Channel,
    Flow,
    Country,
    /// campaignId, as the application gave it
    Campaign,
    /// The network, by its name
    Network,
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
    fn of(self, cohort: &Cohort, zone: &TimeZone) -> String {
        let local = || zone.to_datetime(cohort.quarter);
        match self {
            Dimension::Hour if *zone == TimeZone::UTC => cohort.quarter.strftime("%Y-%m-%dT%H:00Z").to_string(),
            Dimension::Hour => cohort.quarter.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:00%:z").to_string(),
            Dimension::Day => local().strftime("%Y-%m-%d").to_string(),
            Dimension::Week => local().strftime("%G-W%V").to_string(),
            Dimension::Month => local().strftime("%Y-%m").to_string(),
            Dimension::Source => cohort.source.clone(),
            Dimension::Channel => cohort.channel.clone(),
            Dimension::Flow => cohort.flow.clone(),
            Dimension::Country => cohort.country.clone(),
            Dimension::Campaign => cohort.campaign.clone(),
            Dimension::Network => cohort.network.clone(),
            Dimension::Reason => cohort.reason.clone().unwrap_or_default(),
        }
    }
}

impl Arguments {
    /// Periods first.
    fn dimensions(&self) -> Vec<Dimension> {
        let mut all: Vec<Dimension> = self.per.into_iter().chain(self.by.iter().copied()).collect();
        if all.is_empty() {
            all.push(Dimension::Hour);
        }
        all
    }
}

fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "expected the name of a time zone such as Europe/Paris or UTC".to_owned())
}

/// Reads the local store, in use or not.
///
/// # Errors
/// There is no store yet, or it cannot be read.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let view = view(&loaded.config)?;
    let read = |since, detail| view.cohorts(since, detail).map_err(Exit::failure);
    let (time, dimensions, zone) = (Timestamp::now(), arguments.dimensions(), &arguments.timezone);
    let cohorts = read(start(time, arguments.since, &dimensions, zone), detail(&dimensions))?;
    let mut text = render(&cohorts, &dimensions, zone, arguments.format);
    if arguments.format == Format::Table {
        let since = time.checked_sub(now::LONGEST_PERIOD).unwrap_or(Timestamp::UNIX_EPOCH);
        let latest = read(since, Detail { network: true, ..Default::default() })?;
        text += "\n";
        text += &now::now(&latest, time);
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// One row's counts, by [`Counts::NAMES`]. `delivered` includes what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts([u64; 5]);

impl Counts {
    const NAMES: [&'static str; 5] = ["accepted", "delivered", "failed", "expired", "pending"];

    fn add(&mut self, state: &str, count: u64) {
        let column = match state {
            "delivered" | "read" => 1,
            "failed" => 2,
            "expired" => 3,
            _ => 4,
        };
        self.0[0] += count;
        self.0[column] += count;
    }

    /// Delivered by now, of what was accepted; `None` of nothing.
    fn delivered_ratio(self) -> Option<f64> {
        let [accepted, delivered, ..] = self.0;
        (accepted > 0).then(|| delivered as f64 / accepted as f64)
    }
}

/// The details of messages that `dimensions` need.
fn detail(dimensions: &[Dimension]) -> Detail {
    Detail { campaign: dimensions.contains(&Dimension::Campaign), network: dimensions.contains(&Dimension::Network) }
}

/// Renders the cohorts by `dimensions`, times in `zone`.
fn render(cohorts: &BTreeMap<Cohort, u64>, dimensions: &[Dimension], zone: &TimeZone, format: Format) -> String {
    let mut rows: BTreeMap<Vec<String>, Counts> = BTreeMap::new();
    for (cohort, &count) in cohorts {
        if dimensions.contains(&Dimension::Reason) && cohort.reason.is_none() {
            continue;
        }
        let key = dimensions.iter().map(|dimension| dimension.of(cohort, zone)).collect();
        rows.entry(key).or_default().add(&cohort.state, count);
    }
    match format {
        Format::Table => table(&rows, dimensions),
        Format::Csv => csv(&rows, dimensions),
        Format::Json => json(&rows, dimensions),
    }
}

/// The start of a report that reaches back by `age`: on a whole hour, or on the day, week or month that is among the dimensions, so
/// that its first row is of a whole one too.
fn start(now: Timestamp, age: Duration, dimensions: &[Dimension], zone: &TimeZone) -> Timestamp {
    let start = now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    let longest = [Dimension::Month, Dimension::Week, Dimension::Day].into_iter().find(|one| dimensions.contains(one));
    let local = zone.to_datetime(start);
    let begun = match longest {
        // By its minutes: the hour that the end of summer time repeats begins twice.
        None => start.checked_sub((60 * i64::from(local.minute()) + i64::from(local.second())).seconds()).ok(),
        Some(period) => first_day(local, period).and_then(|day| zone.to_timestamp(day.at(0, 0, 0, 0)).ok()),
    };
    let begun = begun.unwrap_or(start);
    Timestamp::from_second(begun.as_second()).unwrap_or(begun)
}

fn first_day(at: DateTime, period: Dimension) -> Option<Date> {
    match period {
        Dimension::Month => Some(at.date().first_of_month()),
        Dimension::Week => at.date().checked_sub(i32::from(at.date().weekday().to_monday_zero_offset()).days()).ok(),
        _ => Some(at.date()),
    }
}

fn header(dimensions: &[Dimension]) -> Vec<&'static str> {
    dimensions.iter().map(|dimension| dimension.into_str()).chain(Counts::NAMES).chain(["delivered_ratio"]).collect()
}

fn table(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    let names = dimensions.iter().map(|dimension| Column::left(dimension.into_str()));
    let numbers = Counts::NAMES.into_iter().chain(["delivered %"]).map(Column::right);
    let mut table = Table::new(names.chain(numbers));
    let mut total = Counts::default();
    for (key, counts) in rows {
        table.row(line(key.clone(), *counts));
        for (sum, value) in total.0.iter_mut().zip(counts.0) {
            *sum += value;
        }
    }
    let mut name = vec![String::new(); dimensions.len()];
    if let Some(first) = name.first_mut() {
        "all".clone_into(first);
    }
    table.row(line(name, total));
    table.to_string()
}

fn line(key: Vec<String>, counts: Counts) -> Vec<String> {
    let percent = counts.delivered_ratio().map_or("-".to_owned(), |ratio| format!("{:.1}", ratio * 100.0));
    key.into_iter().chain(counts.0.map(|value| value.to_string())).chain([percent]).collect()
}

fn csv(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    csv_text(
        &header(dimensions),
        rows.iter().map(|(key, counts)| {
            let cells = key.iter().map(|cell| harmless(cell)).chain(counts.0.map(|value| value.to_string()));
            let ratio = counts.delivered_ratio().map(|ratio| format!("{ratio:.4}"));
            cells.chain([ratio.unwrap_or_default()]).collect::<Vec<_>>()
        }),
    )
}

fn json(rows: &BTreeMap<Vec<String>, Counts>, dimensions: &[Dimension]) -> String {
    let objects: Vec<serde_json::Value> = rows
        .iter()
        .map(|(key, counts)| {
            let names = dimensions.iter().map(|dimension| dimension.into_str().to_owned());
            let mut object: serde_json::Map<_, serde_json::Value> =
                names.zip(key.iter().map(|cell| cell.as_str().into())).collect();
            object.extend(Counts::NAMES.map(str::to_owned).into_iter().zip(counts.0.map(Into::into)));
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
            quarter: hour.parse().unwrap(),
            channel: "SMS".into(),
            flow: "OTP".into(),
            country: country.into(),
            campaign: String::new(),
            network: String::new(),
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
    fn the_table_has_a_row_per_hour_and_their_sum() {
        let expected = "\
hour               accepted  delivered  failed  expired  pending  delivered %
2026-01-01T10:00Z       100         95       5        0        0         95.0
2026-01-01T11:00Z         4          0       0        1        3          0.0
all                     104         95       5        1        3         91.3
";
        assert_eq!(render(&cohorts(), &[Dimension::Hour], &TimeZone::UTC, Format::Table), expected);
    }

    #[test]
    fn csv_and_json_have_the_same_values() {
        let by = [Dimension::Country, Dimension::Reason];
        let csv =
            "country,reason,accepted,delivered,failed,expired,pending,delivered_ratio\nFR,network,5,0,5,0,0,0.0000\n";
        assert_eq!(render(&cohorts(), &by, &TimeZone::UTC, Format::Csv), csv);
        let json: serde_json::Value =
            serde_json::from_str(&render(&cohorts(), &by, &TimeZone::UTC, Format::Json)).unwrap();
        let expected = serde_json::json!([{"country": "FR", "reason": "network", "accepted": 5, "delivered": 0,
            "failed": 5, "expired": 0, "pending": 0, "delivered_ratio": 0.0}]);
        assert_eq!(json, expected);
    }

    #[test]
    fn nothing_makes_an_empty_report() {
        let none = BTreeMap::new();
        assert_eq!(render(&none, &[Dimension::Country], &TimeZone::UTC, Format::Csv).lines().count(), 1);
        assert_eq!(render(&none, &[Dimension::Country], &TimeZone::UTC, Format::Json), "[]\n");
        assert!(render(&none, &[Dimension::Country], &TimeZone::UTC, Format::Table).ends_with("-\n"));
    }

    #[test]
    fn a_report_starts_on_a_whole_hour_day_week_or_month_of_its_zone() {
        let now: Timestamp = "2026-01-02T10:59:59Z".parse().unwrap();
        for (by, zone, expected) in [
            (Dimension::Hour, "UTC", "2026-01-01T10:00:00Z"),
            (Dimension::Country, "UTC", "2026-01-01T10:00:00Z"),
            (Dimension::Hour, "Asia/Kolkata", "2026-01-01T10:30:00Z"),
            (Dimension::Day, "UTC", "2026-01-01T00:00:00Z"),
            (Dimension::Day, "Europe/Paris", "2025-12-31T23:00:00Z"),
            (Dimension::Week, "Europe/Paris", "2025-12-28T23:00:00Z"),
            (Dimension::Month, "Europe/Paris", "2025-12-31T23:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(start(now, Duration::from_secs(86_400), &[by], &zone), expected, "{by:?} {zone:?}");
        }
    }

    #[test]
    fn rows_are_by_the_days_of_the_zone_by_campaign_and_by_network() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let cohort = |quarter: &str, campaign: &str, network: &str| Cohort {
            campaign: campaign.into(),
            network: network.into(),
            quarter: quarter.parse().unwrap(),
            ..cohorts().into_keys().next().unwrap()
        };
        let cohorts = BTreeMap::from([
            (cohort("2026-06-30T21:45Z", "summer", "SFR"), 1),
            (cohort("2026-06-30T22:00Z", "summer", "Orange"), 2),
            (cohort("2026-07-01T21:45Z", "", "Orange"), 4),
        ]);
        let csv = |by: &[Dimension]| {
            let rows = render(&cohorts, by, &paris, Format::Csv);
            let cut = |line: &str| line.split(',').take(by.len() + 1).collect::<Vec<_>>().join(",");
            rows.lines().skip(1).map(cut).collect::<Vec<_>>()
        };
        assert_eq!(csv(&[Dimension::Day]), ["2026-06-30,1", "2026-07-01,6"]);
        assert_eq!(csv(&[Dimension::Month, Dimension::Network]), ["2026-06,SFR,1", "2026-07,Orange,6"]);
        assert_eq!(csv(&[Dimension::Week]), ["2026-W27,7"]);
        assert_eq!(csv(&[Dimension::Campaign]), [",4", "summer,3"]);
        assert_eq!(csv(&[Dimension::Hour])[0], "2026-06-30T23:00+02:00,1");
    }
}
