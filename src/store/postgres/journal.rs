//! The table `journal`, and the requests of its events in `received`.

use tokio_postgres::Row;

use super::decoded::FORMAT;
use super::error::PgError;
use super::rewrites::Redacted;
use super::session::{Pipeline, columns, params};
use super::texts::{json_without_nul, without_nul};
use super::transaction::PgTx;
use super::values::Columns;
use crate::event::SourceName;
use crate::record::{Position, Record};
use crate::store::core::storage::{EventRequest, EventRow, Journal, NewEvent, StoredBody};
use crate::store::ids::MessageRowId;
use crate::store::{Raw, Reprocessed};

/// A row of `received`: its id and day.
type Received = (i64, i32);

/// What is to be written.
#[derive(Default)]
pub(super) struct JournalRows {
    appended: Vec<Appended>,
    /// The request of what is ingested now, and whether an event refers to it.
    request: Option<(Received, bool)>,
    /// Requests of which query and body are deleted, and whether because a person in them is erased.
    redacted: Vec<(Received, bool)>,
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
    received: Option<Received>,
}

impl JournalRows {
    pub fn request_in(&mut self, received: Option<Received>) {
        let before = std::mem::replace(&mut self.request, received.map(|received| (received, false)));
        if let Some((received, false)) = before {
            self.redacted.push((received, false));
        }
    }

    fn appended(&self, position: Position) -> Option<&Appended> {
        let first = self.appended.first()?.position;
        self.appended.get(usize::try_from(position.0 - first.0).ok()?)
    }

    /// Adds the statements that write the rows and redact the requests.
    pub fn write(&mut self, day: i32, tables: &mut Redacted, writes: &mut Pipeline) {
        let redacted = std::mem::take(&mut self.redacted);
        if !redacted.is_empty() {
            for ((_, day), is_erased) in &redacted {
                tables.partition("received", *day, *is_erased);
            }
            let (ids, days): (Vec<_>, Vec<_>) = redacted.into_iter().map(|(received, _)| received).unzip();
            writes.add(
                "UPDATE smscope.received AS r SET query = NULL, body = NULL, decoded = '' \
                 FROM unnest($1::bigint[], $2::int[]) AS u (id, day) WHERE r.id = u.id AND r.day = u.day",
                columns![ids => INT8_ARRAY, days => INT4_ARRAY],
            );
        }
        let rows = std::mem::take(&mut self.appended);
        if rows.is_empty() {
            return;
        }
        writes.add(
            "INSERT INTO smscope.journal (day, position, received_at, source, kind, message, previous, request, received, \
             received_day, event) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], \
             $7::bigint[], $8::bigint[], $9::bigint[], $10::int[], $11::text[])",
            columns![
                day => INT4,
                rows.iter().map(|row| row.position).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received_at).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.source.as_str().to_owned()).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|row| row.kind).collect::<Vec<_>>() => TEXT_ARRAY,
                rows.iter().map(|row| row.message).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.previous).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.request).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received.map(|(id, _)| id)).collect::<Vec<_>>() => INT8_ARRAY,
                rows.iter().map(|row| row.received.map(|(_, day)| day)).collect::<Vec<_>>() => INT4_ARRAY,
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
            EventRequest::Own(raw) => (Some(self.request_of(raw, false)?), None),
            EventRequest::Redacted(raw) => (Some(self.request_of(raw, true)?), None),
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
        let sql = "SELECT j.received_at, r.body FROM smscope.journal AS j \
             LEFT JOIN smscope.received AS r ON r.id = j.received AND r.day = j.received_day WHERE j.position = $1";
        let read = |row: Row| {
            let mut columns = Columns::of("journal", &row, 0);
            Ok((columns.time()?, columns.get()?))
        };
        self.query_opt(sql, params![position => INT8])?.map(read).transpose()
    }

    fn redact_request(&mut self, position: Position, body: Option<&[u8]>) -> Result<(), PgError> {
        self.write_journal()?;
        let sql = "UPDATE smscope.received AS r SET query = NULL, body = $2, decoded = '' FROM smscope.journal AS j \
             WHERE j.position = $1 AND r.id = j.received AND r.day = j.received_day RETURNING r.day";
        if let Some(row) = self.query_opt(sql, params![position => INT8, body => BYTEA])? {
            self.redacted.get_mut().partition("received", Columns::of("received", &row, 0).get()?, true);
        }
        Ok(())
    }

    fn resolve_unrecognized(&mut self, reprocessed: &Reprocessed) -> Result<(), PgError> {
        self.write_journal()?;
        let sql = "UPDATE smscope.journal SET event = (event::jsonb || '{\"reprocessed\": true}')::text WHERE position = ANY($1)";
        self.execute(sql, params![&reprocessed.resolves[..] => INT8_ARRAY])?;
        if let Some((query, body)) = &reprocessed.redacted {
            let query = without_nul(query);
            let sql = "UPDATE smscope.received AS r SET query = $2, body = $3, decoded = '' FROM smscope.journal AS j \
                 WHERE j.position = $1 AND r.id = j.received AND r.day = j.received_day AND r.body IS NOT NULL";
            self.execute(sql, params![reprocessed.request => INT8, query => TEXT, body => BYTEA])?;
        }
        Ok(())
    }
}

impl PgTx<'_> {
    /// The row that holds a request: the front door's, or a new one.
    fn request_of(&mut self, raw: &Raw, is_redacted: bool) -> Result<Received, PgError> {
        let journal = self.journal.get_mut();
        if let Some((received, is_stored)) = &mut journal.request {
            *is_stored = true;
            let received = *received;
            if is_redacted {
                journal.redacted.push((received, true));
            }
            return Ok(received);
        }
        let (method, content_type) = (without_nul(&raw.method), raw.content_type.as_deref().map(without_nul));
        let query = (!is_redacted).then(|| without_nul(&raw.query));
        let body = (!is_redacted).then_some(&raw.body[..]);
        let inserted = self.query_opt(
            "INSERT INTO smscope.received (day, id, format, decoded, method, query, content_type, body) \
             VALUES ($1, nextval('smscope.received_id'), $2, '', $3, $4, $5, $6) RETURNING id",
            params![
                self.day => INT4,
                FORMAT => INT2,
                method => TEXT,
                query => TEXT,
                content_type => TEXT,
                body => BYTEA,
            ],
        )?;
        let row = inserted.ok_or(PgError::Unreadable { table: "received", why: "it took no row".to_owned() })?;
        Ok((Columns::of("received", &row, 0).get()?, self.day))
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
