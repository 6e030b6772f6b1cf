//! This database as one end of a copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, Transaction, params_from_iter};
use uuid::Uuid;

use super::connection::{DATABASE, connect};
use super::journal::record_columns;
use super::own_keys::add_own_keys;
use super::{checkpoint, journal, lookup, meta, schema};
use crate::record::Record;
use crate::store::copy::{self, CopyError, End, MESSAGE, Origin, Page, Reader, Table, Value};
use crate::store::{OpenError, StoreError};

/// The connection's cache while it writes: the keys of a million messages are sorted in it.
const CACHE_KIB: i64 = 256 << 10;

/// Pages of the write-ahead log after which it is copied into the database.
const LOG_PAGES: i64 = 32 << 10;

/// `meta`: `no` until a copy is complete, and then `complete`; and the store that it came from.
const COPIED: &str = "copied";
const COPIED_FROM: &str = "copied_from";

pub struct SqliteEnd {
    connection: Connection,
    folder: PathBuf,
    instance: Uuid,
    hash_key: [u8; 32],
}

/// # Errors
/// The database is the target of a copy that is not complete.
pub fn check_complete(connection: &Connection) -> Result<(), OpenError> {
    match meta::get::<String>(connection, COPIED)?.as_deref() {
        None | Some("complete") => Ok(()),
        Some(_) => Err(OpenError::HalfCopied),
    }
}

impl SqliteEnd {
    /// # Errors
    /// It cannot be opened.
    pub fn open(folder: &Path, instance: Uuid, hash_key: [u8; 32]) -> Result<Self, OpenError> {
        let mut connection = connect(&folder.join(DATABASE))?;
        schema::migrate(&mut connection)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        Ok(Self { connection, folder: folder.to_owned(), instance, hash_key })
    }

    fn is_empty(&self) -> rusqlite::Result<bool> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM events) AND NOT EXISTS (SELECT 1 FROM messages) AND NOT EXISTS (SELECT 1 FROM event_keys)";
        self.connection.query_row(sql, [], |row| row.get(0))
    }
}

impl End for SqliteEnd {
    fn origin(&mut self) -> Result<Origin, CopyError> {
        check_complete(&self.connection)?;
        let created_at = meta::get(&self.connection, "created_at")?;
        let salt = meta::get(&self.connection, "erasure_salt")?;
        let missing = || StoreError::Database("the database has never been in use".to_owned());
        Ok(Origin {
            instance: self.instance,
            hash_key: self.hash_key,
            created_at: created_at.ok_or_else(missing)?,
            erasure_salt: salt.ok_or_else(missing)?,
            erasures: meta::get(&self.connection, "erasures")?,
            seen_at: meta::get(&self.connection, "seen_at")?,
            spelled_to: meta::get(&self.connection, "spelled_to")?,
        })
    }

    fn read(&mut self, table: Table, after: Option<&str>, limit: usize) -> Result<Option<Page>, CopyError> {
        if is_small(table) && after.is_some() {
            return Ok(None);
        }
        let place: i64 = after.and_then(|place| place.parse().ok()).unwrap_or(i64::MIN);
        let mut statement = self.connection.prepare_cached(select(table))?;
        let mut found = if is_small(table) {
            statement.query([])?
        } else {
            statement.query((place, i64::try_from(limit).unwrap_or(i64::MAX)))?
        };
        let (mut rows, mut reached) = (Vec::new(), String::new());
        while let Some(row) = found.next()? {
            if !is_small(table) {
                reached = row.get::<_, i64>(0)?.to_string();
            }
            rows.push(values(table, row)?);
        }
        Ok((!rows.is_empty()).then_some(Page { rows, reached }))
    }

