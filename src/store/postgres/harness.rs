//! PostgreSQL's store under test by the suite that every store passes: its statements, without lease and inbox.

use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, NoTls};

use super::error::PgError;
use super::ledger::SeriesIds;
use super::packed::{self, RequestId};
use super::session::{Session, params};
use super::transaction::{Ids, PgTx};
use super::{ledger, meta, schema};
use crate::event::hex;
use crate::ledger::Ledger;
use crate::ledger::caps::LabelCaps;
use crate::store::core::{Outcome, Tx};
use crate::store::ids::{DeliveryId, MessageRowId};
use crate::store::suite::{Action, Dump, Harness, Reaction};
use crate::store::{Settings, Submission};
use crate::test_support::postgres::Server;

/// Runs the connections of all tests.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Databases that no test uses any more.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub struct OnPostgres {
    pub session: Session,
    database: String,
    settings: Settings,
    state: State,
    /// Rows are read ahead, or each when it is asked for.
    pub prefetches: bool,
    day: i32,
    /// How often the server was asked by the last transaction, after what begins it.
    pub round_trips: usize,
}

/// What is in the leader's memory.
struct State {
    ids: Ids,
    ledger: Ledger,
    series: SeriesIds,
    caps: LabelCaps,
}

impl State {
    async fn load(session: &Session) -> Self {
        let (ledger, series) = ledger::load(session).await.unwrap();
        let caps = LabelCaps::new(ledger::load_label_values(session).await.unwrap(), ledger.network_names());
        Self { ids: Ids::load(session).await.unwrap(), ledger, series, caps }
    }
}

/// Whether there is a server; else a test says that it is skipped.
pub fn has_server() -> bool {
    Server::shared().is_some()
}

/// A session on a database of its own, which is empty, with its name.
pub fn empty_database() -> (Session, String) {
    let server = Server::shared().unwrap();
    let used = FREE.lock().unwrap().pop();
    let is_new = used.is_none();
    let database = used.unwrap_or_else(|| server.create_database());
    let session = RUNTIME.block_on(async {
        let session = connect(&database).await;
        match is_new {
            true => assert_eq!(schema::migrate(&session).await.unwrap(), 0),
            false => session.batch(CLEAR).await.unwrap(),
        }
        session.batch("SET synchronous_commit = off; SET idle_in_transaction_session_timeout = 0").await.unwrap();
        // As the other stores have it, so that what is stored is the same.
        let sql = "UPDATE smscope.meta SET value = $1 WHERE key = 'erasure_salt'";
        session.execute(sql, params![hex(b"salt") => TEXT]).await.unwrap();
        session
    });
    (session, database)
}

/// A session on the database with this name.
pub async fn connect(database: &str) -> Session {
    let config: Config = Server::shared().unwrap().url(database).parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap();
    Session::new(client, connection, true, Duration::from_secs(60))
}

/// Much faster than another database.
const CLEAR: &str = "DO $$ DECLARE name text; BEGIN \
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'smscope'::regnamespace AND relkind IN ('r', 'p') \
    AND NOT relispartition AND relname NOT IN ('meta', 'lease', 'schema_version') \
    LOOP EXECUTE format('DELETE FROM smscope.%I', name); END LOOP; \
    DELETE FROM smscope.meta WHERE key NOT IN ('fleet_id', 'created_at', 'hash_key', 'erasure_salt'); END $$";

