//! Prometheus text, read as far as the tests need it.

/// One scrape.
pub struct Metrics {
    pub text: String,
}

impl Metrics {
    /// The sum of the series that have these labels, others aside; `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |series: &str| labels.iter().all(|(label, value)| label_of(series, label) == Some(value));
        let values = self.series(name).filter(|(series, _)| fits(series)).map(|(_, value)| value);
        values.reduce(|sum, value| sum + value)
    }

    /// The values of a label among the series of a metric that are not 0, each once.
    pub fn values_of(&self, name: &str, label: &str) -> Vec<&str> {
        let counted = self.series(name).filter(|(_, value)| *value != 0.0);
        let mut values: Vec<&str> = counted.filter_map(|(series, _)| label_of(series, label)).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    fn series(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (labels, value) = rest.rsplit_once(' ')?;
            Some((labels, value.parse().unwrap()))
        })
    }
}

/// The value of a label in `{a="b",c="d"}`. The tests use no values that need escaping.
fn label_of<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let inside = series.strip_prefix('{')?.strip_suffix('}')?;
    inside.split("\",").find_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        (name == label).then(|| value.trim_end_matches('"'))
    })
}
