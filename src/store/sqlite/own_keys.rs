//! The step to schema 12: the keys of events whose number or refClient their message has not.

use rusqlite::{Connection, params};

use super::journal::{self, record_columns};
use super::search_index::Key;
use crate::store::read::Person;

/// Rows that are read before those of them that need keys are written.
const AT_ONCE: i64 = 10_000;

pub fn add_own_keys(connection: &Connection) -> rusqlite::Result<()> {
    let mut read = connection.prepare(concat!(
        "SELECT e.id, m.number, m.ref_client, ",
        record_columns!(),
        " FROM events AS e LEFT JOIN messages AS m ON m.id = e.message WHERE e.id > ?1 ORDER BY e.id LIMIT ?2"
    ))?;
    let mut put = connection.prepare("UPDATE events SET number_key = ?2, ref_key = ?3 WHERE id = ?1")?;
    let mut position = 0;
    loop {
        let mut found = Vec::new();
        let mut rows = read.query([position, AT_ONCE])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            position = row.get(0)?;
            // What cannot be read is found by no search.
            let Ok(json) = journal::record_json(row, 3) else { continue };
            let person = Person::of(&json);
            let number = person.number.as_deref();
            let ref_client = person.ref_client.as_deref();
            let is_its = |value: Option<&str>, column| {
                Ok::<_, rusqlite::Error>(value.is_none() || row.get_ref(column)?.as_str_or_null()? == value)
            };
            if !is_its(number, 1)? || !is_its(ref_client, 2)? {
                found.push((position, number.and_then(Key::of_number), ref_client.map(Key::of_reference)));
            }
        }
        for (position, number, ref_client) in found {
            put.execute(params![position, number, ref_client])?;
        }
        if count < AT_ONCE {
            return Ok(());
        }
    }
}
