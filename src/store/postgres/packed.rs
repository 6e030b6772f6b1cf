//! The packed form of a request: as the front door decoded it and as it came, in one compressed text.
//!
//! The text is the request as decoded ([`Decoded`](super::decoded::Decoded) as JSON; empty where something of it was erased), a line feed,
//! method, query (null where something of the request was erased) and content type as a JSON array, a line feed, and the body. No JSON
//! has a line feed.

use super::error::PgError;
use super::session::{Pipeline, columns};
use crate::store::Raw;
use crate::store::packing::{compress, decompress};

/// Where a request is stored: its batch's id and day in `received`, and its subscript there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    pub batch: i64,
    pub day: i32,
    pub index: i16,
}

/// `is_whole`: nothing of the request was erased. Else its query is not stored.
///
/// # Errors
/// Those of zstd, for want of memory.
pub fn pack(decoded: &str, raw: &Raw, is_whole: bool) -> Result<Vec<u8>, PgError> {
    let query = is_whole.then_some(&raw.query);
    let mut text = Vec::with_capacity(decoded.len() + raw.query.len() + raw.body.len() + 64);
    text.extend_from_slice(decoded.as_bytes());
    text.push(b'\n');
    serde_json::to_writer(&mut text, &(&raw.method, query, &raw.content_type)).map_err(unreadable)?;
    text.push(b'\n');
    text.extend_from_slice(&raw.body);
    compress(&text).map_err(unreadable)
}

/// A request that was packed.
pub struct Unpacked(Vec<u8>);

/// What was [`readable`](Unpacked::readable).
impl From<&str> for Unpacked {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// # Errors
/// It was packed by a newer version, or is damaged.
pub fn unpack(packed: &[u8]) -> Result<Unpacked, PgError> {
    decompress(packed).map(Unpacked).map_err(unreadable)
}

impl Unpacked {
    /// The request as decoded: JSON, or empty.
    ///
    /// # Errors
    /// It is no text.
    pub fn decoded(&self) -> Result<&str, PgError> {
        std::str::from_utf8(self.part(0)).map_err(unreadable)
    }

    /// The request as it came, and whether that is all of it: what was erased is empty.
    ///
    /// # Errors
    /// What is there is no request.
    pub fn raw(&self) -> Result<(Raw, bool), PgError> {
        let head: (String, Option<String>, Option<String>) =
            serde_json::from_slice(self.part(1)).map_err(unreadable)?;
        let (method, query, content_type) = head;
        let (is_whole, query) = (query.is_some(), query.unwrap_or_default());
        Ok((Raw { method, query, content_type, body: self.part(2).to_vec().into() }, is_whole))
    }

    /// All of it, for people: what is no text is replaced.
    pub fn readable(&self) -> String {
        String::from_utf8_lossy(&self.0).replace('\0', "\u{fffd}")
    }

    fn part(&self, at: usize) -> &[u8] {
        self.0.splitn(3, |byte| *byte == b'\n').nth(at).unwrap_or_default()
    }
}

/// The request of a column, if there is one, and whether that is all of it.
///
/// # Errors
/// It cannot be read.
pub fn raw(packed: Option<&[u8]>) -> Result<Option<(Raw, bool)>, PgError> {
    packed.map(|packed| unpack(packed)?.raw()).transpose()
}

/// The statement that deletes some requests.
pub fn delete(requests: impl IntoIterator<Item = RequestId>) -> Pipeline {
    let (mut batches, mut days, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
    for RequestId { batch, day, index } in requests {
        batches.push(batch);
        days.push(day);
        indexes.push(index);
    }
    Pipeline::of(
        "UPDATE smscope.received AS r SET requests = (\
           SELECT array_agg(CASE WHEN e.index <> ALL (d.indexes) THEN e.request END ORDER BY e.index) \
           FROM unnest(r.requests) WITH ORDINALITY AS e (request, index)) \
         FROM (SELECT id, day, array_agg(index) AS indexes FROM unnest($1::bigint[], $2::int[], $3::smallint[]) AS u (id, day, index) \
           GROUP BY id, day) AS d WHERE r.id = d.id AND r.day = d.day",
        columns![batches => INT8_ARRAY, days => INT4_ARRAY, indexes => INT2_ARRAY],
    )
}

pub fn unreadable(error: impl std::fmt::Display) -> PgError {
    PgError::Unreadable { table: "received", why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_as_it_was(
            decoded in "|\\{[^\n]{0,300}\\}",
            (method, query) in ("(GET|POST)", "\\PC{0,80}|a\n\0b"),
            content_type in prop::option::of("[a-z/;= \n]{0,40}"),
            body in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let raw = Raw { method, query, content_type, body: body.into() };
            let unpacked = unpack(&pack(&decoded, &raw, true).unwrap()).unwrap();
            prop_assert_eq!(unpacked.decoded().unwrap(), decoded);
            prop_assert_eq!(unpacked.raw().unwrap(), (raw.clone(), true));
            let redacted = unpack(&pack("", &raw, false).unwrap()).unwrap();
            prop_assert_eq!(redacted.decoded().unwrap(), "");
            prop_assert_eq!(redacted.raw().unwrap(), (Raw { query: String::new(), ..raw }, false));
        }
    }

    #[test]
    fn what_is_no_request_is_an_error_and_what_can_be_read_of_it_is_shown() {
        let unpacked = unpack(&compress(b"{\"a\":1}\0").unwrap()).unwrap();
        assert_eq!(unpacked.readable(), "{\"a\":1}\u{fffd}");
        assert!(unpacked.raw().is_err());
        assert!(unpack(&[]).is_err());
    }
}
