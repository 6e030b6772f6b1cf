//! Commands that change something are executed by the leader, wherever they are run.

use serde_json::json;

use crate::fleet::{Fleet, leader};
use crate::support::postgres::Server;
use crate::support::provider::receipt;
use crate::support::{Ended, Launch, eventually, holds};

/// A place with the configuration of the fleet and nothing else.
fn elsewhere(fleet: &Fleet) -> Launch {
    fleet.elsewhere()
}

#[track_caller]
fn done(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

#[test]
fn a_command_that_is_run_anywhere_is_executed_by_the_leader() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2).map(|launch| launch.file("[opt_outs]\nenabled = true\n"));
    let replicas = fleet.start();
    replicas[1].accept(&receipt("one", "DELIVERED", json!({})));
    let command = elsewhere(&fleet).file("[opt_outs]\nenabled = true\n");
    let run = |arguments: &[&str]| done(command.clone().args(arguments).run());
    assert_eq!(run(&["opt-outs", "add", "+33612345678"]), "1 changed, 0 were so already\n");
    assert_eq!(run(&["opt-outs", "add", "+33612345678"]), "0 changed, 1 were so already\n");
    assert!(run(&["opt-outs", "list"]).contains("+33612345678"));
    assert_eq!(run(&["relay", "retry", "--all"]), "0 dead letters redriven\n");
    assert_eq!(run(&["reprocess"]), "nothing to read again: no stored request is unrecognized\n");
    // Nothing of the requests stays.
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.tasks WHERE request IS NOT NULL OR ended_at IS NULL"), "0");
    let data_dir = command.data_dir();
    assert!(!data_dir.join("private/smscope.db").exists(), "it has made a store of its own");
}

#[test]
fn what_the_leader_is_not_configured_for_is_an_error_of_the_command() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1);
    let _replicas = fleet.start();
    let ended = elsewhere(&fleet).args(&["opt-outs", "add", "+33612345678"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("opt_outs.enabled is false"), "{}", ended.stderr);
    let ended = elsewhere(&fleet).args(&["reconcile", "--since", "1h"]).run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
}

#[test]
fn a_request_whose_leader_has_died_is_executed_by_the_next() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 2).map(|launch| launch.file("[opt_outs]\nenabled = true\n"));
    let mut replicas = fleet.start();
    replicas[0].signal("STOP");
    let command = elsewhere(&fleet).file("[opt_outs]\nenabled = true\n");
    let asked = std::thread::spawn(move || command.args(&["opt-outs", "add", "+33612345678"]).run());
    eventually("it is asked", || {
        let asked = fleet.sql("SELECT count(*) FROM smscope.tasks");
        holds(asked == "1", || asked)
    });
    // As if it had been begun by the frozen one.
    fleet.sql("UPDATE smscope.tasks SET begun_by = (SELECT epoch FROM smscope.lease)");
    drop(replicas.remove(0).kill());
    assert_eq!(leader(&replicas), 0);
    assert_eq!(done(asked.join().unwrap()), "1 changed, 0 were so already\n");
}

#[test]
fn without_a_leader_a_command_says_so_and_takes_its_request_back() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 1);
    drop(fleet.start().remove(0).stop());
    let ended = elsewhere(&fleet).args(&["relay", "retry", "--all"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no replica leads"), "{}", ended.stderr);
    assert_eq!(fleet.sql("SELECT count(*) FROM smscope.tasks"), "0");
}
