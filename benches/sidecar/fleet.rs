//! A fleet beside the embedded store: the same load, with replicas and PostgreSQL on the same cores, in turns.
//!
//! A webhook counts once the leader has processed it: what is in the inbox at the end of a load does not.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls, Statement};

use crate::load::{Measured, WARM_UP};
use crate::server::{Program, Server};
use crate::stores::{self, OpenStore};
use crate::support::postgres::{self, Proxy, Version};
use crate::table::{Table, spread};
use crate::{Result, data, load, median, one_at_a_time};

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);
/// Each way, between the replicas and PostgreSQL.
const DELAY: Duration = Duration::from_micros(500);
const SAMPLE: Duration = Duration::from_millis(50);
/// Webhooks per second while something is wrong with a replica that does not take them.
const CALM: f64 = 1_000.0;
const CALM_TIME: Duration = Duration::from_secs(10);
/// How long a leader is frozen: three leases.
const FROZEN: Duration = Duration::from_secs(15);
/// Replicas that are compared with one transaction at a time, and webhooks in flight at each of them.
const MANY: usize = 8;
const BATCH: usize = 16;
/// In flight at each of two stores without HTTP.
const IN_FLIGHT: usize = 64;
/// From the checkpoint until most pages that a load touches have been written whole.
const MINUTE: Duration = Duration::from_secs(60);
/// How long the leader may take for what a load has left in the inbox.
const DRAIN: Duration = Duration::from_secs(60);

/// Beside those of tests/support/postgres, by which every commit is synced.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("min_wal_size", "2GB"),
    ("checkpoint_timeout", "15min"),
    ("wal_compression", "lz4"),
];

/// Of 16 MB each, before anything is measured.
const SEGMENTS: usize = 64;

/// A day that is to be deleted: a transaction each, for they lock what the load writes to.
const OLD_DAY: [&str; 3] = [
    "CREATE TABLE smscope.journal_100 PARTITION OF smscope.journal FOR VALUES FROM (100) TO (101)",
    "CREATE TABLE smscope.received_100 PARTITION OF smscope.received FOR VALUES FROM (100) TO (101)",
    "INSERT INTO smscope.journal (day, position, received_at, source, kind, event) \
       SELECT 100, -n, 0, 'smsmode', 'message.read', repeat('e', 480) FROM generate_series(1, 60000) AS n; \
     INSERT INTO smscope.received (day, id, format, requests) \
       SELECT 100, -n, 1, ARRAY[decode(repeat('ab', 100), 'hex')] FROM generate_series(1, 60000) AS n",
];

/// Goes on for as long as the connection does: the role would end a transaction that is idle.
const READ: &str = "SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT count(*) FROM smscope.journal";

/// The newest position, and the age in milliseconds of the oldest request in the inbox.
const STATE: &str = "SELECT coalesce((SELECT max(position) FROM smscope.journal), 0), 1000 * extract(epoch FROM \
    clock_timestamp() - (SELECT received_at FROM smscope.inbox ORDER BY id LIMIT 1))::float8";

/// `messages`: how many are stored in the last parts of the table, growing.
pub async fn compare(smscope: &Program, rounds: usize, messages: &[usize]) -> Result<String> {
    let bench = Bench { smscope, server: server()?, rounds };
    let mut table = Table::default();
    bench.beside_embedded(&mut table).await?;
    bench.over_a_network(&mut table).await?;
    bench.stores_alone(&mut table).await?;
    bench.through_faults(&mut table).await?;
    bench.through_retention(&mut table).await?;
    bench.with_messages(messages, &mut table).await?;
    Ok(table.finish())
}

struct Bench<'a> {
    smscope: &'a Program,
    server: postgres::Server,
    rounds: usize,
}

