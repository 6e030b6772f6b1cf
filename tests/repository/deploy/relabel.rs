//! The relabeling of a fleet's scrape: the files have what the program prints, and Prometheus does by it what it is for.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex::Regex;
use smscope::process_metrics::Kind;
use smscope::serve::{METRICS, durable_metrics};
use tempfile::TempDir;

use super::{reader, text};
use crate::support::peers::Prometheus;
use crate::support::{eventually, holds, read, server, succeeded};

const PROMETHEUS: &str = "deploy/fleet/prometheus.yaml";
const POD_MONITOR: &str = "deploy/fleet/kubernetes/podmonitor.yaml";

fn printed(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smscope"));
    succeeded(&command.args(["metrics", "relabel"]).args(arguments).output().unwrap())
}

#[test]
fn the_files_of_a_fleet_have_the_relabeling_that_the_program_prints() {
    for (path, arguments, indent) in [(PROMETHEUS, &[][..], "    "), (POD_MONITOR, &["--pod-monitor"], "      ")] {
        let indented: String = printed(arguments).lines().map(|line| format!("{indent}{line}\n")).collect();
        assert!(read(path).contains(&indented), "{path} lacks these lines:\n{indented}");
    }
}

#[test]
fn it_is_of_every_durable_metric_and_of_none_of_a_process() {
    let (Some(scrape), Some(objects)) = (reader::yaml(PROMETHEUS), reader::kubernetes(POD_MONITOR)) else { return };
    let endpoint = &objects[0]["spec"]["podMetricsEndpoints"][0];
    let lists = [&scrape["scrape_configs"][0]["metric_relabel_configs"], &endpoint["metricRelabelings"]];
    for rule in lists.into_iter().flat_map(|list| list.as_array().unwrap()) {
        // As Prometheus anchors it.
        let regex = Regex::new(&format!("^(?:{})$", text(&rule["regex"]))).unwrap();
        for metric in durable_metrics() {
            assert!(regex.is_match(metric.name), "{}", metric.name);
        }
        for metric in METRICS.iter() {
            let suffixes = if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"][..] } else { &[""] };
            for name in suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name)) {
                assert!(!regex.is_match(&name), "{name}");
            }
        }
        assert!(
            ["process_start_time_seconds", "up", "scrape_duration_seconds"].iter().all(|name| !regex.is_match(name))
        );
    }
}

#[test]
fn prometheus_sees_one_series_without_a_reset_when_the_leader_moves() {
    let folder = TempDir::new().unwrap();
    let leader = Arc::new(AtomicUsize::new(0));
    // A thing that only ever grows, whoever shows it.
    let scrapes = Arc::new(AtomicUsize::new(0));
    let replica = |index: usize| {
        let (leader, scrapes) = (leader.clone(), scrapes.clone());
        let address = server::start(move |_request, stream| {
            let mut body = format!("smscope_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
            if leader.load(Ordering::Relaxed) == index {
                let count = scrapes.fetch_add(1, Ordering::Relaxed);
                body +=
                    &format!("sms_messages_total{{source=\"smsmode\"}} {count}\nsmscope_fleet_info{{fleet=\"f\"}} 1\n");
            }
            server::respond(stream, 200, &["content-type: text/plain; version=0.0.4"], &body)
        });
        address.to_string()
    };
    let configuration = read(PROMETHEUS);
    let (_, scrape) = configuration.split_once("scrape_configs:\n").unwrap();
    let targets = ["replica-1:7673", "replica-2:7673"].into_iter().enumerate();
    let scrape = targets.fold(scrape.to_owned(), |scrape, (index, target)| scrape.replace(target, &replica(index)));
    let configuration = format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{scrape}");
    let Some(prometheus) = Prometheus::start_from(folder.path(), &configuration) else { return };
    for moved in 1..=3 {
        let before = scrapes.load(Ordering::Relaxed);
        eventually("the leader is scraped", || holds(scrapes.load(Ordering::Relaxed) > before + 2, String::new));
        leader.store(moved % 2, Ordering::Relaxed);
    }
    let of = |query: &str| prometheus.query(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    eventually("both replicas are scraped", || {
        let replicas = prometheus.query("count(smscope_build_info)");
        holds(replicas == Ok(2.0), || format!("{replicas:?}"))
    });
    assert_eq!(of("count(group by (instance) (last_over_time({__name__=~\"sms_.*|smscope_fleet.*\"}[5m])))"), 1.0);
    assert_eq!(of("count(last_over_time(sms_messages_total{instance=\"smscope-fleet\", job=\"smscope\"}[5m]))"), 1.0);
    assert_eq!(of("sum(resets(sms_messages_total[5m]))"), 0.0);
    assert_eq!(prometheus.series("smscope_build_info{instance=\"smscope-fleet\"}", None), Ok(0));
}
