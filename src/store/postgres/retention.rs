//! What has passed its time.

use jiff::Timestamp;

use super::error::PgError;
use super::session::{Session, params};
use crate::store::core::STEP;
use crate::store::ids::MessageRowId;

/// The ids of messages that are pending since `before` or longer, up to a step of them.
///
/// # Errors
/// Those of the database.
pub async fn past_horizon(session: &Session, before: Timestamp) -> Result<Vec<MessageRowId>, PgError> {
    let (before, limit) = (before.as_millisecond(), STEP as i64);
    let sql = "SELECT message FROM smscope.pending WHERE first_seen <= $1 AND pending_since <= $1 LIMIT $2";
    let rows = session.query(sql, params![before => INT8, limit => INT8]).await?;
    Ok(rows.iter().map(|row| MessageRowId(row.get(0))).collect())
}
