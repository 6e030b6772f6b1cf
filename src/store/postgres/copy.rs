//! This database as one end of a copy.
//!
//! The end holds the lease, which a task of its own renews, so that no replica leads meanwhile; each transaction of a target locks it
//! first, as a leader's do. One that serves webhooks without leading is noticed by its row in `replicas`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use super::connect::Connector;
use super::error::PgError;
use super::lease::{FENCE, Lease};
use super::session::{Pipeline, Session, columns, params};
use super::texts::{json_without_nul, owned_without_nul};
use super::{decoded, keys, meta, schema};
use crate::event::hex;
use crate::store::copy::{self, CopyError, End, Origin, Page, Reader, Table, Value, hash_in, hashed_key};
use crate::store::{OpenError, StoreError};

const DAY: i64 = 86_400_000;
/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(1);

/// `meta`: `no` until a copy is complete, and then `complete`.
const COPIED: &str = "copied";

/// Whether a replica has lived within the last seconds.
const IS_IN_USE: &str = "SELECT count(*) FROM smscope.replicas WHERE seen > clock_timestamp() - interval '5 seconds'";
const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT FROM smscope.received) AND NOT EXISTS (SELECT FROM smscope.journal) \
    AND NOT EXISTS (SELECT FROM smscope.messages) AND NOT EXISTS (SELECT FROM smscope.event_keys)";
const CLEAR: &str = "DELETE FROM smscope.series; DELETE FROM smscope.counters; DELETE FROM smscope.label_values; DELETE FROM smscope.cursors; \
    DELETE FROM smscope.opt_outs; DELETE FROM smscope.relay_deliveries; DELETE FROM smscope.resends; DELETE FROM smscope.conversation_keys; \
    DELETE FROM smscope.pending; DELETE FROM smscope.meta WHERE key IN ('erasures', 'seen_at', 'spelled_to', 'journal_head', \
    'delivery_head', 'resend_head') OR key LIKE 'copy:%'";
const SET: &str = "INSERT INTO smscope.meta (key, value) SELECT * FROM unnest($1::text[], $2::text[]) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
/// A row that is deleted later must not have its id used twice.
const HEADS: &str = "INSERT INTO smscope.meta (key, value) \
    SELECT 'journal_head', coalesce(max(position), 0)::text FROM smscope.journal \
    UNION ALL SELECT 'delivery_head', coalesce(max(id), 0)::text FROM smscope.relay_deliveries \
    UNION ALL SELECT 'resend_head', coalesce(max(id), 0)::text FROM smscope.resends \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REQUESTS: &str = "SELECT setval('smscope.received_id', greatest((SELECT max(id) FROM smscope.received), \
    (SELECT last_value FROM smscope.received_id)))";
const COMPLETE: &str = "UPDATE smscope.meta SET value = 'complete' WHERE key = 'copied'";
const FORGET: &str = "DELETE FROM smscope.meta WHERE key LIKE 'copy:%'";

pub struct PgEnd {
    runtime: Runtime,
    session: Session,
    lease: Lease,
    renewal: JoinHandle<PgError>,
    /// For which partitions were made.
    days: BTreeSet<i32>,
}

/// # Errors
/// The store is the target of a copy that is not complete.
pub async fn check_complete(session: &Session) -> Result<(), OpenError> {
    match meta::get(session, COPIED).await?.as_deref() {
        None | Some("complete") => Ok(()),
        Some(_) => Err(OpenError::HalfCopied),
    }
}

