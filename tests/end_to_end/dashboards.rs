//! Every query of every panel on a real Prometheus that scrapes the real sidecar under simulated traffic.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use tempfile::TempDir;

use crate::board::{Board, Choice, Filling, Language};
use crate::peers::{Collector, Prometheus, Smscope, TOKEN, eventually, holds};
use crate::provider::receipt;
use crate::queries::{Asked, Barren, all_give_data};

const BARREN: [Barren; 2] = [
    Barren { part: " offset 1w", reason: "there is no week before the test" },
    Barren { part: " offset 1h", reason: "there is no hour before the test" },
];

/// How metrics get to Prometheus.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Road {
    Scrape,
    /// By OTLP to a Collector, which is scraped.
    Otlp,
}

#[test]
fn every_query_of_every_panel_gives_data_while_smscope_is_scraped() {
    every_query_gives_data(Road::Scrape);
}

#[test]
fn every_query_of_every_panel_gives_data_while_smscope_pushes_by_otlp() {
    every_query_gives_data(Road::Otlp);
}

fn every_query_gives_data(road: Road) {
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::start(folder.path()) else { return };
    let smscope = Smscope::new(folder.path())
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .with("SMSCOPE_STORE_SIZE_LIMIT", "64MiB")
        .start();
    let scraped = match road {
        Road::Scrape => smscope.admin_address(),
        Road::Otlp => collector.prometheus_address(),
    };
    let Some(prometheus) = Prometheus::start(folder.path(), &scraped) else { return };
    let becomes =
        |query: &str| eventually(query, || holds(prometheus.series(query, None)? == 1, || "empty".to_owned()));
    becomes("smscope_build_info");
    becomes("sum(smscope_webhook_requests_total) == 0");
    // More flows than a label may have values.
    for number in 0..60 {
        let channel = json!({"type": "SMS", "flow": format!("FLOW{number}")});
        let message = receipt(&format!("m{number}"), "ENROUTE", json!({"channel": channel}));
        smscope.post("smsmode", &message, "accepted");
    }
    // Someone knocks.
    let wrong = smscope.hook("smsmode").replace(TOKEN, "a-guess");
    assert_eq!(smscope.send(Request::get(wrong).body(Full::default()).unwrap()), 404);
    let flags = "--scenario spike --rate 100 --duration 80s --seed random --time-compression 3000";
    let _provider = smscope.simulate(&flags.split(' ').collect::<Vec<_>>());

    becomes("sum(smscope_export_records_total{signal=\"logs\"}) > 0");
    if road == Road::Scrape {
        // What waits for export has an age only while the Collector is away.
        collector.kill();
    }
    let all = promql(Filling { rate_interval: "5s", range: "8s", choice: Choice::All });
    assert!(all.len() > 80, "{}", all.len());
    let nothing_waits = |asked: &Asked| asked.query.contains("smscope_export_oldest_timestamp_seconds");
    let asked = all.into_iter().filter(|asked| road == Road::Scrape || !nothing_waits(asked));
    all_give_data(&prometheus, asked.collect(), &BARREN);

    for Asked { place, query, .. } in promql(Filling { rate_interval: "1m", range: "3h", choice: Choice::Two }) {
        let answered = prometheus.series(&query, None);
        assert!(answered.is_ok(), "{place}: {answered:?}\n{query}");
    }
}

/// The queries for Prometheus of every panel, as Grafana sends them.
fn promql(filling: Filling) -> Vec<Asked> {
    let mut asked = Vec::new();
    for board in Board::all() {
        let targets = board.targets().into_iter().filter(|target| target.language == Language::PromQl);
        asked.extend(targets.map(|target| Asked {
            query: board.fill(&target.expr, filling),
            place: target.place,
            back: (!target.instant).then_some(Duration::from_secs(20)),
        }));
    }
    asked
}
