//! What a fleet pushes by OTLP: the durable series as one resource, whoever leads, and each process as one of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tempfile::TempDir;

use crate::fleet::{Fleet, leader, metrics};
use crate::support::load::{Progress, start_clients};
use crate::support::peers::{Collector, array, attributes};
use crate::support::postgres::Server;
use crate::support::{eventually, holds};

const MOVES: usize = 4;

/// The data points of a metric, whatever its kind.
fn points(metric: &Value) -> &[Value] {
    let kinds = ["sum", "gauge", "histogram", "exponentialHistogram"];
    kinds.into_iter().map(|kind| array(&metric[kind]["dataPoints"])).find(|points| !points.is_empty()).unwrap_or(&[])
}

fn time(point: &Value, field: &str) -> u64 {
    point[field].as_str().map_or(0, |text| text.parse().unwrap())
}

#[test]
fn the_durable_series_are_pushed_as_one_resource_and_their_times_never_go_back() {
    let Some(server) = Server::shared() else { return };
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::start(folder.path()) else { return };
    let endpoint = format!("{}/v1/metrics", collector.endpoint());
    let fleet = Fleet::on(server, 2).map(|launch| {
        launch.env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &endpoint).env("OTEL_METRIC_EXPORT_INTERVAL", "100")
    });
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 61);
        for number in 0..MOVES {
            clients.until_acknowledged(40);
            let leading = leader(&replicas);
            let replica = replicas.remove(leading);
            let launch = if number == 1 { replica.kill() } else { replica.stop() };
            replicas.push(launch.start());
            leader(&replicas);
        }
        clients.until_acknowledged(40);
        clients.finish()
    });
    fleet.agrees_with(&truth, &replicas);
    let fleet_id = metrics(&replicas).values_of("smscope_fleet_info", "fleet").remove(0);
    let created = fleet.sql("SELECT value FROM smscope.meta WHERE key = 'created_at'");
    let created: u64 = created.parse::<u64>().unwrap() * 1_000_000;
    let delivered = metrics(&replicas).sum("sms_messages_delivered_total", &[]);
    eventually("the push says what is counted", || {
        let pushed = collector.metrics()?.sum("sms_messages_delivered_total", &[]);
        holds(pushed == delivered, || format!("{pushed} of {delivered}"))
    });
    replicas.into_iter().for_each(|replica| drop(replica.stop()));
    collector.terminate();

    let (mut durable, mut own): (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) = Default::default();
    let (mut newest, mut starts, mut values) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    for resource in collector.pushes() {
        let id = attributes(&resource["resource"]["attributes"])["service.instance.id"].as_str().unwrap().to_owned();
        for metric in array(&resource["scopeMetrics"]).iter().flat_map(|scope| array(&scope["metrics"])) {
            let name = metric["name"].as_str().unwrap();
            if !name.starts_with("sms.") || !metric["histogram"].is_null() || !metric["exponentialHistogram"].is_null()
            {
                if id != fleet_id {
                    own.entry(id.clone()).or_default().insert(name.to_owned());
                }
                continue;
            }
            durable.insert(id.clone());
            for point in points(metric) {
                let series = format!("{name} {}", attributes(&point["attributes"]));
                let at = time(point, "timeUnixNano");
                let before = newest.insert(series.clone(), at).unwrap_or(0);
                assert!(before < at, "{series} goes from {before} to {at}");
                if metric["sum"]["isMonotonic"] == true {
                    starts.insert(time(point, "startTimeUnixNano"));
                    let value = attributes(&serde_json::json!([{"key": "value", "value": number(point)}]))["value"]
                        .as_f64()
                        .unwrap();
                    let before = values.insert(series.clone(), value).unwrap_or(0.0);
                    assert!(before <= value, "{series} goes from {before} to {value}");
                }
            }
        }
    }
    assert_eq!(durable, BTreeSet::from([fleet_id.clone()]));
    assert_eq!(starts, BTreeSet::from([created]));
    // The same after a restart: an id is that of a data directory.
    assert_eq!(own.len(), 2, "{own:?}");
    for names in own.values() {
        assert!(names.contains("smscope.webhook.requests") && names.contains("smscope.fleet.leader"), "{names:?}");
    }
}

/// The value of a point, as an attribute has it.
fn number(point: &Value) -> Value {
    match &point["asInt"] {
        Value::Null => serde_json::json!({"doubleValue": point["asDouble"]}),
        whole => serde_json::json!({"intValue": whole}),
    }
}