impl PgEnd {
    /// Makes the tables where there are none, and takes the lease.
    ///
    /// # Errors
    /// A replica leads or lives, or the database cannot be used.
    pub fn open(connector: Connector) -> Result<Self, CopyError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (session, lease, renewal) = runtime.block_on(async {
            let session = connector.connect_for_long().await.map_err(OpenError::from)?;
            schema::migrate(&session).await.map_err(OpenError::from)?;
            // With the settings that the role has now.
            let session = connector.connect_for_long().await.map_err(OpenError::from)?;
            if is_in_use(&session).await? {
                return Err(CopyError::InUse);
            }
            let lease = Lease::acquire(&session, Uuid::new_v4()).await?.ok_or(CopyError::InUse)?;
            let renewing = connector.connect().await.map_err(OpenError::from)?;
            Ok((session, lease, tokio::spawn(renew(renewing, lease))))
        })?;
        Ok(Self { runtime, session, lease, renewal, days: BTreeSet::new() })
    }

    fn query(&self, sql: &'static str, params: &[super::session::Param<'_>]) -> Result<Vec<Row>, CopyError> {
        Ok(self.runtime.block_on(self.session.query(sql, params))?)
    }

    fn number(&self, sql: &'static str) -> Result<u64, CopyError> {
        let rows = self.query(sql, &[])?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// Writes in a transaction that only the holder of the lease can commit.
    fn transaction(&mut self, writes: Pipeline) -> Result<(), CopyError> {
        let mut all = Pipeline::default();
        all.add(FENCE, self.lease.fence());
        all.append(writes);
        let done = self.runtime.block_on(async {
            let results = self.session.run(Some("BEGIN"), &all, None).await;
            match results {
                Ok(rows) if rows.first().is_some_and(|fence| !fence.is_empty()) => self.session.batch("COMMIT").await,
                other => {
                    self.session.batch("ROLLBACK").await?;
                    other.and(Err(PgError::Deposed))
                }
            }
        });
        Ok(done?)
    }
}

impl Drop for PgEnd {
    fn drop(&mut self) {
        self.renewal.abort();
        if let Err(error) = self.runtime.block_on(self.lease.release(&self.session)) {
            tracing::debug!(%error, "the lease was not released; it ends by itself");
        }
    }
}

async fn is_in_use(session: &Session) -> Result<bool, PgError> {
    let found = session.query_opt(IS_IN_USE, &[]).await?;
    Ok(found.is_some_and(|row| row.get::<_, i64>(0) > 0))
}

/// Renews the lease until that fails.
async fn renew(session: Session, mut lease: Lease) -> PgError {
    loop {
        tokio::time::sleep(RENEWAL).await;
        if let Err(error) = lease.renew(&session).await {
            return error;
        }
    }
}

impl From<PgError> for CopyError {
    fn from(error: PgError) -> Self {
        match error {
            PgError::Deposed => Self::InUse,
            error => Self::Store(error.into()),
        }
    }
}

impl End for PgEnd {
    fn origin(&mut self) -> Result<Origin, CopyError> {
        let (waiting, stuck) = (
            self.number("SELECT count(*) FROM smscope.inbox")?,
            self.number("SELECT count(*) FROM smscope.inbox_stuck")?,
        );
        if stuck > 0 {
            return Err(CopyError::Stuck(stuck));
        }
        if waiting > 0 {
            return Err(CopyError::Waiting(waiting));
        }
        self.runtime.block_on(async {
            check_complete(&self.session).await?;
            let identity = meta::identity(&self.session).await?;
            let number =
                async |key| Ok::<_, PgError>(meta::get(&self.session, key).await?.and_then(|text| text.parse().ok()));
            let salt = meta::get(&self.session, "erasure_salt").await?.unwrap_or_default();
            let bytes =
                meta::read_salt(&salt).ok_or_else(|| StoreError::Database("erasure_salt is malformed".to_owned()))?;
            Ok(Origin {
                instance: identity.fleet,
                hash_key: identity.hash_key,
                created_at: identity.created_at.as_millisecond(),
                erasure_salt: bytes,
                erasures: number("erasures").await?,
                seen_at: number("seen_at").await?,
                spelled_to: number("spelled_to").await?,
            })
        })
    }