impl Bench<'_> {
    async fn beside_embedded(&self, table: &mut Table) -> Result<()> {
        let (mut one, mut two, mut inbox, mut half) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let rate = self.embedded().await?;
            let fleet = self.start(self.server.create_database(), None, 1)?;
            one.push(fleet.full_load().await?.processed_per_second / rate);
            self.end(fleet)?;
            let fleet = self.start(self.server.create_database(), None, 2)?;
            let full = fleet.full_load().await?;
            two.push([full.processed_per_second / rate, full.load.per_second / rate, full.load.milliseconds(0.99)]);
            inbox.push([full.age(0.5), full.age(0.99), full.drained_in]);
            let fleet_at_half =
                load::open_over(&fleet.replicas, CONNECTIONS, full.processed_per_second / 2.0, ROUND).await?;
            self.end(fleet)?;
            let directory = data()?;
            let server = self.smscope.start(directory.path())?;
            let embedded_at_half = load::open(&server, CONNECTIONS, rate / 2.0, ROUND).await?;
            half.push([fleet_at_half, embedded_at_half].map(|measured| measured.milliseconds(0.99)));
        }
        table.row("webhooks per second, stored and processed, one replica", spread(&one));
        let [processed, answered, p99] = columns(&two);
        table.row("two replicas", format_args!("**{}**", spread(&processed)));
        table.row("two replicas, answered", spread(&answered));
        table.row("two replicas, p99 of answers, ms", format_args!("{:.1}", median(&p99)));
        let [p50, p99, drained_in] = columns(&inbox).map(|figures| median(&figures));
        table.row("age of the oldest request in the inbox, p50 / p99, ms", format_args!("{p50:.0} / {p99:.0}"));
        table.row("until the inbox is empty after the load, ms", format_args!("{drained_in:.0}"));
        let [fleet, embedded] = columns(&half).map(|figures| median(&figures));
        table.row("p99 of answers at half the rate, ms", format_args!("{fleet:.1} (embedded: {embedded:.1})"));
        Ok(())
    }

    async fn over_a_network(&self, table: &mut Table) -> Result<()> {
        let proxy = Proxy::start(self.server.port(), DELAY);
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let mut round = [(0.0, 0.0); 3];
            for (figures, replicas) in round.iter_mut().zip([1, 2, 4]) {
                let fleet = self.start(self.server.create_database(), Some(&proxy), replicas)?;
                let full = fleet.full_load().await?;
                *figures = (full.processed_per_second, full.load.milliseconds(0.99));
                self.end(fleet)?;
            }
            rounds.push(round);
        }
        for (at, replicas) in [(1, 2), (2, 4)] {
            let ratios: Vec<f64> = rounds.iter().map(|round| round[at].0 / round[0].0).collect();
            let what = format!("PostgreSQL 1 ms away: {replicas} replicas, of the rate of one");
            table.row(&what, spread(&ratios));
        }
        let p99 = [0, 1, 2].map(|at| median(&rounds.iter().map(|round| round[at].1).collect::<Vec<_>>()));
        let [one, two, four] = p99;
        let what = "PostgreSQL 1 ms away: p99 of answers with 1 / 2 / 4 replicas, ms";
        table.row(what, format_args!("{one:.1} / {two:.1} / {four:.1}"));
        Ok(())
    }

    /// Without HTTP: two replicas beside the embedded store, and many beside a fleet without an inbox, which would commit one transaction
    /// after the other, whichever replica takes the webhook.
    async fn stores_alone(&self, table: &mut Table) -> Result<()> {
        let proxy = Proxy::start(self.server.port(), DELAY);
        let (mut of_embedded, mut of_one_at_a_time) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let folder = data()?;
            let embedded = OpenStore::embedded(folder.path()).await?;
            let rate = stores::committed(std::slice::from_ref(&embedded), 2 * IN_FLIGHT, ROUND).await?;
            embedded.close().await?;
            let database = self.server.create_database();
            let url = self.server.url(&database);
            of_embedded.push(processed_by_stores(&url, url.clone(), 2, IN_FLIGHT).await? / rate);
            self.drop_database(&database);
            let database = self.server.create_database();
            let far = proxy.url(&database);
            let rate = processed_by_stores(&self.server.url(&database), far.clone(), MANY, BATCH).await?;
            of_one_at_a_time.push(rate / one_at_a_time::written(&far, MANY, BATCH, ROUND).await?);
            self.drop_database(&database);
        }
        let what =
            format!("without HTTP, {IN_FLIGHT} webhooks in flight at each of two replicas, of the embedded store");
        table.row(&what, spread(&of_embedded));
        let what = format!(
            "without HTTP, PostgreSQL 1 ms away: {MANY} replicas, of one transaction of {BATCH} webhooks at a time"
        );
        table.row(&what, spread(&of_one_at_a_time));
        Ok(())
    }

    /// What the clients of one replica notice of another one that is cut off from PostgreSQL, and of a leader that freezes.
    async fn through_faults(&self, table: &mut Table) -> Result<()> {
        let (mut cut_off, mut calm_longest, mut frozen_longest) = (Vec::new(), Vec::new(), Vec::new());
        let proxy = Proxy::start(self.server.port(), Duration::ZERO);
        for _ in 0..self.rounds {
            let fleet = self.start(self.server.create_database(), None, 2)?;
            let through_proxy = data()?;
            let third = self.smscope.on_database(proxy.url(&fleet.database)).start(through_proxy.path())?;
            let load = |time| load::open_over(&fleet.replicas[1..], CONNECTIONS, CALM, time);
            let calm = load(CALM_TIME).await?;
            proxy.hang();
            let cut = load(CALM_TIME).await?;
            proxy.resume();
            cut_off.push(cut.milliseconds(0.99) / calm.milliseconds(0.99));
            fleet.replicas[0].signal("-STOP")?;
            let frozen = load(FROZEN).await?;
            fleet.replicas[0].signal("-CONT")?;
            calm_longest.push(calm.milliseconds(1.0));
            frozen_longest.push(frozen.milliseconds(1.0));
            third.terminate()?;
            self.end(fleet)?;
        }
        table.row("p99 of a replica's answers while another one is cut off, of that before", spread(&cut_off));
        let longest = format_args!("{:.0} (before: {:.0})", median(&frozen_longest), median(&calm_longest));
        table.row("longest answer of a replica while the leader is frozen for three leases, ms", longest);
        Ok(())
    }

    /// What webhooks notice of a day that is deleted, which a leader does when its term begins.
    async fn through_retention(&self, table: &mut Table) -> Result<()> {
        for (while_read, what) in [(false, "deleted"), (true, "deleted while somebody reads it")] {
            let (mut calm, mut longest) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                let fleet = self.start(self.server.create_database(), None, 2)?;
                let load = || load::open_over(&fleet.replicas, CONNECTIONS, CALM, CALM_TIME);
                calm.push(load().await?.milliseconds(1.0));
                let client = connect(&fleet.url).await?;
                for statements in OLD_DAY {
                    client.batch_execute(statements).await?;
                }
                let reader = connect(&fleet.url).await?;
                if while_read {
                    reader.batch_execute(READ).await?;
                }
                let begin_a_term = async {
                    sleep(WARM_UP).await;
                    client.batch_execute("UPDATE smscope.lease SET epoch = epoch + 1, until = clock_timestamp()").await
                };
                let (measured, begun) = tokio::join!(load(), begin_a_term);
                begun?;
                longest.push(measured?.milliseconds(1.0));
                let is_there = client.query_one("SELECT to_regclass('smscope.journal_100') IS NOT NULL", &[]).await?;
                if is_there.try_get::<_, bool>(0)? != while_read {
                    return Err("expected the old day to be deleted, unless it is read".into());
                }
                self.end(fleet)?;
            }
            let what = format!("longest answer while a day of 60,000 requests is {what}, ms");
            table.row(&what, format_args!("{:.0} (before: {:.0})", median(&longest), median(&calm)));
        }
        Ok(())
    }

    async fn with_messages(&self, messages: &[usize], table: &mut Table) -> Result<()> {
        let database = self.server.create_database();
        // It creates the tables.
        for replica in self.start(database.clone(), None, 1)?.replicas {
            replica.terminate()?;
        }
        let mut stored = 0;
        for &messages in messages {
            fill(&self.server.url(&database), messages - stored).await?;
            stored = messages;
            let embedded = self.embedded().await?;
            let fleet = self.start(database.clone(), None, 2)?;
            let of_embedded = fleet.full_load().await?.processed_per_second / embedded;
            let row = |what| format!("{messages} messages stored: two replicas, of an empty embedded store, {what}");
            table.row(&row("right after a checkpoint"), format_args!("{of_embedded:.2}"));
            load::closed_over(&fleet.replicas, CONNECTIONS, MINUTE).await?;
            let mut rates = Vec::new();
            for _ in 0..self.rounds {
                let embedded = self.embedded().await?;
                rates.push(fleet.full_load().await?.processed_per_second / embedded);
            }
            table.row(&row("a minute later"), spread(&rates));
            for replica in fleet.replicas {
                replica.terminate()?;
            }
        }
        Ok(())
    }

    /// Webhooks per second of the embedded store.
    async fn embedded(&self) -> Result<f64> {
        let directory = data()?;
        Ok(load::closed(&self.smscope.start(directory.path())?, CONNECTIONS, ROUND).await?.per_second)
    }

    /// `network`: what is between the replicas and PostgreSQL.
    fn start(&self, database: String, network: Option<&Proxy>, replicas: usize) -> Result<Fleet> {
        // What was written before is not a part of what is measured.
        self.server.sql("postgres", "CHECKPOINT");
        let url = self.server.url(&database);
        let program = self.smscope.on_database(network.map_or_else(|| url.clone(), |network| network.url(&database)));
        let directories = (0..replicas).map(|_| data()).collect::<Result<Vec<_>>>()?;
        let replicas = directories.iter().map(|directory| program.start(directory.path())).collect::<Result<_>>()?;
        Ok(Fleet { database, url, replicas, _directories: directories })
    }

    /// Ends a fleet, and drops its database, which autovacuum would work on during what is measured next.
    fn end(&self, fleet: Fleet) -> Result<()> {
        for replica in fleet.replicas {
            replica.terminate()?;
        }
        self.drop_database(&fleet.database);
        Ok(())
    }

    fn drop_database(&self, database: &str) {
        self.server.sql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
    }
}

