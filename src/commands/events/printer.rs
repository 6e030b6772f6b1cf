//! An event as `smscope events` prints it: a line for people, or a JSON object. What it shows of a person is what the source's privacy
//! settings let out.

use serde_json::{Map, Value};

use crate::commands::show::{time, what};
use crate::number::networks;
use crate::record::{Entry, Record};
use crate::settings::{Recipient, Text};
use crate::telemetry::redaction::{NumberHasher, PrivacyPolicy, full, mask, without_numbers};

pub struct EventPrinter {
    pub policy: PrivacyPolicy,
    /// `None` where no key has been made.
    pub hasher: Option<NumberHasher>,
    pub json: bool,
}

impl EventPrinter {
    /// With the end of the line.
    pub fn line(&self, entry: &Entry) -> String {
        let text = if self.json { Value::from(self.object(entry)).to_string() } else { self.text(entry) };
        text + "\n"
    }

    fn text(&self, Entry { received_at, record, .. }: &Entry) -> String {
        let reason = record.reason.map(|reason| reason.as_str().replace('_', " "));
        let words = [&record.status, &record.detail].into_iter().flatten().map(|word| without_numbers(word));
        let words = Some(words.collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty());
        let details = [Some(what(record.kind).to_owned()), reason, words, record.why.clone()];
        let network = networks::name_and_code(record.mccmnc.as_deref(), record.network.as_deref());
        let place = [record.country.clone(), network].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let reference = record.ref_client.as_ref().map(|reference| format!("ref {reference}"));
        let text = self.shown_text(record).map(|text| format!("{text:?}"));
        let columns = [
            Some(time(*received_at)),
            Some(record.source.to_string()),
            Some(details.into_iter().flatten().collect::<Vec<_>>().join(", ")),
            self.recipient(record).or_else(|| self.hash(record)),
            Some(place).filter(|place| !place.is_empty()),
            record.message_id.clone(),
            reference,
            text,
        ];
        columns.into_iter().flatten().map(|column| column.replace(char::is_control, " ")).collect::<Vec<_>>().join("  ")
    }

    fn object(&self, Entry { position, received_at, record }: &Entry) -> Map<String, Value> {
        let clean = |word: &Option<String>| word.as_deref().map(|word| without_numbers(word).into_owned());
        let name = networks::name_and_code(None, record.network.as_deref());
        let name = record.mccmnc.as_deref().map(|code| networks::name(code, record.network.as_deref())).or(name);
        let texts = [
            ("received_at", Some(received_at.to_string())),
            ("occurred_at", record.occurred_at.map(|at| at.to_string())),
            ("source", Some(record.source.to_string())),
            ("kind", Some(record.kind.as_str().to_owned())),
            ("message_id", record.message_id.clone()),
            ("ref_client", record.ref_client.clone()),
            ("campaign_id", record.campaign_id.clone()),
            ("origin_message_id", record.origin_message_id.clone()),
            ("channel", record.channel.clone()),
            ("flow", record.flow.clone()),
            ("country", record.country.clone()),
            ("network", record.mccmnc.clone()),
            ("network_name", name),
            ("status", clean(&record.status)),
            ("detail", clean(&record.detail)),
            ("reason", record.reason.map(|reason| reason.as_str().to_owned())),
            ("recipient", self.recipient(record)),
            ("recipient_hash", self.hash(record)),
            ("text", self.shown_text(record).map(str::to_owned)),
            ("why", record.why.clone()),
        ];
        let mut object = Map::new();
        object.insert("position".to_owned(), position.0.into());
        object.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
        object.extend(record.delivery_ms.map(|ms| ("delivery_seconds".to_owned(), (ms as f64 / 1e3).into())));
        object
    }

    fn recipient(&self, record: &Record) -> Option<String> {
        let number = record.number.as_deref()?;
        match self.policy.of(&record.source).recipient {
            Recipient::Masked => Some(mask(number)),
            Recipient::Plain => Some(full(number)),
            Recipient::Hashed => None,
        }
    }

    fn hash(&self, record: &Record) -> Option<String> {
        Some(self.hasher.as_ref()?.hash(record.number.as_deref()?))
    }

    fn shown_text<'a>(&self, record: &'a Record) -> Option<&'a str> {
        let is_exported = self.policy.of(&record.source).text == Text::Exported;
        record.text.as_deref().filter(|_| is_exported)
    }
}
