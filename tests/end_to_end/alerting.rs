//! The alerts at work: the real sidecar under simulated traffic, Prometheus with the shipped rules, Alertmanager with the shipped
//! routes, and the receiver of its notifications. Time is compressed in copies of both files: an hour is half a minute.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Alertmanager, Notification, Prometheus};
use crate::support::{Launch, Smscope, eventually, free_address, holds, package};

const COMPRESSION: u64 = 120;

/// What has no result here, by a part of its expression as Prometheus writes it, compressed, and why.
const BARREN: [(&str, &str); 16] = [
    ("offset 11m30s", "there is no yesterday before the test"),
    ("gap:max_same_time", "what is computed from that has none either"),
    ("smscope_webhook_unread_receipts_total", "every receipt of the simulation can be read"),
    ("smscope_task_failures_total", "no task fails"),
    ("offset 1h24m", "there is no week before the test"),
    ("offset 12m", "there is no day before the test"),
    ("{state=\"scheduled\"}[48m]", "the simulation schedules messages, and a source with any has no oldest age"),
    ("_offset1w", "what is computed from that week has none either"),
    ("smscope_account_", "no account is watched: there is nobody to ask"),
    ("smscope_channel_", "the same"),
    ("smscope_self_probes_", "there is no public URL to be called"),
    ("sms_relay_", "nothing is relayed"),
    ("sms_resends_", "nothing is sent again"),
    ("sms_messages_after_opt_out_", "no list of opt-outs is kept"),
    ("smscope_fleet_", "there is one process"),
    ("smscope_inbox_", "the same"),
];

/// A critical alert with a threshold of its own here, and its name: the spike may just be a fifth of the source.
const OVERRIDDEN: [(&str, &str); 1] = [("SmsFailureRatioHigh", "failure_ratio_high")];

const RULES: [&str; 3] = ["smscope.rules.yaml", "smscope-extra.rules.yaml", "smscope-features.rules.yaml"];

fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The text with every duration in it shortened: of rules, expressions and routes.
fn compressed(text: &str) -> String {
    let duration = Regex::new(r"(\[|offset |for: |interval: |wait: |:)([1-9][0-9]*)([smhdw])\b").unwrap();
    let shorter = duration.replace_all(text, |found: &regex::Captures<'_>| {
        let unit = match &found[3] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => 604_800,
        };
        let milliseconds = found[2].parse::<u64>().unwrap() * unit * 1_000 / COMPRESSION;
        format!("{}{milliseconds}ms", &found[1])
    });
    // A subquery of an hour is not evaluated each second.
    shorter.replace(":500ms]", ":1s]")
}

#[test]
fn durations_are_shortened_wherever_they_stand_and_nothing_else_is() {
    for (long, short) in [
        ("for: 2m", "for: 1000ms"),
        ("keep_firing_for: 1h", "keep_firing_for: 30000ms"),
        ("for: 0m", "for: 0m"),
        ("x:increase15m[15m] offset 1w", "x:increase15m[7500ms] offset 5040000ms"),
        ("count(a)[1h:1m]", "count(a)[30000ms:1s]"),
        ("group_interval: 5m", "group_interval: 2500ms"),
        ("in the last 30 minutes", "in the last 30 minutes"),
    ] {
        assert_eq!(compressed(long), short);
    }
}

struct Chain {
    _folder: TempDir,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    smscope: Smscope,
}

impl Chain {
    fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let example = shipped("alerts/alertmanager.example.yaml");
        let routes = compressed(example.split("\nreceivers:").next().unwrap());
        let alertmanager = Alertmanager::start(folder.path(), &routes, &["chat", "on-call", "deadman"])?;
        // Nobody listens there, so that there is something to wait for export.
        let smscope = Launch::new()
            .among_peers()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", free_address()))
            .env("SMSCOPE_STORE_SIZE_LIMIT", "64MiB")
            .start();
        let rules = RULES.map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, compressed(&shipped(&format!("alerts/{name}")))).unwrap();
            format!("'{}'", path.display())
        });
        let overrides = folder.path().join("overrides.rules.yaml");
        let of_the_simulation = OVERRIDDEN.map(|(_, name)| {
            format!("{{record: 'smscope:threshold:{name}', labels: {{source: smsmode}}, expr: vector(1000)}}")
        });
        std::fs::write(&overrides, format!("groups: [{{name: overrides, rules: [{}]}}]", of_the_simulation.join(", ")))
            .unwrap();
        let more = format!(
            "rule_files: [{}, '{}']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
            rules.join(", "),
            overrides.display(),
            alertmanager.address
        );
        let prometheus = Prometheus::start_with(folder.path(), &[&smscope.admin.to_string()], &more)?;
        Some(Self { _folder: folder, prometheus, alertmanager, smscope })
    }

    /// Waits until a notification fits, and gives it.
    fn notified(&self, what: &str, fits: impl Fn(&Notification) -> bool) -> Notification {
        eventually(what, || {
            let received = self.alertmanager.received();
            let names: BTreeSet<String> = received
                .iter()
                .map(|one| format!("{} {}", label(&one.alert, "alertname"), one.alert["status"]))
                .collect();
            received.into_iter().find(&fits).ok_or_else(|| format!("{names:?}"))
        })
    }
}

