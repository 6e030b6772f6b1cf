//! Prometheus and promtool, as the distribution packages them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Process, Response, free_address, get, program, run_with_input};

pub struct Prometheus {
    address: String,
    _process: Process,
}

impl Prometheus {
    /// One that scrapes `target` each second; `None` when there is no Prometheus and the test is skipped.
    pub fn start(folder: &Path, target: &str) -> Option<Self> {
        Self::start_with(folder, &[target], "")
    }

    /// The same with several targets, and with more lines of configuration, such as rules.
    pub fn start_with(folder: &Path, targets: &[&str], more: &str) -> Option<Self> {
        let scrape = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: smscope, honor_labels: true, static_configs: [{{targets: {targets:?}}}]}}]\n{more}"
        );
        Self::start_from(folder, &scrape)
    }

    /// One with this configuration; `None` when there is no Prometheus and the test is skipped.
    pub fn start_from(folder: &Path, text: &str) -> Option<Self> {
        let binary = program("prometheus", "prometheus")?;
        let configuration = folder.join("prometheus.yml");
        std::fs::write(&configuration, text).unwrap();
        let address = free_address();
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            // An alert that fires before Alertmanager is known would otherwise be resent a minute later.
            .arg("--rules.alert.resend-delay=1s")
            .arg("--enable-feature=exemplar-storage");
        let process = Process::start("Prometheus", &mut command);
        let url = format!("http://{address}/-/ready");
        process.until_ready(|| get(&url).and_then(Response::ok));
        Some(Self { address, _process: process })
    }

    /// How many series a query gives that have a value, over the time `back` from now or, with `None`, now.
    ///
    /// # Errors
    /// Prometheus rejects the query; the text is its own.
    pub fn series(&self, query: &str, back: Option<Duration>) -> Result<usize, String> {
        let query = encoded(query);
        let data = match back {
            None => self.api(&format!("query?query={query}"))?,
            Some(back) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                self.api(&format!("query_range?query={query}&start={}&end={now}&step=1", now - back.as_secs()))?
            }
        };
        let series = data["result"].as_array().ok_or_else(|| data.to_string())?;
        let has_value = |series: &&Value| {
            let samples = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
            samples.iter().any(|sample| sample[1].as_str().is_some_and(|value| value != "NaN"))
        };
        Ok(series.iter().filter(has_value).count())
    }

    /// The value of an instant query that gives one series.
    pub fn query(&self, query: &str) -> Result<f64, String> {
        let data = self.api(&format!("query?query={}", encoded(query)))?;
        let value = data["result"][0]["value"][1].as_str();
        value.and_then(|value| value.parse().ok()).ok_or_else(|| data.to_string())
    }

    /// What a path under `/api/v1/` answers.
    ///
    /// # Errors
    /// It rejects the request; the text is its own.
    pub fn api(&self, path: &str) -> Result<Value, String> {
        let response = get(&format!("http://{}/api/v1/{path}", self.address))?;
        let mut content: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
        if content["status"] == "success" { Ok(content["data"].take()) } else { Err(content.to_string()) }
    }

    /// The result of an instant query at a Unix time.
    ///
    /// # Errors
    /// It rejects the request; the text is its own.
    pub fn query_at(&self, query: &str, time: f64) -> Result<Vec<Value>, String> {
        let data = self.api(&format!("query?query={}&time={time}", encoded(query)))?;
        data["result"].as_array().cloned().ok_or_else(|| data.to_string())
    }
}

fn encoded(query: &str) -> impl std::fmt::Display {
    percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC)
}

/// What `promtool` says of `input`; `None` when there is no promtool and the test is skipped.
pub fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let binary = program("promtool", "prometheus")?;
    Some(run_with_input(Command::new(binary).args(arguments), input))
}