    fn count(&mut self, table: Table) -> Result<u64, CopyError> {
        let count: i64 =
            self.connection.query_row(&format!("SELECT count(*) FROM {}", name(table)), [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn ledger(&mut self) -> Result<BTreeMap<(String, String), i64>, CopyError> {
        let mut statement = self.connection.prepare("SELECT metric, labels, value FROM ledger")?;
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn begin(&mut self, origin: &Origin) -> Result<(), CopyError> {
        let from = meta::get::<String>(&self.connection, COPIED_FROM)?;
        let goes_on = meta::get::<String>(&self.connection, COPIED)?.as_deref() == Some("no")
            && from == Some(origin.instance.to_string());
        if goes_on {
            return Ok(());
        }
        if !self.is_empty()? || (self.instance, self.hash_key) != (origin.instance, origin.hash_key) {
            return Err(CopyError::NotEmpty);
        }
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "DELETE FROM series; DELETE FROM counters; DELETE FROM label_values; DELETE FROM cursors; DELETE FROM opt_outs; \
             DELETE FROM relay_deliveries; DELETE FROM resends; DELETE FROM conversation_keys; DELETE FROM message_keys; \
             DELETE FROM meta WHERE key IN ('keys_indexed_to', 'scrub_due')",
        )?;
        {
            let mut set = transaction.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
            set.execute((COPIED, "no"))?;
            set.execute((COPIED_FROM, origin.instance.to_string()))?;
            set.execute(("created_at", origin.created_at))?;
            set.execute(("erasure_salt", &origin.erasure_salt))?;
            let optional =
                [("erasures", origin.erasures), ("seen_at", origin.seen_at), ("spelled_to", origin.spelled_to)];
            for (key, value) in optional {
                transaction.execute("DELETE FROM meta WHERE key = ?1", [key])?;
                if let Some(value) = value {
                    set.execute((key, value))?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn reached(&mut self, table: Table) -> Result<Option<String>, CopyError> {
        Ok(meta::get(&self.connection, &place_key(table))?)
    }

    fn write(&mut self, table: Table, page: Page) -> Result<(), CopyError> {
        let transaction = self.connection.transaction()?;
        for row in page.rows {
            insert(&transaction, table, row)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute((place_key(table), page.reached))?;
        Ok(transaction.commit()?)
    }

    /// The data directory is locked.
    fn check_unused(&mut self) -> Result<(), CopyError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), CopyError> {
        let transaction = self.connection.transaction()?;
        add_own_keys(&transaction)?;
        // In the order of their table, which is written once. A legacy id is a second key of its messages.
        transaction.execute_batch(
            "INSERT OR IGNORE INTO message_keys SELECT key, id FROM messages ORDER BY key, id; \
             INSERT OR IGNORE INTO message_keys SELECT id_key(source, message_id) AS key, id FROM messages WHERE part <> '' ORDER BY key; \
             INSERT OR REPLACE INTO meta (key, value) SELECT 'keys_indexed_to', coalesce(max(id), 0) FROM messages; \
             UPDATE cursors SET position = min(position, (SELECT coalesce(max(id), 0) FROM events)); \
             DELETE FROM meta WHERE key GLOB 'copy:*'; \
             UPDATE meta SET value = 'complete' WHERE key = 'copied'",
        )?;
        transaction.commit()?;
        checkpoint::cut(&self.connection)?;
        std::fs::File::open(&self.folder)?.sync_all()?;
        Ok(())
    }
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn place_key(table: Table) -> String {
    format!("copy:{}", table.name())
}

/// Of a table without an id, or with few rows.
fn is_small(table: Table) -> bool {
    matches!(table, Table::LabelValues | Table::Ledger | Table::Cursors)
}

fn name(table: Table) -> &'static str {
    match table {
        Table::Ledger => "series",
        other => other.name(),
    }
}

/// The rows after a place, which is in the first column but of small tables.
fn select(table: Table) -> &'static str {
    match table {
        Table::LabelValues => "SELECT label, value FROM label_values",
        Table::Ledger => "SELECT id, metric, labels, value FROM series JOIN counters ON series = id ORDER BY id",
        Table::Cursors => "SELECT name, position FROM cursors",
        Table::Messages => {
            "SELECT id, source, message_id, part, state, reason, channel, flow, country, number, ref_client, campaign_id, mccmnc, \
             parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, settled_at, erased_at, newest_event, \
             receipts FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2"
        }
        Table::EventKeys => {
            "SELECT id, source, key, received_at, erased FROM event_keys WHERE id > ?1 ORDER BY id LIMIT ?2"
        }
        Table::Events => concat!(
            "SELECT id, received_at, source, kind, message, previous, request, method, query, content_type, body, packed, ",
            record_columns!(),
            " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2"
        ),
        Table::RelayDeliveries => {
            "SELECT id, relay, event, ordering_key, state, due_at, since, attempts, error FROM relay_deliveries WHERE id > ?1 \
             ORDER BY id LIMIT ?2"
        }
        Table::Resends => {
            "SELECT id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, replacement, outcome \
             FROM resends WHERE id > ?1 ORDER BY id LIMIT ?2"
        }
        Table::OptOuts => {
            "SELECT id, source, person, sender, number, state, since, origin FROM opt_outs WHERE id > ?1 ORDER BY id LIMIT ?2"
        }
        Table::ConversationKeys => "SELECT key, message FROM conversation_keys WHERE key > ?1 ORDER BY key LIMIT ?2",
    }
}

fn values(table: Table, row: &Row<'_>) -> rusqlite::Result<copy::Row> {
    match table {
        Table::Events => event(row),
        Table::EventKeys => {
            let key: String = row.get(2)?;
            let (source, received_at, erased) = (value(row, 1)?, value(row, 3)?, row.get::<_, Option<i64>>(4)?);
            let is_unrecognized = Value::Integer(key.starts_with("sha256:").into());
            let is_erased = Value::Integer((erased == Some(1)).into());
            Ok(vec![source, Value::Text(key), received_at, is_unrecognized, is_erased])
        }
        _ => (0..row.as_ref().column_count()).map(|column| value(row, column)).collect(),
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<copy::Row> {
    let mut values: copy::Row = (0..6).map(|column| value(row, column)).collect::<Result<_, _>>()?;
    values.push(Value::Text(journal::record_json(row, 12)?.into_owned()));
    values.push(value(row, 6)?);
    match journal::request(row, 7)? {
        Some(raw) => values.extend(copy::request_values(raw, true)),
        // Of one that was erased there is what is left of it.
        None => values.extend((7..11).map(|column| value(row, column)).collect::<Result<Vec<_>, _>>()?),
    }
    Ok(values)
}

fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        text => Value::Text(text.as_str()?.to_owned()),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn insert(transaction: &Transaction<'_>, table: Table, row: copy::Row) -> rusqlite::Result<()> {
    let execute = |sql: &str, row: &[Value]| transaction.prepare_cached(sql)?.execute(params_from_iter(row)).map(drop);
    match table {
        Table::LabelValues => execute("INSERT OR IGNORE INTO label_values (label, value) VALUES (?1, ?2)", &row),
        Table::Ledger => {
            execute("INSERT OR IGNORE INTO series (id, metric, labels) VALUES (?1, ?2, ?3)", &row[..3])?;
            execute(
                "INSERT OR REPLACE INTO counters (series, value) VALUES (?1, ?2)",
                &[row[0].clone(), row[3].clone()],
            )
        }
        Table::Messages => {
            let text = |at: usize| if let Value::Text(text) = &row[at] { text.as_str() } else { "" };
            let key = lookup::key(text(1), text(2), text(3));
            let row = [row, vec![Value::Integer(key)]].concat();
            let marks: Vec<String> = (1..=row.len()).map(|at| format!("?{at}")).collect();
            execute(&format!("INSERT OR IGNORE INTO messages ({MESSAGE}, key) VALUES ({})", marks.join(", ")), &row)
        }
        Table::EventKeys => {
            let mut row = Reader::of(row);
            let (source, key, received_at) = (row.text(), row.text(), row.integer());
            let (_is_unrecognized, is_erased) = (row.integer(), row.integer());
            let erased = if is_erased == 1 { Value::Integer(1) } else { Value::Null };
            execute(
                "INSERT OR IGNORE INTO event_keys (source, key, received_at, erased) VALUES (?1, ?2, ?3, ?4)",
                &[Value::Text(source), Value::Text(key), Value::Integer(received_at), erased],
            )
        }
        Table::Events => execute(
            "INSERT OR IGNORE INTO events (id, received_at, source, kind, message, previous, event, request, method, query, \
             content_type, body, packed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            &packed(row),
        ),
        Table::RelayDeliveries => execute(
            "INSERT OR IGNORE INTO relay_deliveries (id, relay, event, ordering_key, state, due_at, since, attempts, error) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &row,
        ),
        Table::Resends => execute(
            "INSERT OR IGNORE INTO resends (id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, \
             expects, replacement, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            &row,
        ),
        Table::OptOuts => execute(
            "INSERT OR IGNORE INTO opt_outs (id, source, person, sender, number, state, since, origin) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            &row,
        ),
        Table::ConversationKeys => {
            execute("INSERT OR IGNORE INTO conversation_keys (key, message) VALUES (?1, ?2)", &row)
        }
        Table::Cursors => execute("INSERT OR REPLACE INTO cursors (name, position) VALUES (?1, ?2)", &row),
    }
}

/// An event as it is stored: that of a receipt packed, as it was when it came.
fn packed(mut row: copy::Row) -> copy::Row {
    row.push(Value::Null);
    let Value::Text(json) = &row[6] else { return row };
    // A record of a newer version stays as it is.
    let Ok(record) = serde_json::from_str::<Record>(json) else { return row };
    let request = copy::request(&row[8..12]);
    let raw = match &request {
        Some((raw, true)) => Some(raw),
        None if row[8] == Value::Null => None,
        // Something of it was erased.
        _ => return row,
    };
    if let Some((shown, packed)) = journal::packed(&record, json, raw) {
        row[6] = Value::Text(shown);
        row[8..12].fill(Value::Null);
        row[12] = Value::Bytes(packed);
    }
    row
}
