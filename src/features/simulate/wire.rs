//! Steps as smsmode sends them: the webhook's method, path, query and body.

use serde_json::{Value, json};

use super::clock::Clock;
use super::content::SHORT_CODE;
use super::message::{Message, Reply, ReplyBody, Step, Told, Trace};
use super::status::{Dialect, Status};

/// What is added to the callback URL, and the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// One more path segment.
    pub segment: Option<String>,
    /// Without `?`.
    pub query: Option<String>,
    /// JSON, to be posted; `None`: it is a GET.
    pub body: Option<String>,
}

/// The webhook of one step.
pub fn request(message: &Message, step: &Step, clock: &Clock) -> Request {
    let mut request = match (message.dialect, &step.told) {
        (Dialect::V1, Told::Receipt { status, lookup, price }) => {
            posted(v1_receipt(message, step, status, *lookup, *price, clock))
        }
        (Dialect::V1, Told::Reply(reply)) => posted(v1_reply(message, step, reply, clock)),
        (Dialect::Legacy, Told::Receipt { status, lookup, price }) => {
            got(&legacy_receipt(message, step, status, *lookup, *price, clock))
        }
        (Dialect::Legacy, Told::Reply(reply)) => got(&legacy_reply(message, step, reply, clock)),
    };
    match &message.trace {
        None => {}
        Some(Trace::Path(trace)) => request.segment = Some(trace.clone()),
        Some(Trace::Query(trace)) => {
            // The application put it into the callback URL; the provider appends its own parameters.
            let rest = request.query.map(|query| format!("&{query}")).unwrap_or_default();
            request.query = Some(format!("traceparent={trace}{rest}"));
        }
    }
    request
}

/// The status time as it stands in the webhook: part of what makes two receipts the same.
pub fn status_time(message: &Message, step: &Step, clock: &Clock) -> String {
    match message.dialect {
        Dialect::V1 => clock.v1(message, step.happens),
        Dialect::Legacy => clock.legacy_receipt(message, step.happens),
    }
}

fn posted(body: Value) -> Request {
    Request { body: Some(body.to_string()), ..Request::default() }
}

fn got(parameters: &[(&str, String)]) -> Request {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    Request { query: Some(query), ..Request::default() }
}

fn v1_receipt(message: &Message, step: &Step, status: &Status, lookup: bool, price: bool, clock: &Clock) -> Value {
    let content = &message.content;
    let mut resource = json!({
        "messageId": message.id,
        "acceptedAt": clock.v1(message, -message.waits),
        "sentDate": clock.v1(message, 0.0),
        "channel": channel(message),
        "type": message.channel.as_str(),
        "recipient": { "to": recipient(message) },
        "from": message.originator,
        "body": {
            "text": content.text,
            "encoding": content.encoding,
            "messagePartCount": content.parts,
            "length": content.length,
            // An opt-out clause, not an opt-out.
            "stop": content.text.contains("STOP"),
        },
        "status": { "deliveryDate": status_time(message, step, clock), "value": status.value },
        "refClient": message.ref_client,
        "campaignId": message.campaign,
        "href": format!("https://rest.smsmode.com/sms/v1/messages/{}", message.id),
    });
    if message.tells_direction {
        resource["direction"] = "MT".into();
    }
    if let Some(detail) = status.detail {
        resource["status"]["detail"] = detail.into();
    }
    if lookup {
        resource["status"]["lookup"] = json!({
            "mccMnc": message.network.mccmnc, "country": message.market.name, "network": message.network.name,
        });
    }
    if let (true, Some(micros)) = (price, message.price) {
        let amount: Value = if message.price_as_text { decimal(micros).into() } else { (micros as f64 / 1e6).into() };
        resource["price"] = json!({ "amount": amount, "currency": "EUR" });
    }
    resource
}

