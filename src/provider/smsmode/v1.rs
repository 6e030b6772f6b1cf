//! REST v1: the JSON message resource, of a receipt or of a reply.

use std::borrow::Cow;

use super::{contact, differs, mccmnc, price, status, time};
use crate::event::{Event, Network, Price, Receipt, Reply, ReplyKind, Status, plain_id};
use crate::json::Json;
use crate::number;
use crate::provider::{DecodeContext, keyword};

/// A longer message does not exist: a part is numbered by one byte.
const MAX_PARTS: u64 = 255;

/// One message resource. The error says what it lacks to be a receipt or a reply.
pub(super) fn event(context: &DecodeContext<'_>, message: &Json<'_>) -> Result<Event, &'static str> {
    if !message.is_object() {
        return Err("not a JSON object");
    }
    let message_id = id(&message["messageId"]).ok_or("no messageId")?;
    let direction = word(&message["direction"]);
    let is = |known: &str| direction.is_some_and(|direction| direction.eq_ignore_ascii_case(known));
    if is("MO") {
        return Ok(reply(context, message, message_id));
    }
    if let Some(value) = text(&message["status"]["value"]) {
        return Ok(receipt(context, message, message_id, &value));
    }
    let origin = &message["originMessageId"];
    let is_reply = message["body"].is_object() && (text(&message["from"]).is_some() || text(origin).is_some());
    // A status as a plain text. A reply may have one too, of its own kind.
    let plain = word(&message["status"]).filter(|status| !is_reply || direction.is_some() || status::is_known(status));
    match (plain, direction) {
        (Some(status), _) => Ok(receipt(context, message, message_id, status)),
        (None, Some(_)) => Err("no status"),
        (None, None) if is_reply => Ok(reply(context, message, message_id)),
        (None, None) => Err("neither a receipt nor a reply"),
    }
}

/// `channel.channelId`, which an unrecognized message may name as well.
pub(super) fn channel_id(message: &Json<'_>) -> Option<String> {
    id(&message["channel"]["channelId"])
}

fn receipt(context: &DecodeContext<'_>, message: &Json<'_>, message_id: String, written: &str) -> Event {
    let (status, body) = (&message["status"], &message["body"]);
    let network = network(&status["lookup"]);
    let to = text(&message["recipient"]["to"]);
    let (number, country) = contact(to.as_deref(), network.mccmnc.as_deref(), context);
    let detail = owned(&status["detail"]);
    let value = written.to_ascii_uppercase();
    let time_text = owned(&status["deliveryDate"]).unwrap_or_default();
    let time_of = |field| text(field).and_then(|text| time::parse(&text, context.zone));
    Event::Receipt(Box::new(Receipt {
        message_id,
        message_part: String::new(),
        part_text: None,
        shares_id: false,
        channel: channel(message),
        channel_id: channel_id(message),
        flow: upper(&message["channel"]["flow"]),
        number,
        country,
        originator: owned(&message["from"]),
        status: Status {
            outcome: status::v1(&value, detail.as_deref()),
            value_text: differs(written, &value),
            value,
            detail,
            time: time::parse(&time_text, context.zone),
            time_text,
        },
        accepted_at: time_of(&message["acceptedAt"]),
        sent_at: time_of(&message["sentDate"]),
        network,
        price: cost(&message["price"]),
        parts: parts(&body["messagePartCount"]),
        ref_client: owned(&message["refClient"]),
        campaign_id: id(&message["campaignId"]),
        origin_message_id: id(&message["originMessageId"]),
        text: content(body),
    }))
}

