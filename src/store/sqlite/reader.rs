//! Reading beside the writer, with connections of its own.

use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;

use super::connection::connect_to_read;
use super::query::SearchedColumn;
use super::{
    cohorts, conversations, gauges, journal, meta, outbox, overdue, query, resends, schema, search, unrecognized,
};
use crate::event::SourceName;
use crate::record::{Entry, Position};
use crate::route::RelayName;
use crate::store::cohorts::{Cohort, Detail};
use crate::store::erase::Subjects;
use crate::store::ids::{DeliveryId, MessageRowId, OptOutSeq};
use crate::store::opt_outs::OptOut;
use crate::store::query::Message;
use crate::store::read::{PersonalEvent, Reader, Recipient, Start, StoredEvent, Table};
use crate::store::relays::{Due, Undelivered};
use crate::store::resends::DueResends;
use crate::store::shared::Gauges;
use crate::store::{OpenError, Overdue, Raw, Settings, StoreError, Unrecognized};

/// Connections for reading, one per reader at a time.
pub struct Readers {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Connections that stay open between reads.
    const IDLE: usize = 4;

    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), idle: Mutex::default() }
    }

    /// Of a database that nobody may have opened before.
    ///
    /// # Errors
    /// There is none, or one of another version.
    pub fn checked(folder: &Path) -> Result<Self, OpenError> {
        let connection = connect_to_read(folder)?;
        schema::check(&connection)?;
        Ok(Self { folder: folder.to_owned(), idle: Mutex::new(vec![connection]) })
    }

    /// Reads with a connection of one's own. Blocks on the disk.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = idle().pop();
        let connection = connection.map_or_else(|| connect_to_read(&self.folder), Ok)?;
        let result = read(&connection)?;
        let mut idle = idle();
        if idle.len() < Self::IDLE {
            idle.push(connection);
        }
        Ok(result)
    }
}

impl Reader for Readers {
    fn opt_outs_of(&self, source: &SourceName, number: &str) -> Result<Vec<OptOut>, StoreError> {
        self.read(|connection| {
            let person = meta::pseudonymizer(connection)?.person(number);
            conversations::opt_outs_of(connection, source, &person)
        })
    }

    fn opt_outs_after(&self, seq: OptOutSeq, limit: usize) -> Result<Vec<OptOut>, StoreError> {
        self.read(|connection| conversations::opt_outs_after(connection, seq, limit))
    }

    fn due(
        &self,
        relay: &RelayName,
        now: Timestamp,
        in_flight: &[DeliveryId],
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.read(|connection| outbox::due(connection, relay, now, in_flight, limit))
    }

    fn undelivered(&self, relay: Option<&str>, only_dead: bool, limit: usize) -> Result<Vec<Undelivered>, StoreError> {
        self.read(|connection| outbox::undelivered(connection, relay, only_dead, limit))
    }

    fn due_resends(&self, source: &SourceName, now: Timestamp, limit: usize) -> Result<DueResends, StoreError> {
        self.read(|connection| resends::due(connection, source, now, limit))
    }

    fn overdue(&self, source: &SourceName, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, StoreError> {
        self.read(|connection| overdue::overdue(connection, source, before, limit))
    }

    fn unrecognized_after(
        &self,
        position: Position,
        newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError> {
        self.read(|connection| unrecognized::next(connection, position, newest))
    }

    fn gauges(&self, settings: &Settings) -> Result<Gauges, StoreError> {
        self.read(|connection| gauges::read(connection, settings))
    }

    fn newest(&self) -> Result<Position, StoreError> {
        self.read(journal::newest)
    }

    fn entries_after(&self, position: Position, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|connection| journal::read(connection, position, limit))
    }

    fn events_after(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(|connection| query::events_after(connection, position, limit))
    }

    fn events_before(&self, position: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(|connection| query::events_before(connection, position, limit))
    }

    fn requests_of(&self, events: &[Position]) -> Result<HashMap<Position, Raw>, StoreError> {
        self.read(|connection| query::requests_of(connection, events))
    }

    fn personal_events_after(&self, position: Position, limit: usize) -> Result<Vec<PersonalEvent>, StoreError> {
        self.read(|connection| query::personal_events_after(connection, position, limit))
    }

    fn chain(&self, newest: Position) -> Result<Vec<Entry>, StoreError> {
        self.read(|connection| query::chain(connection, newest))
    }

    fn event_and_previous(&self, position: Position) -> Result<Option<(Entry, Option<Position>)>, StoreError> {
        self.read(|connection| query::event_and_previous(connection, position))
    }

    fn starts(
        &self,
        reference: Option<&str>,
        subjects: Option<&Subjects>,
    ) -> Result<Option<BinaryHeap<Start>>, StoreError> {
        self.read(|connection| search::starts(connection, reference, subjects))
    }

    fn reply(&self, ids: [&str; 2]) -> Result<Option<Entry>, StoreError> {
        self.read(|connection| query::reply(connection, ids))
    }

    fn messages_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.read(|connection| query::messages_after(connection, id, limit))
    }

    fn recipients_after(&self, id: MessageRowId, limit: usize) -> Result<Vec<Recipient>, StoreError> {
        self.read(|connection| query::recipients_after(connection, id, limit))
    }

    fn messages_with_id(&self, id: &str) -> Result<Vec<Message>, StoreError> {
        self.read(|connection| query::messages_with(connection, SearchedColumn::Id, id))
    }

    fn messages_with_reference(&self, reference: &str) -> Result<Vec<Message>, StoreError> {
        self.read(|connection| query::messages_with(connection, SearchedColumn::Reference, reference))
    }

    fn cohorts(&self, first: MessageRowId, since: Timestamp, detail: Detail) -> Result<Vec<(Cohort, u64)>, StoreError> {
        self.read(|connection| cohorts::count(connection, first, since, detail))
    }

    fn network_names(&self) -> Result<HashMap<String, String>, StoreError> {
        self.read(cohorts::network_names)
    }

    fn ends(&self, table: Table) -> Result<Option<(i64, i64)>, StoreError> {
        self.read(|connection| query::ends(connection, table))
    }

    fn first_from(&self, table: Table, id: i64) -> Result<Option<(i64, i64)>, StoreError> {
        self.read(|connection| query::first_from(connection, table, id))
    }
}
