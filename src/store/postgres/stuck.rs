//! The table `inbox_stuck`: requests that the leader could not process.

use super::error::PgError;
use super::leader::Leader;
use super::packed::{self, RequestId, Unpacked};
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
    let sql = "SELECT s.id, s.day, s.request, r.requests[s.request], s.content FROM smscope.inbox_stuck AS s \
         LEFT JOIN smscope.received AS r ON r.id = s.id AND r.day = s.day WHERE (s.id, s.request) > ($1, $2) \
         ORDER BY s.id, s.request LIMIT $3";
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
            let (packed, content): (Option<&[u8]>, Option<&str>) = (columns.get()?, columns.get()?);
            let unpacked = packed.and_then(|packed| packed::unpack(packed).ok());
            match unpacked.or_else(|| content.map(Unpacked::from)) {
                Some(text) if is_in(&text, subjects) => found.push(request),
                Some(_) => {}
                None => {
                    tracing::warn!(batch, request = index, "a stuck request cannot be read, so nobody is found in it")
                }
            }
        }
        erased += found.len() as u64;
        let work = Work { read: None, shared: &leader.shared, settings: &leader.settings };
        term.transaction(work, |rules, _, own| {
            let tables = rules.storage.redacted.get_mut();
            // Rows that were put back have left their contents in it.
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
        if rows.len() < STEP {
            return Ok(erased);
        }
    }
}

/// What is the reason that a request is here may be that it is no request.
fn is_in(request: &Unpacked, subjects: &Subjects) -> bool {
    let decoded = request.decoded().unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(decoded).unwrap_or_default();
    let source = json["source"].as_str().unwrap_or_default();
    let is_in = |text: &[u8]| subjects.are_in(source, text);
    match request.raw() {
        Ok((raw, _)) => is_in(decoded.as_bytes()) || is_in(raw.query.as_bytes()) || is_in(&raw.body),
        Err(_) => request.readable().lines().any(|line| is_in(line.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Country;
    use crate::store::core::erase::Regions;

    #[test]
    fn a_person_is_found_in_each_part_of_a_request_and_in_what_is_no_request() {
        let regions = Regions::new([], Country::new("FR").unwrap());
        let subjects = Subjects::new(&["+33612345678".to_owned()], regions).unwrap();
        for (text, expected) in [
            ("{\"to\":\"33612345678\"}\n[\"GET\",\"\",null]\n", true),
            ("{}\n[\"GET\",\"to=%2B33612345678\",null]\n", true),
            ("{}\n[\"POST\",\"\",null]\nto=33612345678", true),
            ("{}\n[\"POST\",\"\",null]\nto=33612345679", false),
            ("{}\n[\"POST\",\"\",null,7]\nto=33612345678", true),
            ("{}\n[\"POST\",\"\",null,7]\nto=33612345679", false),
        ] {
            assert_eq!(is_in(&Unpacked::from(text), &subjects), expected, "{text}");
        }
    }
}
