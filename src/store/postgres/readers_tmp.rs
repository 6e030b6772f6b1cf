#![allow(warnings)]
//! TEMPORARY
use crate::store::cohorts::*;
use crate::store::ids::*;
use crate::store::query::Message;
use crate::store::read::*;
use crate::store::relays::Undelivered;
use crate::store::shared::Gauges;
use crate::store::*;
use tokio::runtime::Handle;
pub struct PgReaders;
impl PgReaders {
    pub fn new(_: super::Connector, _: Handle) -> Self {
        Self
    }
}
impl Reader for PgReaders {
    fn opt_outs_of(&self, _source: &SourceName, _number: &str) -> Result<Vec<OptOut>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn opt_outs_after(&self, _seq: OptOutSeq, _limit: usize) -> Result<Vec<OptOut>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn due(
        &self,
        _relay: &RelayName,
        _now: Timestamp,
        _in_flight: &[DeliveryId],
        _limit: usize,
    ) -> Result<Due, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn undelivered(
        &self,
        _relay: Option<&str>,
        _only_dead: bool,
        _limit: usize,
    ) -> Result<Vec<Undelivered>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn due_resends(&self, _source: &SourceName, _now: Timestamp, _limit: usize) -> Result<DueResends, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn overdue(&self, _source: &SourceName, _before: Timestamp, _limit: usize) -> Result<Vec<Overdue>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn unrecognized_after(
        &self,
        _position: Position,
        _newest: Position,
    ) -> Result<Option<(Unrecognized, Position)>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn gauges(&self, _settings: &Settings) -> Result<Gauges, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn newest(&self) -> Result<Position, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn entries_after(&self, _position: Position, _limit: usize) -> Result<Vec<Entry>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn events_after(&self, _position: Position, _limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn events_before(&self, _position: Position, _limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn requests_of(&self, _events: &[Position]) -> Result<HashMap<Position, Raw>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn chain(&self, _newest: Position) -> Result<Vec<Entry>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn messages_after(&self, _id: MessageRowId, _limit: usize) -> Result<Vec<Message>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn messages_with_id(&self, _id: &str) -> Result<Vec<Message>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn messages_with_reference(&self, _reference: &str) -> Result<Vec<Message>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn cohorts(
        &self,
        _first: MessageRowId,
        _since: Timestamp,
        _detail: Detail,
    ) -> Result<Vec<(Cohort, u64)>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn network_names(&self) -> Result<HashMap<String, String>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn ends(&self, _table: Table) -> Result<Option<(i64, i64)>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn first_from(&self, _table: Table, _id: i64) -> Result<Option<(i64, i64)>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
    fn reply(&self, _ids: [&str; 2]) -> Result<Option<Entry>, StoreError> {
        Err(StoreError::Database("not yet".into()))
    }
}
