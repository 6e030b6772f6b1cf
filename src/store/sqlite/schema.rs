//! The schema, its version, and the steps from each earlier version. docs/store.md explains the tables to those who read them.

use std::cmp::Ordering;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::lookup;
use super::network_names::add_network_names;
use super::own_keys::add_own_keys;
use super::receipt_keys::move_to_messages;
use crate::event::plain_id;
use crate::number;
use crate::store::OpenError;
use crate::store::hash::short_hash;

/// Marks the file as ours: "smsc" in ASCII (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x736d_7363;

/// `MIGRATIONS[n]` leads from version n to version n + 1 (`PRAGMA user_version`). Only ever appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
    include_str!("schema/v6.sql"),
    include_str!("schema/v7.sql"),
    include_str!("schema/v8.sql"),
    include_str!("schema/v9.sql"),
    include_str!("schema/v10.sql"),
    include_str!("schema/v11.sql"),
    include_str!("schema/v12.sql"),
];

type Step = fn(&Connection) -> rusqlite::Result<()>;

/// What a migration does besides, where SQL alone cannot: by the version that it leads to.
const IN_CODE: &[(usize, Step)] = &[(7, add_network_names), (11, move_to_messages), (12, add_own_keys)];

/// Brings the database to the present version, each step in a transaction of its own.
///
/// # Errors
/// A database of another program, or one that a newer smscope has written.
pub fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma(connection, "application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::NotOurs);
    }
    let found = pragma(connection, "user_version")?;
    let newest = MIGRATIONS.len() as i64;
    if found > newest {
        return Err(OpenError::Newer { found, newest });
    }
    add_functions(connection)?;
    for (version, step) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        if let Some((_, run)) = IN_CODE.iter().find(|(to, _)| *to == version + 1) {
            run(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// What the steps ask of this program: keys are hashes, and spellings have rules.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("message_key", 3, flags, |context| {
        let texts: [String; 3] = [context.get(0)?, context.get(1)?, context.get(2)?];
        Ok(short_hash(&texts.each_ref().map(String::as_str)))
    })?;
    connection.create_scalar_function("id_key", 2, flags, |context| {
        let (source, message_id): (String, String) = (context.get(0)?, context.get(1)?);
        Ok(lookup::id_key(&source, &message_id))
    })?;
    connection.create_scalar_function("plain_id", 1, flags, |context| Ok(plain_id(context.get(0)?)))?;
    connection.create_scalar_function("plain_number", 1, flags, |context| Ok(number::plain(&context.get::<String>(0)?)))
}