    fn read(&mut self, table: Table, after: Option<&str>, limit: usize) -> Result<Option<Page>, CopyError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match table {
            Table::LabelValues | Table::Ledger | Table::Cursors if after.is_some() => Vec::new(),
            Table::LabelValues | Table::Ledger | Table::Cursors => self.query(select(table), &[])?,
            Table::EventKeys => {
                let place = after.and_then(|place| Uuid::try_parse(place).ok()).unwrap_or_default();
                self.query(select(table), params![place => UUID, limit => INT8])?
            }
            _ => {
                let place: i64 = after.and_then(|place| place.parse().ok()).unwrap_or(i64::MIN);
                self.query(select(table), params![place => INT8, limit => INT8])?
            }
        };
        let Some(last) = rows.last() else { return Ok(None) };
        let reached = match table {
            Table::LabelValues | Table::Ledger | Table::Cursors => String::new(),
            Table::EventKeys => last.get::<_, Uuid>(0).to_string(),
            _ => last.get::<_, i64>(0).to_string(),
        };
        let rows = rows.iter().map(|row| if table == Table::EventKeys { event_key(row) } else { values(row) });
        Ok(Some(Page { rows: rows.collect::<Result<_, PgError>>()?, reached }))
    }

    fn count(&mut self, table: Table) -> Result<u64, CopyError> {
        self.number(match table {
            Table::LabelValues => "SELECT count(*) FROM smscope.label_values",
            Table::Ledger => "SELECT count(*) FROM smscope.series",
            Table::Messages => "SELECT count(*) FROM smscope.messages",
            Table::EventKeys => "SELECT count(*) FROM smscope.event_keys",
            Table::Events => "SELECT count(*) FROM smscope.journal",
            Table::RelayDeliveries => "SELECT count(*) FROM smscope.relay_deliveries",
            Table::Resends => "SELECT count(*) FROM smscope.resends",
            Table::OptOuts => "SELECT count(*) FROM smscope.opt_outs",
            Table::ConversationKeys => "SELECT count(*) FROM smscope.conversation_keys",
            Table::Cursors => "SELECT count(*) FROM smscope.cursors",
        })
    }

    fn ledger(&mut self) -> Result<BTreeMap<(String, String), i64>, CopyError> {
        let rows = self.query("SELECT metric, labels, value FROM smscope.ledger", &[])?;
        Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
    }

    fn begin(&mut self, origin: &Origin) -> Result<(), CopyError> {
        let instance = origin.instance.to_string();
        let (copied, fleet) = self.runtime.block_on(async {
            let fleet = meta::get(&self.session, "fleet_id").await?;
            Ok::<_, PgError>((meta::get(&self.session, COPIED).await?, fleet))
        })?;
        if copied.as_deref() == Some("no") && fleet.as_ref() == Some(&instance) {
            return Ok(());
        }
        let is_empty = self.query(IS_EMPTY, &[])?.first().is_some_and(|row| row.get(0));
        if !is_empty {
            return Err(CopyError::NotEmpty);
        }
        let mut writes = Pipeline::default();
        for statement in CLEAR.split("; ") {
            writes.add(statement, Vec::new());
        }
        let optional = [("erasures", origin.erasures), ("seen_at", origin.seen_at), ("spelled_to", origin.spelled_to)];
        let values = [
            (COPIED, "no".to_owned()),
            ("fleet_id", instance),
            ("hash_key", hex(&origin.hash_key)),
            ("erasure_salt", hex(&origin.erasure_salt)),
            ("created_at", origin.created_at.to_string()),
        ];
        let values =
            values.into_iter().chain(optional.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))));
        let (keys, values): (Vec<&str>, Vec<String>) = values.unzip();
        writes.add(SET, columns![keys => TEXT_ARRAY, values => TEXT_ARRAY]);
        self.transaction(writes)
    }

    fn reached(&mut self, table: Table) -> Result<Option<String>, CopyError> {
        let key = place_key(table);
        let rows = self.query("SELECT value FROM smscope.meta WHERE key = $1", params![key => TEXT])?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    fn write(&mut self, table: Table, page: Page) -> Result<(), CopyError> {
        if table == Table::Events {
            let days: BTreeSet<i32> =
                page.rows.iter().map(|row| day(&row[1])).filter(|day| !self.days.contains(day)).collect();
            self.runtime.block_on(schema::make_partitions_of(&self.session, &days))?;
            self.days.extend(days);
        }
        let mut writes = Pipeline::default();
        write(table, page.rows, &mut writes);
        writes.add(SET, columns![vec![place_key(table)] => TEXT_ARRAY, vec![page.reached] => TEXT_ARRAY]);
        self.transaction(writes)
    }

    fn check_unused(&mut self) -> Result<(), CopyError> {
        let is_used = self.renewal.is_finished() || self.runtime.block_on(is_in_use(&self.session))?;
        if is_used { Err(CopyError::InUse) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), CopyError> {
        let mut writes = Pipeline::default();
        for statement in [HEADS, REQUESTS, FORGET, COMPLETE] {
            writes.add(statement, Vec::new());
        }
        self.transaction(writes)?;
        // Without statistics the first plans would be those of empty tables.
        Ok(self.runtime.block_on(self.session.batch(
            "ANALYZE smscope.messages, smscope.pending, smscope.journal, smscope.received, smscope.event_keys",
        ))?)
    }
}

fn place_key(table: Table) -> String {
    format!("copy:{}", table.name())
}

/// The rows after a place, which is in the first column.
fn select(table: Table) -> &'static str {
    match table {
        Table::LabelValues => "SELECT label, value FROM smscope.label_values",
        Table::Ledger => {
            "SELECT id, metric, labels, value FROM smscope.series JOIN smscope.counters ON series = id ORDER BY id"
        }
        Table::Cursors => "SELECT name, position FROM smscope.cursors",
        Table::Messages => {
            "SELECT id, source, message_id, part, state, reason, channel, flow, country, number, ref_client, campaign_id, mccmnc, \
             parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, settled_at, erased_at, newest_event, \
             receipts FROM smscope.messages WHERE id > $1 ORDER BY id LIMIT $2"
        }
        Table::EventKeys => {
            "SELECT key, source, received_at, is_unrecognized, is_erased FROM smscope.event_keys WHERE key > $1 ORDER BY key LIMIT $2"
        }
        Table::Events => {
            "SELECT j.position, j.received_at, j.source, j.kind, j.message, j.previous, j.event, j.request, r.method, \
             CASE WHEN r.body IS NOT NULL THEN coalesce(r.query, '') END, r.content_type, r.body \
             FROM smscope.journal AS j LEFT JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day \
             WHERE j.position > $1 ORDER BY j.position LIMIT $2"
        }
        Table::RelayDeliveries => {
            "SELECT id, relay, event, ordering_key, state, due_at, since, attempts, error FROM smscope.relay_deliveries WHERE id > $1 \
             ORDER BY id LIMIT $2"
        }
        Table::Resends => {
            "SELECT id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, replacement, outcome \
             FROM smscope.resends WHERE id > $1 ORDER BY id LIMIT $2"
        }
        Table::OptOuts => {
            "SELECT id, source, person, sender, number, state, since, origin FROM smscope.opt_outs WHERE id > $1 ORDER BY id LIMIT $2"
        }
        Table::ConversationKeys => {
            "SELECT key, message FROM smscope.conversation_keys WHERE key > $1 ORDER BY key LIMIT $2"
        }
    }
}

