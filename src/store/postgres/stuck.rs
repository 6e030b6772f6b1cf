//! The table `inbox_stuck`: requests that the leader could not process.

use super::error::PgError;
use super::leader::Leader;
use super::packed::{self, RequestId};
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
    let sql = "SELECT id, day, request, coalesce(content, '') FROM smscope.inbox_stuck WHERE (id, request) > ($1, $2) \
         ORDER BY id, request LIMIT $3";
    let (mut erased, mut last) = (0, (0, 0));
    loop {
        let (batch, index) = last;
        let rows =
            term.block_on(term.session.query(sql, params![batch => INT8, index => INT2, STEP as i64 => INT8]))?;
        let mut found = Vec::new();
        for row in &rows {
            let mut columns = Columns::of("inbox_stuck", row, 0);
            let request = RequestId { batch: columns.get()?, day: columns.get()?, index: columns.get()? };
            last = (request.batch, request.index);
            let content: &str = columns.get()?;
            // What is the reason that it is here may be that it cannot be read.
            let json: serde_json::Value =
                serde_json::from_str(content.lines().next().unwrap_or("")).unwrap_or_default();
            let source = json["source"].as_str().unwrap_or_default();
            if subjects.are_in(source, content.as_bytes()) {
                found.push(request);
            }
        }
        if !found.is_empty() {
            erased += found.len() as u64;
            let work = Work { read: None, shared: &leader.shared, settings: &leader.settings };
            term.transaction(work, |rules, _, own| {
                let tables = rules.storage.redacted.get_mut();
                tables.table("inbox_stuck");
                for request in &found {
                    tables.partition("received", request.day, true);
                    own.add(
                        "DELETE FROM smscope.inbox_stuck WHERE id = $1 AND request = $2",
                        columns![request.batch => INT8, request.index => INT2],
                    );
                }
                own.append(packed::delete(found));
                Ok(())
            })?;
        }
        if rows.len() < STEP {
            return Ok(erased);
        }
    }
}
