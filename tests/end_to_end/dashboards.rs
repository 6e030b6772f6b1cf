//! Every query of every panel on a real Prometheus that scrapes the real sidecar under simulated traffic.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::board::{Board, Choice, Filling, Language};
use crate::queries::{Asked, Barren, all_give_data};
use crate::support::certificates::Authority;
use crate::support::peers::{Collector, Prometheus, promtool};
use crate::support::provider::receipt;
use crate::support::smsmode::{API_KEY, Fault, SmsmodeApi};
use crate::support::{Launch, Smscope, eventually, holds, request};

const BARREN: [Barren; 7] = [
    Barren { part: " offset 1w", reason: "there is no week before the test" },
    Barren { part: " offset 2w", reason: "there are no two weeks before the test" },
    Barren { part: " offset 3w", reason: "there are no three weeks before the test" },
    Barren { part: " offset 1h", reason: "there is no hour before the test" },
    Barren { part: "smscope_fleet_", reason: "these have a store of their own each" },
    Barren { part: "smscope_inbox_", reason: "these have a store of their own each" },
    Barren { part: "smscope_store_synchronous", reason: "these have a store of their own each" },
];

/// How metrics get to Prometheus.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Scrape,
    /// By OTLP to a Collector, which is scraped.
    Otlp,
}

#[test]
fn every_query_of_every_panel_gives_data_while_smscope_is_scraped() {
    every_query_gives_data(Transport::Scrape);
}

#[test]
fn every_query_of_every_panel_gives_data_while_smscope_pushes_by_otlp() {
    every_query_gives_data(Transport::Otlp);
}

fn every_query_gives_data(transport: Transport) {
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::start(folder.path()) else { return };
    // A relay whose target is away: its deliveries wait.
    // And more messages fail than may be resent.
    let relay = "[[relay]]\nname = \"away\"\nurl = \"http://127.0.0.1:9/\"\nevents = [\"message.failed\", \"resend.requested\"]\n\
                 [[resend]]\nname = \"again\"\nthrough = \"relay\"\nreasons = [\"unknown\", \"expired\", \"routing\"]\n\
                 delay = \"1s\"\nttl = \"1d\"\nbudget = 1\n\
                 [opt_outs]\nenabled = true\n";
    let smscope = Launch::new()
        .among_peers()
        .file(relay)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("SMSCOPE_STORE_SIZE_LIMIT", "64MiB")
        .start();
    let (guarded, stand_in) = guarded(&collector.endpoint());
    let scraped = match transport {
        Transport::Scrape => vec![smscope.admin.to_string(), guarded.admin.to_string()],
        Transport::Otlp => vec![collector.prometheus_address()],
    };
    let scraped: Vec<&str> = scraped.iter().map(String::as_str).collect();
    let Some(prometheus) = Prometheus::start_with(folder.path(), &scraped, "") else { return };
    let becomes =
        |query: &str| eventually(query, || holds(prometheus.series(query, None)? == 1, || "empty".to_owned()));
    becomes("count(smscope_build_info) == 2");
    // What fails is seen only once it has been seen not to.
    becomes("sum(smscope_api_requests_total{result=\"server_error\"}) == 0");
    stand_in.fail([Fault::Status(500)]);
    becomes("sum(smscope_webhook_requests_total{result=\"accepted\"}) == 0");
    // More flows than a label may have values.
    for number in 0..60 {
        let channel = json!({"type": "SMS", "flow": format!("FLOW{number}")});
        let message = receipt(&format!("m{number}"), "ENROUTE", json!({"channel": channel}));
        smscope.accept(&message);
    }
    // Someone knocks.
    assert_eq!(smscope.ask(request("GET", "/hooks/smsmode/a-guess", &[], "")).status, 404);
    let flags = "--scenario spike --rate 100 --duration 80s --seed random --time-compression 3000";
    let _provider = smscope.simulate(flags);

    becomes("sum(smscope_export_records_total{signal=\"logs\"}) > 0");
    if transport == Transport::Scrape {
        // What waits for export has an age only while the Collector is away.
        collector.kill();
    }
    let all = promql(Filling { rate_interval: "5s", range: "8s", choice: Choice::All });
    assert!(all.len() > 80, "{}", all.len());
    let nothing_waits = |asked: &Asked| asked.query.contains("smscope_export_oldest_timestamp_seconds");
    let asked = all.into_iter().filter(|asked| transport == Transport::Scrape || !nothing_waits(asked));
    all_give_data(&prometheus, asked.collect(), &BARREN);

    for Asked { place, query, .. } in promql(Filling { rate_interval: "1m", range: "3h", choice: Choice::Two }) {
        let answered = prometheus.series(&query, None);
        assert!(answered.is_ok(), "{place}: {answered:?}\n{query}");
    }
}

