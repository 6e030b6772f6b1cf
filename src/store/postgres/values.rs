//! Columns: what a row has, and how it becomes a value.

use bytes::BytesMut;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::error::PgError;
use crate::record::Position;
use crate::store::ids::{DeliveryId, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, ReceiptKey, ResendId};

type Failure = Box<dyn std::error::Error + Sync + Send>;

macro_rules! integers {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, r#type: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                self.0.to_sql(r#type, out)
            }

            fn accepts(r#type: &Type) -> bool {
                <i64 as ToSql>::accepts(r#type)
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(r#type: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
                i64::from_sql(r#type, raw).map($name)
            }

            fn accepts(r#type: &Type) -> bool {
                <i64 as FromSql>::accepts(r#type)
            }
        }
    )*};
}

integers!(DeliveryId, KeyedHash, MessageRowId, OptOutSeq, OrderingKey, Position, ReceiptKey, ResendId);

/// Reads the columns of a row, one after the other.
pub struct Columns<'a> {
    row: &'a Row,
    table: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    /// Those from `first` on.
    pub fn of(table: &'static str, row: &'a Row, first: usize) -> Self {
        Self { row, table, next: first }
    }

    /// The next column.
    pub fn get<T: FromSql<'a>>(&mut self) -> Result<T, PgError> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| self.unreadable(&error))
    }

    pub fn time(&mut self) -> Result<Timestamp, PgError> {
        let milliseconds = self.get()?;
        self.timestamp(milliseconds)
    }

    pub fn optional_time(&mut self) -> Result<Option<Timestamp>, PgError> {
        self.get::<Option<i64>>()?.map(|milliseconds| self.timestamp(milliseconds)).transpose()
    }

    /// A word, which stands for a value.
    pub fn word<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Result<T, PgError> {
        let word: &str = self.get()?;
        read(word).ok_or_else(|| self.unreadable(&format_args!("unexpected {word:?}")))
    }

    /// A number that is never negative.
    pub fn count(&mut self) -> Result<u32, PgError> {
        let count: i32 = self.get()?;
        u32::try_from(count).map_err(|error| self.unreadable(&error))
    }

    pub fn optional_count(&mut self) -> Result<Option<u32>, PgError> {
        let count: Option<i32> = self.get()?;
        count.map(|count| u32::try_from(count).map_err(|error| self.unreadable(&error))).transpose()
    }

    pub fn unreadable(&self, why: &dyn std::fmt::Display) -> PgError {
        PgError::Unreadable { table: self.table, why: why.to_string() }
    }

    fn timestamp(&self, milliseconds: i64) -> Result<Timestamp, PgError> {
        Timestamp::from_millisecond(milliseconds).map_err(|error| self.unreadable(&error))
    }
}

/// A number of a column that holds no larger ones.
pub fn int4(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
