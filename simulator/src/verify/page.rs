//! A page of metrics in the Prometheus text format, as far as it is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The metrics that are compared: all that count what a provider reports, but for expiry.
pub const FAMILIES: [&str; 12] = [
    "sms_messages_total",
    "sms_messages_delivered_total",
    "sms_messages_failed_total",
    "sms_messages_read_total",
    "sms_messages_corrected_total",
    "sms_messages_pending",
    "sms_receipts_total",
    "sms_network_outcomes_total",
    "sms_replies_total",
    "sms_message_parts_total",
    "sms_message_cost_total",
    "sms_message_failed_cost_total",
];

/// Time passes during a run too: expiry is no error, but is reported.
pub const EXPIRED: &str = "sms_messages_expired_total";

/// One series: its metric and its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Series {
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect();
        Self { name: name.to_owned(), labels }
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.name, labels.join(","))
    }
}

/// Series with their values in millionths, so that money is exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(pub BTreeMap<Series, i64>);

impl Page {
    /// The compared series of a page; lines that cannot be read are skipped.
    pub fn read(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }
}

/// A label and its value, in which backslashes, quotes and line breaks are escaped.
static LABEL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)"[,}]"#).expect("the pattern is valid"));
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\(.)").expect("the pattern is valid"));

fn sample(line: &str) -> Option<(Series, i64)> {
    let (name, rest) = line.split_once('{')?;
    if !FAMILIES.contains(&name) && name != EXPIRED {
        return None;
    }
    let unescape = |escape: &Captures<'_>| escape[1].replace('n', "\n");
    let label = |label: Captures<'_>| (label[1].to_owned(), ESCAPE.replace_all(&label[2], unescape).into_owned());
    let labels = LABEL.captures_iter(rest).map(label).collect();
    let value: f64 = rest.rsplit_once("} ")?.1.parse().ok()?;
    Some((Series { name: name.to_owned(), labels }, (value * 1e6).round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_series_are_read_and_others_passed_over() {
        let page = Page::read(
            "# TYPE sms_replies_total counter\n\
             sms_replies_total{source=\"a\",channel=\"S\\\"M\\\\S\",kind=\"stop\"} 3\n\
             sms_message_cost_total{source=\"a\",channel=\"SMS\",country=\"FR\",currency=\"EUR\"} 0.049\n\
             smscope_store_events 5\n\
             smscope_webhook_requests_total{source=\"a\",result=\"accepted\"} 5\n\
             sms_replies_total{broken\n\
             sms_replies_total{source=\"a\"} many\n",
        );
        let replies = Series::new("sms_replies_total", &[("source", "a"), ("channel", "S\"M\\S"), ("kind", "stop")]);
        let labels = [("source", "a"), ("channel", "SMS"), ("country", "FR"), ("currency", "EUR")];
        let cost = Series::new("sms_message_cost_total", &labels);
        assert_eq!(page.0, BTreeMap::from([(replies, 3_000_000), (cost, 49_000)]));
    }
}
