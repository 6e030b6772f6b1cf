//! Overwriting what is left of rows in the space between others.
//!
//! With `secure_delete` SQLite zeroes a row that is deleted and a page that is given back. It does not when it only moves a row to
//! another page, to make room for a row that grew: what stood there stays, and no deletion of the row in its new place reaches it.
//! So each page of the tables that hold personal data has one of its rows grown until it fills the page, which puts the row over all
//! that is free there, and shrunk again, which zeroes it.

use rusqlite::{Connection, OptionalExtension, params};

use super::retention::page_size;

/// Bytes of a page that a row on it cannot take, or it would be continued on another.
const NOT_A_ROW: i64 = 96;

/// What a longer row may take for itself: its length is written in more bytes, and so is that of a column.
const SLACK: i64 = 4;

/// A page of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    table: Table,
    first: i64,
    last: i64,
    unused: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Events,
    Messages,
    OptOuts,
    SearchIndex,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Messages => "messages",
            Table::OptOuts => "opt_outs",
            Table::SearchIndex => "search_index",
        }
    }

    /// The column that is grown.
    fn column(self) -> &'static str {
        match self {
            Table::Events => "event",
            Table::Messages => "message_id",
            Table::OptOuts => "origin",
            Table::SearchIndex => "entries",
        }
    }

    /// About the bytes of a row, never fewer than it has.
    fn length(self) -> &'static str {
        match self {
            Table::Events => {
                "length(CAST(event AS BLOB)) + coalesce(length(packed), 0) + coalesce(length(body), 0) \
                 + coalesce(length(CAST(query AS BLOB)), 0) + coalesce(length(CAST(content_type AS BLOB)), 0) + 200"
            }
            Table::Messages => {
                "length(CAST(message_id AS BLOB)) + length(CAST(part AS BLOB)) + length(CAST(channel AS BLOB)) \
                 + length(CAST(flow AS BLOB)) + coalesce(length(CAST(number AS BLOB)), 0) \
                 + coalesce(length(CAST(ref_client AS BLOB)), 0) + coalesce(length(CAST(campaign_id AS BLOB)), 0) + length(receipts) + 260"
            }
            Table::OptOuts => {
                "length(CAST(source AS BLOB)) + length(CAST(person AS BLOB)) + length(CAST(sender AS BLOB)) \
                 + coalesce(length(CAST(number AS BLOB)), 0) + 80"
            }
            Table::SearchIndex => "length(entries) + 20",
        }
    }

    fn column_type(self) -> &'static str {
        match self {
            Table::Events | Table::Messages | Table::OptOuts => "TEXT",
            Table::SearchIndex => "BLOB",
        }
    }
}

/// All pages of rows that have room, as they stand now.
pub fn leaves(connection: &Connection) -> rusqlite::Result<Vec<Leaf>> {
    // One view of both: the pages and the rows on them.
    let view = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    for table in [Table::Events, Table::Messages, Table::OptOuts, Table::SearchIndex] {
        // In the order of the rows, which is that in which the table is walked.
        let mut pages = view.prepare("SELECT ncell, unused FROM dbstat WHERE name = ?1 AND pagetype = 'leaf'")?;
        let mut pages = pages.query([table.name()])?;
        let mut ids = view.prepare(&format!("SELECT id FROM {} ORDER BY id", table.name()))?;
        let mut ids = ids.query([])?;
        while let Some(page) = pages.next()? {
            let (rows, unused): (i64, i64) = (page.get(0)?, page.get(1)?);
            let mut ends = None;
            for _ in 0..rows {
                let Some(row) = ids.next()? else { break };
                let id: i64 = row.get(0)?;
                ends = Some((ends.map_or(id, |(first, _)| first), id));
            }
            if let Some((first, last)) = ends
                && unused > SLACK
            {
                found.push(Leaf { table, first, last, unused });
            }
        }
    }
    Ok(found)
}

/// Overwrites the free room of some pages.
pub fn overwrite_all(connection: &Connection, leaves: &[Leaf]) -> rusqlite::Result<()> {
    leaves.iter().try_for_each(|leaf| overwrite(connection, leaf).map(drop))
}

