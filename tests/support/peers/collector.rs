//! The OpenTelemetry Collector, as tests/collector/build.sh builds it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Exposition, Process, Response, built, free_port, get, post_json, require_tool};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/collector");

pub struct Collector {
    binary: PathBuf,
    folder: PathBuf,
    otlp: u16,
    prometheus: u16,
    /// More of its configuration, and the variables of the environment in that.
    more: Option<(&'static str, Vec<(&'static str, String)>)>,
    process: Option<Process>,
}

impl Collector {
    /// The program; `None` when there is none and the test is skipped.
    pub fn program() -> Option<PathBuf> {
        require_tool("the OpenTelemetry Collector", binary(), "tests/collector/build.sh builds it with Go")
    }

    /// One that is set up in `folder` and not started; `None` when there is no Collector and the test is skipped.
    pub fn new(folder: &Path) -> Option<Self> {
        let binary = Self::program()?;
        Some(Self {
            binary,
            folder: folder.to_owned(),
            otlp: free_port(),
            prometheus: free_port(),
            more: None,
            process: None,
        })
    }

    /// Lays a file of tests/collector over its configuration, with the environment that this one needs.
    pub fn with(self, file: &'static str, environment: Vec<(&'static str, String)>) -> Self {
        Self { more: Some((file, environment)), ..self }
    }

    /// One that is running.
    pub fn start(folder: &Path) -> Option<Self> {
        let mut collector = Self::new(folder)?;
        collector.restart();
        Some(collector)
    }

    /// Starts it, on the same ports and files each time.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it is still running");
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(Path::new(FOLDER).join("config.yaml"))
            .env("OTLP_PORT", self.otlp.to_string())
            .env("PROMETHEUS_PORT", self.prometheus.to_string())
            .env("LOGS_FILE", self.folder.join("logs.json"))
            .env("METRICS_FILE", self.folder.join("metrics.json"));
        if let Some((file, environment)) = &self.more {
            command.arg("--config").arg(Path::new(FOLDER).join(file)).envs(environment.iter().cloned());
        }
        let process = Process::start("the Collector", &mut command);
        let (otlp, prometheus) = (format!("{}/v1/logs", self.endpoint()), self.prometheus_url());
        process.until_ready(|| {
            // Both answer something: an empty OTLP request is answered 200.
            post_json(&otlp, "{}")?;
            get(&prometheus).map(drop)
        });
        // It answers a moment before it asks for SIGTERM, which until then kills it; nothing shows when it has.
        std::thread::sleep(Duration::from_millis(200));
        self.process = Some(process);
    }

    pub fn kill(&mut self) {
        self.process.take().expect("it is not running").kill();
    }

    /// Ends it in good order: what it has acknowledged is in its files then.
    pub fn terminate(&mut self) {
        self.process.take().expect("it is not running").terminate();
    }

    /// What OTEL_EXPORTER_OTLP_ENDPOINT is to be.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp)
    }

    fn prometheus_url(&self) -> String {
        format!("http://{}/metrics", self.prometheus_address())
    }

    /// Where a Prometheus can scrape what was pushed to it.
    pub fn prometheus_address(&self) -> String {
        format!("127.0.0.1:{}", self.prometheus)
    }

    /// What its Prometheus exporter shows of what was pushed to it.
    pub fn metrics(&self) -> Result<Exposition, String> {
        Ok(self.exposition()?.without_origin())
    }

    /// The same of one service among several.
    pub fn metrics_of(&self, service: &str) -> Result<Exposition, String> {
        let mut all = self.exposition()?;
        all.series.retain(|series, _| series.label("job") == service);
        Ok(all.without_origin())
    }

    fn exposition(&self) -> Result<Exposition, String> {
        Ok(Exposition::parse(get(&self.prometheus_url())?.ok()?.text()))
    }

    /// The file of log records as it stands.
    pub fn logs_text(&self) -> String {
        whole_lines(&self.folder.join("logs.json"))
    }

    /// Every log record in the file, in the order of arrival.
    pub fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        self.each_record(|record| records.push(record.clone()));
        records
    }

    /// The same one by one: all at once may be more than fits into memory.
    pub fn each_record(&self, mut look_at: impl FnMut(&Value)) {
        let Ok(file) = File::open(self.folder.join("logs.json")) else { return };
        let mut file = BufReader::new(file);
        let mut line = String::new();
        // A last line without its end is still being written.
        while file.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            for resource in array(&json(&line)["resourceLogs"]) {
                for scope in array(&resource["scopeLogs"]) {
                    array(&scope["logRecords"]).iter().for_each(&mut look_at);
                }
            }
            line.clear();
        }
    }

    /// The resources that metrics were pushed under, in the order of arrival: each with its metrics.
    pub fn pushes(&self) -> Vec<Value> {
        let text = whole_lines(&self.folder.join("metrics.json"));
        text.lines().flat_map(|line| array(&json(line)["resourceMetrics"]).to_vec()).collect()
    }
}

/// An attribute list as one object: `[{"key": "a", "value": {"intValue": "7"}}]` is `{"a": 7}`.
pub fn attributes(list: &Value) -> Value {
    let plain = |value: &Value| match value.as_object().unwrap().iter().next().unwrap() {
        (kind, value) if kind == "intValue" => json(value.as_str().unwrap()),
        (kind, value) if kind == "doubleValue" => Value::from(value.as_f64().unwrap()),
        (_, value) => value.clone(),
    };
    let key = |attribute: &Value| attribute["key"].as_str().unwrap().to_owned();
    Value::Object(array(list).iter().map(|attribute| (key(attribute), plain(&attribute["value"]))).collect())
}

/// An array, empty when it is left out.
pub fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The file without a last line that is still being written.
fn whole_lines(path: &Path) -> String {
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}

fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SMSCOPE_TEST_COLLECTOR").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let manifest = std::fs::read(Path::new(FOLDER).join("builder.yaml")).unwrap();
    built("collector", &manifest, "smscope-test-collector")
}