impl OnPostgres {
    pub fn runtime() -> &'static Runtime {
        &RUNTIME
    }

    /// Runs actions in one transaction.
    pub fn run_all(&mut self, actions: &[Action], commits: bool) -> Vec<Reaction> {
        self.block_on_batch("BEGIN");
        let reactions = self.run_begun(actions, commits);
        if !commits {
            self.block_on_batch("ROLLBACK");
        }
        reactions
    }

    /// Runs rules in a transaction.
    pub fn in_transaction<T>(&mut self, work: impl FnOnce(&mut Tx<'_, PgTx<'_>>) -> Result<T, PgError>) -> T {
        self.block_on_batch("BEGIN");
        self.transact(true, work)
    }

    fn run_begun(&mut self, actions: &[Action], commits: bool) -> Vec<Reaction> {
        let requests: Vec<_> = actions.iter().map(|action| self.receive(action)).collect();
        let prefetches = self.prefetches;
        self.transact(commits, |rules| {
            if prefetches {
                let attempts: Vec<DeliveryId> = actions.iter().filter_map(delivery).collect();
                let messages: Vec<MessageRowId> = actions.iter().flat_map(messages).collect();
                rules.storage.prefetch(rules.lookups(actions.iter().filter_map(submission)))?;
                rules.storage.prefetch_deliveries(&attempts)?;
                rules.storage.prefetch_messages(&messages)?;
            }
            let run = |(action, request): (&Action, _)| {
                rules.storage.request_in(request);
                action.run(rules)
            };
            actions.iter().zip(requests).map(run).collect()
        })
    }

    /// Runs rules in a transaction that has begun.
    fn transact<T>(&mut self, commits: bool, work: impl FnOnce(&mut Tx<'_, PgTx<'_>>) -> Result<T, PgError>) -> T {
        let pseudonymizer = RUNTIME.block_on(meta::pseudonymizer(&self.session)).unwrap();
        let before = self.count_round_trips();
        let State { ids, ledger, series, caps } = &mut self.state;
        let storage = PgTx::new(&self.session, RUNTIME.handle(), *ids, self.day);
        let mut rules = Tx::new(storage, &self.settings, ledger, caps, &pseudonymizer);
        let done = work(&mut rules).unwrap();
        let (storage, Outcome { counters, .. }) = rules.finish();
        let (mut writes, newest) = storage.into_writes().unwrap();
        if commits {
            ledger::save(&mut writes, ledger, &counters, series);
            ledger::save_label_values(&mut writes, caps.uncommitted());
            RUNTIME.block_on(self.session.run(None, &writes, Some("COMMIT"))).unwrap();
            caps.commit();
            *ids = newest;
            ledger.apply(counters);
        } else {
            // Its statements have run too.
            RUNTIME.block_on(self.session.run(None, &writes, None)).unwrap();
            caps.rollback();
        }
        self.round_trips = self.count_round_trips() - before;
        done
    }

    /// Stores the request of a submission, as a front door does.
    fn receive(&self, action: &Action) -> Option<RequestId> {
        let packed = packed::pack("", &submission(action)?.raw, true).unwrap();
        // Not the first one of its batch.
        let sql = "INSERT INTO smscope.received (day, id, format, requests) \
             VALUES ($1, nextval('smscope.received_id'), 1, ARRAY[NULL, $2]) RETURNING id";
        let inserted = RUNTIME.block_on(self.session.query_opt(sql, params![self.day => INT4, packed => BYTEA]));
        Some(RequestId { batch: inserted.unwrap().unwrap().get(0), day: self.day, index: 2 })
    }

    fn block_on_batch(&self, sql: &str) {
        RUNTIME.block_on(self.session.batch(sql)).unwrap();
    }

    fn count_round_trips(&self) -> usize {
        self.session.round_trips.load(Ordering::Relaxed)
    }
}

fn submission(action: &Action) -> Option<&Submission> {
    match action {
        Action::Ingest(submission) => Some(submission),
        _ => None,
    }
}

fn delivery(action: &Action) -> Option<DeliveryId> {
    match action {
        Action::SaveAttempt(attempt, _) => Some(attempt.delivery),
        _ => None,
    }
}

fn messages(action: &Action) -> Vec<MessageRowId> {
    match action {
        Action::Expire(id, _) => vec![*id],
        Action::EraseMessages(ids, _) => ids.clone(),
        _ => Vec::new(),
    }
}

impl Harness for OnPostgres {
    fn new(settings: Settings) -> Self {
        let (session, database) = empty_database();
        let (state, day) =
            RUNTIME.block_on(async { (State::load(&session).await, schema::today(&session).await.unwrap()) });
        let mut new = Self { session, database, settings, state, prefetches: true, day, round_trips: 0 };
        new.run(&Action::Start, true);
        new
    }

    fn run(&mut self, action: &Action, commits: bool) -> Reaction {
        self.run_all(std::slice::from_ref(action), commits).remove(0)
    }

    fn restart(&mut self) {
        self.state = RUNTIME.block_on(State::load(&self.session));
        self.run(&Action::Start, true);
    }

    fn dump(&self) -> Dump {
        let storage = PgTx::new(&self.session, RUNTIME.handle(), self.state.ids, self.day);
        Dump::of(&storage, &self.state.ledger).unwrap()
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Drop for OnPostgres {
    fn drop(&mut self) {
        // A transaction may be open in it where a test has failed.
        if !std::thread::panicking() {
            FREE.lock().unwrap().push(std::mem::take(&mut self.database));
        }
    }
}
