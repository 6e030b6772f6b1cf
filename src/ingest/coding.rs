//! Content-Encoding: the codings that were applied to a body, undone in reverse.

use std::io::Read;

use brotli_decompressor::Decompressor;
use encoding_rs::Encoding;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::response::Rejection;

/// Codings of one body. No sender has a reason for three.
const MAX_CODINGS: usize = 4;

/// The window of zstd that each decoder has to support (RFC 8878, section 3.1.1.1.2), and that no frame may exceed.
const ZSTD_WINDOW: u64 = 8 << 20;

const BROTLI_BUFFER: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// A body as it was before it was encoded, of up to `limit` bytes after each step.
///
/// One that is plain JSON or a plain form for all that the header says is what it is: some proxies decompress and leave the header
/// as it was, and a receipt is worth more than a header.
///
/// # Errors
/// [`Rejection::UnsupportedEncoding`] for a coding that is not known, and for bytes that are not what it says; [`Rejection::TooLarge`].
pub fn decoded(headers: &HeaderMap, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, Rejection> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let codings = codings(headers).ok_or(Rejection::UnsupportedEncoding)?;
    let mut bytes = body;
    for coding in codings.into_iter().rev() {
        if bytes.is_empty() {
            break;
        }
        let Some(plain) = coding.undo(&bytes, limit) else {
            return if is_plain(&bytes) { Ok(bytes) } else { Err(Rejection::UnsupportedEncoding) };
        };
        if plain.len() > limit {
            return Err(Rejection::TooLarge);
        }
        bytes = plain;
    }
    Ok(bytes)
}

/// In the order in which they were applied, over all headers of the name; `None` if one is not known, or there are too many.
fn codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for header in headers.get_all(CONTENT_ENCODING) {
        for name in header.to_str().ok()?.split(',') {
            let name = name.trim().to_ascii_lowercase();
            codings.push(match name.as_str() {
                "" | "identity" | "none" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                // A character encoding, which belongs into Content-Type, encodes nothing.
                name if Encoding::for_label(name.as_bytes()).is_some() => continue,
                _ => return None,
            });
        }
    }
    (codings.len() <= MAX_CODINGS).then_some(codings)
}

impl Coding {
    /// The decoded bytes, up to one more than `limit`; `None` if they are not what the header says.
    fn undo(self, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
        match self {
            Coding::Gzip => gunzip(bytes, limit),
            // zlib by the standard; some senders leave out its frame, as the name suggests.
            Coding::Deflate => read(ZlibDecoder::new(bytes), limit).or_else(|| read(DeflateDecoder::new(bytes), limit)),
            Coding::Brotli => read(Decompressor::new(bytes, BROTLI_BUFFER), limit),
            Coding::Zstd => {
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(ZSTD_WINDOW);
                read(StreamingDecoder::new_with_decoder(bytes, decoder).ok()?, limit)
            }
        }
    }
}

/// All members; what follows them, and is none, is padding.
fn gunzip(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut member = GzDecoder::new(bytes);
    let mut plain = read(&mut member, limit)?;
    while plain.len() <= limit && member.get_ref().starts_with(&[0x1f, 0x8b]) {
        member = GzDecoder::new(member.into_inner());
        plain.extend(read(&mut member, limit - plain.len())?);
    }
    Some(plain)
}

