//! What a webhook holds: JSON, parameters, or either of them wrapped into the other.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::text::{self, Pair, Parameters};
use super::{legacy, multipart, resemblance, status, v1};
use crate::event::{Event, Unrecognized};
use crate::json::{self, Documents, Unreadable};
use crate::provider::{DecodeContext, Decoded, Webhook};

/// Events of one webhook: a body of tiny elements must not become a transaction of a hundred thousand events.
const MAX_EVENTS: usize = 1_000;

/// How many wrappers may stand in one another.
pub(super) const MAX_LEVEL: usize = 6;

/// Members in which others put a message, a list of them, or JSON as a text. Only an object that is no message itself is a wrapper:
/// a reply has a `body` of its own.
const WRAPPERS: [&str; 11] =
    ["body", "data", "payload", "items", "messages", "message", "event", "events", "results", "records", "recipients"];

/// Members that the response to a campaign has once for all of its messages.
const CAMPAIGN_MEMBERS: [&str; 6] = ["acceptedAt", "campaignId", "channel", "from", "sentDate", "type"];

/// Reads one webhook that has content.
pub(super) fn read(context: &DecodeContext<'_>, webhook: &Webhook<'_>, body: &[u8]) -> Decoded {
    let mut reader = Reader { context, webhook, decoded: Decoded::default(), recognized: 0, whole: None };
    let read = reader.request(body);
    let why = match read {
        _ if reader.decoded.events.len() > MAX_EVENTS => {
            reader.decoded.events.clear();
            "array too long"
        }
        Ok(()) => return reader.decoded,
        // What it lacks may be in what could not be read.
        Err(_) if reader.decoded.repaired => "broken JSON",
        Err(why) => why,
    };
    let whole = String::from_utf8_lossy(body);
    reader.decoded.has_unread_receipt = resemblance::is_like_a_receipt(&whole)
        || resemblance::is_like_a_receipt(webhook.query)
        || resemblance::is_like_a_receipt(&text::decoded_part(body));
    let channel_id = reader.channel_id_of_the_only_document(body);
    let event = unrecognized(hashed(webhook), channel_id, why);
    reader.decoded.events.push(event);
    reader.decoded
}

struct Reader<'a> {
    context: &'a DecodeContext<'a>,
    webhook: &'a Webhook<'a>,
    decoded: Decoded,
    recognized: usize,
    /// Hashed once, for what may be a large body, and only when an element is not recognized.
    whole: Option<Sha256>,
}

/// Nothing was recognized; the reason is in a few words.
type Found = Result<(), &'static str>;