fn values(row: &Row) -> Result<copy::Row, PgError> {
    fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize, into: fn(T) -> Value) -> Result<Value, PgError> {
        let value: Option<T> =
            row.try_get(at).map_err(|error| PgError::Unreadable { table: "a copy", why: error.to_string() })?;
        Ok(value.map_or(Value::Null, into))
    }
    let of_column = |at: usize| match *row.columns()[at].type_() {
        Type::INT8 => get(row, at, Value::Integer),
        Type::INT4 => get(row, at, |value: i32| Value::Integer(value.into())),
        Type::BYTEA => get(row, at, Value::Bytes),
        _ => get(row, at, Value::Text),
    };
    (0..row.len()).map(of_column).collect()
}

fn event_key(row: &Row) -> Result<copy::Row, PgError> {
    let (key, source, received_at): (Uuid, String, i64) = (row.get(0), row.get(1), row.get(2));
    let (is_unrecognized, is_erased): (bool, bool) = (row.get(3), row.get(4));
    Ok(vec![
        Value::Text(source),
        Value::Text(hashed_key(is_unrecognized, key)),
        Value::Integer(received_at),
        Value::Integer(is_unrecognized.into()),
        Value::Integer(is_erased.into()),
    ])
}

/// In whose partition an event is.
fn day(received_at: &Value) -> i32 {
    match received_at {
        Value::Integer(at) => i32::try_from(at.div_euclid(DAY)).unwrap_or_default(),
        _ => 0,
    }
}

