//! The servers do what the tests of fleet mode take for granted.

use std::time::{Duration, Instant};

use crate::support::postgres::{Direction, PgBouncer, Proxy, Server, Version, query};
use crate::support::{eventually, holds};

const INSERT: &str = "INSERT INTO numbers SELECT coalesce(max(n), 0) + 1 FROM numbers";
const COUNT: &str = "SELECT count(*) FROM numbers";

/// A database with an empty table `numbers`, as smscope makes it: by its own role, in its own schema.
fn database(server: &Server) -> String {
    let database = server.create_database();
    query(&server.url(&database), "CREATE SCHEMA smscope; CREATE TABLE smscope.numbers (n bigint)").unwrap();
    server.sql("postgres", &format!("ALTER ROLE smscope IN DATABASE {database} SET search_path = smscope"));
    database
}

#[test]
fn a_server_of_each_version_starts_and_says_which_it_is() {
    for version in Version::ALL {
        let expected = match version {
            Version::V14 => "14.",
            Version::V17 => "17.",
            Version::V18 => "18.",
            Version::System => "",
        };
        let Some(server) = Server::start(version) else { continue };
        let text = server.sql("postgres", "SELECT version()");
        assert!(text.starts_with(&format!("PostgreSQL {expected}")), "{text}");
        let database = database(&server);
        assert_eq!(query(&server.url(&database), COUNT).unwrap(), "0");
    }
}

#[test]
fn the_role_of_smscope_may_create_nothing_outside_its_database() {
    let Some(server) = Server::shared() else { return };
    let url = server.url(&server.create_database());
    for statement in ["CREATE DATABASE another", "CREATE ROLE another"] {
        let error = query(&url, statement).unwrap_err();
        assert!(error.contains("permission denied"), "{error}");
    }
}

#[test]
fn a_killed_server_has_all_that_it_committed_when_it_starts_again() {
    let Some(server) = Server::start(Version::System) else { return };
    let url = server.url(&database(&server));
    query(&url, INSERT).unwrap();
    server.kill();
    assert!(query(&url, COUNT).is_err(), "it still answers");
    server.restart();
    assert_eq!(query(&url, COUNT).unwrap(), "1");
    server.stop();
    server.restart();
    assert_eq!(query(&url, COUNT).unwrap(), "1");
}

#[test]
fn a_dropped_server_leaves_neither_processes_nor_files() {
    let Some(server) = Server::start(Version::System) else { return };
    let folder = server.sql("postgres", "SHOW data_directory");
    drop(server);
    assert!(!std::fs::exists(&folder).unwrap(), "{folder} is still there");
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&command).contains(&folder), "{} still runs", process.path().display());
    }
}

#[test]
fn a_promoted_synchronous_standby_has_every_commit() {
    let Some(primary) = Server::start(Version::System) else { return };
    let database = database(&primary);
    let standby = primary.standby();
    primary.set_synchronous(&standby);
    for _ in 0..10 {
        query(&primary.url(&database), INSERT).unwrap();
    }
    assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery()"), "t");
    primary.kill();
    standby.promote();
    assert_eq!(query(&standby.url(&database), COUNT).unwrap(), "10");
    query(&standby.url(&database), INSERT).unwrap();
}

#[test]
fn a_commit_waits_for_a_synchronous_standby_that_is_cut_off() {
    let Some(primary) = Server::start(Version::System) else { return };
    let url = primary.url(&database(&primary));
    let network = Proxy::start(primary.port(), Duration::ZERO);
    let standby = primary.standby_through(network.port());
    primary.set_synchronous(&standby);
    network.hang();
    let commit = std::thread::spawn(move || query(&url, INSERT));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!commit.is_finished());
    network.resume();
    commit.join().unwrap().unwrap();
}

#[test]
fn pgbouncer_gives_each_transaction_a_connection_of_its_pool() {
    let Some(server) = Server::shared() else { return };
    let Some(bouncer) = PgBouncer::start(server, 1) else { return };
    let url = bouncer.url(&database(server));
    let backend = || query(&url, "SELECT pg_backend_pid()").unwrap_or_else(|error| panic!("{error}{}", bouncer.log()));
    assert_eq!(backend(), backend(), "two clients one after the other");
}

#[test]
fn a_proxy_delays_both_directions() {
    let Some(server) = Server::shared() else { return };
    let delay = Duration::from_millis(50);
    let url = Proxy::start(server.port(), delay).url(&server.create_database());
    let started = Instant::now();
    query(&url, "SELECT 1").unwrap();
    // The start of the session and the statement: two round trips.
    assert!(started.elapsed() >= 4 * delay, "{:?}", started.elapsed());
}

#[test]
fn a_proxy_loses_the_answer_of_what_the_server_has_done() {
    let Some(server) = Server::shared() else { return };
    let database = database(server);
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let url = proxy.url(&database);
    // It answers the start of a session, and waits before the statement.
    let slow = format!("SELECT pg_sleep(0.5); {INSERT}");
    let client = std::thread::spawn(move || query(&url, &slow));
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    eventually("the client's statement runs", || {
        let count = server.sql(&database, &format!("{sleeping} AND datname = '{database}'"));
        holds(count == "1", || count)
    });
    proxy.hang_one_way(Direction::ToClient);
    let written = || server.sql(&database, "SELECT count(*) FROM smscope.numbers");
    eventually("the server has done it", || holds(written() == "1", written));
    assert!(!client.is_finished());
    proxy.cut();
    let error = client.join().unwrap().unwrap_err();
    assert!(error.contains("closed the connection"), "{error}");
}

#[test]
fn a_refusing_proxy_closes_new_connections() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let url = proxy.url(&server.create_database());
    proxy.refuse(true);
    assert!(query(&url, "SELECT 1").is_err());
    proxy.refuse(false);
    assert_eq!(query(&url, "SELECT 1").unwrap(), "1");
}