impl Reader<'_> {
    fn request(&mut self, body: &[u8]) -> Found {
        let content_type = self.webhook.content_type;
        let media = content_type.map_or("", |t| t.split(';').next().unwrap_or(t).trim());
        if let Some(parts) = multipart::parts(content_type, body) {
            let fields =
                parts.iter().map(|part| (part.name.clone(), text::decoded(&body[part.value.clone()]).into_owned()));
            return self.fields(fields.chain(text::query(self.webhook.query.as_bytes())).collect(), 0);
        }
        let is_form = text::looks_like_form(body) || body.starts_with(b"%");
        if json::looks_like_json(body) || (!body.is_empty() && !is_form && is_json_type(media)) {
            if let Some(event) = usual(self.context, body) {
                return self.recognize(event);
            }
            return match json::read(body) {
                Ok(documents) => {
                    self.decoded.repaired = documents.repaired;
                    self.documents(&documents, 0)
                }
                Err(Unreadable::TooManyValues) => Err("too many values"),
                Err(Unreadable::NotJson) => Err("broken JSON"),
            };
        }
        let is_form = is_form || media.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let form = if is_form { body } else { b"" };
        if let Some(written) = text::unencoded_json(form)
            && let Ok(documents) = json::read(written)
            && documents.documents.iter().all(|document| !document.truncated)
        {
            let found = self.any_of("neither a receipt nor a reply", |reader| {
                let _nothing = reader.documents(&documents, 1);
            });
            if found.is_ok() {
                // Further parameters are no damage.
                self.decoded.repaired = documents.repaired && !written.contains(&b'&');
                return Ok(());
            }
        }
        self.fields([text::form(form), text::query(self.webhook.query.as_bytes())].concat(), 0)
    }

    /// Parameters: those of the legacy API, else JSON in one of them, or as the name of one.
    fn fields(&mut self, fields: Vec<Pair>, level: usize) -> Found {
        let parameters = Parameters::of(&fields);
        let why = match legacy::event(self.context, parameters) {
            Ok(event) => return self.recognize(event),
            Err(why) => why,
        };
        let texts = fields.iter().flat_map(|(name, value)| [name, value]);
        self.any_of(why, |reader| {
            for text in texts {
                let _nothing = reader.text(text, level + 1);
            }
        })
    }

    fn documents(&mut self, documents: &Documents, level: usize) -> Found {
        match &documents.documents[..] {
            [document] => self.value(&document.value, document.truncated, level),
            documents => {
                for document in documents {
                    self.element(&document.value, document.truncated, level);
                }
                Ok(())
            }
        }
    }

    fn value(&mut self, value: &Value, truncated: bool, level: usize) -> Found {
        match value {
            Value::Array(elements) if elements.is_empty() => Err("empty array"),
            Value::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    self.element(element, truncated && at + 1 == elements.len(), level + 1);
                }
                Ok(())
            }
            Value::Object(members) => match v1::event(self.context, &value.into()) {
                // A STOP may be in what is missing, and a reply is known by its id: it would never be one.
                Ok(Event::Reply(_)) if truncated => Err("JSON ends early"),
                Ok(event) => self.recognize(event),
                Err(why) => match legacy::event(self.context, Parameters::of_members(members)) {
                    Ok(Event::Receipt(receipt)) => self.recognize(Event::Receipt(receipt)),
                    Ok(Event::Reply(reply)) if !truncated => self.recognize(Event::Reply(reply)),
                    _ => self.wrapped(members, truncated, level, why),
                },
            },
            Value::String(text) => self.text(text, level + 1),
            _ => Err("not a JSON object"),
        }
    }

    /// One of several values: it costs only itself.
    fn element(&mut self, element: &Value, truncated: bool, level: usize) {
        if self.decoded.events.len() > MAX_EVENTS {
            return;
        }
        if let Err(why) = self.value(element, truncated, level) {
            self.decoded.has_unread_receipt |= resemblance::is_like_a_receipt(&element.to_string());
            let hash = self.whole.get_or_insert_with(|| hashed(self.webhook)).clone();
            let hash = hash.chain_update((self.decoded.events.len() as u64).to_be_bytes());
            self.decoded.events.push(unrecognized(hash, v1::channel_id(&element.into()), why));
        }
    }

    /// The members of an object that is no message, as far as messages are in them.
    fn wrapped(&mut self, members: &Map<String, Value>, truncated: bool, level: usize, why: &'static str) -> Found {
        let is_campaign = members.contains_key("campaignId");
        let inner = WRAPPERS.iter().filter_map(|name| members.get(*name));
        self.any_of(why, |reader| {
            for value in inner {
                let _nothing = match value {
                    Value::Array(elements) if is_campaign => {
                        let elements = elements.iter().map(|element| of_campaign(members, element)).collect();
                        reader.inside(&Value::Array(elements), truncated, level)
                    }
                    value => reader.inside(value, truncated, level),
                };
            }
        })
    }

    fn inside(&mut self, value: &Value, truncated: bool, level: usize) -> Found {
        if level >= MAX_LEVEL {
            return Err("wrapped too often");
        }
        match value {
            Value::Object(_) | Value::Array(_) | Value::String(_) => self.value(value, truncated, level + 1),
            _ => Err("not a JSON object"),
        }
    }

    /// A text that holds JSON or a form.
    fn text(&mut self, text: &str, level: usize) -> Found {
        if level >= MAX_LEVEL {
            return Err("wrapped too often");
        }
        let text = text.trim();
        if json::looks_like_json(text.as_bytes()) {
            let documents = json::read(text.as_bytes()).map_err(|_| "broken JSON")?;
            let before = (self.decoded.repaired, self.recognized);
            self.decoded.repaired |= documents.repaired;
            let found = self.documents(&documents, level);
            if self.recognized == before.1 {
                self.decoded.repaired = before.0;
            }
            return found;
        }
        if text.starts_with('%') {
            let bytes: Vec<u8> = percent_decode_str(text).collect();
            return self.text(&text::decoded(&bytes), level + 1);
        }
        match text::looks_like_form(text.as_bytes()) {
            true => self.fields(text::form(text.as_bytes()), level),
            false => Err("neither JSON nor a form"),
        }
    }

    /// What `search` finds, or nothing if all of it is unrecognized.
    fn any_of(&mut self, why: &'static str, search: impl FnOnce(&mut Self)) -> Found {
        let (events, recognized, unread) =
            (self.decoded.events.len(), self.recognized, self.decoded.has_unread_receipt);
        search(self);
        if self.recognized > recognized || self.decoded.events.len() > MAX_EVENTS {
            return Ok(());
        }
        self.decoded.events.truncate(events);
        self.decoded.has_unread_receipt = unread;
        Err(why)
    }

    fn recognize(&mut self, event: Event) -> Found {
        self.recognized += 1;
        self.decoded.events.push(event);
        Ok(())
    }

    /// The channel that an unrecognized message names, which may be one that the source has no business with.
    fn channel_id_of_the_only_document(&self, body: &[u8]) -> Option<String> {
        match &json::read(body).ok()?.documents[..] {
            [document] => v1::channel_id(&(&document.value).into()),
            _ => None,
        }
    }
}

/// The event of a body that is one message in valid JSON, as almost all are: the one that [`Reader::documents`] finds in it too.
pub(super) fn usual(context: &DecodeContext<'_>, body: &[u8]) -> Option<Event> {
    v1::event(context, &json::read_valid(body)?).ok()
}

/// An element of a campaign's list of messages or recipients, with what the campaign says for all; as it is where it has no id.
fn of_campaign(campaign: &Map<String, Value>, element: &Value) -> Value {
    let mut element = element.clone();
    let Some(members) = element.as_object_mut().filter(|members| members.contains_key("messageId")) else {
        return element;
    };
    for name in CAMPAIGN_MEMBERS {
        if let (false, Some(value)) = (members.contains_key(name), campaign.get(name)) {
            members.insert(name.to_owned(), value.clone());
        }
    }
    if let (false, Some(to)) = (members.contains_key("recipient"), members.get("to").cloned()) {
        members.insert("recipient".to_owned(), json!({ "to": to }));
    }
    if let (false, Some(status)) = (members.contains_key("status"), campaign.get("status"))
        && status.as_str().is_some_and(status::is_known)
    {
        members.insert("status".to_owned(), status.clone());
    }
    element
}

fn is_json_type(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

fn hashed(webhook: &Webhook<'_>) -> Sha256 {
    Sha256::new().chain_update(webhook.query).chain_update([0]).chain_update(webhook.body)
}

fn unrecognized(hash: Sha256, channel_id: Option<String>, why: &'static str) -> Event {
    Event::Unrecognized(Unrecognized { digest: hash.finalize().into(), channel_id, why: why.into() })
}
