//! What smsmode sends, as its documentation and its users show it.

use serde_json::{Value, json};

/// The words of every message here: they must never be in an output that is not configured to have them.
pub const TEXT: &str = "Your parcel waits at the corner shop";

/// A REST v1 receipt with all that such a one can have. `status` is a value, or a value and a detail: `UNDELIVERED SPAM`.
/// The fields of `other` replace the usual ones; one that is null is left out.
pub fn receipt(id: &str, status: &str, other: Value) -> Value {
    let (value, detail) = match status.split_once(' ') {
        Some((value, detail)) => (value, Some(detail)),
        None => (status, None),
    };
    let mut status = json!({
        "deliveryDate": "2025-04-01T16:00:10",
        "value": value,
        "lookup": {"mccMnc": "20801", "country": "France", "network": "Orange F"},
    });
    if let Some(detail) = detail {
        status["detail"] = detail.into();
    }
    let message = json!({
        "messageId": id,
        "acceptedAt": "2025-04-01T15:59:59",
        "sentDate": "2025-04-01T16:00:00",
        "channel": {"channelId": "c1", "name": "alerts", "type": "SMS", "flow": "TRANSACTIONAL"},
        "type": "SMS",
        "direction": "MT",
        "recipient": {"to": "33612345678"},
        "from": "ACME",
        "body": {"text": TEXT, "encoding": "GSM7", "messagePartCount": 2, "length": 36},
        "price": {"amount": 0.045, "currency": "EUR"},
        "status": status,
        "refClient": "order-7",
        "campaignId": "spring",
    });
    replaced(message, other)
}

/// A REST v1 reply to `origin`.
pub fn reply(id: &str, origin: &str, text: &str, other: Value) -> Value {
    let message = json!({
        "messageId": id,
        "sentDate": "2025-04-01T17:00:00",
        "channel": {"channelId": "c1", "name": "alerts", "type": "SMS", "flow": "TRANSACTIONAL"},
        "type": "SMS",
        "direction": "MO",
        "recipient": {"to": "36034"},
        "from": "33612345678",
        "body": {"text": text},
        "originMessageId": origin,
    });
    replaced(message, other)
}

fn replaced(mut message: Value, other: Value) -> Value {
    let fields = message.as_object_mut().unwrap();
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    message
}
