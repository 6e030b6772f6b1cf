//! What is read of the server at the start and each minute: whether what it acknowledges lasts, and what else it lacks. An ordinary
//! role may read all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::connect::Connector;
use super::error::PgError;
use super::metrics;
use super::session::Session;
use crate::settings::{Durability, Postgres};

/// PostgreSQL 14: earlier ones cannot detach a partition without blocking what is written.
const OLDEST: i32 = 140_000;
/// Connections that a replica has at most.
const CONNECTIONS: i64 = 5;
/// How often the server is checked.
const INTERVAL: Duration = Duration::from_secs(60);
/// How far the server's clock may be from this machine's.
const CLOCK: SignedDuration = SignedDuration::from_secs(2);

const STATE: &str = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
    current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'), \
    current_setting('synchronous_standby_names') <> '', \
    EXISTS (SELECT FROM pg_stat_replication AS reader WHERE NOT EXISTS \
        (SELECT FROM pg_replication_slots WHERE active_pid = reader.pid AND slot_type = 'logical')), \
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
    current_setting('default_transaction_deferrable') = 'on', \
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint, \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint, to_regclass('smscope.replicas') IS NOT NULL";
/// Replicas that live, and the configurations of those that have for long.
const REPLICAS: &str = "SELECT count(*), \
    count(DISTINCT config_digest) FILTER (WHERE started_at < clock_timestamp() - interval '10 minutes') \
    FROM smscope.replicas WHERE seen > clock_timestamp() - interval '15 seconds'";

/// What was read.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// As `server_version_num` has it: 150018.
    pub version: i32,
    pub version_name: String,
    pub has_fsync: bool,
    pub has_full_page_writes: bool,
    /// Of the session.
    pub synchronous_commit: String,
    /// Whether there are tables, and with them the settings of the role.
    pub has_tables: bool,
    /// Whether `synchronous_standby_names` names one.
    pub waits_for_standbys: bool,
    /// Whether somebody reads the whole write-ahead log. An ordinary role does not learn who.
    pub is_replicated: bool,
    pub is_read_only: bool,
    pub is_deferrable: bool,
    /// Those that an ordinary role may have.
    pub connections: i64,
    /// How far its clock is ahead of this machine's.
    pub clock_ahead: SignedDuration,
    pub replicas: i64,
    /// How many of them there are among replicas that have run for ten minutes.
    pub configurations: i64,
}

/// What is wrong with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The same for the same cause.
    #[serde(skip)]
    pub cause: &'static str,
    /// One line: what is, and what is expected.
    pub line: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// smscope does not serve with it.
    Fatal,
    /// It may pass; until then nothing can be stored.
    NotReady,
    Warning,
}

/// What the operator has declared about the server.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    pub durability: Durability,
    pub is_unsafe: bool,
}

/// A server, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Checked {
    pub version: String,
    /// Whether a failover keeps what was acknowledged, as far as it can be seen.
    pub is_synchronous: bool,
    pub findings: Vec<Finding>,
}

impl Checked {
    /// The findings that smscope does not serve with.
    pub fn fatal(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Fatal)
    }
}

impl Declared {
    pub fn of(settings: &Postgres) -> Self {
        Self { durability: settings.durability, is_unsafe: settings.is_unsafe }
    }

