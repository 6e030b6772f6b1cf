//! The metrics by both ways out: the scrape, and the push through a real Collector.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Collector, array, attributes, promtool};
use crate::support::provider::{TEXT, receipt, reply};
use crate::support::{Exposition, HOOK, Launch, Smscope, TOKEN, eventually, free_address, holds, hook, request};

/// Every metric: its name for Prometheus, kind, name and unit for OTLP, and labels.
#[rustfmt::skip]
const CONTRACT: &[(&str, &str, &str, &str, &[&str])] = &[
    ("sms_messages_total", "counter", "sms.messages", "{message}", &["source", "channel", "flow", "country"]),
    ("sms_messages_delivered_total", "counter", "sms.messages.delivered", "{message}", &["source", "channel", "flow", "country"]),
    ("sms_messages_failed_total", "counter", "sms.messages.failed", "{message}", &["source", "channel", "flow", "country", "reason"]),
    ("sms_messages_read_total", "counter", "sms.messages.read", "{message}", &["source", "channel", "flow", "country"]),
    ("sms_messages_expired_total", "counter", "sms.messages.expired", "{message}", &["source", "channel", "flow", "country"]),
    ("sms_messages_corrected_total", "counter", "sms.messages.corrected", "{message}", &["source", "channel", "flow", "country", "from"]),
    ("sms_messages_pending", "gauge", "sms.messages.pending", "{message}", &["source", "channel", "flow", "country", "state"]),
    ("sms_messages_pending_oldest_timestamp_seconds", "gauge", "sms.messages.pending.oldest.timestamp", "s", &["source"]),
    ("sms_receipts_total", "counter", "sms.receipts", "{receipt}", &["source", "channel", "status", "outcome"]),
    ("sms_receipts_reconciled_total", "counter", "sms.receipts.reconciled", "{receipt}", &["source", "outcome"]),
    ("sms_network_outcomes_total", "counter", "sms.network.outcomes", "{message}", &["source", "network", "network_name", "outcome"]),
    ("sms_replies_total", "counter", "sms.replies", "{reply}", &["source", "channel", "kind"]),
    ("sms_message_parts_total", "counter", "sms.message.parts", "{part}", &["source", "channel", "country"]),
    ("sms_message_cost_total", "counter", "sms.message.cost", "{currency}", &["source", "channel", "country", "currency"]),
    ("sms_message_failed_cost_total", "counter", "sms.message.failed.cost", "{currency}", &["source", "channel", "country", "currency"]),
    ("sms_delivery_duration_seconds", "histogram", "sms.delivery.duration", "s", &["source", "channel", "country"]),
    ("sms_receipt_delay_seconds", "histogram", "sms.receipt.delay", "s", &["source"]),
    ("smscope_webhook_requests_total", "counter", "smscope.webhook.requests", "{request}", &["source", "result"]),
    ("smscope_webhook_repaired_total", "counter", "smscope.webhook.repaired", "{request}", &["source"]),
    ("smscope_webhook_unread_receipts_total", "counter", "smscope.webhook.unread.receipts", "{request}", &["source"]),
    ("smscope_webhook_duration_seconds", "histogram", "smscope.webhook.duration", "s", &["source"]),
    ("smscope_last_webhook_timestamp_seconds", "gauge", "smscope.last.webhook.timestamp", "s", &["source"]),
    ("smscope_export_records_total", "counter", "smscope.export.records", "{record}", &["signal"]),
    ("smscope_export_failures_total", "counter", "smscope.export.failures", "{request}", &["signal"]),
    ("smscope_export_dropped_records_total", "counter", "smscope.export.dropped.records", "{record}", &["signal"]),
    ("smscope_export_backlog_records", "gauge", "smscope.export.backlog.records", "{record}", &["signal"]),
    ("smscope_export_oldest_timestamp_seconds", "gauge", "smscope.export.oldest.timestamp", "s", &["signal"]),
    ("smscope_labels_capped_total", "counter", "smscope.labels.capped", "{event}", &["label"]),
    ("smscope_recipients_flooded_total", "counter", "smscope.recipients.flooded", "{recipient}", &["source"]),
    ("smscope_auth_failures_throttled_total", "counter", "smscope.auth.failures.throttled", "{request}", &[]),
    ("smscope_store_commit_duration_seconds", "histogram", "smscope.store.commit.duration", "s", &[]),
    ("smscope_store_events", "gauge", "smscope.store.events", "{event}", &[]),
    ("smscope_store_size_bytes", "gauge", "smscope.store.size", "By", &[]),
    ("smscope_store_wal_size_bytes", "gauge", "smscope.store.wal.size", "By", &[]),
    ("smscope_task_failures_total", "counter", "smscope.task.failures", "{failure}", &["task"]),
    ("smscope_store_limit_bytes", "gauge", "smscope.store.limit", "By", &[]),
    ("smscope_build_info", "gauge", "smscope.build.info", "{build}", &["version", "revision", "rustc"]),
    ("process_cpu_seconds_total", "counter", "process.cpu", "s", &[]),
    ("process_open_fds", "gauge", "process.open.fds", "{descriptor}", &[]),
    ("process_max_fds", "gauge", "process.max.fds", "{descriptor}", &[]),
    ("process_virtual_memory_bytes", "gauge", "process.virtual.memory", "By", &[]),
    ("process_virtual_memory_max_bytes", "gauge", "process.virtual.memory.max", "By", &[]),
    ("process_resident_memory_bytes", "gauge", "process.resident.memory", "By", &[]),
    ("process_start_time_seconds", "gauge", "process.start.time", "s", &[]),
    ("process_threads", "gauge", "process.threads", "{thread}", &[]),
];

