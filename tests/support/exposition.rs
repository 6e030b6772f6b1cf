//! Prometheus' text format, version 0.0.4, read back.

use std::collections::BTreeMap;

/// A series: its name and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Series {
    pub fn label(&self, label: &str) -> &str {
        self.labels.get(label).map_or("", String::as_str)
    }
}

/// What one scrape gave.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    pub text: String,
    /// `HELP` and `TYPE` by the family's name.
    pub families: BTreeMap<String, (String, String)>,
    pub series: BTreeMap<Series, f64>,
}

impl Exposition {
    /// Panics on what is not the format, and on a series that is there twice.
    pub fn parse(text: &str) -> Self {
        let mut all = Self { text: text.to_owned(), ..Self::default() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or((help, ""));
                help.clone_into(&mut all.families.entry(name.to_owned()).or_default().0);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                kind.clone_into(&mut all.families.entry(name.to_owned()).or_default().1);
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(all.series.insert(read_series(series), value).is_none(), "twice: {line}");
            }
        }
        all
    }

    /// The same without what a Prometheus exporter adds of its own about where the metrics came from.
    pub fn without_origin(mut self) -> Self {
        self.families.remove("target_info");
        let series = std::mem::take(&mut self.series).into_iter().filter(|(series, _)| series.name != "target_info");
        self.series = series
            .map(|(mut series, value)| {
                let origin = |label: &str| matches!(label, "job" | "instance") || label.starts_with("otel_scope_");
                series.labels.retain(|label, _| !origin(label));
                (series, value)
            })
            .collect();
        self
    }

    /// The series of this name with (at least) these labels.
    pub fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = (&Series, f64)> {
        self.series.iter().map(|(series, value)| (series, *value)).filter(move |(series, _)| {
            series.name == name && labels.iter().all(|(label, value)| series.label(label) == *value)
        })
    }

    /// Their sum; `None` if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels).map(|(_, value)| value).reduce(|sum, value| sum + value)
    }

    /// The values of a label among the series of a metric that are not 0, each once.
    pub fn values_of(&self, name: &str, label: &str) -> Vec<String> {
        self.by(name, label).into_keys().collect()
    }

    /// Their sum, 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    /// The sums of a metric's series by one label, those that are 0 left out.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (series, value) in self.matching(name, &[]) {
            *sums.entry(series.label(label).to_owned()).or_default() += value;
        }
        sums.retain(|_, sum| *sum != 0.0);
        sums
    }
}

fn read_series(text: &str) -> Series {
    let Some((name, rest)) = text.split_once('{') else {
        return Series { name: text.to_owned(), labels: BTreeMap::new() };
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("no closing brace: {text}"));
    while !rest.is_empty() {
        let (label, tail) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {text}"));
        let (mut value, mut end) = (String::new(), None);
        let mut characters = tail.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => value.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, escaped)) => escaped,
                    None => panic!("a lonely backslash: {text}"),
                }),
                plain => value.push(plain),
            }
        }
        let end = end.unwrap_or_else(|| panic!("no closing quote: {text}"));
        // Two writers may print one bound as 1 and 1.0.
        let value = match (label, value.parse::<f64>()) {
            ("le", Ok(bound)) => bound.to_string(),
            _ => value,
        };
        labels.insert(label.to_owned(), value);
        rest = tail[end..].strip_prefix(',').unwrap_or(&tail[end..]);
    }
    Series { name: name.to_owned(), labels }
}
