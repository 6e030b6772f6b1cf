//! A webhook without the message's text, for an operator who keeps none.

use std::borrow::Cow;

use serde_json::Value;

use super::text;
use crate::event::Event;
use crate::provider::Webhook;

/// What may stay of a `body` in REST v1: what a message is made of, not what it says.
const OF_A_BODY: [&str; 6] = ["type", "encoding", "messagePartCount", "length", "stop", "contentType"];

/// The legacy parameter with the text of a reply.
const LEGACY_TEXT: &str = "message";

/// Takes the texts out of events, and gives query and body of the webhook that they were read from without them.
pub fn drop_text<'a>(events: &mut [Event], webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>) {
    events.iter_mut().for_each(Event::drop_text);
    without_text(webhook)
}

/// Query and body without texts, wherever [`decode`](super::decode) finds them; of JSON at any depth, so that a shape which is not
/// recognized loses them too. What is neither JSON nor a form cannot be read, so it stays as it is.
fn without_text<'a>(webhook: &Webhook<'a>) -> (Cow<'a, str>, Cow<'a, [u8]>) {
    let query = match without_parameter(&text::pairs(&text::whole(webhook.query.as_bytes()))) {
        Some(changed) => Cow::Owned(String::from_utf8_lossy(&changed).into_owned()),
        None => webhook.query.into(),
    };
    let body = match serde_json::from_str::<Value>(&text::decoded(super::trimmed(webhook.body))) {
        Ok(mut value) if value.is_object() || value.is_array() => {
            if take_texts(&mut value) {
                Cow::Owned(value.to_string().into_bytes())
            } else {
                webhook.body.into()
            }
        }
        _ => {
            let pairs: Vec<&[u8]> = webhook.body.split(|b| *b == b'&').collect();
            without_parameter(&pairs).map_or(webhook.body.into(), Cow::Owned)
        }
    };
    (query, body)
}

/// Whether anything was taken out.
fn take_texts(value: &mut Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter_mut().fold(false, |taken, element| take_texts(element) | taken),
        Value::Object(members) => members.iter_mut().fold(false, |taken, (name, member)| {
            let here = match member {
                Value::Object(body) if name == "body" => {
                    let before = body.len();
                    body.retain(|name, _| OF_A_BODY.contains(&name.as_str()));
                    body.len() < before
                }
                Value::Array(_) | Value::Object(_) if name != "body" => take_texts(member),
                Value::Null => false,
                // A text that stands where its object should.
                member if name == "body" || name == "text" => {
                    *member = Value::Null;
                    true
                }
                _ => false,
            };
            here | taken
        }),
        _ => false,
    }
}

/// The same parameters with an empty text; `None` where there is none.
fn without_parameter(pairs: &[&[u8]]) -> Option<Vec<u8>> {
    let is_text = |pair: &&&[u8]| text::name_of(pair) == LEGACY_TEXT;
    if !pairs.iter().any(|pair| is_text(&pair)) {
        return None;
    }
    let kept = pairs.iter().map(|pair| match is_text(&pair) {
        true => &pair[..pair.iter().position(|b| *b == b'=').map_or(pair.len(), |equals| equals + 1)],
        false => *pair,
    });
    Some(kept.collect::<Vec<_>>().join(&b'&'))
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
            let (_, kept) = redacted("", body);
            assert_eq!(kept, expected, "{body}");
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
    fn what_has_no_text_stays_to_the_byte() {
        for body in [r#"{ "messageId" : "m", "price": 0.0450 }"#, "statut=11&smsID=1", "{broken", "", "message"] {
            let expected = if body == "message" { "message" } else { body };
            assert_eq!(redacted("smsID=1", body), ("smsID=1".to_owned(), expected.to_owned()));
        }
    }
}
