//! The table `journal`, and the requests of its events in `received`.

use bytes::Bytes;
use tokio_postgres::Row;

use super::decoded::FORMAT;
use super::error::PgError;
use super::packed::{self, RequestId};
use super::rewrites::Redacted;
use super::session::{Pipeline, columns, params};
use super::texts::json_without_nul;
use super::transaction::PgTx;
use super::values::Columns;
use crate::event::SourceName;
use crate::record::{Position, Record};
use crate::store::core::storage::{EventRequest, EventRow, Journal, NewEvent, StoredBody};
use crate::store::ids::MessageRowId;
use crate::store::{Raw, Reprocessed};

/// What is to be written.
#[derive(Default)]
pub(super) struct JournalRows {
    appended: Vec<Appended>,
    /// The request of what is ingested now, and whether an event refers to it.
    request: Option<(RequestId, bool)>,
    /// Requests that are deleted, and whether because a person in them is erased.
    redacted: Vec<(RequestId, bool)>,
}

struct Appended {
    position: Position,
    received_at: i64,
    source: SourceName,
    kind: &'static str,
    message: Option<MessageRowId>,
    previous: Option<Position>,
    event: String,
    request: Option<Position>,
    received: Option<RequestId>,
}

impl JournalRows {
    pub fn request_in(&mut self, received: Option<RequestId>) {
        let before = std::mem::replace(&mut self.request, received.map(|received| (received, false)));
        if let Some((received, false)) = before {
            self.redacted.push((received, false));
        }
    }

    fn appended(&self, position: Position) -> Option<&Appended> {
        let first = self.appended.first()?.position;
        self.appended.get(usize::try_from(position.0 - first.0).ok()?)
    }

    /// Adds the statements that write the rows and delete the requests.
    pub fn write(&mut self, day: i32, tables: &mut Redacted, writes: &mut Pipeline) {
        let redacted = std::mem::take(&mut self.redacted);
        if !redacted.is_empty() {
            for (request, is_erased) in &redacted {
                tables.partition("received", request.day, *is_erased);
            }
            writes.append(packed::delete(redacted.into_iter().map(|(request, _)| request)));
        }
        let rows = std::mem::take(&mut self.appended);
        if rows.is_empty() {
            return;
        }
        writes.add(
            "INSERT INTO smscope.journal (day, position, received_at, source, kind, message, previous, request, received, \
             received_day, received_index, event) SELECT $1, unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), \
             unnest($5::text[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), \
             unnest($10::int[]), unnest($11::smallint[]), unnest($12::text[])",
            columns![
                day => INT4,
                rows.iter().map(|row| row.position).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received_at).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.source.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|row| row.kind).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|row| row.message).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.previous).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.request).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received.map(|request| request.batch)).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received.map(|request| request.day)).collect::<Vec<_>>() => INT4_ARRAY,
                rows.iter().map(|row| row.received.map(|request| request.index)).collect::<Vec<_>>() => INT2_ARRAY,
                rows.into_iter().map(|row| row.event).collect::<Vec<_>>() => TEXT_ARRAY,
            ],
        );
    }
}

