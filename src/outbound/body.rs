//! The body of a response, read up to a limit.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::HeaderMap;
use hyper::http::header::CONTENT_ENCODING;

/// What was read of a response.
pub struct Received {
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
    /// Whether `body` is all of it.
    pub is_whole: bool,
}

/// Reads up to `limit` bytes of `body`.
///
/// # Errors
/// The connection broke.
pub async fn receive(mut body: Incoming, limit: usize) -> hyper::Result<Received> {
    let mut read = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if data.len() > limit - read.len() => {
                read.extend_from_slice(&data[..limit - read.len()]);
                return Ok(Received { body: read.freeze(), trailers, is_whole: false });
            }
            Ok(data) => read.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    }
    Ok(Received { body: read.freeze(), trailers, is_whole: true })
}

impl Received {
    /// Decompresses it, if its Content-Encoding is known. Gives whether it was compressed.
    pub fn decompress(&mut self, head: &HeaderMap, limit: usize) -> bool {
        let encoding = head.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
        let encoding = encoding.trim().to_ascii_lowercase();
        let plain = match encoding.as_str() {
            "" | "identity" => return false,
            "gzip" | "x-gzip" => bounded(MultiGzDecoder::new(&self.body[..]), limit),
            "deflate" => bounded(ZlibDecoder::new(&self.body[..]), limit),
            _ => None,
        };
        match plain {
            Some((plain, is_whole)) => (self.body, self.is_whole) = (plain.into(), self.is_whole && is_whole),
            None => (self.body, self.is_whole) = (Bytes::new(), false),
        }
        true
    }
}

/// Up to `limit` bytes, and whether these are all; `None` if nothing can be read.
fn bounded(decoder: impl Read, limit: usize) -> Option<(Vec<u8>, bool)> {
    let mut plain = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut plain);
    let is_whole = read.is_ok() && plain.len() <= limit;
    plain.truncate(limit);
    (is_whole || !plain.is_empty()).then_some((plain, is_whole))
}
