//! The format of a delivery: the request as it arrived, or a CloudEvent.

use bytes::Bytes;
use hyper::http::header::CONTENT_TYPE;
use hyper::http::uri::PathAndQuery;
use hyper::http::{HeaderValue, Method, Request, Uri};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::event::TraceParent;
use crate::record::{Position, Record};
use crate::route::Format;
use crate::store::Raw;
use crate::store::relays::Delivery;

/// Structured mode of the HTTP binding of CloudEvents.
const CLOUD_EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// The id of an event: the same as `log.record.uid`, the same at each attempt.
pub fn id(instance: Uuid, position: Position) -> String {
    Uuid::new_v5(&instance, position.to_string().as_bytes()).to_string()
}

/// The request without the headers that all requests have; `None` if the stored request has been erased.
pub fn request(delivery: &Delivery, format: Format, url: &Uri, instance: Uuid) -> Option<Request<Bytes>> {
    match format {
        Format::Raw => {
            let mut request = raw(delivery.request.as_ref()?, url)?;
            // A reconciled message is delivered like the webhook that did not arrive.
            if delivery.entry.record.reconciled {
                *request.method_mut() = Method::POST;
            }
            Some(request)
        }
        Format::CloudEvents => {
            let mut request = Request::new(cloud_event(delivery, instance).into());
            *request.method_mut() = Method::POST;
            *request.uri_mut() = url.clone();
            request.headers_mut().insert(CONTENT_TYPE, CLOUD_EVENT);
            Some(request)
        }
    }
}

fn raw(stored: &Raw, url: &Uri) -> Option<Request<Bytes>> {
    let mut request = Request::new(stored.body.clone());
    *request.method_mut() = Method::from_bytes(stored.method.as_bytes()).ok()?;
    *request.uri_mut() = with_query(url, &stored.query)?;
    if let Some(content_type) = &stored.content_type {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_str(content_type).ok()?);
    }
    Some(request)
}

/// The URL with the webhook's query after its own.
fn with_query(url: &Uri, query: &str) -> Option<Uri> {
    if query.is_empty() {
        return Some(url.clone());
    }
    let own = url.path_and_query().map_or("/", PathAndQuery::as_str);
    let joint = if own.contains('?') { '&' } else { '?' };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(format!("{own}{joint}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// CloudEvents 1.0 in JSON, with the extensions `sequence` (the position in the journal, to be compared as text) and `traceparent`.
fn cloud_event(delivery: &Delivery, instance: Uuid) -> Vec<u8> {
    let entry = &delivery.entry;
    let record = &entry.record;
    let mut event = json!({
        "specversion": "1.0",
        "id": id(instance, entry.position),
        "source": format!("/smscope/{}", record.source),
        "type": record.kind.event_name(),
        "time": record.occurred_at.unwrap_or(entry.received_at).to_string(),
        "datacontenttype": "application/json",
        "sequence": format!("{:019}", entry.position),
        "data": data(record),
    });
    if let Some(subject) = &record.message_id {
        event["subject"] = json!(subject);
    }
    if let Some(trace) = record.trace.as_deref().filter(|trace| TraceParent::parse(trace).is_some()) {
        event["traceparent"] = json!(trace);
    }
    event["data"]["received_at"] = json!(entry.received_at.to_string());
    event.to_string().into_bytes()
}

/// The journal's record, without the fields that the event has.
fn data(record: &Record) -> Value {
    let mut data = match serde_json::to_value(record) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    data.remove("kind");
    data.remove("trace");
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::SourceName;
    use crate::record::{Entry, Kind};

    fn stored(method: &str, query: &str, content_type: Option<&str>, body: &[u8]) -> Raw {
        Raw {
            method: method.into(),
            query: query.into(),
            content_type: content_type.map(str::to_owned),
            body: body.to_vec().into(),
        }
    }

    fn delivery(request: Option<Raw>) -> Delivery {
        let record = Record {
            occurred_at: Some("2026-04-01T10:00:00Z".parse().unwrap()),
            message_id: Some("m-1".into()),
            number: Some("33612345678".into()),
            text: Some("caf\u{e9} \"stop\"".into()),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            ..Record::new(Kind::Stop, SourceName::new("smsmode").unwrap())
        };
        let received_at: Timestamp = "2026-04-01T10:00:01Z".parse().unwrap();
        Delivery {
            id: crate::store::ids::DeliveryId(7),
            attempts: 0,
            since: received_at,
            entry: Entry { position: Position(42), received_at, record },
            request,
        }
    }

    #[test]
    fn a_raw_request_is_the_one_that_arrived() {
        let url: Uri = "http://app:8080/sms?own=1".parse().unwrap();
        for (query, expected) in [
            ("", "http://app:8080/sms?own=1"),
            ("smsID=a%20b&statut=11", "http://app:8080/sms?own=1&smsID=a%20b&statut=11"),
        ] {
            let body = b"{\"messageId\":\"\xff\" }\r\n";
            let delivery = delivery(Some(stored("POST", query, Some("application/json"), body)));
            let request = request(&delivery, Format::Raw, &url, Uuid::nil()).unwrap();
            assert_eq!(request.uri().to_string(), expected);
            assert_eq!(request.method(), Method::POST);
            assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(&request.body()[..], body);
        }
        let get = delivery(Some(stored("GET", "statut=11", None, b"")));
        let request = request(&get, Format::Raw, &"http://app/".parse().unwrap(), Uuid::nil()).unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "http://app/?statut=11"));
        assert!(!request.headers().contains_key(CONTENT_TYPE));
    }

    #[test]
    fn a_reconciled_message_is_delivered_as_a_webhook() {
        let mut reconciled = delivery(Some(stored("GET", "", Some("application/json"), b"{}")));
        reconciled.entry.record.reconciled = true;
        let request = request(&reconciled, Format::Raw, &"http://app/".parse().unwrap(), Uuid::nil()).unwrap();
        assert_eq!((request.method(), &request.body()[..]), (&Method::POST, &b"{}"[..]));
    }

    #[test]
    fn an_erased_request_is_not_sent() {
        assert!(request(&delivery(None), Format::Raw, &"http://app/".parse().unwrap(), Uuid::nil()).is_none());
    }

    #[test]
    fn a_cloud_event_has_the_fields_of_the_journal_and_the_id_of_its_log_record() {
        let request = request(&delivery(None), Format::CloudEvents, &"http://app/".parse().unwrap(), Uuid::nil());
        let event: Value = serde_json::from_slice(request.unwrap().body()).unwrap();
        assert_eq!(
            event,
            json!({
                "specversion": "1.0",
                "id": Uuid::new_v5(&Uuid::nil(), b"42").to_string(),
                "source": "/smscope/smsmode",
                "type": "sms.reply.stop",
                "subject": "m-1",
                "time": "2026-04-01T10:00:00Z",
                "datacontenttype": "application/json",
                "sequence": "0000000000000000042",
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "data": {
                    "source": "smsmode",
                    "occurred_at": "2026-04-01T10:00:00Z",
                    "received_at": "2026-04-01T10:00:01Z",
                    "message_id": "m-1",
                    "number": "33612345678",
                    "text": "café \"stop\"",
                },
            })
        );
    }
}