/// The values of a column of all rows.
struct Columns {
    rows: Vec<copy::Row>,
}

impl Columns {
    fn each<T>(&self, value: impl Fn(&copy::Row) -> T) -> Vec<T> {
        self.rows.iter().map(value).collect()
    }

    fn integers(&self, at: usize) -> Vec<Option<i64>> {
        self.each(|row| integer(&row[at]))
    }

    fn small(&self, at: usize) -> Vec<Option<i32>> {
        self.each(|row| integer(&row[at]).map(|value| i32::try_from(value).unwrap_or(i32::MAX)))
    }

    fn texts(&self, at: usize) -> Vec<Option<String>> {
        self.each(|row| text(&row[at]).map(|text| owned_without_nul(text.to_owned())))
    }

    fn bytes(&self, at: usize) -> Vec<Option<Vec<u8>>> {
        self.each(|row| if let Value::Bytes(bytes) = &row[at] { Some(bytes.clone()) } else { None })
    }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(value) = value { Some(*value) } else { None }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

/// Adds the statements that write the rows of a page. Those that are there were written by a commit whose answer was lost.
fn write(table: Table, rows: Vec<copy::Row>, writes: &mut Pipeline) {
    let c = Columns { rows };
    match table {
        Table::LabelValues => writes.add(
            "INSERT INTO smscope.label_values (label, value) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
            columns![c.texts(0) => TEXT_ARRAY, c.texts(1) => TEXT_ARRAY],
        ),
        Table::Ledger => {
            writes.add(
                "INSERT INTO smscope.series (id, metric, labels) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) \
                 ON CONFLICT DO NOTHING",
                columns![c.integers(0) => INT8_ARRAY, c.texts(1) => TEXT_ARRAY, c.texts(2) => TEXT_ARRAY],
            );
            writes.add(
                "INSERT INTO smscope.counters (series, value) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING",
                columns![c.integers(0) => INT8_ARRAY, c.integers(3) => INT8_ARRAY],
            );
        }
        Table::Messages => write_messages(&c, writes),
        Table::EventKeys => write_event_keys(c, writes),
        Table::Events => write_events(&c, writes),
        Table::RelayDeliveries => writes.add(
            "INSERT INTO smscope.relay_deliveries (id, relay, event, ordering_key, state, due_at, since, attempts, error) \
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], \
             $8::int[], $9::text[]) ON CONFLICT DO NOTHING",
            columns![
                c.integers(0) => INT8_ARRAY, c.texts(1) => TEXT_ARRAY, c.integers(2) => INT8_ARRAY, c.integers(3) => INT8_ARRAY,
                c.texts(4) => TEXT_ARRAY, c.integers(5) => INT8_ARRAY, c.integers(6) => INT8_ARRAY, c.small(7) => INT4_ARRAY,
                c.texts(8) => TEXT_ARRAY,
            ],
        ),
        Table::Resends => writes.add(
            "INSERT INTO smscope.resends (id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, \
             replacement, outcome) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], \
             $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]) ON CONFLICT DO NOTHING",
            columns![
                c.integers(0) => INT8_ARRAY, c.texts(1) => TEXT_ARRAY, c.texts(2) => TEXT_ARRAY, c.integers(3) => INT8_ARRAY,
                c.integers(4) => INT8_ARRAY, c.small(5) => INT4_ARRAY, c.texts(6) => TEXT_ARRAY, c.integers(7) => INT8_ARRAY,
                c.integers(8) => INT8_ARRAY, c.integers(9) => INT8_ARRAY, c.integers(10) => INT8_ARRAY, c.integers(11) => INT8_ARRAY,
                c.texts(12) => TEXT_ARRAY,
            ],
        ),
        Table::OptOuts => {
            let word = |row: &copy::Row, at: usize| text(&row[at]).unwrap_or_default().to_owned();
            let key = |row: &copy::Row| keys::key(&["opt-out", &word(row, 1), &word(row, 2), &word(row, 3)]);
            writes.add(
                "INSERT INTO smscope.opt_outs (key, id, source, person, sender, number, state, since, origin) \
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
                 $8::bigint[], $9::text[]) ON CONFLICT DO NOTHING",
                columns![
                    c.each(key) => UUID_ARRAY, c.integers(0) => INT8_ARRAY, c.texts(1) => TEXT_ARRAY, c.texts(2) => TEXT_ARRAY,
                    c.texts(3) => TEXT_ARRAY, c.texts(4) => TEXT_ARRAY, c.texts(5) => TEXT_ARRAY, c.integers(6) => INT8_ARRAY,
                    c.texts(7) => TEXT_ARRAY,
                ],
            );
        }
        Table::ConversationKeys => writes.add(
            "INSERT INTO smscope.conversation_keys (key, message) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING",
            columns![c.integers(0) => INT8_ARRAY, c.integers(1) => INT8_ARRAY],
        ),
        Table::Cursors => writes.add(
            "INSERT INTO smscope.cursors (name, position) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING",
            columns![c.texts(0) => TEXT_ARRAY, c.integers(1) => INT8_ARRAY],
        ),
    }
}