fn reply(context: &DecodeContext<'_>, message: &Json<'_>, reply_id: String) -> Event {
    let body = &message["body"];
    let network = network(&message["status"]["lookup"]);
    let (person, originator) = sides(owned(&message["from"]), owned(&message["recipient"]["to"]));
    let (number, country) = contact(person.as_deref(), network.mccmnc.as_deref(), context);
    let content = content(body);
    let stops = says_yes(&body["stop"])
        || content.as_deref().is_some_and(|text| keyword::is_keyword(text, context.stop_keywords));
    let time = ["sentDate", "acceptedAt"]
        .iter()
        .find_map(|field| text(&message[*field]).and_then(|text| time::parse(&text, context.zone)));
    Event::Reply(Box::new(Reply {
        former_id: None,
        reply_id,
        kind: if stops { ReplyKind::Stop } else { ReplyKind::Reply },
        opts_in: !stops && content.as_deref().is_some_and(|text| keyword::is_keyword(text, context.start_keywords)),
        channel: channel(message),
        channel_id: channel_id(message),
        flow: upper(&message["channel"]["flow"]),
        number,
        country,
        originator,
        time,
        network,
        ref_client: owned(&message["refClient"]),
        campaign_id: id(&message["campaignId"]),
        origin_message_id: id(&message["originMessageId"]),
        text: content,
    }))
}

/// The person who wrote and our side. The person may stand on either: it is the full number, the other being a short code or a
/// sender name. Where that tells nothing it is `from`.
fn sides(from: Option<String>, to: Option<String>) -> (Option<String>, Option<String>) {
    let is_full = |side: &Option<String>| side.as_deref().is_some_and(number::is_full);
    if is_full(&to) && !is_full(&from) { (to, from) } else { (from, to) }
}

fn channel(message: &Json<'_>) -> Option<String> {
    upper(&message["channel"]["type"]).or_else(|| upper(&message["type"]))
}

fn upper(field: &Json<'_>) -> Option<String> {
    text(field).map(|word| word.to_ascii_uppercase())
}

fn network(lookup: &Json<'_>) -> Network {
    Network { mccmnc: text(&lookup["mccMnc"]).and_then(|code| mccmnc(&code)), name: owned(&lookup["network"]) }
}

fn cost(field: &Json<'_>) -> Option<Price> {
    price(&text(&field["amount"])?, upper(&field["currency"]))
}

fn parts(field: &Json<'_>) -> Option<u32> {
    let count = match field {
        Json::Text(text) => text.trim().parse().ok()?,
        Json::Number(number) => number.as_u64()?,
        _ => return None,
    };
    (count <= MAX_PARTS).then_some(count as u32)
}

/// What a body says, by its type: the text, the answer tapped, `latitude,longitude`, or the file's name.
fn content(body: &Json<'_>) -> Option<String> {
    let raw = |field: &Json<'_>| match field {
        Json::Text(text) => (!text.trim().is_empty()).then(|| text.clone().into_owned()),
        other => owned(other),
    };
    let kind = word(&body["type"]).unwrap_or_default();
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    raw(&body["text"]).or_else(|| {
        if is("SUGGESTION") {
            raw(&body["postbackData"])
        } else if is("LOCATION") {
            Some(format!("{},{}", text(&body["latitude"])?, text(&body["longitude"])?))
        } else if is("FILE") {
            raw(&body["filename"])
        } else {
            None
        }
    })
}

fn says_yes(field: &Json<'_>) -> bool {
    match field {
        Json::Bool(yes) => *yes,
        other => text(other).is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true")),
    }
}

/// A text of more than white space, trimmed, or a number as it is written; `None` for any other type.
fn text<'a>(field: &'a Json<'_>) -> Option<Cow<'a, str>> {
    match field {
        Json::Number(number) => Some(number.to_string().into()),
        _ => word(field).map(Cow::Borrowed),
    }
}

fn owned(field: &Json<'_>) -> Option<String> {
    text(field).map(Cow::into_owned)
}

/// A text that is an id, in one spelling.
fn id(field: &Json<'_>) -> Option<String> {
    owned(field).map(plain_id)
}

fn word<'a>(field: &'a Json<'_>) -> Option<&'a str> {
    match field {
        Json::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
        _ => None,
    }
}
