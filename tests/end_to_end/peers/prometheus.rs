//! Prometheus and promtool, as the distribution packages them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::process::Process;
use super::{Http, free_port, holds, on_path, require_tool, run_with_input};

const HOW: &str = "Debian has it in the package prometheus";

pub struct Prometheus {
    http: Http,
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
        let binary = require_tool("Prometheus", on_path("prometheus"), HOW)?;
        let configuration = folder.join("prometheus.yml");
        let scrape = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: smscope, honor_labels: true, static_configs: [{{targets: {targets:?}}}]}}]\n{more}"
        );
        std::fs::write(&configuration, scrape).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            // An alert that fires before Alertmanager is known would else be sent again a minute later.
            .arg("--rules.alert.resend-delay=1s")
            .arg("--enable-feature=exemplar-storage");
        let http = Http::new();
        let mut process = Process::start("Prometheus", &mut command, &folder.join("prometheus.log"));
        let url = format!("http://{address}/-/ready");
        process.until_ready(|| http.get(&url).and_then(|reply| holds(reply.status == 200, || reply.body)));
        Some(Self { http, address, _process: process })
    }

    /// How many series a query gives that have a value, over the time `back` from now or, with `None`, now.
    ///
    /// # Errors
    /// Prometheus refuses the query; the text is its own.
    pub fn series(&self, query: &str, back: Option<Duration>) -> Result<usize, String> {
        let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC).to_string();
        let what = match back {
            None => format!("query?query={query}"),
            Some(back) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                format!("query_range?query={query}&start={}&end={now}&step=1", now - back.as_secs())
            }
        };
        let reply = self.http.get(&format!("http://{}/api/v1/{what}", self.address))?;
        let answer: Value = serde_json::from_str(&reply.body).map_err(|error| error.to_string())?;
        let Some(series) = answer["data"]["result"].as_array() else { return Err(reply.body) };
        let has_value = |series: &&Value| {
            let samples = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
            samples.iter().any(|sample| sample[1].as_str().is_some_and(|value| value != "NaN"))
        };
        Ok(series.iter().filter(has_value).count())
    }

    /// The value of an instant query that gives one series.
    pub fn query(&self, query: &str) -> Result<f64, String> {
        let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC).to_string();
        let reply = self.http.get(&format!("http://{}/api/v1/query?query={query}", self.address))?;
        let answer: Value = serde_json::from_str(&reply.body).map_err(|error| error.to_string())?;
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.and_then(|value| value.parse().ok()).ok_or(reply.body)
    }
}

impl Prometheus {
    /// What a path under `/api/v1/` answers.
    ///
    /// # Errors
    /// It refuses; the text is its own.
    pub fn api(&self, path: &str) -> Result<Value, String> {
        let reply = self.http.get(&format!("http://{}/api/v1/{path}", self.address))?;
        let mut answer: Value = serde_json::from_str(&reply.body).map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(reply.body) }
    }

    /// The result of an instant query at a Unix time.
    ///
    /// # Errors
    /// It refuses; the text is its own.
    pub fn query_at(&self, query: &str, time: f64) -> Result<Vec<Value>, String> {
        let encoded = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let data = self.api(&format!("query?query={encoded}&time={time}"))?;
        data["result"].as_array().cloned().ok_or_else(|| data.to_string())
    }
}

/// What `promtool` says of `input`; `None` when there is no promtool and the test is skipped.
pub fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let binary = require_tool("promtool", on_path("promtool"), HOW)?;
    Some(run_with_input(Command::new(binary).args(arguments), input))
}