fn write_messages(c: &Columns, writes: &mut Pipeline) {
    let word = |row: &copy::Row, at: usize| text(&row[at]).unwrap_or_default().to_owned();
    let key = |row: &copy::Row| keys::message(&word(row, 1), &word(row, 2), &word(row, 3));
    let id_key = |row: &copy::Row| (!word(row, 3).is_empty()).then(|| keys::id(&word(row, 1), &word(row, 2)));
    writes.add(
        "INSERT INTO smscope.messages (id, source, message_id, part, state, reason, channel, flow, country, number, ref_client, \
         campaign_id, mccmnc, parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, settled_at, erased_at, \
         newest_event, receipts, key, id_key) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::int[], $15::bigint[], $16::text[], $17::bigint[], \
         $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bytea[], $25::uuid[], \
         $26::uuid[]) ON CONFLICT DO NOTHING",
        columns![
            c.integers(0) => INT8_ARRAY, c.texts(1) => TEXT_ARRAY, c.texts(2) => TEXT_ARRAY, c.texts(3) => TEXT_ARRAY,
            c.texts(4) => TEXT_ARRAY, c.texts(5) => TEXT_ARRAY, c.texts(6) => TEXT_ARRAY, c.texts(7) => TEXT_ARRAY,
            c.texts(8) => TEXT_ARRAY, c.texts(9) => TEXT_ARRAY, c.texts(10) => TEXT_ARRAY, c.texts(11) => TEXT_ARRAY,
            c.texts(12) => TEXT_ARRAY, c.small(13) => INT4_ARRAY, c.integers(14) => INT8_ARRAY, c.texts(15) => TEXT_ARRAY,
            c.integers(16) => INT8_ARRAY, c.integers(17) => INT8_ARRAY, c.integers(18) => INT8_ARRAY, c.integers(19) => INT8_ARRAY,
            c.integers(20) => INT8_ARRAY, c.integers(21) => INT8_ARRAY, c.integers(22) => INT8_ARRAY, c.bytes(23) => BYTEA_ARRAY,
            c.each(key) => UUID_ARRAY, c.each(id_key) => UUID_ARRAY,
        ],
    );
    let is_pending = |row: &&copy::Row| matches!(text(&row[4]), Some("scheduled" | "enroute"));
    let pending = Columns { rows: c.rows.iter().filter(is_pending).cloned().collect() };
    writes.add(
        "INSERT INTO smscope.pending (message, source, state, first_seen, pending_since) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) ON CONFLICT DO NOTHING",
        columns![
            pending.integers(0) => INT8_ARRAY, pending.texts(1) => TEXT_ARRAY, pending.texts(4) => TEXT_ARRAY,
            pending.integers(17) => INT8_ARRAY, pending.integers(18) => INT8_ARRAY,
        ],
    );
}