struct Fleet {
    database: String,
    /// Of the database, not through the network.
    url: String,
    replicas: Vec<Server>,
    _directories: Vec<TempDir>,
}

/// What a fleet does with as much as some connections can send.
struct FullLoad<L> {
    load: L,
    processed_per_second: f64,
    /// Of the oldest request in the inbox, in milliseconds, sorted.
    ages: Vec<f64>,
    /// Milliseconds from the end of the load until the inbox is empty.
    drained_in: f64,
}

impl<L> FullLoad<L> {
    /// `first`: something that is to be processed, so that a replica leads when the load begins. `load`: of [`ROUND`], after a warm-up.
    async fn of(
        url: &str,
        first: impl Future<Output = Result<()>>,
        load: impl Future<Output = Result<L>>,
    ) -> Result<Self> {
        let state = State::of(url).await?;
        first.await?;
        state.until_empty().await?;
        let (load, sampled) = tokio::join!(load, state.sample());
        let ended = Instant::now();
        let (processed_per_second, ages) = sampled?;
        state.until_empty().await?;
        let drained_in = ended.elapsed().as_secs_f64() * 1e3;
        Ok(Self { load: load?, processed_per_second, ages, drained_in })
    }

    fn age(&self, share: f64) -> f64 {
        self.ages[((self.ages.len() - 1) as f64 * share) as usize]
    }
}

