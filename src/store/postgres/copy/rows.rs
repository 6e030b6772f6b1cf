//! The rows of a copy: which are read, and how a page of them is written.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::store::Raw;
use crate::store::copy::{self, Reader, Table, Value, hash_in, hashed_key};
use crate::store::postgres::error::PgError;
use crate::store::postgres::packed;
use crate::store::postgres::session::{Pipeline, columns};
use crate::store::postgres::texts::{json_without_nul, owned_without_nul};
use crate::store::postgres::{decoded, keys};

const DAY: i64 = 86_400_000;

/// The rows after a place, which is in the first column.
pub fn select(table: Table) -> &'static str {
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
            "SELECT j.position, j.received_at, j.source, j.kind, j.message, j.previous, j.event, j.request, \
             r.requests[j.received_index] \
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

pub fn values(row: &Row) -> Result<copy::Row, PgError> {
    first_values(row, row.len())
}

fn first_values(row: &Row, count: usize) -> Result<copy::Row, PgError> {
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
    (0..count).map(of_column).collect()
}

/// An event, of which the last column is its request, packed.
pub fn event(row: &Row) -> Result<copy::Row, PgError> {
    let last = row.len() - 1;
    let mut values = first_values(row, last)?;
    let request = packed::raw(row.get(last))?;
    values.extend(request.map_or([const { Value::Null }; 4], |(raw, is_whole)| copy::request_values(raw, is_whole)));
    Ok(values)
}

pub fn event_key(row: &Row) -> Result<copy::Row, PgError> {
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
pub fn day(received_at: &Value) -> i32 {
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
///
/// # Errors
/// A request cannot be packed, for want of memory.
pub fn write(table: Table, rows: Vec<copy::Row>, writes: &mut Pipeline) -> Result<(), PgError> {
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
        Table::Events => return write_events(&c, writes),
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
    Ok(())
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

/// A request is a batch of its own that has the number of its event.
fn write_events(c: &Columns, writes: &mut Pipeline) -> Result<(), PgError> {
    let pack = |(raw, is_whole): (Raw, bool)| packed::pack("", &raw, is_whole);
    let packed = c.rows.iter().map(|row| copy::request(&row[8..12]).map(pack).transpose());
    let packed = packed.collect::<Result<Vec<_>, _>>()?;
    let (mut batches, mut days, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
    for (row, request) in c.rows.iter().zip(&packed) {
        batches.push(integer(&row[0]).filter(|_| request.is_some()));
        days.push(request.as_ref().map(|_| day(&row[1])));
        indexes.push(request.as_ref().map(|_| 1i16));
    }
    writes.add(
        "INSERT INTO smscope.received (day, id, format, requests) SELECT u.day, u.id, $3, ARRAY[u.request] \
         FROM unnest($1::int[], $2::bigint[], $4::bytea[]) AS u (day, id, request) WHERE u.request IS NOT NULL \
         ON CONFLICT DO NOTHING",
        columns![
            c.each(|row| day(&row[1])) => INT4_ARRAY, c.integers(0) => INT8_ARRAY, decoded::FORMAT => INT2,
            packed => BYTEA_ARRAY,
        ],
    );
    let record = |row: &copy::Row| json_without_nul(text(&row[6]).unwrap_or_default().to_owned());
    writes.add(
        "INSERT INTO smscope.journal (day, position, received_at, source, kind, message, previous, event, request, received, \
         received_day, received_index) SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], \
         $6::bigint[], $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::int[], $12::smallint[]) ON CONFLICT DO NOTHING",
        columns![
            c.each(|row| day(&row[1])) => INT4_ARRAY, c.integers(0) => INT8_ARRAY, c.integers(1) => INT8_ARRAY,
            c.texts(2) => TEXT_ARRAY, c.texts(3) => TEXT_ARRAY, c.integers(4) => INT8_ARRAY, c.integers(5) => INT8_ARRAY,
            c.each(record) => TEXT_ARRAY, c.integers(7) => INT8_ARRAY, batches => INT8_ARRAY, days => INT4_ARRAY,
            indexes => INT2_ARRAY,
        ],
    );
    Ok(())
}
