//! Messages that have been pending for longer than the horizon.

use std::time::Duration;

use jiff::Timestamp;

use super::storage::{EventRequest, MessageRow, NewEvent, Storage};
use super::{Tx, records};
use crate::event::SourceName;
use crate::lifecycle;
use crate::record::{Kind, Record};
use crate::store::ids::MessageRowId;

impl<S: Storage> Tx<'_, S> {
    /// Expires a message that is pending past its horizon, if it still is.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn expire(&mut self, id: MessageRowId, now: Timestamp, horizon: Duration) -> Result<(), S::Error> {
        let Some(row) = self.storage.message(id)? else { return Ok(()) };
        let Some((message, changes)) = lifecycle::expire(row.message, now, horizon) else { return Ok(()) };
        let Some(source) = SourceName::new(&row.labels.source) else { return Ok(()) };
        self.counters().message(&row.labels, None, &changes);
        let mut row = MessageRow { message, last_event: now, settled_at: Some(now), ..row };
        let previous = self.set_newest_event(&mut row);
        self.storage.put_message(id, &row)?;
        let record = Record {
            occurred_at: row.message.pending_since.checked_add(horizon).ok(),
            channel: Some(row.labels.channel.clone()),
            flow: Some(row.labels.flow.clone()),
            country: records::known(&row.labels.country),
            message_id: Some(row.message_id),
            number: row.number,
            ref_client: row.ref_client,
            campaign_id: row.campaign_id,
            mccmnc: row.mccmnc,
            erased: row.erased_at.is_some(),
            ..Record::new(Kind::Expired, source)
        };
        let event = self.append(&NewEvent {
            record: &record,
            message: Some(id),
            previous,
            received_at: now,
            request: EventRequest::None,
            needs_own_keys: false,
        })?;
        self.relay(&record, event, Some(id), now, None)?;
        self.lose_expired(id)
    }
}
