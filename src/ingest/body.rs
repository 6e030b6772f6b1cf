//! Reading a body: bounded in bytes and time, before and after decompression.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};

use super::answer::Answer;

/// The whole body, decompressed. One that says it is gzip and is not comes as it is: it is kept all the same.
///
/// # Errors
/// Too large, too slow, or broken off.
pub async fn read(headers: &HeaderMap, body: Incoming, limit: usize, timeout: Duration) -> Result<Bytes, Answer> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Answer::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Err(_elapsed) => return Err(Answer::TooSlow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Answer::TooLarge),
        Ok(Err(_broken)) => return Err(Answer::BrokenBody),
        // Copied out of the connection's read buffer, which could not be used again while the event waits for the disk.
        Ok(Ok(collected)) => Bytes::copy_from_slice(&collected.to_bytes()),
    };
    let is_gzip = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip") || coding == "x-gzip");
    if is_gzip { gunzip(bytes, limit) } else { Ok(bytes) }
}

fn gunzip(bytes: Bytes, limit: usize) -> Result<Bytes, Answer> {
    let mut plain = Vec::new();
    match MultiGzDecoder::new(&bytes[..]).take(limit as u64 + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() > limit => Err(Answer::TooLarge),
        Ok(_) => Ok(plain.into()),
        Err(_not_gzip) => Ok(bytes),
    }
}