    /// Reads the server of `session` and judges it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn check(self, session: &Session) -> Result<Checked, PgError> {
        let state = read(session).await?;
        Ok(Checked {
            is_synchronous: self.is_synchronous(&state),
            findings: self.findings(&state),
            version: state.version_name,
        })
    }

    fn is_synchronous(self, state: &ServerState) -> bool {
        self.durability == Durability::Storage || state.waits_for_standbys || !state.is_replicated
    }

    fn findings(self, state: &ServerState) -> Vec<Finding> {
        use Severity::{Fatal, NotReady, Warning};
        let mut findings = Vec::new();
        let mut add = |applies: bool, severity, cause, line: String| {
            if applies {
                findings.push(Finding { severity, cause, line });
            }
        };
        let version = format!("the server is PostgreSQL {}; expected 14 or later", state.version_name);
        add(state.version < OLDEST, Fatal, "server_version", version);
        let fsync = "the server has fsync = off, so it loses what it acknowledged when its machine fails; expected on"
            .to_owned();
        match self.is_unsafe {
            true => add(!state.has_fsync, Warning, "fsync", fsync),
            false => add(!state.has_fsync, Fatal, "fsync", format!("{fsync}, or store.unsafe = true")),
        }
        let commits = &state.synchronous_commit;
        let lasts = ["on", "remote_apply"].contains(&commits.as_str());
        let commit = format!("the role has synchronous_commit = {commits}; expected on or remote_apply");
        add(state.has_tables && !lasts, Fatal, "synchronous_commit", commit);
        let read_only = "the server takes no writes; expected a primary".to_owned();
        add(state.is_read_only, NotReady, "read_only", read_only);
        let pages = "the server has full_page_writes = off, which is safe on a file system that writes pages whole; expected on";
        add(!state.has_full_page_writes, Warning, "full_page_writes", pages.to_owned());
        let asynchronous = "the server has standbys and a commit waits for none: a failover may lose the last acknowledged events, \
             and the provider does not repeat them; expected synchronous_standby_names, or store.durability = \"storage\" if the \
             storage replicates";
        add(!self.is_synchronous(state), Warning, "synchronous_standby_names", asynchronous.to_owned());
        let deferrable = "the role has default_transaction_deferrable = on; expected off".to_owned();
        add(state.is_deferrable, Warning, "default_transaction_deferrable", deferrable);
        let (has, needed) = (state.connections, state.replicas * CONNECTIONS);
        let connections = format!(
            "the server has max_connections for {has}, and {} replicas need {needed}; expected more",
            state.replicas
        );
        add(has < needed, Warning, "max_connections", connections);
        let off = state.clock_ahead.abs();
        let direction = if state.clock_ahead.is_negative() { "behind" } else { "ahead of" };
        let clock = format!(
            "the server's clock is {:.1} s {direction} this machine's; expected at most 2 s",
            off.as_secs_f64()
        );
        add(off > CLOCK, Warning, "clock", clock);
        let configurations = format!(
            "the replicas have had {} configurations for more than ten minutes; expected the same settings in each",
            state.configurations
        );
        add(state.configurations > 1, Warning, "config_digest", configurations);
        findings
    }
}

async fn read(session: &Session) -> Result<ServerState, PgError> {
    let before = Timestamp::now();
    let row = session.query_opt(STATE, &[]).await?;
    let half = before.duration_until(Timestamp::now()) / 2;
    let unreadable = || PgError::Unreadable { table: "the settings", why: "no row".to_owned() };
    let row = row.ok_or_else(unreadable)?;
    let has_tables = row.get(11);
    let (replicas, configurations) = match has_tables {
        true => session.query_opt(REPLICAS, &[]).await?.map_or((0, 0), |row| (row.get(0), row.get(1))),
        false => (0, 0),
    };
    let clock = Timestamp::from_millisecond(row.get(10)).unwrap_or(before);
    Ok(ServerState {
        version: row.get(0),
        version_name: row.get(1),
        has_fsync: row.get(2),
        has_full_page_writes: row.get(3),
        synchronous_commit: row.get(4),
        has_tables,
        waits_for_standbys: row.get(5),
        is_replicated: row.get(6),
        is_read_only: row.get(7),
        is_deferrable: row.get(8),
        connections: row.get(9),
        clock_ahead: before.duration_until(clock) - half,
        replicas,
        configurations,
    })
}

/// The checks of a running smscope: each finding is logged when it appears.
pub struct Watch {
    declared: Declared,
    logged: BTreeSet<&'static str>,
}

impl Watch {
    pub fn new(declared: Declared) -> Self {
        Self { declared, logged: BTreeSet::new() }
    }

