//! Where the events of a number or a reference are, by the index of searches.

use std::collections::BinaryHeap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::search_index::{self, Key};
use crate::record::Position;
use crate::store::erase::Subjects;
use crate::store::read::Start;

/// Messages and single events of a number or a reference that are looked up one by one.
const MOST_STARTS: usize = 1_000;

/// As [`Reader::starts`](crate::store::read::Reader::starts).
pub fn starts(
    connection: &Connection,
    reference: Option<&str>,
    subjects: Option<&Subjects>,
) -> rusqlite::Result<Option<BinaryHeap<Start>>> {
    let (keys, alone): (Vec<Key>, &str) = match (reference, subjects) {
        (Some(reference), _) => (
            vec![Key::of_reference(reference)],
            "SELECT id FROM events INDEXED BY events_by_ref WHERE ref_key = ?1 LIMIT ?2",
        ),
        (None, Some(subjects)) => (
            subjects.last_digits().filter_map(Key::of_number).collect(),
            "SELECT id FROM events INDEXED BY events_by_number WHERE number_key = ?1 LIMIT ?2",
        ),
        (None, None) => return Ok(None),
    };
    // One view: of what arrives meanwhile, none is passed over that is older than one that is found.
    let view = connection.unchecked_transaction()?;
    let searchable_to = search_index::searchable_to(&view)?;
    let mut messages = Vec::new();
    let mut starts = BinaryHeap::new();
    let mut alone = view.prepare(alone)?;
    for key in keys {
        messages.extend(search_index::find(&view, key)?);
        for position in alone.query_map(params![key, MOST_STARTS as i64 + 1], |row| row.get(0))? {
            starts.push(Start { position: position?, chain: false });
        }
        if messages.len() + starts.len() > MOST_STARTS {
            return Ok(None);
        }
    }
    let columns = "SELECT source, number, ref_client, newest_event FROM messages";
    let mut add = |row: &Row<'_>| {
        let is_meant = match (reference, subjects, row.get_ref(1)?.as_str_or_null()?) {
            (Some(reference), ..) => row.get_ref(2)?.as_str_or_null()? == Some(reference),
            (None, Some(subjects), Some(number)) => subjects.have(row.get_ref(0)?.as_str()?, number),
            _ => false,
        };
        if let Some(position) = row.get::<_, Option<Position>>(3)?.filter(|_| is_meant) {
            starts.push(Start { position, chain: true });
        }
        Ok::<_, rusqlite::Error>(())
    };
    let mut indexed = view.prepare(&format!("{columns} WHERE id = ?1"))?;
    for message in messages {
        indexed.query_row([message], |row| add(row)).optional()?;
    }
    let mut later = view.prepare(&format!("{columns} WHERE id > ?1"))?;
    let mut later = later.query([searchable_to])?;
    while let Some(row) = later.next()? {
        add(row)?;
    }
    Ok(Some(starts))
}