fn label<'a>(alert: &'a Value, name: &str) -> &'a str {
    alert["labels"][name].as_str().unwrap_or_default()
}

fn is_spike(notification: &Notification, status: &str) -> bool {
    label(&notification.alert, "alertname") == "SmsNetworkFailing" && notification.alert["status"] == status
}

#[test]
fn a_spike_is_notified_with_its_text_and_so_is_its_end_and_every_expression_has_a_result() {
    let Some(chain) = Chain::start() else { return };
    // Healthy for 14 s, then one network fails for 14 s, then healthy again.
    let began = Instant::now();
    let flags = "--scenario spike --rate 100 --duration 42s --seed 1 --start now --time-compression 20000";
    let _provider = chain.smscope.simulate(flags);

    chain.notified("the watchdog", |one| {
        one.receiver == "deadman" && label(&one.alert, "alertname") == "SmscopeWatchdog"
    });
    let firing = chain.notified("the spike", |one| is_spike(one, "firing"));
    assert!(began.elapsed() > Duration::from_secs(14), "before it began: {firing:?}");
    assert_eq!(firing.receiver, "on-call");
    assert_eq!((label(&firing.alert, "source"), label(&firing.alert, "network")), ("smsmode", "20810"));
    assert_eq!(label(&firing.alert, "severity"), "critical");
    let text = |name: &str| firing.alert["annotations"][name].as_str().unwrap().to_owned();
    assert_eq!(text("summary"), "A mobile network fails.");
    let description = Regex::new(
        "^At the operator SFR [3-9][0-9](\\.[0-9]+)?% of the messages of smsmode failed in the last 10 minutes",
    )
    .unwrap();
    assert!(description.is_match(&text("description")), "{}", text("description"));
    let dashboard = "http://localhost:3000/d/smscope-failures?var-source=smsmode&";
    assert!(text("dashboard").starts_with(dashboard), "{}", text("dashboard"));
    assert!(text("runbook_url").starts_with("https://") && text("runbook_url").ends_with("/SmsNetworkFailing.md"));

    every_expression_works(&chain.prometheus);
    what_grafana_asks_gives_the_same(&chain.prometheus);

    chain.notified("the end of the spike", |one| is_spike(one, "resolved"));
    for Notification { receiver, alert } in chain.alertmanager.received() {
        let name = label(&alert, "alertname");
        assert_eq!(receiver == "deadman", name == "SmscopeWatchdog", "{receiver}: {alert}");
        // Prometheus knows of no target in its first seconds, which are minutes here. Healthy traffic pages for nothing.
        assert!(receiver != "on-call" || ["SmscopeAbsent", "SmsNetworkFailing"].contains(&name), "{alert}");
        assert!(name != "SmsNetworkFailing" || label(&alert, "network") == "20810", "{alert}");
    }
}