impl Journal for PgTx<'_> {
    fn next_position(&self) -> Position {
        self.ids.position.plus(1)
    }

    fn append(&mut self, event: &NewEvent<'_>) -> Result<Position, PgError> {
        let (received, request) = match event.request {
            EventRequest::None => (None, None),
            EventRequest::StoredWith(position) => (None, Some(position)),
            EventRequest::Own(raw) => (Some(self.request_of(raw)?), None),
            EventRequest::Redacted(_) => (self.deleted_request(), None),
        };
        let position = self.next_position();
        let record = event.record;
        let row = Appended {
            position,
            received_at: event.received_at.as_millisecond(),
            source: record.source.clone(),
            kind: record.kind.as_str(),
            message: event.message,
            previous: event.previous,
            event: to_json(record)?,
            request,
            received,
        };
        self.journal.get_mut().appended.push(row);
        self.ids.position = position;
        Ok(position)
    }

    fn event(&self, position: Position) -> Result<Option<EventRow>, PgError> {
        if let Some(row) = self.journal.borrow().appended(position) {
            let received_at = jiff::Timestamp::from_millisecond(row.received_at).map_err(unreadable)?;
            return Ok(Some(EventRow { received_at, previous: row.previous, record: from_json(&row.event)? }));
        }
        if position > self.ids.position {
            return Ok(None);
        }
        let sql = "SELECT received_at, previous, event FROM smscope.journal WHERE position = $1";
        let read = |row: Row| {
            let mut columns = Columns::of("journal", &row, 0);
            let (received_at, previous) = (columns.time()?, columns.get()?);
            Ok(EventRow { received_at, previous, record: from_json(columns.get()?)? })
        };
        self.query_opt(sql, params![position => INT8])?.map(read).transpose()
    }

    fn event_source(&self, position: Position) -> Result<Option<(SourceName, Option<Position>)>, PgError> {
        if let Some(row) = self.journal.borrow().appended(position) {
            return Ok(Some((row.source.clone(), row.request)));
        }
        if position > self.ids.position {
            return Ok(None);
        }
        let sql = "SELECT source, request FROM smscope.journal WHERE position = $1";
        let read = |row: Row| {
            let mut columns = Columns::of("journal", &row, 0);
            Ok((columns.word(SourceName::new)?, columns.get()?))
        };
        self.query_opt(sql, params![position => INT8])?.map(read).transpose()
    }

    fn readable_record(&self, position: Position) -> Result<Option<Record>, PgError> {
        match self.event(position) {
            Err(PgError::Unreadable { .. }) => Ok(None),
            found => Ok(found?.map(|event| event.record)),
        }
    }

    fn put_record(&mut self, position: Position, record: &Record) -> Result<(), PgError> {
        self.write_journal()?;
        let event = to_json(record)?;
        let sql = "UPDATE smscope.journal SET event = $2 WHERE position = $1 RETURNING day";
        let found = self.query_opt(sql, params![position => INT8, event => TEXT])?;
        if let Some(row) = found.filter(|_| self.is_erasure()) {
            self.redacted.get_mut().partition("journal", Columns::of("journal", &row, 0).get()?, true);
        }
        Ok(())
    }

    fn request_body(&self, position: Position) -> Result<Option<StoredBody>, PgError> {
        if position > self.ids.position {
            return Ok(None);
        }
        self.write_journal()?;
        let sql = "SELECT j.received_at, r.requests[j.received_index] FROM smscope.journal AS j \
             LEFT JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day WHERE j.position = $1";
        let read = |row: Row| {
            let mut columns = Columns::of("journal", &row, 0);
            Ok((columns.time()?, packed::raw(columns.get()?)?.map(|(raw, _)| raw.body.to_vec())))
        };
        self.query_opt(sql, params![position => INT8])?.map(read).transpose()
    }

    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> Result<(), PgError> {
        let body = body.map(Bytes::copy_from_slice);
        let rewritten = self.rewrite_request(position, |packed| {
            let Some(body) = body else { return Ok(None) };
            let (raw, _) = packed::unpack(packed)?.raw()?;
            packed::pack("", &Raw { body, ..raw }, false).map(Some)
        })?;
        if let Some(day) = rewritten {
            self.redacted.get_mut().partition("received", day, true);
        }
        Ok(())
    }

    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> Result<(), PgError> {
        self.write_journal()?;
        let sql = "UPDATE smscope.journal SET event = (event::jsonb || '{\"reprocessed\": true}')::text WHERE position = ANY($1)";
        self.execute(sql, params![&reprocessed.resolves[..] => INT8_ARRAY])?;
        if let Some((query, body)) = &reprocessed.redacted {
            self.rewrite_request(reprocessed.request, |packed| {
                let (raw, _) = packed::unpack(packed)?.raw()?;
                let raw = Raw { query: query.clone(), body: Bytes::copy_from_slice(body), ..raw };
                packed::pack("", &raw, true).map(Some)
            })?;
        }
        Ok(())
    }
}

impl PgTx<'_> {
    /// Where a request is stored: by the front door, or now.
    fn request_of(&mut self, raw: &Raw) -> Result<RequestId, PgError> {
        if let Some((request, is_referred_to)) = &mut self.journal.get_mut().request {
            *is_referred_to = true;
            return Ok(*request);
        }
        let inserted = self.query_opt(
            "INSERT INTO smscope.received (day, id, format, requests) \
             VALUES ($1, nextval('smscope.received_id'), $2, ARRAY[$3]) RETURNING id",
            params![self.day => INT4, FORMAT => INT2, packed::pack("", raw, true)? => BYTEA],
        )?;
        let row = inserted.ok_or_else(|| packed::unreadable("it took no row"))?;
        Ok(RequestId { batch: Columns::of("received", &row, 0).get()?, day: self.day, index: 1 })
    }

    /// Where the request is that the front door has stored and of which nothing may stay.
    fn deleted_request(&mut self) -> Option<RequestId> {
        let journal = self.journal.get_mut();
        let (request, is_referred_to) = journal.request.as_mut()?;
        *is_referred_to = true;
        journal.redacted.push((*request, true));
        Some(*request)
    }

    /// Replaces the request of an event by what `rewrite` makes of it; `None` deletes it. Gives its day, or `None` if there is no request.
    fn rewrite_request(
        &mut self,
        event: Position,
        rewrite: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, PgError>,
    ) -> Result<Option<i32>, PgError> {
        self.write_journal()?;
        let sql = "SELECT r.id, r.day, j.received_index, r.requests[j.received_index] FROM smscope.journal AS j \
             JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day WHERE j.position = $1";
        let Some(row) = self.query_opt(sql, params![event => INT8])? else { return Ok(None) };
        let mut columns = Columns::of("received", &row, 0);
        let (batch, day, index): (i64, i32, i16) = (columns.get()?, columns.get()?, columns.get()?);
        let Some(packed) = columns.get()? else { return Ok(None) };
        let rewritten = rewrite(packed)?;
        let sql = "UPDATE smscope.received SET requests[$3] = $4 WHERE id = $1 AND day = $2";
        self.execute(sql, params![batch => INT8, day => INT4, index => INT2, rewritten => BYTEA])?;
        Ok(Some(day))
    }

    fn write_journal(&self) -> Result<(), PgError> {
        self.flush(|writes| self.journal.borrow_mut().write(self.day, &mut self.redacted.borrow_mut(), writes))
    }
}

fn to_json(record: &Record) -> Result<String, PgError> {
    serde_json::to_string(record).map(json_without_nul).map_err(unreadable)
}

pub(super) fn from_json(json: &str) -> Result<Record, PgError> {
    serde_json::from_str(json).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> PgError {
    PgError::Unreadable { table: "journal", why: error.to_string() }
}
