//! The same through PgBouncer in transaction mode, which gives each transaction another session.

use crate::fleet::{Fleet, leader, leads};
use crate::freezing::{freeze_in_a_transaction, slowest_answer};
use crate::replicas::each_receipt_is_accepted_once;
use crate::support::load::{Dice, Progress, soak, start_clients};
use crate::support::postgres::{PgBouncer, Server, query};
use crate::support::{eventually, holds};

/// `make soak` asks for more.
const KILLS: u64 = 4;

/// Replicas that share so many sessions.
fn pooled(server: &Server, sessions: usize, replicas: usize) -> Option<(PgBouncer, Fleet)> {
    let pooler = PgBouncer::start(server, sessions)?;
    let database = server.create_database();
    // Sessions that were opened before there are tables lack the settings that the role gets with them, and stay.
    std::thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| query(&pooler.url(&database), "SELECT pg_sleep(0.3)").unwrap());
        }
    });
    let fleet = Fleet::through(&server.url(&database), &vec![pooler.url(&database); replicas]);
    Some((pooler, fleet.map(|launch| launch.file("[store]\nprepare = false"))))
}

#[test]
fn through_a_pooler_a_receipt_sent_to_two_replicas_at_once_is_accepted_by_one() {
    let Some(server) = Server::shared() else { return };
    let Some((_pooler, fleet)) = pooled(server, 2, 2) else { return };
    let replicas = fleet.start();
    each_receipt_is_accepted_once(&fleet, &replicas);
}

#[test]
fn through_a_pooler_kills_lose_nothing_and_count_nothing_twice() {
    let Some(server) = Server::shared() else { return };
    let Some((_pooler, fleet)) = pooled(server, 4, 3) else { return };
    let (kills, seed) = (soak("POOLED_KILLS").unwrap_or(KILLS), soak("SEED").unwrap_or(2));
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, seed);
        let mut dice = Dice::of(seed);
        for _ in 0..kills {
            clients.until_acknowledged(10);
            std::thread::sleep(std::time::Duration::from_millis(dice.below(400)));
            let leading = replicas.iter().position(leads).filter(|_| dice.below(2) == 0);
            let killed = leading.unwrap_or(dice.below(3) as usize);
            let launch = replicas.remove(killed).kill();
            replicas.insert(killed, launch.start());
        }
        clients.finish()
    });
    println!("seed {seed}: {kills} kills, {progress}");
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn through_a_pooler_a_leader_that_freezes_in_a_transaction_is_replaced() {
    let Some(server) = Server::shared() else { return };
    let Some((_pooler, fleet)) = pooled(server, 3, 2) else { return };
    let replicas = fleet.start();
    freeze_in_a_transaction(&fleet, &replicas);
    let slowest = slowest_answer(&replicas[1], || leads(&replicas[1]));
    println!("the slowest answer took {slowest:?}");
    replicas[0].signal("CONT");
    eventually("it does not lead any more", || holds(!leads(&replicas[0]), || replicas[0].stderr()));
    assert_eq!(leader(&replicas), 1);
    fleet.until_processed();
    let counted = replicas[1].metrics().sum("sms_messages_delivered_total", &[]);
    assert_eq!(fleet.events().len() as f64, counted);
    fleet.has_a_dense_journal();
}
