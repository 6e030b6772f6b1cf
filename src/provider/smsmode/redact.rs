//! A webhook without the message's text, for an operator who stores none.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::Value;

use super::content::MAX_LEVEL;
use super::{multipart, text};
use crate::json::{self, Documents, Unreadable};
use crate::provider::Webhook;

/// What may stay of a `body` in REST v1: what a message is made of, not what it says.
const BODY_MEMBERS: [&str; 6] = ["type", "encoding", "messagePartCount", "length", "stop", "contentType"];

/// The legacy parameter with the text of a reply.
const LEGACY_TEXT: &str = "message";

/// Members that are a text where they hold no message.
const TEXTS: [&str; 3] = ["body", "text", LEGACY_TEXT];

/// Query and body without texts, in each form in which the decoder finds them; of JSON at any depth, so that a shape which is not
/// recognized loses them too. What is neither JSON nor parameters cannot be read, so it stays as it is.
pub(super) fn without_text<'a>(webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>) {
    let query = match query(webhook.query.as_bytes()) {
        Some(changed) => Cow::Owned(String::from_utf8_lossy(&changed).into_owned()),
        None => webhook.query.into(),
    };
    (query, body(webhook).map_or(webhook.body.into(), Cow::Owned))
}

/// As the functions below: `None` where there is no text.
fn query(query: &[u8]) -> Option<Vec<u8>> {
    json_in_form(query, 0).unwrap_or_else(|| pairs(&text::pairs(&text::whole(query)), 0))
}

fn body(webhook: &Webhook<'_>) -> Option<Vec<u8>> {
    let body = super::trimmed(webhook.body);
    if let Some(parts) = multipart::parts(webhook.content_type, body) {
        return parts_without_text(body, &parts);
    }
    match json::read(body) {
        Ok(documents) => documents_without_text(documents, 0),
        // It is not searched for texts, so nothing of it stays.
        Err(Unreadable::TooManyValues) => Some(Vec::new()),
        Err(Unreadable::NotJson) => form(body, 0),
    }
}

fn parts_without_text(body: &[u8], parts: &[multipart::Part]) -> Option<Vec<u8>> {
    let (mut changed, mut at) = (Vec::new(), 0);
    for part in parts {
        let value = text::decoded(&body[part.value.clone()]);
        if let Some(value) = field(&part.name, &value, 0) {
            changed.extend_from_slice(&body[at..part.value.start]);
            changed.extend_from_slice(value.as_bytes());
            at = part.value.end;
        }
    }
    if at == 0 {
        return None;
    }
    changed.extend_from_slice(&body[at..]);
    Some(changed)
}

/// Several documents are lines again.
fn documents_without_text(documents: Documents, level: usize) -> Option<Vec<u8>> {
    let mut values: Vec<Value> = documents.documents.into_iter().map(|document| document.value).collect();
    let has_changed = values.iter_mut().fold(false, |changed, value| take_texts(value, level) | changed);
    let lines = || values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    has_changed.then(|| lines().into_bytes())
}