    /// Checks the server, logs what is new, and shows whether a failover keeps what was acknowledged.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn check(&mut self, session: &Session) -> Result<Checked, PgError> {
        let checked = self.declared.check(session).await?;
        metrics::synchronous(checked.is_synchronous);
        for finding in checked.findings.iter().filter(|finding| !self.logged.contains(finding.cause)) {
            match finding.severity {
                Severity::Warning => tracing::warn!("{}", finding.line),
                Severity::Fatal | Severity::NotReady => tracing::error!("{}", finding.line),
            }
        }
        self.logged = checked.findings.iter().map(|finding| finding.cause).collect();
        Ok(checked)
    }

    /// Checks the server each minute, for as long as the runtime lives.
    pub async fn run(mut self, connector: Connector) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let checked = async { self.check(&connector.connect().await?).await };
            if let Err(error) = checked.await {
                tracing::debug!(%error, "the server cannot be checked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness;
    use super::*;

    const DECLARED: Declared = Declared { durability: Durability::Server, is_unsafe: false };

    /// A server with which nothing is wrong.
    fn good() -> ServerState {
        ServerState {
            version: 150_018,
            version_name: "15.18".to_owned(),
            has_fsync: true,
            has_full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            has_tables: true,
            waits_for_standbys: true,
            is_replicated: true,
            is_read_only: false,
            is_deferrable: false,
            connections: 97,
            clock_ahead: SignedDuration::from_millis(-20),
            replicas: 3,
            configurations: 1,
        }
    }

    fn with(change: impl FnOnce(&mut ServerState)) -> ServerState {
        let mut state = good();
        change(&mut state);
        state
    }

    #[test]
    fn each_defect_of_a_server_is_one_finding() {
        use Severity::{Fatal, NotReady, Warning};
        assert_eq!(DECLARED.findings(&good()), []);
        for (state, severity, cause, says) in [
            (
                with(|s| (s.version, s.version_name) = (130_022, "13.22".into())),
                Fatal,
                "server_version",
                "PostgreSQL 13.22; expected 14",
            ),
            (with(|s| s.has_fsync = false), Fatal, "fsync", "expected on, or store.unsafe = true"),
            (
                with(|s| s.synchronous_commit = "off".into()),
                Fatal,
                "synchronous_commit",
                "synchronous_commit = off; expected on",
            ),
            (
                with(|s| s.synchronous_commit = "local".into()),
                Fatal,
                "synchronous_commit",
                "synchronous_commit = local",
            ),
            (with(|s| s.synchronous_commit = "remote_write".into()), Fatal, "synchronous_commit", "= remote_write"),
            (with(|s| s.is_read_only = true), NotReady, "read_only", "takes no writes"),
            (with(|s| s.has_full_page_writes = false), Warning, "full_page_writes", "full_page_writes = off"),
            (
                with(|s| s.waits_for_standbys = false),
                Warning,
                "synchronous_standby_names",
                "a failover may lose the last",
            ),
            (with(|s| s.is_deferrable = true), Warning, "default_transaction_deferrable", "expected off"),
            (with(|s| s.connections = 14), Warning, "max_connections", "for 14, and 3 replicas need 15; expected more"),
            (with(|s| s.clock_ahead = SignedDuration::from_millis(2_100)), Warning, "clock", "is 2.1 s ahead of this"),
            (
                with(|s| s.clock_ahead = SignedDuration::from_secs(-60)),
                Warning,
                "clock",
                "is 60.0 s behind this machine's",
            ),
            (with(|s| s.configurations = 2), Warning, "config_digest", "have had 2 configurations"),
        ] {
            let findings = DECLARED.findings(&state);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!((finding.severity, finding.cause), (severity, cause));
            assert!(finding.line.contains(says), "{}", finding.line);
            assert!(finding.line.contains("; expected ") && !finding.line.contains('\n'), "{}", finding.line);
        }
    }

    #[test]
    fn what_is_right_is_no_finding() {
        for state in [
            with(|s| (s.version, s.version_name) = (140_000, "14.0".into())),
            with(|s| s.synchronous_commit = "remote_apply".into()),
            with(|s| (s.is_replicated, s.waits_for_standbys) = (false, false)),
            with(|s| (s.synchronous_commit, s.has_tables) = ("off".into(), false)),
            with(|s| s.connections = 15),
            with(|s| s.clock_ahead = SignedDuration::from_secs(2)),
            with(|s| (s.replicas, s.configurations) = (0, 0)),
        ] {
            assert_eq!(DECLARED.findings(&state), [], "{state:?}");
        }
    }

    #[test]
    fn what_the_operator_declares_counts() {
        let accepted = Declared { is_unsafe: true, ..DECLARED };
        let [finding] = &accepted.findings(&with(|s| s.has_fsync = false))[..] else { panic!("one finding") };
        assert_eq!((finding.severity, finding.cause), (Severity::Warning, "fsync"));
        let replicated = Declared { durability: Durability::Storage, ..DECLARED };
        assert_eq!(replicated.findings(&with(|s| s.waits_for_standbys = false)), []);
    }

    #[test]
    fn an_ordinary_role_can_read_all_of_it() {
        if !harness::has_server() {
            return;
        }
        let (session, _) = harness::empty_database();
        let checked = harness::OnPostgres::runtime().block_on(DECLARED.check(&session)).unwrap();
        assert!(checked.version.starts_with(|c: char| c.is_ascii_digit()), "{}", checked.version);
        assert!(checked.is_synchronous);
        // The sessions of these tests commit without waiting.
        let causes: Vec<_> = checked.findings.iter().map(|finding| finding.cause).collect();
        assert_eq!(causes, ["synchronous_commit"], "{:?}", checked.findings);
    }

    #[test]
    fn a_server_is_synchronous_unless_it_has_standbys_that_no_commit_waits_for() {
        let replicated = Declared { durability: Durability::Storage, ..DECLARED };
        let asynchronous = with(|s| s.waits_for_standbys = false);
        let alone = with(|s| (s.is_replicated, s.waits_for_standbys) = (false, false));
        assert!(DECLARED.is_synchronous(&good()) && DECLARED.is_synchronous(&alone));
        assert!(!DECLARED.is_synchronous(&asynchronous) && replicated.is_synchronous(&asynchronous));
    }
}
