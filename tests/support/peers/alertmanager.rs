//! Alertmanager, as the distribution packages it, with the address that it notifies.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::server::{self, respond};
use crate::support::{Process, Response, free_address, get, on_path, post_json, require_tool};

pub struct Alertmanager {
    pub address: String,
    received: Arc<Mutex<Vec<Notification>>>,
    _process: Process,
}

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The name of the receiver.
    pub receiver: String,
    pub alert: Value,
}

impl Alertmanager {
    /// One with these routes and inhibitions, whose `receivers` all lead to the test; `None` when there is no Alertmanager and the
    /// test is skipped.
    pub fn start(folder: &Path, routes: &str, receivers: &[&str]) -> Option<Self> {
        let binary = require_tool(
            "Alertmanager",
            on_path("prometheus-alertmanager").or_else(|| on_path("alertmanager")),
            "Debian has it in the package prometheus-alertmanager",
        )?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let stored = received.clone();
        let inbox = server::start(move |request, stream| {
            let receiver = request.target.trim_start_matches('/').to_owned();
            let notification: Value = serde_json::from_slice(&request.body).unwrap();
            let alerts = notification["alerts"].as_array().unwrap();
            let alerts = alerts.iter().map(|alert| Notification { receiver: receiver.clone(), alert: alert.clone() });
            stored.lock().unwrap().extend(alerts);
            respond(stream, 200, &[], "")
        });
        let mut text = format!("{routes}\nreceivers:\n");
        for name in receivers {
            text.push_str(&format!("  - {{name: {name}, webhook_configs: [{{url: 'http://{inbox}/{name}'}}]}}\n"));
        }
        let configuration = folder.join("alertmanager.yml");
        std::fs::write(&configuration, text).unwrap();
        let address = free_address();
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let process = Process::start("Alertmanager", &mut command);
        let url = format!("http://{address}/-/ready");
        process.until_ready(|| get(&url).and_then(Response::ok));
        Some(Self { address, received, _process: process })
    }

    pub fn post(&self, alerts: &[Value]) {
        let body = serde_json::to_string(alerts).unwrap();
        let response = post_json(&format!("http://{}/api/v2/alerts", self.address), &body).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// What it inhibits of all that it has: name, source and network.
    pub fn inhibited(&self) -> BTreeSet<String> {
        let response = get(&format!("http://{}/api/v2/alerts?active=false", self.address)).unwrap();
        let alerts: Vec<Value> = serde_json::from_slice(&response.body).unwrap();
        let name = |alert: &Value| {
            let labels = ["alertname", "source", "network"].map(|label| alert["labels"][label].as_str());
            labels.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        let inhibited = alerts.iter().filter(|alert| !alert["status"]["inhibitedBy"].as_array().unwrap().is_empty());
        inhibited.map(name).collect()
    }

    /// Everything that it has notified of, in that order.
    pub fn received(&self) -> Vec<Notification> {
        self.received.lock().unwrap().clone()
    }
}