/// Whether anything was removed.
fn take_texts(value: &mut Value, level: usize) -> bool {
    match value {
        Value::Array(elements) => elements.iter_mut().fold(false, |taken, element| take_texts(element, level) | taken),
        Value::Object(members) => {
            members.iter_mut().fold(false, |taken, (name, member)| take_text(name, member, level) | taken)
        }
        Value::String(text) => match written(text, level + 1) {
            Some(changed) => {
                *text = changed;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn take_text(name: &str, member: &mut Value, level: usize) -> bool {
    match member {
        Value::Null => false,
        _ if !TEXTS.contains(&name) || holds_message(member) => take_texts(member, level),
        Value::Object(body) if name == "body" => {
            let before = body.len();
            body.retain(|name, _| BODY_MEMBERS.contains(&name.as_str()));
            body.len() < before
        }
        Value::Object(_) | Value::Array(_) if name != "body" => take_texts(member, level),
        // A text that stands where its object should.
        member => {
            *member = Value::Null;
            true
        }
    }
}

/// Whether a message is in a member that could also be a text.
fn holds_message(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(holds_message),
        Value::Object(members) => {
            ["messageId", "statut", "emetteur"].iter().any(|name| members.contains_key(*name))
                || members.iter().any(|(name, member)| name != "text" && holds_message(member))
        }
        Value::String(text) => is_message(text),
        _ => false,
    }
}

/// Whether a text is a message of the provider's and not one of a person.
fn is_message(text: &str) -> bool {
    let text = text.trim();
    let is_written = json::looks_like_json(text.as_bytes()) || text.starts_with('%');
    let parameter = |name: &str| text::form(text.as_bytes()).iter().any(|(found, _)| text::folded(found) == name);
    (is_written && text.contains("messageId"))
        || (text::looks_like_form(text.as_bytes()) && (parameter("statut") || parameter("emetteur")))
}

/// A text that is JSON or a form, without the texts in it.
fn written(text: &str, level: usize) -> Option<String> {
    let text = text.trim();
    if level > MAX_LEVEL {
        return None;
    }
    if json::looks_like_json(text.as_bytes()) {
        return match json::read(text.as_bytes()) {
            Ok(documents) => {
                documents_without_text(documents, level).map(|json| String::from_utf8_lossy(&json).into_owned())
            }
            Err(_) => Some(String::new()),
        };
    }
    if text.starts_with('%') {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        let changed = written(&text::decoded(&bytes), level + 1)?;
        return Some(encoded(&changed));
    }
    let form = text::looks_like_form(text.as_bytes()).then(|| form(text.as_bytes(), level))??;
    Some(String::from_utf8_lossy(&form).into_owned())
}

/// Parameters without texts.
fn form(parameters: &[u8], level: usize) -> Option<Vec<u8>> {
    json_in_form(parameters, level)
        .unwrap_or_else(|| pairs(&parameters.split(|b| *b == b'&').collect::<Vec<_>>(), level))
}

/// The same where JSON stands in them as it is; `None` where none does.
fn json_in_form(parameters: &[u8], level: usize) -> Option<Option<Vec<u8>>> {
    let json = text::unencoded_json(parameters)?;
    let documents = json::read(json).ok()?;
    let is_whole = documents.documents.iter().all(|document| !document.truncated);
    let name = &parameters[..parameters.len() - json.len()];
    is_whole.then(|| documents_without_text(documents, level).map(|json| [name, &json].concat()))
}

fn pairs(pairs: &[&[u8]], level: usize) -> Option<Vec<u8>> {
    let mut has_changed = false;
    let mut pair = |pair: &[u8]| -> Vec<u8> {
        let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let (name, value) = (text::decoded_part(&pair[..equals]), pair.get(equals + 1..).map(text::decoded_part));
        let changed = value.and_then(|value| field(&name, &value, level));
        let renamed = written(&name, level + 1);
        has_changed |= changed.is_some() || renamed.is_some();
        let mut rest = renamed.map_or(pair[..equals].to_vec(), |name| encoded(&name).into_bytes());
        match changed {
            Some(value) => rest.extend([b"=", encoded(&value).as_bytes()].concat()),
            None => rest.extend_from_slice(&pair[equals..]),
        }
        rest
    };
    let pairs: Vec<Vec<u8>> = pairs.iter().map(|one| pair(one)).collect();
    has_changed.then(|| pairs.join(&b'&'))
}

/// The value of a parameter without its text.
fn field(name: &str, value: &str, level: usize) -> Option<String> {
    match text::folded(name) == LEGACY_TEXT && !is_message(value) {
        true => Some(String::new()),
        false => written(value, level + 1),
    }
}

fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(query: &str, body: &str) -> (String, String) {
        let (query, body) = without_text(&Webhook { query, content_type: None, body: body.as_bytes() });
        (query.into_owned(), String::from_utf8(body.into_owned()).unwrap())
    }

    #[test]
    fn texts_are_taken_out_wherever_they_stand_and_the_rest_stays() {
        for (body, expected) in [
            (
                r#"{"body":{"text":"secret","messagePartCount":2},"messageId":"m"}"#,
                r#"{"body":{"messagePartCount":2},"messageId":"m"}"#,
            ),
            (r#"{"body":{"type":"LOCATION","latitude":48.1,"longitude":2.3}}"#, r#"{"body":{"type":"LOCATION"}}"#),
            (
                r#"{"body":{"type":"FILE","fileUrl":"secret","filename":"secret","contentType":"a/b"}}"#,
                r#"{"body":{"contentType":"a/b","type":"FILE"}}"#,
            ),
            (r#"{"body":{"postbackData":"secret","later":"secret"}}"#, r#"{"body":{}}"#),
            (r#"{"body":"secret"}"#, r#"{"body":null}"#),
            (r#"{"body":["secret"]}"#, r#"{"body":null}"#),
            (r#"{"text":"secret"}"#, r#"{"text":null}"#),
            (
                r#"[{"body":{"text":"secret"}},{"deep":[{"body":{"text":"secret"}}]}]"#,
                r#"[{"body":{}},{"deep":[{"body":{}}]}]"#,
            ),
            ("numero=36111&Message=secret+secret&emetteur=33612345678", "numero=36111&Message=&emetteur=33612345678"),
            ("%6dessage=secret&statut=11", "%6dessage=&statut=11"),
        ] {
            let (_, stored) = redacted("", body);
            assert_eq!(stored, expected, "{body}");
        }
        for (query, expected) in [
            ("a=1&message=secret", "a=1&message="),
            ("a=1?message=secret", "a=1&message="),
            ("a=1&amp;message=secret", "a=1&amp;message="),
            ("a%3D1%26message%3Dsecret%26b%3D2", "a=1&message=&b=2"),
        ] {
            assert_eq!(redacted(query, "").0, expected);
        }
    }

    #[test]
    fn texts_are_taken_out_of_each_form_in_which_messages_are_read() {
        let message = r#"{"messageId":"m","body":{"text":"secret","length":6},"status":{"value":"READ"}}"#;
        let nested = serde_json::Value::from(message).to_string();
        let legacy = "statut=11&smsID=a&message=secret";
        for body in [
            message.replace("secret", "secret\\ud83d"),
            message.replace("secret", "secret\n"),
            message.replace("secret", "a \"secret\" b"),
            message[..message.find(",\"length").unwrap()].to_owned(),
            format!("{message}\0"),
            format!("{message}\n{message}"),
            format!("{message}{message}"),
            nested.clone(),
            serde_json::Value::from(nested.as_str()).to_string(),
            format!(r#"{{"body":{message}}}"#),
            format!(r#"{{"body":[{message}]}}"#),
            format!(r#"{{"body":{nested}}}"#),
            format!(r#"{{"message":{nested},"x":1}}"#),
            format!(r#"{{"any":{nested}}}"#),
            format!(r#"{{"payload":"{legacy}"}}"#),
            format!(r#"{{"body":"{legacy}"}}"#),
            r#"{"numero":"36111","emetteur":"33612345678","message":"secret"}"#.to_owned(),
            format!("payload={message}"),
            format!("payload={message}&b=1").replace("secret", "secret&more"),
            format!("a=1&payload={}", encoded(message)),
            format!("{}=", encoded(message)),
            encoded(message),
            encoded(&encoded(message)),
            "--x\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nsecret\r\n--x--\r\n".to_owned(),
            format!("--x\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\n{message}\r\n--x--\r\n"),
        ] {
            let (_, stored) = redacted("", &body);
            assert!(!stored.contains("secret"), "{body}\n{stored}");
            // All that is not a text is there as before.
            let ids = |text: &str| ["messageId", "smsID", "emetteur"].map(|name| text.matches(name).count());
            assert_eq!(ids(&stored), ids(&body), "{body}\n{stored}");
            assert_eq!(redacted("", &stored).1, stored, "nothing is left to be taken out");
        }
        let (query, _) = redacted(&format!("payload={}", encoded(message)), "");
        assert!(!query.contains("secret") && query.contains("messageId"), "{query}");
        let many = format!("[{}0]", "{},".repeat(60_000));
        assert_eq!(redacted("", &many).1, "", "what is too large to be searched is not stored");
    }

    #[test]
    fn what_has_no_text_stays_to_the_byte() {
        for body in [r#"{ "messageId" : "m", "price": 0.0450 }"#, "statut=11&smsID=1", "{broken", "", "message"] {
            let expected = if body == "message" { "message" } else { body };
            assert_eq!(redacted("smsID=1", body), ("smsID=1".to_owned(), expected.to_owned()));
        }
    }
}