/// A Collector, and an smscope to which everything has happened that can be counted. Its log records wait, so that the
/// gauges of the backlog have samples.
fn eventful(folder: &Path) -> Option<(Collector, Smscope)> {
    let collector = Collector::start(folder)?;
    let file = format!(
        "http.max_body = '4KiB'\n\
         store.horizon = '1s'\n\
         store.size_limit = '1GiB'\n\
         [[source]]\n\
         name = 'smsmode'\n\
         tokens = ['{TOKEN}']\n\
         [[source]]\n\
         name = 'second'\n\
         tokens = ['{TOKEN}']\n\
         channel_ids = ['c1']\n\
         region = 'BE'\n"
    );
    let smscope = Launch::without_token()
        .among_peers()
        .file(&file)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("http://{}/v1/logs", free_address()))
        .start();
    receive(&smscope);
    refuse(&smscope);
    eventually("the message to expire", || {
        let expired = smscope.metrics().sum("sms_messages_expired_total", &[]);
        holds(expired == 1.0, || format!("{expired} have"))
    });
    smscope.accept(&receipt("late", "DELIVERED", json!({})));
    Some((collector, smscope))
}

/// Receipts, replies and what is neither, of several sources, channels, flows, countries, networks and currencies.
fn receive(smscope: &Smscope) {
    let channel = |kind: &str, flow: &str| json!({"channelId": "c1", "type": kind, "flow": flow});
    let to = |number: &str| json!({"to": number});
    let far_off = "2099-01-01T00:00:00";
    let status = json!({"value": "UNDELIVERABLE", "detail": "INVALID_PHONE_NUMBER", "lookup": {"mccMnc": "206-10"}});
    let receipts = [
        ("smsmode", receipt("a", "ENROUTE", json!({"body": null}))),
        ("smsmode", receipt("a", "DELIVERED", json!({}))),
        (
            "smsmode",
            receipt("b", "UNDELIVERED SPAM", json!({"channel": channel("RCS", "OTP"), "recipient": to("41791234567")})),
        ),
        ("smsmode", receipt("b", "DELIVERED", json!({"channel": channel("RCS", "OTP")}))),
        (
            "smsmode",
            receipt(
                "c",
                "READ",
                json!({"channel": channel("WHATSAPP", "MARKETING"), "price": {"amount": "0,1", "currency": "USD"}}),
            ),
        ),
        ("smsmode", receipt("d", "SCHEDULED", json!({"sentDate": far_off}))),
        ("smsmode", receipt("e", "ENROUTE", json!({"sentDate": far_off}))),
        ("smsmode", receipt("late", "ENROUTE", json!({}))),
        (
            "second",
            receipt(
                "a",
                "DELIVERED",
                json!({"recipient": to("0470 12 34 56"), "channel": {"channelId": "c1"}, "type": null}),
            ),
        ),
        (
            "second",
            receipt(
                "b",
                "UNDELIVERABLE",
                json!({"status": status, "recipient": null, "body": {"messagePartCount": "3"}}),
            ),
        ),
        ("smsmode", reply("r", "a", "Thank you", json!({}))),
        ("smsmode", reply("s", "a", "Arrêt !", json!({"channel": channel("RCS", "OTP")}))),
    ];
    for (source, webhook) in &receipts {
        for result in ["accepted", "duplicate"] {
            assert_eq!(smscope.post(&hook(source), webhook.to_string()).result(), result);
        }
    }
    let legacy = "numero=33698765432&date_reception=2025-04-01+16:00:12&mcc_mnc=20820&cost=1.5";
    assert_eq!(smscope.get(&format!("smsID=l1&statut=11&{legacy}")).result(), "accepted");
    assert_eq!(smscope.get(&format!("smsID=l2&statut=3502&{legacy}")).result(), "accepted");
    assert_eq!(smscope.get("numero=36034&emetteur=33698765432&message=STOP&responseID=l3").result(), "accepted");
    for number in 0..60 {
        let odd = receipt(&format!("odd-{number}"), &format!("ODD_{number}"), json!({"sentDate": far_off}));
        smscope.accept(&odd);
    }
    assert_eq!(smscope.get("").result(), "probe");
    let surprise = json!({"surprise": TEXT}).to_string();
    assert_eq!(smscope.post(&hook("second"), surprise).result(), "unrecognized");
}

