//! Copying a store into another database: from the embedded one into a fleet's, or back.
//!
//! Both ends have pages of rows in common, in the types below; what is stored differently (keys, requests, compression) each end
//! translates by itself. A page and the place that it reaches are written in one transaction, so a copy that is broken off goes on where it was. Once
//! everything is copied, rows are counted and counters compared; only then is the target marked as complete, and served.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use strum::{IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::postgres::{Connector, PgEnd};
use super::sqlite::SqliteEnd;
use super::{OpenError, Raw, StoreError};

/// Rows that are read and written at once.
const PAGE: usize = if cfg!(test) { 3 } else { 2_000 };

/// What is copied, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Table {
    /// label, value
    LabelValues,
    /// id, metric, labels, value
    Ledger,
    /// See [`MESSAGE`].
    Messages,
    /// source, key (see [`hashed_key`]), time of arrival, whether of an unrecognized request, whether erased
    EventKeys,
    /// position, time of arrival, source, kind, message, event before it, record, event with its request; and of its own request
    /// method, query, content type and body. Of an erased request there is no query, and no body where all of it was erased.
    Events,
    /// id, relay, event, ordering_key, state, due_at, since, attempts, error
    RelayDeliveries,
    /// id, rule, source, message, event, attempt, state, due_at, deadline, requested_at, expects, replacement, outcome
    Resends,
    /// id, source, person, sender, number, state, since, origin
    OptOuts,
    /// key, message
    ConversationKeys,
    /// name, position
    Cursors,
}

/// The columns of a message.
pub const MESSAGE: &str = "id, source, message_id, part, state, reason, channel, flow, country, number, ref_client, campaign_id, mccmnc, \
    parts, cost_micros, currency, accepted_at, first_seen, pending_since, last_event, settled_at, erased_at, newest_event, receipts";

impl Table {
    pub fn name(self) -> &'static str {
        self.into_str()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub type Row = Vec<Value>;

/// The columns of a request in [`Table::Events`]. `is_whole`: nothing of it was erased.
pub fn request_values(raw: Raw, is_whole: bool) -> [Value; 4] {
    let Raw { method, query, content_type, body } = raw;
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    [Value::Text(method), text(is_whole.then_some(query)), text(content_type), Value::Bytes(body.into())]
}

/// The request of these columns, and whether that is all of it; `None` where there is none, or all of it was erased.
pub fn request(columns: &[Value]) -> Option<(Raw, bool)> {
    let [Value::Text(method), query, content_type, Value::Bytes(body)] = columns else { return None };
    let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
    let (query, content_type) = (text(query), text(content_type));
    let is_whole = query.is_some();
    Some((
        Raw { method: method.clone(), query: query.unwrap_or_default(), content_type, body: body.clone().into() },
        is_whole,
    ))
}

/// Rows of a table, and the place of the last one in it.
pub struct Page {
    pub rows: Vec<Row>,
    pub reached: String,
}

/// What a store has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The fleet's id, or `service.instance.id` of the data directory.
    pub instance: Uuid,
    pub hash_key: [u8; 32],
    /// In Unix milliseconds, as all times.
    pub created_at: i64,
    pub erasure_salt: Vec<u8>,
    pub erasures: Option<i64>,
    pub seen_at: Option<i64>,
    pub spelled_to: Option<i64>,
}

/// One of the two databases.
pub trait End {
    /// # Errors
    /// The store cannot be read.
    fn origin(&mut self) -> Result<Origin, CopyError>;

    /// Up to `limit` rows after a place; `None`: there are none.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&mut self, table: Table, after: Option<&str>, limit: usize) -> Result<Option<Page>, CopyError>;

    /// # Errors
    /// The store cannot be read.
    fn count(&mut self, table: Table) -> Result<u64, CopyError>;

    /// All counters, by metric and labels.
    ///
    /// # Errors
    /// The store cannot be read.
    fn ledger(&mut self) -> Result<BTreeMap<(String, String), i64>, CopyError>;

    /// Makes the store the target of a copy, or finds that it is the target of this one.
    ///
    /// # Errors
    /// There is something else in it, or it cannot be written.
    fn begin(&mut self, origin: &Origin) -> Result<(), CopyError>;

    /// How far a table has come.
    ///
    /// # Errors
    /// The store cannot be read.
    fn reached(&mut self, table: Table) -> Result<Option<String>, CopyError>;

    /// Writes a page, and how far the table has come.
    ///
    /// # Errors
    /// The store cannot be written.
    fn write(&mut self, table: Table, page: Page) -> Result<(), CopyError>;

