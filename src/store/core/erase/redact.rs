//! What is left of a person's events: keys, outcome and labels.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Subjects;
use crate::event::{Receipt, plain_id};
use crate::json;
use crate::record::Record;

/// The member that each message of REST v1 has, however it is encoded or wrapped.
const MESSAGE_ID: &[u8] = b"messageId";

/// A receipt of a message whose recipient has been erased.
pub fn receipt(receipt: &Receipt) -> Receipt {
    Receipt { number: None, originator: None, ref_client: None, text: None, ..receipt.clone() }
}

/// Takes out of a record what tells of the person.
pub fn record(record: &mut Record, subjects: &Subjects) {
    let source = record.source.as_str().to_owned();
    for words in [&mut record.status, &mut record.detail, &mut record.network] {
        if words.as_deref().is_some_and(|words| subjects.are_in_text(&source, words)) {
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

/// Whether a request may hold several events, in whatever it is wrapped.
pub fn may_hold_several(body: &[u8]) -> bool {
    let ids = || body.windows(MESSAGE_ID.len()).filter(|window| *window == MESSAGE_ID).take(2).count();
    body.trim_ascii_start().starts_with(b"[") || ids() == 2
}

/// What stays of a request with several events, in a JSON array or a document a line: all of it but those in which the person's number
/// or one of their `ids` is. `None` for any other request: all of it is deleted.
pub fn elements(source: &str, body: &[u8], subjects: &Subjects, ids: &HashSet<String>) -> Option<Vec<u8>> {
    let mut documents: Vec<Value> = json::read(body).ok()?.documents.into_iter().map(|read| read.value).collect();
    let forget = |element: &mut Value| {
        if subjects.are_in_json(source, element) || has_one_of(element, ids) {
            *element = json!({ "erased": true });
        }
    };
    match &mut documents[..] {
        [Value::Array(elements)] => elements.iter_mut().for_each(forget),
        [_] => return None,
        documents => documents.iter_mut().for_each(forget),
    }
    let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
    // What was repaired may have lost digits that stood in the text, not the other way round.
    Some(lines.join("\n").into_bytes())
}

/// Whether one of the ids stands in a request.
pub fn names_one_of(body: &[u8], ids: &HashSet<String>) -> bool {
    if json::looks_like_json(body)
        && let Ok(read) = json::read(body)
        && read.documents.iter().any(|document| has_one_of(&document.value, ids))
    {
        return true;
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode(body).collect();
    let is_of_an_id = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    String::from_utf8_lossy(&decoded).split(|c| !is_of_an_id(c)).any(|word| ids.contains(word))
}

/// Whether one of the ids stands in it.
fn has_one_of(value: &Value, ids: &HashSet<String>) -> bool {
    match value {
        Value::String(text) => ids.contains(text.trim()) || ids.contains(&plain_id(text.trim().to_owned())),
        Value::Number(number) => ids.contains(&number.to_string()),
        Value::Array(values) => values.iter().any(|value| has_one_of(value, ids)),
        Value::Object(members) => members.values().any(|value| has_one_of(value, ids)),
        Value::Bool(_) | Value::Null => false,
    }
}
