//! Replicas that are killed, frozen and cut off under load: what was acknowledged is stored once and counted once.

use std::time::{Duration, Instant};

use crate::fleet::{Fleet, leader, leads, metrics};
use crate::support::load::{Dice, Progress, soak, start_clients};
use crate::support::postgres::{Direction, Proxy, Server, Version};
use crate::support::{eventually, holds};

/// `make soak` asks for more.
const KILLS: u64 = 10;

/// How long until another replica leads, once the lease is not renewed.
const LEASE: Duration = Duration::from_secs(5);

#[test]
fn kills_of_replicas_under_load_lose_nothing_and_count_nothing_twice() {
    let Some(server) = Server::shared() else { return };
    let (kills, seed) = (soak("KILLS").unwrap_or(KILLS), soak("SEED").unwrap_or(1));
    println!("seed {seed}");
    let fleet = Fleet::on(server, 3);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let mut replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, seed);
        let mut dice = Dice::of(seed);
        for _ in 0..kills {
            clients.until_acknowledged(10);
            std::thread::sleep(Duration::from_millis(dice.below(600)));
            // The leader every other time.
            let leading = replicas.iter().position(leads).filter(|_| dice.below(2) == 0);
            let killed = leading.unwrap_or(dice.below(3) as usize);
            let launch = replicas.remove(killed).kill();
            replicas.insert(killed, launch.start());
        }
        clients.finish()
    });
    println!("{kills} kills, {progress}");
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn a_leader_that_freezes_is_replaced_and_changes_nothing_when_it_goes_on() {
    let Some(server) = Server::shared() else { return };
    let fleet = Fleet::on(server, 3);
    let (addresses, progress) = (fleet.addresses(), Progress::default());
    let replicas = fleet.start();
    let others = [addresses[1], addresses[2]];
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &others, 7);
        clients.until_acknowledged(50);
        replicas[0].signal("STOP");
        let frozen = Instant::now();
        eventually("another replica leads", || {
            holds(leads(&replicas[1]) || leads(&replicas[2]), || format!("{:?}", frozen.elapsed()))
        });
        assert!(frozen.elapsed() < LEASE + Duration::from_secs(2), "{:?}", frozen.elapsed());
        clients.until_acknowledged(50);
        std::thread::sleep(2 * LEASE);
        replicas[0].signal("CONT");
        // What it had in hand is not written, and it shows none of the durable series.
        assert_eq!(replicas[0].metrics().value("sms_messages_total", &[]), None);
        clients.until_acknowledged(50);
        clients.finish()
    });
    assert!(!leads(&replicas[0]));
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn a_replica_that_is_cut_off_rejects_in_time_and_the_others_do_not_notice() {
    let Some(server) = Server::shared() else { return };
    let database = server.create_database();
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let fleet = Fleet::at(&server.url(&database), 2);
    let connected = fleet.start();
    let cut_off = Fleet::at(&proxy.url(&database), 1);
    let alone = cut_off.launch(0).start();
    assert!(alone.is_ready());
    proxy.hang();
    let started = Instant::now();
    let body = crate::support::provider::receipt("cut", "DELIVERED", serde_json::json!({}));
    let response = alone.post(crate::support::HOOK, body.to_string());
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    eventually("it is not ready", || holds(!alone.is_ready(), || "ready".to_owned()));
    let asked = Instant::now();
    connected[1].accept(&body);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    proxy.resume();
    eventually("it is ready again", || holds(alone.is_ready(), || alone.stderr()));
    assert_eq!(alone.post(crate::support::HOOK, body.to_string()).result(), "duplicate");
    assert_eq!(metrics(&connected).sum("sms_messages_total", &[]), 1.0);
}

/// The first replica leads, the second follows. Answers to this one are lost, and the clients are those of that one.
fn loses_answers(of: usize, client_of: usize, seed: u64) {
    let Some(server) = Server::shared() else { return };
    let database = server.create_database();
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let mut urls = [server.url(&database), server.url(&database)];
    urls[of] = proxy.url(&database);
    let fleet = Fleet::through(&server.url(&database), &urls);
    let (addresses, progress) = (fleet.addresses(), Progress::with_lost_answers());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses[client_of..=client_of], seed);
        for _ in 0..5 {
            clients.until_acknowledged(30);
            proxy.hang_one_way(Direction::ToClient);
            std::thread::sleep(Duration::from_millis(100));
            proxy.cut();
            proxy.resume();
        }
        clients.until_acknowledged(30);
        clients.finish()
    });
    println!("{progress}");
    fleet.agrees_with(&truth, &replicas);
}

#[test]
fn the_lost_answer_of_a_front_doors_commit_is_asked_for_again() {
    loses_answers(1, 1, 11);
}

#[test]
fn the_lost_answer_of_the_leaders_commit_counts_nothing_twice() {
    loses_answers(0, 1, 12);
}

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing_and_needs_no_restart() {
    let Some(primary) = Server::start(Version::System) else { return };
    let database = primary.create_database();
    let standby = primary.standby();
    primary.set_synchronous(&standby);
    let hosts = format!("postgresql://smscope@127.0.0.1:{},127.0.0.1:{}/{database}", primary.port(), standby.port());
    let fleet = Fleet::at(&hosts, 2);
    let (addresses, progress) = (fleet.addresses(), Progress::with_lost_answers());
    let replicas = fleet.start();
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, 3);
        clients.until_acknowledged(200);
        primary.kill();
        standby.promote();
        let promoted = Instant::now();
        clients.until_acknowledged(1);
        assert!(promoted.elapsed() < Duration::from_secs(4), "{:?}", promoted.elapsed());
        clients.until_acknowledged(200);
        clients.finish()
    });
    println!("{progress}");
    let now = Fleet::at(&standby.url(&database), 0);
    eventually("a replica leads", || holds(replicas.iter().any(leads), || replicas[0].stderr()));
    now.agrees_with(&truth, &replicas);
    assert!(leader(&replicas) < 2);
}