fn read(reader: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// Whether it is text, and begins as JSON, a form or a multipart form does.
fn is_plain(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let name = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.[]%+".contains(c));
    text.starts_with(['{', '[', '"']) || text.starts_with("--") || (name.len() < text.len() && name.starts_with('='))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 10_000;
    const PLAIN: &[u8] = br#"{"messageId":"m","status":{"value":"DELIVERED"}}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// A stream with one block that is stored as it is (RFC 7932, section 9.2): a window of 16 bits, the length less one in 16, no
    /// more bits; then an empty last block.
    fn brotli(bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len() as u32 - 1;
        // 0: window of 16 bits; 0: not the last; 00: four nibbles of length; 1: stored.
        let head = (length << 4) | (1 << 20);
        [&head.to_le_bytes()[..3], bytes, &[3]].concat()
    }

    fn undone(codings: &[&str], body: &[u8]) -> Result<Vec<u8>, Rejection> {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
        }
        decoded(&headers, body.to_vec(), LIMIT)
    }

    #[test]
    fn each_coding_is_undone_and_each_list_of_them() {
        for (codings, body) in [
            (&[][..], PLAIN.to_vec()),
            (&["identity"], PLAIN.to_vec()),
            (&[""], PLAIN.to_vec()),
            (&["utf-8"], PLAIN.to_vec()),
            (&["gzip"], gzip(PLAIN)),
            (&["X-GZip"], gzip(PLAIN)),
            (&["gzip"], [gzip(&PLAIN[..7]), gzip(&PLAIN[7..])].concat()),
            (&["gzip"], [gzip(PLAIN), vec![0; 12]].concat()),
            (&["deflate"], zlib(PLAIN)),
            (&["Deflate"], deflate(PLAIN)),
            (&["br"], brotli(PLAIN)),
            (&["zstd"], zstd(PLAIN)),
            (&["gzip, identity"], gzip(PLAIN)),
            (&["identity , gzip ,"], gzip(PLAIN)),
            (&["gzip", "identity"], gzip(PLAIN)),
            (&["deflate, gzip"], gzip(&zlib(PLAIN))),
            (&["gzip", "br, zstd"], zstd(&brotli(&gzip(PLAIN)))),
        ] {
            assert_eq!(undone(codings, &body).as_deref(), Ok(PLAIN), "{codings:?}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_rejected_and_a_plain_body_is_read_whatever_its_header() {
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
        for (coding, body) in [
            ("compress", PLAIN.to_vec()),
            ("snappy", PLAIN.to_vec()),
            ("gzip, aws-chunked", gzip(PLAIN)),
            ("gzip, gzip, gzip, gzip, gzip", gzip(PLAIN)),
            ("gzip", b"plain words".to_vec()),
            ("gzip", zlib(PLAIN)),
            ("gzip", cut(gzip(PLAIN))),
            ("deflate", gzip(PLAIN)),
            ("deflate", cut(zlib(PLAIN))),
            ("br", cut(brotli(PLAIN))),
            ("zstd", cut(zstd(PLAIN))),
            ("zstd", gzip(PLAIN)),
            ("gzip, br", gzip(PLAIN)),
        ] {
            assert_eq!(undone(&[coding], &body), Err(Rejection::UnsupportedEncoding), "{coding}");
        }
        for coding in ["gzip", "deflate", "br", "zstd", "deflate, gzip"] {
            for plain in [PLAIN, b"\xef\xbb\xbf [1]", b"statut=11&smsID=a", b"--x\r\n", b""] {
                assert_eq!(undone(&[coding], plain).as_deref(), Ok(plain), "{coding}");
            }
        }
    }

    #[test]
    fn each_step_is_bounded() {
        let bomb = vec![b' '; LIMIT + 1];
        for (coding, body) in [
            ("gzip", gzip(&bomb)),
            ("gzip", [gzip(&bomb[..LIMIT / 2]), gzip(&bomb[..LIMIT / 2 + 1])].concat()),
            ("deflate", zlib(&bomb)),
            ("deflate", deflate(&bomb)),
            ("br", brotli(&bomb)),
            ("zstd", zstd(&bomb)),
            ("gzip, deflate", zlib(&vec![0; 1 << 20])),
        ] {
            assert_eq!(undone(&[coding], &body), Err(Rejection::TooLarge), "{coding}");
        }
        assert_eq!(undone(&["gzip"], &gzip(&bomb[..LIMIT])).map(|plain| plain.len()), Ok(LIMIT));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(body in prop::collection::vec(any::<u8>(), 0..200), flip in any::<prop::sample::Index>(), to in any::<u8>()) {
            for coding in ["gzip", "deflate", "br", "zstd", "br, gzip"] {
                let _any = undone(&[coding], &body);
            }
            for (coding, mut packed) in [("gzip", gzip(PLAIN)), ("deflate", zlib(PLAIN)), ("br", brotli(PLAIN)), ("zstd", zstd(PLAIN))] {
                let at = flip.index(packed.len());
                packed[at] = to;
                let read = undone(&[coding], &packed);
                prop_assert!(read.is_err() || read.is_ok_and(|plain| plain.len() <= LIMIT));
            }
        }
    }
}
