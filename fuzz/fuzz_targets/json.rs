//! JSON, damaged or not: whatever strict reading accepts is read the same, strictly and leniently, and what was read can be written and
//! read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Number, Value};
use smscope::json;

/// The same, digits that a float has lost aside, and its last one: serde_json reads no float more exactly.
fn is_same(strict: &Value, read: &Value) -> bool {
    match (strict, read) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= 2.0 * f64::EPSILON * a.abs())
        }
        (Value::Number(number), Value::String(digits)) => serde_json::from_str::<Number>(digits).is_ok_and(|n| n == *number),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && is_same(a, b))
        }
        _ => strict == read,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let read = json::read(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(strict) = serde_json::from_str::<Value>(text)
    {
        let read = read.as_ref().expect("strict reading accepts it");
        assert!(!read.repaired && read.documents.len() == 1, "{read:?}");
        assert!(is_same(&strict, &read.documents[0].value) && !read.documents[0].truncated, "{read:?}");
        if let Some(lenient) = json::read_leniently(text) {
            assert!(lenient.len() == 1 && is_same(&strict, &lenient[0].value) && !lenient[0].truncated, "{lenient:?}");
        }
    }
    for document in read.map_or_else(|_| Vec::new(), |read| read.documents) {
        let again = json::read(document.value.to_string().as_bytes()).expect("it was written by us");
        assert!(!again.repaired && is_same(&again.documents[0].value, &document.value), "{again:?}");
    }
});
