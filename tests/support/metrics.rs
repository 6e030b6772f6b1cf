//! One scrape, as the tests of the sidecar ask about it.

use super::exposition::Exposition;

pub struct Metrics {
    pub text: String,
    read: Exposition,
}

impl Metrics {
    /// Panics on what is not the format of Prometheus.
    pub fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), read: Exposition::parse(text) }
    }

    /// The sum of the series that have these labels, others aside; `None` if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.read.matching(name, labels).map(|(_, value)| value);
        values.reduce(|sum, value| sum + value)
    }

    /// The values of a label among the series of a metric that are not 0, each once.
    pub fn values_of(&self, name: &str, label: &str) -> Vec<String> {
        self.read.by(name, label).into_keys().collect()
    }
}