fn write_event_keys(c: Columns, writes: &mut Pipeline) {
    let (mut hashes, mut sources, mut times, mut unrecognized, mut erased) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in c.rows {
        let mut row = Reader::of(row);
        let (source, key) = (row.text(), row.text());
        hashes.push(hash_in(&key).unwrap_or_else(|| keys::event(&source, &key)));
        sources.push(source);
        times.push(row.integer());
        unrecognized.push(row.integer() == 1);
        erased.push(row.integer() == 1);
    }
    writes.add(
        "INSERT INTO smscope.event_keys (key, source, received_at, is_unrecognized, is_erased) \
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bool[], $5::bool[]) ON CONFLICT DO NOTHING",
        columns![
            hashes => UUID_ARRAY, sources => TEXT_ARRAY, times => INT8_ARRAY, unrecognized => BOOL_ARRAY, erased => BOOL_ARRAY,
        ],
    );
}

/// A request has the number of its event.
fn write_events(c: &Columns, writes: &mut Pipeline) {
    let has_request = |row: &copy::Row| row[8] != Value::Null;
    let requests = Columns { rows: c.rows.iter().filter(|row| has_request(row)).cloned().collect() };
    writes.add(
        "INSERT INTO smscope.received (day, id, format, decoded, method, query, content_type, body) \
         SELECT u.day, u.id, $3, '', u.method, u.query, u.content_type, u.body \
         FROM unnest($1::int[], $2::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[]) \
         AS u (day, id, method, query, content_type, body) ON CONFLICT DO NOTHING",
        columns![
            requests.each(|row| day(&row[1])) => INT4_ARRAY, requests.integers(0) => INT8_ARRAY, decoded::FORMAT => INT2,
            requests.texts(8) => TEXT_ARRAY, requests.texts(9) => TEXT_ARRAY, requests.texts(10) => TEXT_ARRAY,
            requests.bytes(11) => BYTEA_ARRAY,
        ],
    );
    let record = |row: &copy::Row| json_without_nul(text(&row[6]).unwrap_or_default().to_owned());
    let received = |row: &copy::Row| integer(&row[0]).filter(|_| has_request(row));
    let received_day = |row: &copy::Row| has_request(row).then(|| day(&row[1]));
    writes.add(
        "INSERT INTO smscope.journal (day, position, received_at, source, kind, message, previous, event, request, received, \
         received_day) SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], \
         $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::int[]) ON CONFLICT DO NOTHING",
        columns![
            c.each(|row| day(&row[1])) => INT4_ARRAY, c.integers(0) => INT8_ARRAY, c.integers(1) => INT8_ARRAY,
            c.texts(2) => TEXT_ARRAY, c.texts(3) => TEXT_ARRAY, c.integers(4) => INT8_ARRAY, c.integers(5) => INT8_ARRAY,
            c.each(record) => TEXT_ARRAY, c.integers(7) => INT8_ARRAY, c.each(received) => INT8_ARRAY,
            c.each(received_day) => INT4_ARRAY,
        ],
    );
}