/// One of each rejection that a client can cause.
fn refuse(smscope: &Smscope) {
    let status = |target: &str, method: &str, body: &str| {
        smscope.ask(request(method, target, &["content-type: application/json"], body)).status
    };
    let elsewhere = receipt("f", "DELIVERED", json!({"channel": {"channelId": "c2"}})).to_string();
    assert_eq!(status(HOOK, "PUT", ""), 405);
    assert_eq!(status(&hook("nobody"), "POST", ""), 404);
    assert_eq!(status(&format!("{HOOK}x"), "POST", ""), 404);
    assert_eq!(status(HOOK, "POST", &" ".repeat(5_000)), 413);
    assert_eq!(status(&hook("second"), "POST", &elsewhere), 403);
}

/// The differences between the push and the scrapes `before` and `after` it.
fn differences(before: &Exposition, pushed: &Exposition, after: &Exposition) -> Result<(), String> {
    let mut found = Vec::new();
    for name in pushed.families.keys().chain(after.families.keys()).collect::<BTreeSet<_>>() {
        let (pushed, scraped) = (pushed.families.get(name), after.families.get(name));
        if pushed != scraped {
            found.push(format!("{name}: pushed as {pushed:?}, scraped as {scraped:?}"));
        }
    }
    for series in pushed.series.keys().chain(after.series.keys()).collect::<BTreeSet<_>>() {
        let value = |of: &Exposition| of.series.get(series).copied();
        let same = match (value(before), value(pushed), value(after)) {
            (Some(before), Some(pushed), Some(after)) => match series.name.as_str() {
                // They change while they are read: each push is counted, and the backlog is retried.
                "process_cpu_seconds_total" | "smscope_export_records_total" | "smscope_export_failures_total" => {
                    before <= pushed && pushed <= after
                }
                "process_open_fds"
                | "process_threads"
                | "process_resident_memory_bytes"
                | "process_virtual_memory_bytes" => pushed > 0.0 && after > 0.0,
                // Two sums of the same numbers in another order.
                name if name.ends_with("_sum") => (pushed - after).abs() <= after.abs() * 1e-9,
                _ => pushed == after,
            },
            _ => false,
        };
        if !same {
            found.push(format!("{series:?}: pushed {:?}, scraped {:?}", value(pushed), value(after)));
        }
    }
    holds(found.is_empty(), || found.join("\n"))
}

/// Waits until push and scrape say the same; gives the scrape.
fn until_same(collector: &Collector, smscope: &Smscope) -> Exposition {
    until_pushed(smscope, || collector.metrics())
}

/// The same, for what was `pushed` in another way.
pub fn until_pushed(smscope: &Smscope, pushed: impl Fn() -> Result<Exposition, String>) -> Exposition {
    eventually("the push says what the scrape says", || {
        let before = smscope.metrics();
        std::thread::sleep(Duration::from_millis(600));
        let pushed = pushed()?;
        let after = smscope.metrics();
        differences(&before, &pushed, &after).map(|()| after)
    })
}

/// The durable series: all of `sms_*` but the histograms.
fn durable(all: &Exposition) -> BTreeMap<String, f64> {
    let is_durable = |name: &str| {
        name.starts_with("sms_") && !name.contains("_duration_seconds") && !name.contains("_delay_seconds")
    };
    let series = all.series.iter().filter(|(series, _)| is_durable(&series.name));
    series.map(|(series, value)| (format!("{series:?}"), *value)).collect()
}