/// Overwrites the free room of a page; `false` when no row of it is short enough for that.
fn overwrite(connection: &Connection, leaf: &Leaf) -> rusqlite::Result<bool> {
    let (table, column, length) = (leaf.table.name(), leaf.table.column(), leaf.table.length());
    let shortest: Option<(i64, i64, Vec<u8>)> = connection
        .prepare_cached(&format!(
            "SELECT id, {length} AS taken, CAST({column} AS BLOB) FROM {table} WHERE id BETWEEN ?1 AND ?2 ORDER BY taken LIMIT 1"
        ))?
        .query_row([leaf.first, leaf.last], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, taken, value)) = shortest else { return Ok(false) };
    let most = page_size(connection)? - NOT_A_ROW;
    if taken >= most {
        return Ok(false);
    }
    let growth = (leaf.unused - SLACK).min(most - taken);
    let update = format!("UPDATE {table} SET {column} = CAST(?2 AS {}) WHERE id = ?1", leaf.table.column_type());
    let mut grow = connection.prepare_cached(&update)?;
    grow.execute(params![id, [&value[..], &b" ".repeat(growth.unsigned_abs() as usize)].concat()])?;
    grow.execute(params![id, value])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    const ROWS: i64 = 400;

    /// Rows that grow one after the other in no order, so that pages split and rows move; some are too long for a page.
    fn grown(path: &Path, seed: u64) {
        let mut connection = crate::store::sqlite::connection::connect(path).unwrap();
        crate::store::sqlite::schema::migrate(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        for id in 1..=ROWS {
            transaction
                .execute(
                    "INSERT INTO messages (id, key, source, message_id, part, state, channel, flow, country, ref_client, \
                     accepted_at, first_seen, pending_since, last_event) \
                     VALUES (?1, ?1, 's', 'm' || ?1, '', 'enroute', 'SMS', 'OTP', 'FR', ?2, 1, 1, 1, 1)",
                    params![id, format!("left-messages-{id}.")],
                )
                .unwrap();
            let body = format!("left-events-{id}.{}", "b".repeat(if id % 50 == 0 { 9_000 } else { 100 }));
            transaction
                .execute(
                    "INSERT INTO events (id, received_at, source, kind, event, body) VALUES (?1, 1, 's', 'k', '{}', ?2)",
                    params![id, body.as_bytes()],
                )
                .unwrap();
        }
        transaction.commit().unwrap();
        let transaction = connection.transaction().unwrap();
        let mut dice = fastrand::Rng::with_seed(seed);
        for _ in 0..ROWS {
            let more = "x".repeat(dice.usize(1..60));
            for (table, column) in [("messages", "message_id"), ("events", "event")] {
                let grow = format!("UPDATE {table} SET {column} = {column} || ?2 WHERE id = ?1");
                transaction.execute(&grow, params![dice.i64(1..=ROWS), more]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    /// How often a row's own text stands in the file. No connection to it may be open.
    fn copies(file: &str, table: &str, id: i64) -> usize {
        file.matches(&format!("left-{table}-{id}.")).count()
    }

    fn text_of(path: &Path) -> String {
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }

    fn all(connection: &Connection) -> Vec<String> {
        let rows = |table: &str| -> Vec<String> {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY id")).unwrap();
            let columns = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
                (0..columns).map(|column| row.get_ref(column).map(|value| format!("{value:?}"))).collect()
            };
            statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
        };
        [rows("messages"), rows("events")].concat()
    }

    #[test]
    fn what_is_left_of_rows_that_moved_is_overwritten_and_no_row_is_changed() {
        let folder = TempDir::new().unwrap();
        let mut left = 0;
        for seed in 0..12 {
            let path = folder.path().join(format!("{seed}.db"));
            grown(&path, seed);
            // Erased are those of which there is more than the row.
            let file = text_of(&path);
            let connection = crate::store::sqlite::connection::connect(&path).unwrap();
            let mut erased = Vec::new();
            connection.execute_batch("BEGIN").unwrap();
            for (table, column) in [("messages", "ref_client"), ("events", "body")] {
                for id in (1..=ROWS).filter(|id| copies(&file, table, *id) > 1) {
                    connection.execute(&format!("UPDATE {table} SET {column} = NULL WHERE id = ?1"), [id]).unwrap();
                    erased.push((table, id));
                }
            }
            connection.execute_batch("COMMIT").unwrap();
            let before = all(&connection);
            drop(connection);
            let file = text_of(&path);
            left += erased.iter().map(|(table, id)| copies(&file, table, *id)).sum::<usize>();

            let connection = crate::store::sqlite::connection::connect(&path).unwrap();
            let pages = leaves(&connection).unwrap();
            assert!(pages.len() > 20, "{}", pages.len());
            connection.execute_batch("BEGIN").unwrap();
            for leaf in &pages {
                overwrite(&connection, leaf).unwrap();
            }
            connection.execute_batch("COMMIT").unwrap();
            assert_eq!(all(&connection), before);
            let checked: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(checked, "ok");
            drop(connection);
            let file = text_of(&path);
            for (table, id) in erased {
                assert_eq!(copies(&file, table, id), 0, "{table} {id} of seed {seed}");
            }
            // Nor of any other row.
            for (table, id) in
                ["messages", "events"].into_iter().flat_map(|table| (1..=ROWS).map(move |id| (table, id)))
            {
                assert!(copies(&file, table, id) <= 1, "{table} {id} of seed {seed}");
            }
        }
        assert!(left > 0, "SQLite leaves nothing of rows that move any more: there is no need of this module");
    }
}
