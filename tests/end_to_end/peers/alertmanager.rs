//! Alertmanager, as the distribution packages it, with the address that it notifies.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::process::Process;
use super::{Http, free_port, holds, on_path, require_tool};

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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inbox = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), kept.clone());
                std::thread::spawn(move || while take(&stream, &kept).is_some() {});
            }
        });
        let mut text = format!("{routes}\nreceivers:\n");
        for name in receivers {
            text.push_str(&format!("  - {{name: {name}, webhook_configs: [{{url: 'http://{inbox}/{name}'}}]}}\n"));
        }
        let configuration = folder.join("alertmanager.yml");
        std::fs::write(&configuration, text).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let http = Http::new();
        let mut process = Process::start("Alertmanager", &mut command, &folder.join("alertmanager.log"));
        let url = format!("http://{address}/-/ready");
        process.until_ready(|| http.get(&url).and_then(|reply| holds(reply.status == 200, || reply.body)));
        Some(Self { address, received, _process: process })
    }

    pub fn post(&self, alerts: &[Value]) {
        let body = serde_json::to_string(alerts).unwrap();
        let reply = Http::new().post_json(&format!("http://{}/api/v2/alerts", self.address), &body).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// What it inhibits of all that it has: name, source and network.
    pub fn inhibited(&self) -> BTreeSet<String> {
        let reply = Http::new().get(&format!("http://{}/api/v2/alerts?active=false", self.address)).unwrap();
        let alerts: Vec<Value> = serde_json::from_str(&reply.body).unwrap();
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

/// Takes one request of a connection: a POST of JSON to the receiver's name.
fn take(stream: &TcpStream, received: &Mutex<Vec<Notification>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        if line == "\r\n" {
            break;
        }
        lines.push(line);
    }
    let receiver = lines[0].split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let length =
        lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let notification: Value = serde_json::from_slice(&body).unwrap();
    let alerts = notification["alerts"].as_array().unwrap();
    let alerts = alerts.iter().map(|alert| Notification { receiver: receiver.clone(), alert: alert.clone() });
    received.lock().unwrap().extend(alerts);
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}