#[test]
fn the_push_has_the_series_values_help_and_types_of_the_scrape() {
    let folder = TempDir::new().unwrap();
    let Some((collector, smscope)) = eventful(folder.path()) else { return };
    let all = until_same(&collector, &smscope);

    // Not only the same, but right: what was sent is known.
    let sum = |name: &str, labels: &[(&str, &str)]| all.sum(name, labels);
    assert_eq!(sum("sms_messages_total", &[]), 70.0);
    assert_eq!(sum("sms_messages_total", &[("source", "second"), ("country", "BE")]), 2.0);
    assert_eq!(sum("sms_messages_delivered_total", &[]), 6.0);
    assert_eq!(sum("sms_messages_failed_total", &[("reason", "spam_filtered"), ("country", "CH")]), 1.0);
    assert_eq!(sum("sms_messages_failed_total", &[("reason", "invalid_number"), ("source", "second")]), 1.0);
    assert_eq!(sum("sms_messages_failed_total", &[("reason", "handset_absent"), ("flow", "unknown")]), 1.0);
    assert_eq!(sum("sms_messages_failed_total", &[]), 3.0);
    assert_eq!(sum("sms_messages_read_total", &[("channel", "WHATSAPP"), ("flow", "MARKETING")]), 1.0);
    assert_eq!(sum("sms_messages_corrected_total", &[("from", "failed"), ("channel", "RCS")]), 1.0);
    assert_eq!(sum("sms_messages_corrected_total", &[("from", "expired")]), 1.0);
    assert_eq!(sum("sms_messages_pending", &[("state", "scheduled")]), 61.0);
    assert_eq!(sum("sms_messages_pending", &[("state", "enroute")]), 1.0);
    assert_eq!(sum("sms_receipts_total", &[("outcome", "unknown")]), 60.0);
    assert_eq!(sum("sms_receipts_total", &[("status", "other")]), 18.0);
    assert_eq!(sum("smscope_labels_capped_total", &[("label", "status")]), 18.0);
    assert_eq!(
        sum(
            "sms_network_outcomes_total",
            &[("network", "20801"), ("network_name", "Orange"), ("outcome", "delivered")]
        ),
        5.0
    );
    assert_eq!(sum("sms_network_outcomes_total", &[("network", "20610"), ("outcome", "failed")]), 1.0);
    assert_eq!(sum("sms_replies_total", &[("kind", "stop")]), 2.0);
    assert_eq!(sum("sms_replies_total", &[("kind", "reply")]), 1.0);
    assert_eq!(sum("sms_message_parts_total", &[]), 2.0 * 67.0 + 3.0);
    assert_eq!(sum("sms_message_cost_total", &[("currency", "USD")]), 0.1);
    assert_eq!(sum("sms_message_cost_total", &[("currency", "credits")]), 3.0);
    assert_eq!(sum("sms_message_failed_cost_total", &[("currency", "credits")]), 1.5);
    assert_eq!(sum("sms_delivery_duration_seconds_count", &[("country", "FR")]), 2.0);
    assert_eq!(sum("sms_delivery_duration_seconds_bucket", &[("country", "FR"), ("le", "10")]), 2.0);
    assert_eq!(sum("sms_delivery_duration_seconds_bucket", &[("country", "FR"), ("le", "5")]), 0.0);
    for (result, count) in [("accepted", 76.0), ("duplicate", 12.0), ("unrecognized", 1.0), ("probe", 1.0)] {
        assert_eq!(sum("smscope_webhook_requests_total", &[("result", result)]), count, "{result}");
    }
    for (result, count) in [("unauthorized", 2.0), ("forbidden", 1.0), ("too_large", 1.0), ("error", 1.0)] {
        assert_eq!(sum("smscope_webhook_requests_total", &[("result", result)]), count, "{result}");
    }
}