/// Every rule is evaluated without an error. Every recorded one comes to have a result, hence all that an alert compares has one.
fn every_expression_works(prometheus: &Prometheus) {
    let groups = prometheus.api("rules").unwrap()["groups"].take();
    let rules: Vec<&Value> =
        groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 100, "{}", rules.len());
    for rule in &rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&json!("ok"), &Value::Null), "{rule}");
    }
    let recorded = rules.iter().filter(|rule| rule["type"] == "recording").map(|rule| rule["query"].as_str().unwrap());
    let is_barren = |query: &&str| BARREN.iter().any(|(part, _)| query.contains(part));
    let (barren, mut silent): (Vec<&str>, Vec<&str>) = recorded.partition(is_barren);
    let has_result = |query: &str| !prometheus.query_at(query, now()).unwrap().is_empty();
    eventually("a result of every recorded expression", || {
        silent.retain(|query| !has_result(query));
        holds(silent.is_empty(), || silent.join("\n"))
    });
    for query in barren {
        assert!(!has_result(query), "it has a result after all: {query}");
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The expressions of alerts/grafana/ have nothing recorded in them, and find the same series as the rules that they are made of.
fn what_grafana_asks_gives_the_same(prometheus: &Prometheus) {
    let Some(tsx) = package("tsx") else { return };
    let read = Command::new(tsx)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/grafana"))
        .arg("src/yaml.ts")
        .args(RULES.map(|name| format!("../alerts/{name}")))
        .args(RULES.map(|name| format!("../alerts/grafana/{}", name.replace(".rules", ""))))
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let files: Vec<Value> = serde_json::from_slice(&read.stdout).unwrap();
    let rules = |file: &Value| -> Vec<Value> {
        file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    };
    let [ours, theirs] = [&files[..RULES.len()], &files[RULES.len()..]]
        .map(|files| files.iter().flat_map(rules).collect::<Vec<Value>>());
    let labels = |expr: &str, time: f64| -> BTreeSet<String> {
        let found = prometheus.query_at(&compressed(expr), time).unwrap_or_else(|error| panic!("{expr}: {error}"));
        let nameless = found.into_iter().map(|mut series| {
            series["metric"].as_object_mut().unwrap().remove("__name__");
            series["metric"].to_string()
        });
        nameless.collect()
    };
    let mut firing = 0;
    for rule in &theirs {
        let alert = ours.iter().find(|ours| ours["alert"] == rule["title"]).unwrap();
        let [asked, evaluated] = [&rule["data"][0]["model"]["expr"], &alert["expr"]].map(|expr| expr.as_str().unwrap());
        for recorded in [
            "source:",
            "flow:",
            "job:",
            "task:",
            "country:",
            "network:",
            "status:",
            "smscope:",
            "process:",
            "store:",
            "instances:",
        ] {
            assert!(!asked.contains(recorded), "{recorded} in {asked}");
        }
        if OVERRIDDEN.iter().any(|(alert, _)| rule["title"] == *alert) {
            continue;
        }
        // What is recorded is up to a second older than what is asked now, so the two may differ for a moment.
        firing += eventually(&format!("{}: {asked}", rule["title"]), || {
            let time = now() - 1.0;
            let (theirs, ours) = (labels(asked, time), labels(evaluated, time));
            holds(theirs == ours, || format!("{theirs:?} and {ours:?}"))?;
            Ok(usize::from(!theirs.is_empty()))
        });
    }
    assert!(firing >= 2, "the watchdog and the spike at least: {firing}");
}

/// An alert as Prometheus posts it.
fn posted(name: &str, severity: &str, labels: &[(&str, &str)]) -> Value {
    let mut all = json!({"alertname": name, "severity": severity, "service": "smscope"});
    for (label, value) in labels {
        all[label] = json!(value);
    }
    json!({"labels": all, "annotations": {"summary": "Something is wrong."}})
}

#[test]
fn an_alert_silences_another_only_where_it_explains_it() {
    let folder = TempDir::new().unwrap();
    let example = shipped("alerts/alertmanager.example.yaml");
    let routes = example.split("\nreceivers:").next().unwrap();
    let Some(alertmanager) = Alertmanager::start(folder.path(), routes, &["chat", "on-call", "deadman"]) else {
        return;
    };
    let (a, b) = (("source", "a"), ("source", "b"));
    let inhibits = |alerts: &[Value], expected: &BTreeSet<String>| {
        alertmanager.post(alerts);
        eventually("the inhibitions", || {
            let inhibited = alertmanager.inhibited();
            holds(inhibited == *expected, || format!("{inhibited:?} instead of {expected:?}"))
        });
    };

    // A cause and what it explains, in its own source alone.
    let of_the_cause = [
        posted("SmsSendingLimitReached", "critical", &[a]),
        posted("SmsFailureRatioHigh", "critical", &[a]),
        posted("SmsFailureRatioHigh", "critical", &[b]),
        posted("SmsDeliveryRatioDropped", "warning", &[a]),
        posted("SmsContentFiltered", "warning", &[a]),
        posted("SmsNetworkFailing", "critical", &[a, ("network", "20810")]),
        posted("SmsNetworkDegraded", "warning", &[a, ("network", "20810")]),
        posted("SmsNetworkDegraded", "warning", &[a, ("network", "20801")]),
        posted("SmsSourceSilent", "critical", &[b]),
        posted("SmsReceiptsStopped", "critical", &[b]),
        posted("SmscopeWebhooksOverloaded", "critical", &[b]),
        posted("SmscopeWatchdog", "none", &[]),
    ];
    let mut expected: BTreeSet<String> =
        ["SmsDeliveryRatioDropped a", "SmsFailureRatioHigh a", "SmsNetworkDegraded a 20810", "SmsReceiptsStopped b"]
            .map(str::to_owned)
            .into();
    inhibits(&of_the_cause, &expected);

    // Without smscope all but the watchdog is silent.
    let rest = [
        "SmsSendingLimitReached a",
        "SmsFailureRatioHigh b",
        "SmsContentFiltered a",
        "SmsNetworkFailing a 20810",
        "SmsNetworkDegraded a 20801",
        "SmsSourceSilent b",
        "SmscopeWebhooksOverloaded b",
    ];
    expected.extend(rest.map(str::to_owned));
    inhibits(&[posted("SmscopeAbsent", "critical", &[])], &expected);

    // Unless it is there, and its metrics have other names.
    expected.insert("SmscopeAbsent".to_owned());
    inhibits(&[posted("SmscopeMetricNamesUnexpected", "warning", &[])], &expected);
}