    /// Makes sure that nobody has used the store meanwhile.
    ///
    /// # Errors
    /// A replica has.
    fn check_unused(&mut self) -> Result<(), CopyError>;

    /// Marks the copy as complete.
    ///
    /// # Errors
    /// The store cannot be written.
    fn finish(&mut self) -> Result<(), CopyError>;
}

/// Why a store was not copied, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the target has events already; expected an empty one, or the target of this copy")]
    NotEmpty,
    #[error("a replica is running; expected a fleet that is stopped")]
    InUse,
    #[error("{0} requests could not be processed, and would be lost; smscope store status shows them")]
    Stuck(u64),
    #[error("{0} requests wait in the inbox; expected a fleet that was stopped after it had processed them")]
    Waiting(u64),
    #[error("{table} differs after the copy: {from} in the source, {to} in the target; the target is not used")]
    Differs { table: &'static str, from: String, to: String },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("stopped; the same command goes on with it")]
    Stopped,
}

/// Which store.
#[derive(Clone)]
pub enum Place<'a> {
    /// The private folder of a locked data directory, and what it has in files.
    Embedded {
        folder: &'a Path,
        instance: Uuid,
        hash_key: [u8; 32],
    },
    Fleet(Connector),
}

/// What was copied: rows of each table.
pub type Copied = BTreeMap<Table, u64>;

/// Copies a store. `sink` gets a table, how many of its rows are copied and of how many, and returns whether the copy continues.
///
/// # Errors
/// The target has something else in it; one of the two cannot be read or written. What was copied stays, and is not copied again.
pub fn copy(
    from: &mut dyn End,
    to: &mut dyn End,
    mut sink: impl FnMut(Table, u64, u64) -> bool,
) -> Result<Copied, CopyError> {
    to.begin(&from.origin()?)?;
    let mut copied = Copied::new();
    for &table in Table::VARIANTS {
        let (of, mut done) = (from.count(table)?, to.count(table)?);
        let mut after = to.reached(table)?;
        loop {
            if !sink(table, done, of) {
                return Err(CopyError::Stopped);
            }
            let Some(page) = from.read(table, after.as_deref(), PAGE)? else { break };
            done += page.rows.len() as u64;
            after = Some(page.reached.clone());
            to.write(table, page)?;
        }
        let found = to.count(table)?;
        if found != of {
            return Err(differs(table, of, found));
        }
        copied.insert(table, of);
    }
    let (before, after) = (from.ledger()?, to.ledger()?);
    for (series, value) in &before {
        if after.get(series) != Some(value) {
            let found = after.get(series).map_or("nothing".to_owned(), i64::to_string);
            return Err(differs(Table::Ledger, format_args!("{} {} = {value}", series.0, series.1), found));
        }
    }
    from.check_unused()?;
    to.check_unused()?;
    to.finish()?;
    Ok(copied)
}

fn differs(table: Table, from: impl fmt::Display, to: impl fmt::Display) -> CopyError {
    CopyError::Differs { table: table.name(), from: from.to_string(), to: to.to_string() }
}

/// # Errors
/// It cannot be opened.
pub fn open(place: Place<'_>) -> Result<Box<dyn End>, CopyError> {
    Ok(match place {
        Place::Embedded { folder, instance, hash_key } => Box::new(SqliteEnd::open(folder, instance, hash_key)?),
        Place::Fleet(connector) => Box::new(PgEnd::open(connector)?),
    })
}

/// What stands for a dedup key of which only the hash is known, as a fleet's database has it: the kind of the key, and the hash.
pub fn hashed_key(is_unrecognized: bool, hash: Uuid) -> String {
    format!("{}:#{}", if is_unrecognized { "sha256" } else { "reply" }, hash.simple())
}

/// The hash of a dedup key as [`hashed_key`] writes it.
pub fn hash_in(key: &str) -> Option<Uuid> {
    key.split_once(":#").and_then(|(_, hash)| Uuid::try_parse(hash).ok())
}

/// Reads the values of a row, one after the other.
pub struct Reader(std::vec::IntoIter<Value>);

impl Reader {
    pub fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    pub fn optional_integer(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Value::Integer(value)) => Some(value),
            _ => None,
        }
    }

    pub fn integer(&mut self) -> i64 {
        self.optional_integer().unwrap_or_default()
    }

    pub fn optional_text(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    pub fn text(&mut self) -> String {
        self.optional_text().unwrap_or_default()
    }

    pub fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next() {
            Some(Value::Bytes(value)) => Some(value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
