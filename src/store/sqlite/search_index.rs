//! Finding messages by what a user knows of them: the provider's id, the recipient's number, a refClient.
//!
//! Each of these is random, so an index of it is written all over: each new message would dirty a page per key. And nothing but a
//! user's search reads it, so it can be late. So messages are indexed in runs: once the 2,048 rows of a run are there, their entries
//! are written at once, and the messages after the last run (`searchable_to` in `meta`) are searched by reading them.
//!
//! An entry has four bytes: some bits of the hash of a value, and the place of the message in its run. By other bits of the hash the
//! entries of a run are in one of 64 buckets, each of which is a row of `search_index`. The rows of a bucket are beside each other,
//! for their id is bucket and run. So a search reads one part of 64 of the table, and a run writes one page per bucket.
//!
//! An entry is a hint: a caller that follows it compares the values themselves.

use rusqlite::{Connection, OptionalExtension, params};

use super::meta;
use crate::number;
use crate::store::core::storage::MessageRow;
use crate::store::ids::MessageRowId;

/// Messages of a run, as their ids count them: fewer in tests, so that a few messages make several.
pub const RUN: i64 = if cfg!(test) { 8 } else { 1 << PLACE_BITS };
/// Bits of an entry that are the place of a message in its run. The rest is hash.
const PLACE_BITS: u32 = 11;
const BUCKET_BITS: u32 = 6;
const BUCKETS: i64 = 1 << BUCKET_BITS;
/// Bits of a row's id that are the first message of its run.
const RUN_BITS: u32 = 48;

/// A hash of a value that is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub i64);

impl Key {
    pub fn of_id(message_id: &str) -> Self {
        Self::of(b'i', message_id)
    }

    pub fn of_reference(ref_client: &str) -> Self {
        Self::of(b'r', ref_client)
    }

    /// Of all forms of a number the same. `None`: it is too short to be searched for.
    pub fn of_number(number: &str) -> Option<Self> {
        number::last_digits(number).map(|digits| Self::of(b'n', &digits))
    }

    /// FNV-1a, its bits mixed as murmur3 does it. SHA-256 would be a good part of what indexing takes, and nobody gains by two values
    /// with the same hash. Stored, so it never changes.
    fn of(kind: u8, value: &str) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in [kind].into_iter().chain(value.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
            hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
        }
        Self((hash ^ (hash >> 33)).cast_signed())
    }

    fn bucket(self) -> i64 {
        (self.0.cast_unsigned() >> (i64::BITS - BUCKET_BITS)).cast_signed()
    }

    fn entry(self, message: MessageRowId) -> u32 {
        let place = (message.0 - first_of_run(message)) as u32;
        ((self.0 as u32) << PLACE_BITS) | place
    }
}

fn first_of_run(message: MessageRowId) -> i64 {
    message.0 - message.0 % RUN
}

fn row_id(bucket: i64, first: i64) -> i64 {
    (bucket << RUN_BITS) | first
}

/// Up to this message all are in the index.
pub fn searchable_to(connection: &Connection) -> rusqlite::Result<MessageRowId> {
    Ok(meta::get(connection, "searchable_to")?.unwrap_or_default())
}

