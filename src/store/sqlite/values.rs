//! Columns that are not of a type of SQLite.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};

use super::search_index::Key;
use crate::record::Position;
use crate::store::ids::{DeliveryId, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, ReceiptKey, ResendId};

macro_rules! integers {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map($name)
            }
        }
    )*};
}

integers!(DeliveryId, Key, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, Position, ReceiptKey, ResendId);

/// Reads a time column.
pub fn timestamp(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// The error of a column whose text cannot be what it should be.
pub fn unreadable(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// Reads a column of words, each of which stands for a value.
pub fn word<T>(row: &rusqlite::Row<'_>, column: usize, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let word = row.get_ref(column)?.as_str()?;
    read(word).ok_or_else(|| unreadable(column, format!("unexpected {word:?}")))
}