fn v1_reply(message: &Message, step: &Step, reply: &Reply, clock: &Clock) -> Value {
    let person = recipient(message);
    let (from, to) =
        if reply.person_in_recipient { (SHORT_CODE.to_owned(), person) } else { (person, SHORT_CODE.to_owned()) };
    let mut resource = json!({
        "messageId": reply.id,
        "acceptedAt": clock.v1(message, step.happens),
        "sentDate": clock.v1(message, step.happens),
        "channel": channel(message),
        "type": message.channel.as_str(),
        "recipient": { "to": to },
        "from": from,
        "body": v1_reply_body(&reply.body),
        "originMessageId": message.id,
        "refClient": message.ref_client,
    });
    if reply.tells_direction {
        resource["direction"] = "MO".into();
    }
    resource
}

fn v1_reply_body(body: &ReplyBody) -> Value {
    match body {
        ReplyBody::Text(text) | ReplyBody::Keyword(text) => json!({ "type": "TEXT", "text": text, "stop": false }),
        ReplyBody::FlaggedStop(text) => json!({ "type": "TEXT", "text": text, "stop": true }),
        ReplyBody::Suggestion => json!({ "type": "SUGGESTION", "postbackData": "confirm-appointment" }),
        ReplyBody::Location => json!({ "type": "LOCATION", "latitude": 48.8584, "longitude": 2.2945 }),
        ReplyBody::File => json!({
            "type": "FILE", "fileUrl": "https://files.example.com/photo.jpg", "filename": "photo.jpg",
            "contentType": "image/jpeg",
        }),
    }
}

fn channel(message: &Message) -> Value {
    json!({
        "channelId": message.channel_id, "name": "main", "type": message.channel.as_str(), "flow": message.flow.as_str(),
    })
}

/// Legacy HTTP manual: call-back of delivery reports.
fn legacy_receipt(
    message: &Message,
    step: &Step,
    status: &Status,
    lookup: bool,
    price: bool,
    clock: &Clock,
) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("numero", recipient(message)),
        ("date_reception", status_time(message, step, clock)),
        ("statut", status.value.to_owned()),
        ("smsID", message.id.clone()),
    ];
    parameters.extend(message.ref_client.iter().map(|reference| ("refClient", reference.clone())));
    if lookup {
        parameters.push(("mcc_mnc", message.network.mccmnc.to_owned()));
    }
    if let (true, Some(micros)) = (price, message.price) {
        parameters.push(("cost", decimal(micros)));
    }
    parameters
}

/// Legacy HTTP manual: call-back of replies. `numero` is the short code, `emetteur` the person.
fn legacy_reply(message: &Message, step: &Step, reply: &Reply, clock: &Clock) -> Vec<(&'static str, String)> {
    let text = match &reply.body {
        ReplyBody::Text(text) | ReplyBody::Keyword(text) | ReplyBody::FlaggedStop(text) => text,
        // Not in the legacy API.
        ReplyBody::Suggestion | ReplyBody::Location | ReplyBody::File => "OK",
    };
    let mut parameters = vec![
        ("numero", SHORT_CODE.to_owned()),
        ("message", text.to_owned()),
        ("emetteur", recipient(message)),
        ("date_reception", clock.legacy_reply(message, step.happens)),
        ("smsID", message.id.clone()),
    ];
    parameters.extend(message.ref_client.iter().map(|reference| ("refClient", reference.clone())));
    parameters.extend(reply.id.iter().map(|id| ("responseID", id.clone())));
    parameters
}

fn recipient(message: &Message) -> String {
    if message.plus { format!("+{}", message.recipient) } else { message.recipient.clone() }
}

/// 45,000 millionths -> `0.045`.
fn decimal(micros: i64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_without_idle_zeros() {
        for (micros, text) in [(45_000, "0.045"), (1_000_000, "1"), (2_500_000, "2.5"), (12_500, "0.0125")] {
            assert_eq!(decimal(micros), text);
        }
    }
}