/// The messages in the index that may have this key.
pub fn find(connection: &Connection, key: Key) -> rusqlite::Result<Vec<MessageRowId>> {
    let wanted = key.entry(MessageRowId(0));
    let mut rows = connection.prepare_cached("SELECT id, entries FROM search_index WHERE id >= ?1 AND id < ?2")?;
    let mut rows = rows.query([row_id(key.bucket(), 0), row_id(key.bucket() + 1, 0)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let first = row.get::<_, i64>(0)? - row_id(key.bucket(), 0);
        for entry in entries(row.get_ref(1)?.as_blob()?) {
            if (entry ^ wanted) >> PLACE_BITS == 0 {
                found.push(MessageRowId(first + i64::from(entry ^ wanted)));
            }
        }
    }
    Ok(found)
}

/// The first message of the next run, if all of this are there.
pub fn next_run(connection: &Connection) -> rusqlite::Result<Option<MessageRowId>> {
    // Runs whose messages have all been deleted are passed over.
    let next: Option<MessageRowId> = connection
        .prepare_cached("SELECT id FROM messages WHERE id > ?1 ORDER BY id LIMIT 1")?
        .query_row([searchable_to(connection)?], |row| row.get(0))
        .optional()?;
    let Some(first) = next.map(first_of_run) else { return Ok(None) };
    let newest: i64 = connection.prepare_cached("SELECT max(id) FROM messages")?.query_row([], |row| row.get(0))?;
    Ok((newest >= first + RUN - 1).then_some(MessageRowId(first)))
}

/// Writes the entries of a run.
pub fn index_run(connection: &Connection, MessageRowId(first): MessageRowId) -> rusqlite::Result<()> {
    let mut buckets: Vec<Vec<u8>> = vec![Vec::new(); BUCKETS as usize];
    let last = first + RUN - 1;
    let mut rows = connection.prepare_cached(
        "SELECT id, message_id, number, ref_client FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let mut rows = rows.query([first, last])?;
    while let Some(row) = rows.next()? {
        let message = row.get(0)?;
        let (number, ref_client) = (row.get_ref(2)?.as_str_or_null()?, row.get_ref(3)?.as_str_or_null()?);
        for key in keys(row.get_ref(1)?.as_str()?, number, ref_client) {
            buckets[key.bucket() as usize].extend(key.entry(message).to_le_bytes());
        }
    }
    let mut insert = connection.prepare_cached("INSERT INTO search_index (id, entries) VALUES (?1, ?2)")?;
    for (bucket, entries) in (0..).zip(buckets).filter(|(_, entries)| !entries.is_empty()) {
        insert.execute(params![row_id(bucket, first), entries])?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('searchable_to', ?1)")?
        .execute([last])
        .map(drop)
}

/// A message whose row was `from` is found by what `to` has.
pub fn replace(connection: &Connection, id: MessageRowId, from: &MessageRow, to: &MessageRow) -> rusqlite::Result<()> {
    if id > searchable_to(connection)? {
        return Ok(());
    }
    let entries = |row: &MessageRow| -> Vec<(i64, u32)> {
        let keys = keys(&row.message_id, row.number.as_deref(), row.ref_client.as_deref());
        keys.map(|key| (key.bucket(), key.entry(id))).collect()
    };
    let (from, to) = (entries(from), entries(to));
    for (bucket, gone) in from.iter().filter(|entry| !to.contains(entry)) {
        edit(connection, row_id(*bucket, first_of_run(id)), |entries| entries.retain(|entry| entry != gone))?;
    }
    for (bucket, new) in to.iter().filter(|entry| !from.contains(entry)) {
        edit(connection, row_id(*bucket, first_of_run(id)), |entries| entries.push(*new))?;
    }
    Ok(())
}

/// Removes all entries of messages that have been deleted, which are in the order of their ids.
pub fn forget(connection: &Connection, messages: &[MessageRowId]) -> rusqlite::Result<()> {
    let searchable_to = searchable_to(connection)?;
    let indexed = messages.iter().take_while(|message| **message <= searchable_to).count();
    for run in messages[..indexed].chunk_by(|a, b| first_of_run(*a) == first_of_run(*b)) {
        let first = first_of_run(run[0]);
        let is_gone = |entry: &u32| {
            let place = i64::from(entry & ((1 << PLACE_BITS) - 1));
            run.binary_search(&MessageRowId(first + place)).is_ok()
        };
        for bucket in 0..BUCKETS {
            edit(connection, row_id(bucket, first), |entries| entries.retain(|entry| !is_gone(entry)))?;
        }
    }
    Ok(())
}

fn edit(connection: &Connection, id: i64, edit: impl FnOnce(&mut Vec<u32>)) -> rusqlite::Result<()> {
    let stored: Vec<u32> = connection
        .prepare_cached("SELECT entries FROM search_index WHERE id = ?1")?
        .query_row([id], |row| Ok(entries(row.get_ref(0)?.as_blob()?).collect()))
        .optional()?
        .unwrap_or_default();
    let mut edited = stored.clone();
    edit(&mut edited);
    if edited == stored {
        return Ok(());
    }
    if edited.is_empty() {
        return connection.prepare_cached("DELETE FROM search_index WHERE id = ?1")?.execute([id]).map(drop);
    }
    let bytes: Vec<u8> = edited.into_iter().flat_map(u32::to_le_bytes).collect();
    connection
        .prepare_cached("INSERT OR REPLACE INTO search_index (id, entries) VALUES (?1, ?2)")?
        .execute(params![id, bytes])
        .map(drop)
}

fn entries(blob: &[u8]) -> impl Iterator<Item = u32> {
    blob.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

fn keys(message_id: &str, number: Option<&str>, ref_client: Option<&str>) -> impl Iterator<Item = Key> {
    let number = number.and_then(Key::of_number);
    [Some(Key::of_id(message_id)), number, ref_client.map(Key::of_reference)].into_iter().flatten()
}