impl Fleet {
    async fn full_load(&self) -> Result<FullLoad<Measured>> {
        let load = load::closed_over(&self.replicas, CONNECTIONS, ROUND);
        FullLoad::of(&self.url, load::once(&self.replicas[0]), load).await
    }
}

/// What the leader has processed, and what it has not.
struct State {
    client: Client,
    statement: Statement,
}

impl State {
    async fn of(url: &str) -> Result<Self> {
        let client = connect(url).await?;
        let statement = client.prepare(STATE).await?;
        Ok(Self { client, statement })
    }

    async fn read(&self) -> Result<(i64, Option<f64>)> {
        let row = self.client.query_one(&self.statement, &[]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    async fn until_empty(&self) -> Result<()> {
        let deadline = Instant::now() + DRAIN;
        while let (_, Some(age)) = self.read().await? {
            if Instant::now() > deadline {
                return Err(format!("a request has been in the inbox for {age:.0} ms").into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// While a load is measured: events that are processed per second, and ages of the oldest request.
    async fn sample(&self) -> Result<(f64, Vec<f64>)> {
        sleep(WARM_UP).await;
        let (begin, (first, _)) = (Instant::now(), self.read().await?);
        let mut ages = Vec::new();
        while begin.elapsed() < ROUND {
            sleep(SAMPLE).await;
            ages.push(self.read().await?.1.unwrap_or(0.0));
        }
        let ((last, _), time) = (self.read().await?, begin.elapsed());
        ages.sort_by(f64::total_cmp);
        Ok(((last - first) as f64 / time.as_secs_f64(), ages))
    }
}

pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn server() -> Result<postgres::Server> {
    // Beside the embedded stores, so that both sync to the same disk.
    tempfile::env::override_temp_dir(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .map_err(|path| format!("{path:?} is used"))?;
    let server = postgres::Server::start(Version::System).ok_or("PostgreSQL is missing")?;
    for (setting, value) in SETTINGS {
        server.sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
    }
    server.stop();
    server.restart();
    // A server that has been in use for a while has segments of its log to write over; a new one zeroes each before it writes to it.
    for _ in 0..SEGMENTS {
        server.sql("postgres", "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()");
    }
    server.sql("postgres", "CHECKPOINT");
    Ok(server)
}

/// Webhooks per second that the leader of some stores processes. `near`: the same database, not through a network.
async fn processed_by_stores(near: &str, url: String, replicas: usize, in_flight: usize) -> Result<f64> {
    let mut opened = Vec::new();
    for _ in 0..replicas {
        opened.push(OpenStore::on_database(url.clone()).await?);
    }
    let first = async { stores::committed(&opened[..1], 1, Duration::ZERO).await.map(drop) };
    let full = FullLoad::of(near, first, stores::committed(&opened, in_flight, ROUND)).await?;
    for replica in opened {
        replica.close().await?;
    }
    Ok(full.processed_per_second)
}

/// So many delivered messages more, each with the dedup keys of two receipts.
async fn fill(url: &str, messages: usize) -> Result<()> {
    const STEP: usize = 500_000;
    let client = connect(url).await?;
    client.batch_execute("SET synchronous_commit = off").await?;
    for from in (0..messages).step_by(STEP) {
        let count = STEP.min(messages - from);
        let inserts = format!(
            "INSERT INTO smscope.messages (id, key, source, message_id, part, state, channel, flow, country, number, ref_client, \
             mccmnc, parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, settled_at, receipts) \
             SELECT newest + n, gen_random_uuid(), 'smsmode', gen_random_uuid(), '', 'delivered', 'SMS', 'TRANSACTIONAL', 'FR', \
             '33612345678', 'order-' || n, '20801', 1, 45000, 'EUR', at, at, at, at, at, '\\x00112233445566778899aabbccddeeff' \
             FROM generate_series(1, {count}) AS n, (SELECT coalesce(max(id), 0) FROM smscope.messages) AS ids (newest), \
             (SELECT (extract(epoch FROM now()) * 1000)::bigint) AS now (at); \
             INSERT INTO smscope.dedup SELECT 0, gen_random_uuid(), 0 FROM generate_series(1, 2 * {count})"
        );
        client.batch_execute(&inserts).await?;
    }
    Ok(client.batch_execute("ANALYZE smscope.messages; ANALYZE smscope.dedup_0").await?)
}

/// The figures of each kind, of all rounds.
fn columns<const N: usize>(rounds: &[[f64; N]]) -> [Vec<f64>; N] {
    std::array::from_fn(|at| rounds.iter().map(|round| round[at]).collect())
}
