//! Replicas of smscope on one database.

use std::net::SocketAddr;
use std::thread::Scope;

use serde_json::Value;

use crate::support::load::Truth;
use crate::support::postgres::{Server, query};
use crate::support::{Exposition, Launch, Smscope, eventually, holds};

/// What starts replicas on one database.
pub struct Fleet {
    url: String,
    launches: Vec<Launch>,
}

impl Fleet {
    /// Of so many replicas, on a database of its own.
    pub fn on(server: &Server, replicas: usize) -> Self {
        Self::at(&server.url(&server.create_database()), replicas)
    }

    pub fn at(url: &str, replicas: usize) -> Self {
        Self::through(url, &vec![url.to_owned(); replicas])
    }

    /// A replica for each of these URLs, all of one database, which statements of the test reach by `direct`.
    pub fn through(direct: &str, urls: &[String]) -> Self {
        let launch = |url: &String| Launch::new().on_fixed_ports().env("SMSCOPE_STORE_URL", url);
        Self { url: direct.to_owned(), launches: urls.iter().map(launch).collect() }
    }

    /// The same replicas, each with another setting.
    pub fn map(mut self, change: impl Fn(Launch) -> Launch) -> Self {
        self.launches = self.launches.into_iter().map(change).collect();
        self
    }

    pub fn launch(&self, replica: usize) -> &Launch {
        &self.launches[replica]
    }

    /// A process with the configuration of the fleet that is none of its replicas.
    pub fn elsewhere(&self) -> Launch {
        Launch::new().env("SMSCOPE_STORE_URL", &self.url)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.launches.iter().map(Launch::webhooks).collect()
    }

    /// Starts all of them, one after the other, so that the first one leads.
    pub fn start(&self) -> Vec<Smscope> {
        let mut replicas: Vec<Smscope> = Vec::new();
        for launch in &self.launches {
            let replica = launch.start();
            if replicas.is_empty() {
                eventually("the first replica leads", || holds(leads(&replica), || replica.stderr()));
            }
            replicas.push(replica);
        }
        replicas
    }

    /// Locks a table for so many seconds, from when this returns.
    pub fn lock<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, table: &str, seconds: f64) {
        let statements = format!("BEGIN; LOCK TABLE smscope.{table}; SELECT pg_sleep({seconds}); COMMIT");
        scope.spawn(move || self.sql(&statements));
        let held = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = 'smscope.{table}'::regclass \
             AND mode = 'AccessExclusiveLock' AND granted"
        );
        eventually("the table is locked", || holds(self.sql(&held) == "1", || "not yet".to_owned()));
    }

    /// What a statement on the database gives, a line per row.
    pub fn sql(&self, statement: &str) -> String {
        query(&self.url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Message and status value, or kind, of each event of the journal.
    pub fn events(&self) -> Vec<(String, String)> {
        let rows = self.sql("SELECT kind || ' ' || event FROM smscope.journal ORDER BY position");
        let read = |row: &str| {
            let (kind, record) = row.split_once(' ').unwrap();
            let record: Value = serde_json::from_str(record).unwrap();
            let status = record["status"].as_str().unwrap_or(kind);
            (record["message_id"].as_str().unwrap().to_owned(), status.to_owned())
        };
        rows.lines().map(read).collect()
    }

    /// No position is missing from the journal, or used twice.
    pub fn has_a_dense_journal(&self) {
        let ends =
            self.sql("SELECT count(*) - count(DISTINCT position), count(*) - max(position) FROM smscope.journal");
        assert_eq!(ends, "0|0");
    }

    /// What was acknowledged is stored once and counted once, and nothing else is.
    pub fn agrees_with(&self, truth: &Truth, replicas: &[Smscope]) {
        self.until_processed();
        truth.is_stored_once(self.events());
        self.has_a_dense_journal();
        truth.is_scraped(&metrics(replicas));
        assert_eq!(self.sql("SELECT id, error FROM smscope.inbox_stuck"), "");
    }

    /// How many requests the leader has not processed yet.
    pub fn waiting(&self) -> String {
        self.sql("SELECT coalesce(sum(cardinality(requests)), 0) FROM smscope.inbox")
    }

    /// Waits until nothing waits to be counted.
    pub fn until_processed(&self) {
        eventually("the inbox is empty", || {
            let waiting = self.sql("SELECT count(*) FROM smscope.inbox");
            holds(waiting == "0", || format!("{waiting} batches wait"))
        });
    }
}

pub fn leads(replica: &Smscope) -> bool {
    replica.metrics().sum("smscope_fleet_leader", &[]) == 1.0
}

/// The one that leads, once there is one.
pub fn leader(replicas: &[Smscope]) -> usize {
    let mut leader = None;
    eventually("a replica leads", || {
        leader = replicas.iter().position(leads);
        holds(leader.is_some(), || "none".to_owned())
    });
    leader.unwrap()
}

/// What the leader shows.
pub fn metrics(replicas: &[Smscope]) -> Exposition {
    replicas[leader(replicas)].metrics()
}
