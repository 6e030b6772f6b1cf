//! The one path from a request of the provider to a submission to the store: for webhooks, for messages of the provider's API, and for
//! stored requests that are decoded again.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::event::{Event, TraceParent};
use crate::provider::{DecodeContext, Decoded, Events, Webhook};
use crate::settings::{Source, Text};
use crate::store::{Raw, Reprocessed, Submission, Unrecognized};

/// A request of the provider's, authenticated and decompressed.
#[derive(Clone, Debug)]
pub struct InboundRequest<'a> {
    pub method: &'a str,
    /// As [`Webhook::query`].
    pub query: Cow<'a, str>,
    pub content_type: Option<&'a str>,
    pub body: Bytes,
}

/// A request, decoded by the rules of its source. The fields are those of [`Decoded`].
#[derive(Clone, Debug)]
pub struct DecodedRequest<'a> {
    source: &'a Source,
    request: InboundRequest<'a>,
    /// Of the whole request, whatever is stored of it: duplicates and opt-outs are recognized by texts.
    pub events: Events,
    pub repaired: bool,
    pub has_unread_receipt: bool,
}

/// The origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The provider sent it.
    Webhook,
    /// Reconciliation read it from the provider's API.
    Reconciliation,
}

impl<'a> InboundRequest<'a> {
    /// Decodes it by the rules of `source`.
    pub fn decode(self, source: &'a Source) -> DecodedRequest<'a> {
        let context = DecodeContext {
            zone: &source.zone,
            region: source.region,
            stop_keywords: &source.stop_keywords,
            start_keywords: &source.start_keywords,
        };
        let Decoded { events, repaired, has_unread_receipt } = source.provider.decode(&context, &self.webhook());
        DecodedRequest { source, request: self, events, repaired, has_unread_receipt }
    }

    fn webhook(&self) -> Webhook<'_> {
        Webhook { query: &self.query, content_type: self.content_type, body: &self.body }
    }
}

/// A message of the provider's API as a webhook, which has the same form. `None` for what is neither a receipt nor a reply, or of a
/// channel that the source does not allow. `method` is that of the request to the API.
pub fn api_message<'a>(source: &'a Source, method: &'a str, message: &Value) -> Option<DecodedRequest<'a>> {
    let content_type = Some("application/json");
    let request = InboundRequest { method, query: "".into(), content_type, body: message.to_string().into() };
    let mut decoded = request.decode(source);
    let event = decoded.events.pop()?;
    let is_usable = is_recognized(&event) && allows_channel(source, &event);
    is_usable.then(|| DecodedRequest { events: vec![event], repaired: false, ..decoded })
}

impl DecodedRequest<'_> {
    pub fn webhook(&self) -> Webhook<'_> {
        self.request.webhook()
    }

    /// Whether each of its events is of a channel that the source allows.
    pub fn is_of_allowed_channels(&self) -> bool {
        self.events.iter().all(|event| allows_channel(self.source, event))
    }

    /// To be stored as a whole, without texts if the source stores none.
    pub fn into_submission(mut self, arrived_at: Timestamp, trace: Option<TraceParent>, origin: Origin) -> Submission {
        let redacted = self.drop_text();
        let Self { source, request, events, repaired, .. } = self;
        let (query, body) = match redacted {
            Some((query, body)) => (query, body.into()),
            None => (request.query.into_owned(), request.body),
        };
        let content_type = request.content_type.map(str::to_owned);
        Submission {
            source: source.name.clone(),
            arrived_at,
            trace,
            reconciled: origin == Origin::Reconciliation,
            repaired,
            reprocessed: None,
            raw: Raw { method: request.method.to_owned(), query, content_type, body },
            events,
        }
    }

    /// Removes the texts from the events, if the source stores none. Gives query and body without them then.
    pub fn drop_text(&mut self) -> Option<(String, Vec<u8>)> {
        match self.source.privacy.text {
            Text::Dropped => {
                let (query, body) = self.source.provider.drop_text(&mut self.events, &self.request.webhook());
                Some((query.into_owned(), body.into_owned()))
            }
            Text::Stored | Text::Exported => None,
        }
    }
}

/// One event of the stored request `found`, which is understood now. The request itself is stored already.
pub fn reprocessed_event(found: &Unrecognized, event: Event, repaired: bool, reprocessed: Reprocessed) -> Submission {
    Submission {
        source: found.source.clone(),
        arrived_at: found.received_at,
        trace: found.trace,
        reconciled: false,
        repaired,
        reprocessed: Some(reprocessed),
        raw: Raw { method: String::new(), query: String::new(), content_type: None, body: Bytes::new() },
        events: vec![event],
    }
}

/// Whether it is a receipt or a reply.
pub fn is_recognized(event: &Event) -> bool {
    !matches!(event, Event::Unrecognized(_))
}

/// Whether the source allows the event's channel. An event that names none passes: legacy ones never do.
pub fn allows_channel(source: &Source, event: &Event) -> bool {
    source.channel_ids.is_empty() || event.channel_id().is_none_or(|id| source.channel_ids.contains(id))
}
