//! The table `inbox_stuck`: requests that the leader could not process.

use super::error::PgError;
use super::leader::Leader;
use super::session::{columns, params};
use super::term::{Term, Work};
use super::values::Columns;
use crate::store::core::STEP;
use crate::store::core::erase::Subjects;

/// Deletes the requests in which one of `subjects` is, and what was said of them. Gives how many.
///
/// # Errors
/// Those of the database.
pub fn erase(leader: &mut Leader, term: &mut Term, subjects: &Subjects) -> Result<u64, PgError> {
    let sql = "SELECT s.id, s.day, r.decoded, coalesce(r.query, ''), coalesce(r.body, '') FROM smscope.inbox_stuck AS s \
         JOIN smscope.received AS r ON r.id = s.id AND r.day = s.day WHERE s.id > $1 ORDER BY s.id LIMIT $2";
    let (mut erased, mut last) = (0, 0);
    loop {
        let rows = term.block_on(term.session.query(sql, params![last => INT8, STEP as i64 => INT8]))?;
        let (mut ids, mut days): (Vec<i64>, Vec<i32>) = (Vec::new(), Vec::new());
        for row in &rows {
            let mut columns = Columns::of("received", row, 0);
            let (id, day) = (columns.get()?, columns.get()?);
            let (decoded, query, body): (&str, &str, &[u8]) = (columns.get()?, columns.get()?, columns.get()?);
            last = id;
            // What is the reason that it is here may be that it cannot be read.
            let json: serde_json::Value = serde_json::from_str(decoded).unwrap_or_default();
            let source = json["source"].as_str().unwrap_or_default();
            let is_in = |raw: &[u8]| subjects.are_in(source, raw);
            if is_in(decoded.as_bytes()) || is_in(query.as_bytes()) || is_in(body) {
                ids.push(id);
                days.push(day);
            }
        }
        if !ids.is_empty() {
            erased += ids.len() as u64;
            let work = Work { read: None, shared: &leader.shared, settings: &leader.settings };
            term.transaction(work, |rules, _, own| {
                let tables = rules.storage.redacted.get_mut();
                tables.table("inbox_stuck");
                days.iter().for_each(|day| tables.partition("received", *day, true));
                own.add("DELETE FROM smscope.inbox_stuck WHERE id = ANY($1)", columns![ids.clone() => INT8_ARRAY]);
                own.add(
                    "UPDATE smscope.received AS r SET query = NULL, body = NULL, decoded = '' \
                     FROM unnest($1::bigint[], $2::int[]) AS u (id, day) WHERE r.id = u.id AND r.day = u.day",
                    columns![ids => INT8_ARRAY, days => INT4_ARRAY],
                );
                Ok(())
            })?;
        }
        if rows.len() < STEP {
            return Ok(erased);
        }
    }
}