/// Makes an empty database of an earlier version.
#[cfg(test)]
pub fn make_version(connection: &Connection, version: usize) {
    add_functions(connection).unwrap();
    for (at, step) in MIGRATIONS[..version].iter().enumerate() {
        connection.execute_batch(step).unwrap();
        for (_, run) in IN_CODE.iter().filter(|(to, _)| *to == at + 1) {
            run(connection).unwrap();
        }
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", version as i64).unwrap();
}

/// Whether the database is of the present version, for those who only read.
///
/// # Errors
/// It is not, or not ours.
pub fn check(connection: &Connection) -> Result<(), OpenError> {
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != i64::from(APPLICATION_ID) {
        return Err(OpenError::NotOurs);
    }
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let newest = MIGRATIONS.len() as i64;
    match found.cmp(&newest) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(OpenError::Newer { found, newest }),
        Ordering::Less => Err(OpenError::Older { found, newest }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::packing;
    use super::*;
    use crate::event::hex;

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = migrated();
        migrate(&mut connection).unwrap();
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, MIGRATIONS.len() as i64);
    }

    #[test]
    fn a_database_of_each_earlier_version_becomes_what_a_new_one_is() {
        let made = |connection: &Connection| -> Vec<(String, String)> {
            let mut statement =
                connection.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let new = made(&migrated());
        for version in 1..MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            make_version(&connection, version);
            migrate(&mut connection).unwrap();
            assert_eq!(made(&connection), new, "from {version}");
        }
    }

    #[test]
    fn what_waits_in_an_earlier_store_waits_on_under_the_new_words() {
        let mut connection = Connection::open_in_memory().unwrap();
        make_version(&connection, 9);
        connection
            .execute_batch(
                "INSERT INTO relay_deliveries (relay, event, lane, state, due_at, since, attempts) \
                 VALUES ('app', 1, 7, 'due', 1, 1, 0), ('app', 2, 7, 'behind', 1, 1, 0); \
                 INSERT INTO resends (rule, source, message, event, attempt, state, due_at, until, asked_at) \
                 VALUES ('absent', 'smsmode', 1, 1, 1, 'asked', 1, 9, 5)",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let delivery = "SELECT state FROM relay_deliveries WHERE ordering_key = 7 ORDER BY id DESC LIMIT 1";
        let state: String = connection.query_row(delivery, [], |row| row.get(0)).unwrap();
        let resend = "SELECT state, deadline, requested_at FROM resends";
        let resend: (String, i64, i64) =
            connection.query_row(resend, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!((state.as_str(), resend), ("blocked", ("requested".to_owned(), 9, 5)));
    }

    #[test]
    fn events_receipts_and_counters_of_an_earlier_store_are_found_in_their_new_places() {
        let mut connection = Connection::open_in_memory().unwrap();
        make_version(&connection, 10);
        connection
            .execute_batch(
                "INSERT INTO messages (id, key, source, message_id, part, state, channel, flow, country, accepted_at, first_seen, \
                 pending_since, last_event) VALUES (1, 11, 's', 'a', '', 'read', 'SMS', 'OTP', 'FR', 1, 1, 1, 3), \
                 (2, 12, 's', 'b', '', 'enroute', 'SMS', 'OTP', 'FR', 1, 1, 1, 1); \
                 INSERT INTO receipt_keys VALUES (1, 7), (1, -8), (2, 9); \
                 INSERT INTO events (id, received_at, source, kind, message, event) VALUES \
                 (1, 1, 's', 'message.enroute', 1, '{\"status\":\"ENROUTE\"}'), (2, 1, 's', 'message.enroute', 2, '{}'), \
                 (3, 2, 's', 'message.delivered', 1, '{}'), (4, 3, 's', 'reply.received', NULL, '{}'), (5, 3, 's', 'message.read', 1, '{}'); \
                 INSERT INTO ledger VALUES ('sms_messages_total', '{}', 2), ('sms_messages_read_total', '{}', 1)",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let rows = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(rows("SELECT id || ' ' || newest_event FROM messages ORDER BY id"), ["1 5", "2 2"]);
        assert_eq!(
            rows("SELECT id || ' ' || previous FROM events WHERE previous IS NOT NULL ORDER BY id"),
            ["3 1", "5 3"]
        );
        let keys = [(-8i64, 7i64)].map(|(a, b)| format!("1 {}", hex(&[a.to_le_bytes(), b.to_le_bytes()].concat())));
        let of_first = rows("SELECT id || ' ' || lower(hex(receipts)) FROM messages WHERE id = 1");
        assert_eq!(of_first, keys, "in the order of the table");
        assert_eq!(
            rows("SELECT metric || ' ' || value FROM ledger ORDER BY metric"),
            ["sms_messages_read_total 1", "sms_messages_total 2"]
        );
        assert_eq!(rows("SELECT coalesce(status, '-') FROM event_log WHERE id < 3"), ["ENROUTE", "-"]);
    }

    #[test]
    fn events_of_an_earlier_store_that_are_not_found_by_their_message_have_keys() {
        let mut connection = Connection::open_in_memory().unwrap();
        make_version(&connection, 11);
        connection
            .execute_batch(
                "INSERT INTO messages (id, key, source, message_id, part, state, channel, flow, country, number, ref_client, \
                 accepted_at, first_seen, pending_since, last_event) \
                 VALUES (1, 11, 's', 'a', '', 'read', 'SMS', 'OTP', 'FR', '33612345678', 'order-1', 1, 1, 1, 3); \
                 INSERT INTO events (id, received_at, source, kind, message, event) VALUES \
                 (1, 1, 's', 'message.enroute', 1, '{\"number\":\"33612345678\"}'), \
                 (2, 1, 's', 'message.read', 1, '{\"number\":\"33612345678\",\"ref_client\":\"order-2\"}'), \
                 (3, 1, 's', 'reply.received', NULL, '{\"number\":\"33612345678\"}'), \
                 (4, 1, 's', 'message.read', 9, '{\"ref_client\":\"order-9\"}'), \
                 (5, 1, 's', 'webhook.unrecognized', NULL, '{}'), (6, 1, 's', 'message.read', 1, '{}')",
            )
            .unwrap();
        let packed = packing::pack(r#"{"number":"33687654321","ref_client":"order-1"}"#, None);
        connection.execute("UPDATE events SET packed = ?1 WHERE id = 6", [packed]).unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection
            .prepare("SELECT id, number_key IS NOT NULL, ref_key IS NOT NULL FROM events WHERE number_key OR ref_key")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let with_keys: Vec<(i64, bool, bool)> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(with_keys, [(2, true, true), (3, true, false), (4, false, true), (6, true, true)]);
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let mut connection = migrated();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut connection), Err(OpenError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(migrate(&mut connection), Err(OpenError::NotOurs)));
    }
}