#[test]
fn exactly_the_metrics_of_the_contract_are_there_with_their_kinds_units_and_labels() {
    let folder = TempDir::new().unwrap();
    let Some((collector, smscope)) = eventful(folder.path()) else { return };
    let all = until_same(&collector, &smscope);

    let kinds = |all: &Exposition| -> BTreeMap<String, String> {
        all.families.iter().map(|(name, (_, kind))| (name.clone(), kind.clone())).collect()
    };
    let contract = CONTRACT.iter().map(|(name, kind, ..)| ((*name).to_owned(), (*kind).to_owned()));
    assert_eq!(kinds(&all), contract.collect());
    for series in all.series.keys() {
        let suffixes = ["_bucket", "_sum", "_count"];
        let family = suffixes.iter().find_map(|suffix| series.name.strip_suffix(suffix)).unwrap_or(&series.name);
        let (.., labels) = CONTRACT.iter().find(|(name, ..)| *name == family).unwrap();
        let mut expected: BTreeSet<&str> = labels.iter().copied().collect();
        expected.extend(series.name.ends_with("_bucket").then_some("le"));
        assert_eq!(series.labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{}", series.name);
    }

    // The last that was pushed of each metric, as the Collector got it.
    let mut pushed = BTreeMap::new();
    for resource in collector.pushes() {
        for scope in array(&resource["scopeMetrics"]) {
            for metric in array(&scope["metrics"]) {
                pushed.insert(metric["name"].as_str().unwrap().to_owned(), metric.clone());
            }
        }
    }
    let names: BTreeSet<&str> = pushed.keys().map(String::as_str).collect();
    assert_eq!(names, CONTRACT.iter().map(|(_, _, name, ..)| *name).collect());
    for (prometheus, kind, name, unit, labels) in CONTRACT {
        let metric = &pushed[*name];
        assert_eq!(metric["unit"].as_str(), Some(*unit), "{name}");
        assert_eq!(metric["description"].as_str(), Some(all.families[*prometheus].0.as_str()), "{name}");
        let shape = match *kind {
            "counter" => "sum",
            shape => shape,
        };
        let data = &metric[shape];
        assert!(data.is_object(), "{name} is no {shape}: {metric}");
        // 2 is AGGREGATION_TEMPORALITY_CUMULATIVE.
        assert_eq!(data["aggregationTemporality"].as_u64(), (*kind != "gauge").then_some(2), "{name}");
        assert_eq!(data["isMonotonic"].as_bool(), (*kind == "counter").then_some(true), "{name}");
        for point in array(&data["dataPoints"]) {
            let attributes = attributes(&point["attributes"]);
            let keys: BTreeSet<&str> = attributes.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, labels.iter().copied().collect(), "{name}");
        }
    }
}

#[test]
fn promtool_finds_no_fault_in_the_scrape() {
    let folder = TempDir::new().unwrap();
    let Some((_collector, smscope)) = eventful(folder.path()) else { return };
    let Some(output) = promtool(&["check", "metrics"], &smscope.metrics().text) else { return };
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&said).as_ref()), (Some(0), ""));
}

#[test]
fn durable_streams_continue_over_a_restart_and_those_of_the_process_start_again() {
    let folder = TempDir::new().unwrap();
    let Some((collector, smscope)) = eventful(folder.path()) else { return };
    let before = until_same(&collector, &smscope);
    let smscope = smscope.restarted();
    let after = until_same(&collector, &smscope);
    let all = collector.pushes();

    assert_eq!(durable(&before), durable(&after));
    assert!(durable(&after).len() > 100);
    assert_eq!(after.sum("smscope_webhook_requests_total", &[]), 0.0);
    assert_eq!(after.sum("sms_delivery_duration_seconds_count", &[]), 0.0);

    let resource = attributes(&all[0]["resource"]["attributes"]);
    for push in &all {
        assert_eq!(attributes(&push["resource"]["attributes"]), resource);
    }
    assert_eq!(resource["service.name"], "smscope");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].as_str().map(str::len), Some(36));
    assert_eq!(resource.as_object().unwrap().len(), 3);

    // The Collector writes a push down some time after it has answered it, so only its start identifies the process that a push is from.
    let durable = starts(&all, "sms.messages");
    let processes = starts(&all, "smscope.webhook.requests");
    assert_eq!((durable.len(), processes.len()), (1, 2), "{durable:?} {processes:?}");
    assert_eq!(starts(&all, "sms.message.cost"), durable);
    assert!(durable.last() < processes.last(), "{durable:?} {processes:?}");
}

/// The start times of a sum's data points.
fn starts(pushes: &[Value], name: &str) -> BTreeSet<u64> {
    let scopes = pushes.iter().flat_map(|push| array(&push["scopeMetrics"]));
    let metrics = scopes.flat_map(|scope| array(&scope["metrics"])).filter(|metric| metric["name"] == name);
    let points = metrics.flat_map(|metric| array(&metric["sum"]["dataPoints"]));
    points.map(|point| point["startTimeUnixNano"].as_str().unwrap().parse().unwrap()).collect()
}
