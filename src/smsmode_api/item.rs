//! Messages of the API as the webhooks that they look like.

use bytes::Bytes;
use serde_json::Value;

use crate::config::{Source, Text};
use crate::event::Event;
use crate::provider::{Reading, Webhook, smsmode};

/// A message resource as the event that a webhook with it would be, and the body to be kept with it; `None` for what is neither a
/// receipt nor a reply, or of a channel that the source may not speak of.
pub fn event_of(source: &Source, item: &Value) -> Option<(Event, Bytes)> {
    let reading = Reading {
        zone: &source.zone,
        region: source.region,
        stop_keywords: &source.stop_keywords,
        start_keywords: &source.start_keywords,
    };
    let body = item.to_string();
    let webhook = Webhook { query: "", content_type: Some("application/json"), body: body.as_bytes() };
    let mut event = smsmode::decode(&reading, &webhook).events.pop()?;
    let may_be_kept = !matches!(event, Event::Unrecognized(_))
        && (source.channel_ids.is_empty() || event.channel_id().is_none_or(|id| source.channel_ids.contains(id)));
    let kept = match source.privacy.text {
        Text::Dropped => {
            let (_, body) = smsmode::drop_text(std::slice::from_mut(&mut event), &webhook);
            body.into_owned().into()
        }
        Text::Kept | Text::Exported => body.into(),
    };
    may_be_kept.then_some((event, kept))
}
