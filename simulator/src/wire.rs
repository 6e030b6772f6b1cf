//! Steps as smsmode sends them: the webhook's method, path, query and body.

use serde_json::{Value, json};

use super::clock::Clock;
use super::content::SHORT_CODE;
use super::message::{Message, Payload, Receipt, Reply, ReplyBody, Step, Trace};
use super::status::Dialect;

/// How the provider writes times: `2025-04-01T16:00:10`.
const V1: &str = "%Y-%m-%dT%H:%M:%S";
/// `2010-03-25 09:52:17`.
const LEGACY_RECEIPT: &str = "%Y-%m-%d %H:%M:%S";
/// `01012013-122233`.
const LEGACY_REPLY: &str = "%d%m%Y-%H%M%S";

/// The body of a request, and what it adds to the callback URL.
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
    let mut request = match (message.dialect, &step.payload) {
        (Dialect::V1, Payload::Receipt(receipt)) => posted(v1_receipt(message, step, receipt, clock)),
        (Dialect::V1, Payload::Reply(reply)) => posted(v1_reply(message, step, reply, clock)),
        (Dialect::Legacy, Payload::Receipt(receipt)) => queried(&legacy_receipt(message, step, receipt, clock)),
        (Dialect::Legacy, Payload::Reply(reply)) => queried(&legacy_reply(message, step, reply, clock)),
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

fn posted(body: Value) -> Request {
    Request { body: Some(body.to_string()), ..Request::default() }
}

fn queried(parameters: &[(&str, String)]) -> Request {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    Request { query: Some(query), ..Request::default() }
}

fn v1_receipt(message: &Message, step: &Step, receipt: &Receipt, clock: &Clock) -> Value {
    let (content, status) = (&message.content, &receipt.status);
    let v1_time = |seconds| clock.written(message, seconds, V1);
    let mut resource = json!({
        "messageId": message.id,
        "acceptedAt": v1_time(-message.waits),
        "sentDate": v1_time(0.0),
        "channel": channel(message),
        "type": message.channel.into_str(),
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
        "status": { "deliveryDate": v1_time(step.happens), "value": status.value },
        "refClient": message.ref_client,
        "campaignId": message.campaign,
        "href": format!("https://rest.smsmode.com/sms/v1/messages/{}", message.id),
    });
    if message.has_direction {
        resource["direction"] = "MT".into();
    }
    if let Some(detail) = status.detail {
        resource["status"]["detail"] = detail.into();
    }
    if receipt.has_network {
        resource["status"]["lookup"] = json!({
            "mccMnc": message.network.mccmnc, "country": message.market.name, "network": message.network.name,
        });
    }
    if let (true, Some(price)) = (receipt.has_price, message.price) {
        let amount = price as f64 / 1e6;
        let amount: Value = if message.price_as_text { amount.to_string().into() } else { amount.into() };
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
        "acceptedAt": clock.written(message, step.happens, V1),
        "sentDate": clock.written(message, step.happens, V1),
        "channel": channel(message),
        "type": message.channel.into_str(),
        "recipient": { "to": to },
        "from": from,
        "body": v1_reply_body(&reply.body),
        "originMessageId": message.id,
        "refClient": message.ref_client,
    });
    if reply.has_direction {
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
        "channelId": message.channel_id, "name": "main", "type": message.channel.into_str(), "flow": message.flow.into_str(),
    })
}

/// Legacy HTTP manual: call-back of delivery reports.
fn legacy_receipt(message: &Message, step: &Step, receipt: &Receipt, clock: &Clock) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("numero", recipient(message)),
        ("date_reception", clock.written(message, step.happens, LEGACY_RECEIPT)),
        ("statut", receipt.status.value.to_owned()),
        ("smsID", message.id.clone()),
    ];
    parameters.extend(message.ref_client.iter().map(|reference| ("refClient", reference.clone())));
    if receipt.has_network {
        parameters.push(("mcc_mnc", message.network.mccmnc.to_owned()));
    }
    if let (true, Some(price)) = (receipt.has_price, message.price) {
        parameters.push(("cost", (price as f64 / 1e6).to_string()));
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
        ("date_reception", clock.written(message, step.happens, LEGACY_REPLY)),
        ("smsID", message.id.clone()),
    ];
    parameters.extend(message.ref_client.iter().map(|reference| ("refClient", reference.clone())));
    parameters.extend(reply.id.iter().map(|id| ("responseID", id.clone())));
    parameters
}

fn recipient(message: &Message) -> String {
    if message.plus { format!("+{}", message.recipient) } else { message.recipient.clone() }
}
