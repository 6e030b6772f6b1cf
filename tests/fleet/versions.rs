//! The oldest version of PostgreSQL that smscope works with, and the newest ones.

use crate::fleet::{Fleet, leader};
use crate::replicas::each_receipt_is_accepted_once;
use crate::support::load::{Progress, start_clients};
use crate::support::postgres::{Server, Version};

fn is_right_on(version: Version) {
    let Some(server) = Server::start(version) else { return };
    let twice = Fleet::on(&server, 2);
    each_receipt_is_accepted_once(&twice, &twice.start());

    let fleet = Fleet::on(&server, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 31);
        for _ in 0..2 {
            clients.until_acknowledged(40);
            let killed = leader(&replicas);
            let launch = replicas.remove(killed).kill();
            replicas.push(launch.start());
        }
        clients.until_acknowledged(40);
        clients.finish()
    });
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn postgresql_14_is_right() {
    is_right_on(Version::V14);
}

#[test]
fn postgresql_17_is_right() {
    is_right_on(Version::V17);
}

#[test]
fn postgresql_18_is_right() {
    is_right_on(Version::V18);
}
