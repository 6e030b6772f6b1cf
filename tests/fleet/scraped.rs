//! A real Prometheus that scrapes a fleet with the shipped relabeling: the durable series are those of one counter, whoever shows them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fleet::{Fleet, leader, leads, metrics};
use crate::support::load::{Clients, Progress, Truth, start_clients};
use crate::support::peers::Prometheus;
use crate::support::postgres::Server;
use crate::support::{Exposition, Launch, Smscope, eventually, holds, read};

/// Criterion of the design: leadership moves so often, the rolling update included.
const MOVES: usize = 10;
/// What extrapolation at both ends of the window may add, and a sample that is missing between two leaders take.
const TOLERANCE: f64 = 0.02;
const SCRAPES: &str = "200ms";
/// Before and after what is measured, so that extrapolation by a scrape at both ends of the window is little.
const QUIET: Duration = Duration::from_secs(5);
/// How long the leader shows the durable series without a renewal.
const SHOWN: Duration = Duration::from_secs(5);

/// The shipped configuration, for these replicas and more often.
fn configuration(targets: &[String]) -> String {
    let shipped = read("deploy/fleet/prometheus.yaml");
    let rules = shipped.find("rule_files:").unwrap()..shipped.find("scrape_configs:").unwrap();
    let mut text = shipped.clone();
    text.replace_range(rules, "");
    let targets = format!("targets: {targets:?}");
    text.replace("targets: [\"replica-1:7673\", \"replica-2:7673\"]", &targets)
        .replace("scrape_interval: 15s", &format!("scrape_interval: {SCRAPES}\n  scrape_timeout: {SCRAPES}"))
}

fn admin(launch: &Launch) -> String {
    let variable = launch.environment().iter().find(|(name, _)| name == "SMSCOPE_ADMIN_LISTEN");
    variable.unwrap().1.clone()
}

/// The leader ends as in a rolling restart, and its successor comes before or after it.
fn move_on(replicas: &mut Vec<Smscope>, successor: Option<&Launch>) {
    let leading = leader(replicas);
    match successor {
        Some(launch) => {
            replicas.push(launch.start());
            replicas.remove(leading).stop();
        }
        None => {
            let launch = replicas.remove(leading).stop();
            replicas.push(launch.start());
        }
    }
    leader(replicas);
}

fn freeze(replicas: &mut [Smscope]) {
    let leading = leader(replicas);
    replicas[leading].signal("STOP");
    let frozen = Instant::now();
    let others = |replicas: &[Smscope]| (0..replicas.len()).any(|at| at != leading && leads(&replicas[at]));
    eventually("another replica leads", || holds(others(replicas), || "none".to_owned()));
    std::thread::sleep(SHOWN.saturating_sub(frozen.elapsed()));
    replicas[leading].signal("CONT");
    assert_eq!(replicas[leading].metrics().value("sms_messages_total", &[]), None, "its lease is over");
}

/// All ways in which leadership moves, and an update that replaces every replica.
fn lead_in_turn(fleet: &Fleet, replicas: &mut Vec<Smscope>, clients: &Clients<'_, '_>) {
    for number in 0..MOVES {
        clients.until_acknowledged(20);
        match number {
            3 => {
                let killed = leader(replicas);
                let launch = replicas.remove(killed).kill();
                replicas.push(launch.start());
                leader(replicas);
            }
            4 => freeze(replicas),
            6 | 7 => move_on(replicas, Some(fleet.launch(number - 4))),
            _ => move_on(replicas, None),
        }
    }
    clients.until_acknowledged(20);
}

#[test]
fn prometheus_sees_one_counter_while_leadership_moves_and_replicas_are_replaced() {
    let Some(server) = Server::shared() else { return };
    // Two to begin with, and two that replace them.
    let fleet = Fleet::on(server, 4);
    let targets: Vec<String> = (0..4).map(|replica| admin(fleet.launch(replica))).collect();
    let folder = TempDir::new().unwrap();
    let Some(prometheus) = Prometheus::start_from(folder.path(), &configuration(&targets)) else { return };
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = vec![fleet.launch(0).start(), fleet.launch(1).start()];
    leader(&replicas);

    // Every series is there before what is measured begins.
    let mut truth = run(&progress, &addresses[..2], 50, |clients| clients.until_acknowledged(400));
    fleet.until_processed();
    let before = metrics(&replicas);
    until_scraped(&prometheus, &before);
    let began = Instant::now();
    std::thread::sleep(QUIET);
    truth.join(run(&progress, &addresses, 51, |clients| lead_in_turn(&fleet, &mut replicas, clients)));
    fleet.agrees_with(&truth, &replicas);
    let shown = metrics(&replicas);
    until_scraped(&prometheus, &shown);
    std::thread::sleep(QUIET);
    let window = format!("[{}ms]", began.elapsed().as_millis());
    println!("{progress}, window {window}, epoch {}", fleet.sql("SELECT epoch FROM smscope.lease"));
    for name in ["sms_messages_total", "sms_messages_delivered_total", "sms_receipts_total"] {
        let increased = prometheus.query(&format!("sum(increase({name}{window}))")).unwrap();
        let true_increase = shown.sum(name, &[]) - before.sum(name, &[]);
        let ratio = increased / true_increase;
        println!("{name}: {increased} of {true_increase}, {ratio:.4}");
        assert!((ratio - 1.0).abs() < TOLERANCE, "{name}: {increased} of {true_increase}");
    }
    let names: BTreeSet<&str> = shown.series.keys().map(|series| series.name.as_str()).collect();
    for name in names.into_iter().filter(|name| name.starts_with("sms_") && name.ends_with("_total")) {
        assert_eq!(prometheus.query(&format!("sum(resets({name}[1h]))")).unwrap(), 0.0, "{name}");
    }
    let instances = prometheus.query(r#"count(count by (instance) ({__name__=~"sms_.+_total"}))"#).unwrap();
    assert_eq!(instances, 1.0);
    assert_eq!(prometheus.query("count(count by (fleet) (last_over_time(smscope_fleet_info[1h])))").unwrap(), 1.0);
}

fn until_scraped(prometheus: &Prometheus, shown: &Exposition) {
    let messages = shown.sum("sms_messages_total", &[]);
    eventually("Prometheus has it", || {
        let seen = prometheus.query("sum(sms_messages_total)")?;
        holds(seen == messages, || format!("{seen} of {messages}"))
    });
}

fn run<'a>(
    progress: &'a Progress,
    addresses: &'a [std::net::SocketAddr],
    seed: u64,
    work: impl FnOnce(&Clients<'_, 'a>),
) -> Truth {
    std::thread::scope(|scope| {
        let clients = start_clients(scope, progress, addresses, seed);
        work(&clients);
        clients.finish()
    })
}
