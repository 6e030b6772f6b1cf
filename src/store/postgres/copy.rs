//! This database as one end of a copy.
//!
//! The end holds the lease, which a task of its own renews, so that no replica leads meanwhile; each transaction of a target locks it
//! first, as a leader's do. One that serves webhooks without leading is noticed by its row in `replicas`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use uuid::Uuid;

use super::connect::Connector;
use super::error::PgError;
use super::lease::{FENCE, Lease};
use super::meta;
use super::schema::{self, SchemaError};
use super::session::{Pipeline, Session, columns, params};
use super::wait::Wait;
use crate::event::hex;
use crate::store::copy::{CopyError, End, Origin, Page, Table};
use crate::store::{OpenError, StoreError};

mod rows;

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
        let (session, lease, renewal) = runtime.wait(async {
            let session = connector.connect_for_long().await.map_err(OpenError::from)?;
            let found = schema::migrate(&session).await.map_err(OpenError::from)?;
            if found > schema::VERSION {
                // What this smscope does not know of would be left out.
                return Err(OpenError::from(SchemaError::Newer { found }).into());
            }
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
        Ok(self.runtime.wait(self.session.query(sql, params))?)
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
        let done = self.runtime.wait(async {
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
        if let Err(error) = self.runtime.wait(self.lease.release(&self.session)) {
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
            self.number("SELECT coalesce(sum(cardinality(requests)), 0) FROM smscope.inbox")?,
            self.number("SELECT count(*) FROM smscope.inbox_stuck")?,
        );
        if stuck > 0 {
            return Err(CopyError::Stuck(stuck));
        }
        if waiting > 0 {
            return Err(CopyError::Waiting(waiting));
        }
        self.runtime.wait(async {
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
            Table::LabelValues | Table::Ledger | Table::Cursors => self.query(rows::select(table), &[])?,
            Table::EventKeys => {
                let place = after.and_then(|place| Uuid::try_parse(place).ok()).unwrap_or_default();
                self.query(rows::select(table), params![place => UUID, limit => INT8])?
            }
            _ => {
                let place: i64 = after.and_then(|place| place.parse().ok()).unwrap_or(i64::MIN);
                self.query(rows::select(table), params![place => INT8, limit => INT8])?
            }
        };
        let Some(last) = rows.last() else { return Ok(None) };
        let reached = match table {
            Table::LabelValues | Table::Ledger | Table::Cursors => String::new(),
            Table::EventKeys => last.get::<_, Uuid>(0).to_string(),
            _ => last.get::<_, i64>(0).to_string(),
        };
        let read = match table {
            Table::EventKeys => rows::event_key,
            Table::Events => rows::event,
            _ => rows::values,
        };
        Ok(Some(Page { rows: rows.iter().map(read).collect::<Result<_, PgError>>()?, reached }))
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
        let (copied, fleet) = self.runtime.wait(async {
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
                page.rows.iter().map(|row| rows::day(&row[1])).filter(|day| !self.days.contains(day)).collect();
            self.runtime.wait(schema::make_partitions_of(&self.session, &days))?;
            self.days.extend(days);
        }
        let mut writes = Pipeline::default();
        rows::write(table, page.rows, &mut writes)?;
        writes.add(SET, columns![vec![place_key(table)] => TEXT_ARRAY, vec![page.reached] => TEXT_ARRAY]);
        self.transaction(writes)
    }

    fn check_unused(&mut self) -> Result<(), CopyError> {
        let is_used = self.renewal.is_finished() || self.runtime.wait(is_in_use(&self.session))?;
        if is_used { Err(CopyError::InUse) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), CopyError> {
        let mut writes = Pipeline::default();
        for statement in [HEADS, REQUESTS, FORGET, COMPLETE] {
            writes.add(statement, Vec::new());
        }
        self.transaction(writes)?;
        // Without statistics the first plans would be those of empty tables.
        Ok(self.runtime.wait(self.session.batch(
            "ANALYZE smscope.messages, smscope.pending, smscope.journal, smscope.received, smscope.event_keys",
        ))?)
    }
}

fn place_key(table: Table) -> String {
    format!("copy:{}", table.name())
}
