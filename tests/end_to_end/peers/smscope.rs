//! The smscope binary that this package builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::process::Process;
use super::{Exposition, Http, Reply, eventually, free_port, holds};

/// The token of every source in a test.
pub const TOKEN: &str = "token-of-the-end-to-end-tests";

pub struct Smscope {
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    http: Http,
    webhooks: u16,
    admin: u16,
    process: Option<Process>,
}

impl Smscope {
    /// One that is set up in `folder` and not started: with the default source, and no telemetry on its way out.
    pub fn new(folder: &Path) -> Self {
        let data = folder.join("data").to_str().unwrap().to_owned();
        let this = Self {
            folder: folder.to_owned(),
            environment: Vec::new(),
            http: Http::new(),
            webhooks: free_port(),
            admin: free_port(),
            process: None,
        };
        this.with("SMSCOPE_DATA_DIR", data).with("SMSCOPE_TOKEN", TOKEN).with("OTEL_METRIC_EXPORT_INTERVAL", "200")
    }

    /// Sets a variable of its environment, which holds nothing else.
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| *known != variable);
        self.environment.push((variable, value.into()));
        self
    }

    /// Gives it a configuration file, which then has to name the sources' tokens.
    pub fn with_file(self, text: &str) -> Self {
        let path = self.folder.join("smscope.toml");
        std::fs::write(&path, text).unwrap();
        let mut this = self.with("SMSCOPE_CONFIG", path.to_str().unwrap());
        this.environment.retain(|(known, _)| *known != "SMSCOPE_TOKEN");
        this
    }

    /// Starts it and waits until it takes webhooks.
    pub fn start(mut self) -> Self {
        self.restart();
        self
    }

    /// Starts it again, on the same data and ports.
    pub fn restart(&mut self) {
        self.spawn();
        self.until_ready();
    }

    /// Starts it and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it is still running");
        let mut command = Command::new(env!("CARGO_BIN_EXE_smscope"));
        command
            .env_clear()
            .env("SMSCOPE_LISTEN", format!("127.0.0.1:{}", self.webhooks))
            .env("SMSCOPE_ADMIN_LISTEN", format!("127.0.0.1:{}", self.admin))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("smscope", &mut command, &self.folder.join("smscope.log")));
    }

    pub fn until_ready(&mut self) {
        let (http, url) = (&self.http, format!("http://127.0.0.1:{}/readyz", self.admin));
        let ready = || http.get(&url).and_then(|reply| holds(reply.status == 200, || reply.body));
        self.process.as_mut().expect("it was not started").until_ready(ready);
    }

    /// Plays smsmode against it, with further flags of `smscope simulate`.
    pub fn simulate(&self, flags: &[&str]) -> Process {
        let folder = self.folder.join("simulate");
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_smscope"));
        command.env_clear().current_dir(&folder).env("SMSCOPE_DATA_DIR", &folder);
        command.args(["simulate", "--url", &self.hook("smsmode")]).args(flags);
        Process::start("smscope simulate", &mut command, &self.folder.join("simulate.log"))
    }

    pub fn kill(&mut self) {
        self.process.take().expect("it is not running").kill();
    }

    /// Ends it in good order, with a last push.
    pub fn terminate(&mut self) {
        let status = self.process.take().expect("it is not running").terminate();
        assert!(status.success(), "{status}");
    }

    /// Where its database is.
    pub fn database(&self) -> PathBuf {
        self.folder.join("data/private/smscope.db")
    }

    /// What it said about itself since its last start.
    pub fn diagnostics(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }

    pub fn webhook_address(&self) -> String {
        format!("127.0.0.1:{}", self.webhooks)
    }

    /// The callback URL of a source.
    pub fn hook(&self, source: &str) -> String {
        format!("http://127.0.0.1:{}/hooks/{source}/{TOKEN}", self.webhooks)
    }

    /// Sends a webhook with a JSON body, which has to be answered `{"result": expected}`.
    pub fn post(&self, source: &str, body: &serde_json::Value, expected: &str) {
        self.answered(expected, self.http.post_json(&self.hook(source), &body.to_string()));
    }

    /// Sends a webhook of the trace that a `traceparent` names.
    pub fn post_traced(&self, traceparent: &str, body: &serde_json::Value, expected: &str) {
        let url = format!("{}?traceparent={traceparent}", self.hook("smsmode"));
        self.answered(expected, self.http.post_json(&url, &body.to_string()));
    }

    /// Sends a webhook of the legacy kind.
    pub fn get(&self, source: &str, query: &str, expected: &str) {
        self.answered(expected, self.http.get(&format!("{}?{query}", self.hook(source))));
    }

    /// Sends whatever request, and gives the status of its answer.
    pub fn send(&self, request: Request<Full<Bytes>>) -> u16 {
        self.http.send(request).unwrap().status
    }

    fn answered(&self, expected: &str, reply: Result<Reply, String>) {
        let reply = reply.unwrap();
        let result = format!("{{\"result\":\"{expected}\"}}");
        assert_eq!((reply.status, reply.body.as_str()), (200, result.as_str()));
    }

    /// The scrape as it came.
    pub fn metrics_text(&self) -> String {
        let reply = self.http.get(&format!("http://{}/metrics", self.admin_address())).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    pub fn metrics(&self) -> Exposition {
        Exposition::parse(&self.metrics_text())
    }

    /// Waits until nothing waits to be exported.
    pub fn until_exported(&self) {
        eventually("all log records exported", || {
            let waiting = self.metrics().sum("smscope_export_backlog_records", &[]);
            holds(waiting == 0.0, || format!("{waiting} log records wait"))
        });
    }
}
