//! What the leader alone does for the fleet, while leaders are killed: it exports logs, relays events, resends messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::fleet::{Fleet, leader};
use crate::support::load::{Progress, Truth, soak, start_clients};
use crate::support::peers::Collector;
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::smsmode::{API_KEY, Fault, SmsmodeApi};
use crate::support::target::{Arrived, Reaction, Target};
use crate::support::{HOOK, Smscope, eventually, holds};

/// `make soak` asks for more.
const KILLS: u64 = 2;
const MESSAGES: usize = 30;

fn kill_the_leader(replicas: &mut Vec<Smscope>) {
    let killed = leader(replicas);
    let launch = replicas.remove(killed).kill();
    replicas.push(launch.start());
}

#[test]
fn every_event_is_exported_and_relayed_under_one_id_however_often_the_leader_is_killed() {
    let Some(server) = Server::shared() else { return };
    let folder = TempDir::new().unwrap();
    let Some(mut collector) = Collector::start(folder.path()) else { return };
    let target = Target::start();
    let relay = format!("[[relay]]\nname = \"app\"\nconcurrency = 64\nurl = \"{}\"\n", target.url("/"));
    let fleet = Fleet::on(server, 2).map(|launch| {
        let launch = launch.file(&relay).env("OTEL_METRIC_EXPORT_INTERVAL", "200");
        launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
    });
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let mut truth = Truth::default();
    for kill in 0..soak("JOB_KILLS").unwrap_or(KILLS) {
        truth.join(std::thread::scope(|scope| {
            let clients = start_clients(scope, &progress, &addresses, 71 + kill);
            clients.until_acknowledged(40);
            // The target fails now and then as well.
            target.then([Reaction::Status(500), Reaction::Hangup]);
            kill_the_leader(&mut replicas);
            clients.until_acknowledged(40);
            clients.finish()
        }));
        leader(&replicas);
    }
    println!("{progress}");
    fleet.agrees_with(&truth, &replicas);
    let leading = replicas.remove(leader(&replicas));
    eventually("nothing waits to be relayed", || {
        let waiting = leading.metrics().sum("sms_relay_pending", &[]);
        holds(waiting == 0.0, || format!("{waiting}"))
    });
    is_relayed(&truth, &target.arrived());
    replicas.into_iter().for_each(|replica| drop(replica.stop()));
    truth.is_told_by(leading, &mut collector);
}

/// Each event arrived under one id of its own.
fn is_relayed(truth: &Truth, arrived: &[Arrived]) {
    let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for taken in arrived.iter().filter(|arrived| arrived.was_taken()) {
        let event = taken.event();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let kind = match text(&event["type"]).unwrap() {
            kind if kind.ends_with("reply.received") => "reply".to_owned(),
            kind if kind.ends_with("reply.stop") => "stop".to_owned(),
            kind => text(&event["data"]["status"]).unwrap_or(kind),
        };
        ids.entry((text(&event["subject"]).unwrap(), kind)).or_default().insert(taken.id().to_owned());
    }
    let relayed: BTreeSet<_> = ids.keys().cloned().collect();
    assert_eq!(&relayed, truth.events());
    assert!(ids.values().all(|ids| ids.len() == 1), "one event under several ids");
    let distinct: BTreeSet<_> = ids.into_values().flatten().collect();
    assert_eq!(distinct.len(), relayed.len(), "several events under one id");
}

#[test]
fn a_failed_message_is_resent_at_most_once_however_often_the_leader_is_killed() {
    let Some(server) = Server::shared() else { return };
    let provider = SmsmodeApi::start();
    // Long enough for a kill between the request and its answer.
    provider.always_fail(Fault::Slow(Duration::from_millis(40)));
    let rules = format!(
        "[[resend]]\nname = \"absent\"\nreasons = [\"unknown\"]\ndelay = \"1s\"\n[opt_outs]\nenabled = true\n\
         [[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"{API_KEY}\"\nurl = \"{}\"\n",
        provider.url()
    );
    let fleet = Fleet::on(server, 2).map(|launch| launch.file(&rules));
    let mut replicas = fleet.start();
    let now = jiff::Timestamp::now().to_string();
    for message in 0..MESSAGES {
        let status = json!({"value": "UNDELIVERED", "deliveryDate": now});
        let own =
            json!({"acceptedAt": now, "sentDate": null, "refClient": format!("order-{message}"), "status": status});
        let failed = receipt(&format!("failed-{message}"), "UNDELIVERED", own);
        assert_eq!(replicas[message % 2].post(HOOK, failed.to_string()).result(), "accepted");
    }
    let asked = || provider.asked().into_iter().filter(|asked| asked.method == "POST").count();
    for kill in 0..soak("JOB_KILLS").unwrap_or(KILLS) {
        let before = asked();
        eventually("messages are resent", || holds(asked() > before || before == MESSAGES, || format!("{before}")));
        std::thread::sleep(Duration::from_millis(30 + 17 * kill));
        kill_the_leader(&mut replicas);
        leader(&replicas);
    }
    let results = |result: &str| {
        let leading = leader(&replicas);
        replicas[leading].metrics().sum("sms_resends_total", &[("resend", "absent"), ("result", result)])
    };
    eventually("each has its result", || {
        let (sent, uncertain) = (results("sent"), results("uncertain"));
        holds(sent + uncertain == MESSAGES as f64, || format!("{sent} sent, {uncertain} uncertain"))
    });
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for sent in provider.asked().into_iter().filter(|asked| asked.method == "POST") {
        let message: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
        *times.entry(message["refClient"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(times.values().all(|&times| times == 1), "{times:?}");
    assert!(times.len() as f64 >= results("sent"), "{} were sent", times.len());
}
