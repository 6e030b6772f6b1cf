//! The packed form in which the table `received` has requests: the number of a dictionary, and a frame of zstd.

use zstd::bulk::{Compressor, Decompressor};

use crate::fleet::Fleet;

const DICTIONARY: &[u8] = include_bytes!("../../src/store/packing/dictionary-1.zstd");
const NUMBER: u8 = 1;
/// No request of these tests is longer.
const LONGEST: usize = 1 << 20;

/// In hexadecimal, a request that is decoded so and came with no query and no body.
pub fn pack(decoded: &str) -> String {
    let text = format!("{decoded}\n[\"GET\",\"\",null]\n");
    let frame = Compressor::with_dictionary(1, DICTIONARY).unwrap().compress(text.as_bytes()).unwrap();
    std::iter::once(NUMBER).chain(frame).map(|byte| format!("{byte:02x}")).collect()
}

/// A request decoded and as it came, in lines.
pub fn unpack(packed: &[u8]) -> String {
    let (number, frame) = packed.split_first().unwrap();
    assert_eq!(*number, NUMBER);
    let text = Decompressor::with_dictionary(DICTIONARY).unwrap().decompress(frame, LONGEST).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// All requests of a fleet that are stored.
pub fn stored(fleet: &Fleet) -> Vec<Vec<u8>> {
    let rows = fleet.sql(
        "SELECT encode(request, 'hex') FROM smscope.received, unnest(requests) AS request WHERE request IS NOT NULL",
    );
    rows.lines().map(from_hex).collect()
}

/// What a file that has a packed request contains once it is read as text. It begins and ends with ASCII, so that what stands beside it
/// in the file is read by itself.
pub fn in_a_file(packed: &[u8]) -> String {
    let end = packed.iter().rposition(u8::is_ascii).unwrap();
    String::from_utf8_lossy(&packed[..=end]).into_owned()
}

fn from_hex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}
