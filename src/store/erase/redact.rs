//! What is left of a person's events: keys, outcome and labels.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::People;
use crate::event::{Receipt, plain_id};
use crate::record::Record;

/// A receipt of a message whose recipient has been erased.
pub fn receipt(receipt: &Receipt) -> Receipt {
    Receipt { number: None, originator: None, ref_client: None, text: None, ..receipt.clone() }
}

/// Takes out of a record what tells of the person.
pub fn record(record: &mut Record, people: &People) {
    let source = record.source.as_str().to_owned();
    for words in [&mut record.status, &mut record.detail, &mut record.network] {
        if words.as_deref().is_some_and(|words| people.are_in_text(&source, words)) {
            *words = None;
        }
    }
    for personal in
        [&mut record.number, &mut record.originator, &mut record.ref_client, &mut record.text, &mut record.trace]
    {
        *personal = None;
    }
    // Its reference may be the person's.
    record.answers = None;
    record.erased = true;
}

/// What stays of a request with several events: all of it but the elements in which the person's number or one of their `ids` is.
/// `None` when it is no such request, or when they are still in it after that.
pub fn array(source: &str, body: &[u8], people: &People, ids: &HashSet<String>) -> Option<Vec<u8>> {
    let Ok(Value::Array(mut elements)) = serde_json::from_slice(body) else { return None };
    for element in &mut elements {
        if people.are_in_json(source, element) || has_one_of(element, ids) {
            *element = json!({ "erased": true });
        }
    }
    Some(Value::from(elements).to_string().into_bytes())
}

/// Whether one of the ids stands in it.
pub fn has_one_of(value: &Value, ids: &HashSet<String>) -> bool {
    match value {
        Value::String(text) => ids.contains(text.trim()) || ids.contains(&plain_id(text.trim().to_owned())),
        Value::Number(number) => ids.contains(&number.to_string()),
        Value::Array(values) => values.iter().any(|value| has_one_of(value, ids)),
        Value::Object(members) => members.values().any(|value| has_one_of(value, ids)),
        Value::Bool(_) | Value::Null => false,
    }
}
