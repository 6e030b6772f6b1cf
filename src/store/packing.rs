//! Texts that look like one another, compressed: with a dictionary of what receipts have in common, one takes some microseconds and a
//! fifth of its bytes or less.
//!
//! The first byte is the dictionary's number, the rest a frame of zstd.

use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Trained by scripts/train-dictionary.sh on receipts of `smscope simulate`. Texts are unreadable with any other one, so it never
/// changes; a better one would be the dictionary 2, with a new format of a fleet's requests (src/store/postgres/decoded.rs).
const DICTIONARY: &[u8] = include_bytes!("packing/dictionary-1.zstd");
const NUMBER: u8 = 1;

/// The fastest level that searches the dictionary.
const LEVEL: i32 = 1;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// # Errors
/// Those of zstd, for want of memory.
pub fn compress(text: &[u8]) -> io::Result<Vec<u8>> {
    let compressed = COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(new_compressor()?),
        };
        compressor.compress(text)
    })?;
    let mut packed = Vec::with_capacity(1 + compressed.len());
    packed.push(NUMBER);
    packed.extend_from_slice(&compressed);
    Ok(packed)
}

fn new_compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER)?;
    compressor.include_dictid(false)?;
    compressor.include_checksum(false)?;
    Ok(compressor)
}

/// # Errors
/// It was compressed by a newer version, or is damaged.
pub fn decompress(packed: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let (number, frame) = packed.split_first().ok_or_else(|| damaged("an empty packed text".to_owned()))?;
    if *number != NUMBER {
        return Err(damaged(format!("packed with dictionary {number}, which this version does not have")));
    }
    let length = match zstd::zstd_safe::get_frame_content_size(frame) {
        Ok(Some(length)) => length as usize,
        _ => return Err(damaged("a packed text without its length".to_owned())),
    };
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(Decompressor::with_prepared_dictionary(&DECODER)?),
        };
        // A length that is damaged is an error, and not the end of the process.
        let mut text = Vec::new();
        text.try_reserve_exact(length)?;
        decompressor.decompress_to_buffer(frame, &mut text)?;
        Ok(text)
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::event::hex;

    #[test]
    fn the_dictionary_is_the_one_that_stored_events_were_packed_with() {
        let digest: [u8; 32] = Sha256::digest(DICTIONARY).into();
        assert_eq!(hex(&digest), "e404914d7ec3af90b7dd2a87f503051e0ac76392d3724005e2696e10ab197705");
    }

    #[test]
    fn what_is_damaged_or_of_a_newer_version_is_an_error() {
        let packed = compress(b"{}").unwrap();
        assert_eq!(decompress(&packed).unwrap(), b"{}");
        for wrong in [&[][..], &[NUMBER], &packed[..packed.len() - 1], &[&[2], &packed[1..]].concat()] {
            assert!(decompress(wrong).is_err(), "{wrong:?}");
        }
    }
}
