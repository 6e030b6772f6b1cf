//! The step to schema 11: the keys of receipts move from their own table to the row of their message.

use rusqlite::{Connection, params};

use super::messages::to_blob;
use crate::store::ids::{MessageRowId, ReceiptKey};

pub fn move_to_messages(connection: &Connection) -> rusqlite::Result<()> {
    let mut put = connection.prepare("UPDATE messages SET receipts = ?2 WHERE id = ?1")?;
    let mut put = |message: Option<MessageRowId>, keys: &mut Vec<ReceiptKey>| -> rusqlite::Result<()> {
        if let Some(message) = message {
            put.execute(params![message, to_blob(keys)])?;
        }
        keys.clear();
        Ok(())
    };
    let mut rows = connection.prepare("SELECT message, key FROM receipt_keys ORDER BY message")?;
    let mut rows = rows.query([])?;
    let (mut message, mut keys) = (None, Vec::new());
    while let Some(row) = rows.next()? {
        let of = Some(row.get(0)?);
        if of != message {
            put(message, &mut keys)?;
            message = of;
        }
        keys.push(row.get(1)?);
    }
    put(message, &mut keys)?;
    connection.execute_batch("DROP TABLE receipt_keys")
}