/// Another smscope: it has TLS, calls its own public URL, and asks for an account.
fn guarded(endpoint: &str) -> (Smscope, SmsmodeApi) {
    let launch = Launch::new().among_peers();
    let folder = launch.home.path().to_owned();
    let ours = Authority::new("ours");
    let identity = ours.server();
    for (name, pem) in [("ca.pem", ours.pem()), ("tls.pem", identity.certificate), ("tls.key", identity.key)] {
        fs::write(folder.join(name), pem).unwrap();
    }
    let stand_in = SmsmodeApi::start();
    let file = format!(
        "public_url = \"https://{}\"\n[http.tls]\ncertificate = {:?}\nkey = {:?}\n\
         [self_probe]\nenabled = true\ninterval = \"1s\"\n[account]\nenabled = true\ninterval = \"1s\"\n\
         [[source]]\nname = \"smsmode\"\napi = {{ key = \"{API_KEY}\", url = \"{}\" }}\n",
        launch.webhooks(),
        folder.join("tls.pem"),
        folder.join("tls.key"),
        stand_in.url()
    );
    let launch = launch
        .file(&file)
        .env("SSL_CERT_FILE", folder.join("ca.pem").to_str().unwrap())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    (launch.start(), stand_in)
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

/// Eight days in steps of 15 minutes; the ninth begins at step 768. FR fails 2 % and on the last day 10 %, DE always 5 %, ES is
/// new since three hours, and in the last hour FR fails for a reason that it never had.
const DAYS: [(&str, &str, &str, &str); 8] = [
    ("delivered", "FR", "", "0+98x672 65946+90x95"),
    ("failed", "FR", "network", "0+2x672 1354+10x95"),
    ("failed", "FR", "routing", "0x764 1+1x3"),
    ("failed", "FR", "credit", "0x768"),
    ("delivered", "DE", "", "0+19x768"),
    ("failed", "DE", "network", "0+1x768"),
    ("delivered", "ES", "", "_x756 0+8x12"),
    ("failed", "ES", "content", "_x756 0+2x12"),
];

/// A panel's query, and what it gives at the end of those days, rounded: labels and value.
struct Figures {
    place: &'static str,
    gives: &'static [(&'static str, f64)],
}

const FIGURES: [Figures; 8] = [
    Figures {
        // FR: 960 and the 4 new ones, of 9604, of which 2 % are 192. DE: as ever. ES: there is no week before.
        place: "dashboards/deliverability.json, Countries by impact, A",
        gives: &[("{country=\"FR\"}", 772.0), ("{country=\"DE\"}", 0.0), ("{country=\"ES\"}", 24.0)],
    },
    Figures {
        place: "dashboards/deliverability.json, Countries by impact, B",
        gives: &[("{country=\"FR\"}", 964.0), ("{country=\"DE\"}", 96.0), ("{country=\"ES\"}", 24.0)],
    },
    Figures {
        // What ES fails for is three hours old.
        place: "dashboards/failures.json, New reasons, A",
        gives: &[("{source=\"smsmode\", country=\"FR\", reason=\"routing\"}", 4.0)],
    },
    Figures {
        // Four steps; reasons of which there is nothing are left out.
        place: "dashboards/failures.json, This hour against usual, B",
        gives: &[
            ("{source=\"smsmode\", channel=\"SMS\", flow=\"OTP\", country=\"FR\", reason=\"network\"}", 40.0),
            ("{source=\"smsmode\", channel=\"SMS\", flow=\"OTP\", country=\"FR\", reason=\"routing\"}", 4.0),
            ("{source=\"smsmode\", channel=\"SMS\", flow=\"OTP\", country=\"DE\", reason=\"network\"}", 4.0),
            ("{source=\"smsmode\", channel=\"SMS\", flow=\"OTP\", country=\"ES\", reason=\"content\"}", 8.0),
        ],
    },
    Figures {
        // In per cent, of the last step: 14 of 131.
        place: "dashboards/failures.json, Failure rate, A",
        gives: &[("{}", 11.0)],
    },
    Figures {
        // In per cent, of the last quarter of an hour: 11 of 101. ES, with 2 of 10, has too few to be judged, as for the alerts.
        place: "dashboards/deliverability.json, Worst country, A",
        gives: &[("{country=\"FR\"}", 11.0)],
    },
    Figures {
        // In per cent of what 95 % allows: 3,092 failed of 92,172, which is 3.4 %.
        place: "dashboards/objective.json, Budget left, A",
        gives: &[("{}", 33.0)],
    },
    Figures {
        // All that was sent is of one flow.
        place: "dashboards/objective.json, Budget by flow, A",
        gives: &[("{flow=\"OTP\"}", 33.0)],
    },
];

#[test]
fn deviations_from_normal_and_new_reasons_are_computed_correctly() {
    let asked = promql(Filling { rate_interval: "1h", range: "24h", choice: Choice::All });
    let series = |(outcome, country, reason, values): (&str, &str, &str, &str)| {
        let reason = if reason.is_empty() { String::new() } else { format!(",reason=\"{reason}\"") };
        let labels = format!("source=\"smsmode\",channel=\"SMS\",flow=\"OTP\",country=\"{country}\"{reason}");
        json!({"series": format!("sms_messages_{outcome}_total{{{labels}}}"), "values": values})
    };
    let test = |figures: &Figures| {
        let query = &asked.iter().find(|asked| asked.place == figures.place).unwrap().query;
        let sample = |(labels, value): &(&str, f64)| json!({"labels": labels, "value": value});
        let samples: Vec<Value> = figures.gives.iter().map(sample).collect();
        let share = ["rate", "Worst", "Budget"].iter().any(|word| figures.place.contains(word));
        let scale = if share { "100 * " } else { "" };
        json!({"expr": format!("round({scale}({query}))"), "eval_time": "192h", "exp_samples": samples})
    };
    let tests = json!({"tests": [{
        "interval": "15m",
        "input_series": DAYS.map(series),
        "promql_expr_test": FIGURES.iter().map(test).collect::<Vec<_>>(),
    }]});
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("days.json");
    std::fs::write(&file, tests.to_string()).unwrap();
    let Some(said) = promtool(&["test", "rules", file.to_str().unwrap()], "") else { return };
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
