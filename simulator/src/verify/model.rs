//! The expected metrics of messages whose webhooks were acknowledged, derived from the contract of the metrics.
//!
//! Deliberately no state machine: each count is one statement about the list of receipts, in the order in which they were
//! acknowledged.

use std::collections::BTreeMap;

use super::page::Series;
use crate::message::{Message, Payload, Receipt, Step};
use crate::status::{Dialect, Meaning};

/// How the messages of a run ended, in their last known state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub messages: u64,
    pub delivered: u64,
    pub read: u64,
    pub failed: u64,
    pub pending: u64,
    pub replies: u64,
    pub stops: u64,
}

/// The expected increase of every series, in millionths.
#[derive(Clone, Debug, Default)]
pub struct Model {
    source: String,
    pub expected: BTreeMap<Series, i64>,
    pub ends: Ends,
}

impl Model {
    /// `source`: the label's value.
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }

    /// Adds one message. `acknowledged`: the steps that were acknowledged, each once, in that order.
    pub fn add<'a>(&mut self, message: &Message, acknowledged: impl Iterator<Item = &'a Step>) {
        let mut receipts = Vec::new();
        for step in acknowledged {
            match &step.payload {
                Payload::Receipt(receipt) => receipts.push(receipt),
                Payload::Reply(reply) => {
                    let (channel, kind) = (message.channel.into_str(), reply.body.kind());
                    self.count("sms_replies_total", &[("channel", channel), ("kind", kind)], 1);
                    self.ends.replies += 1;
                    self.ends.stops += u64::from(kind == "stop");
                }
            }
        }
        if !receipts.is_empty() {
            self.message(message, &receipts);
        }
    }

    fn message(&mut self, message: &Message, receipts: &[&Receipt]) {
        let channel = ("channel", message.channel.into_str());
        let country = ("country", message.market.country);
        // The legacy API does not know of flows.
        let flow = if message.dialect == Dialect::V1 { message.flow.into_str() } else { "unknown" };
        let set = [channel, ("flow", flow), country];

        self.count("sms_messages_total", &set, 1);
        self.ends.messages += 1;
        for receipt in receipts {
            let status = [channel, ("status", receipt.status.value), ("outcome", receipt.status.meaning.outcome())];
            self.count("sms_receipts_total", &status, 1);
        }

        // It was delivered by its first receipt that says delivered or read, and failed by its first that says failed, if that
        // came before.
        let first = |is: fn(Meaning) -> bool| receipts.iter().position(|receipt| is(receipt.status.meaning));
        let delivered = first(|meaning| matches!(meaning, Meaning::Delivered | Meaning::Read));
        let failed = first(|meaning| matches!(meaning, Meaning::Failed(_)))
            .filter(|failed| delivered.is_none_or(|delivered| *failed < delivered));
        let read = first(|meaning| meaning == Meaning::Read);
        if let Some(at) = delivered {
            self.count("sms_messages_delivered_total", &set, 1);
            self.network(message, &receipts[..=at], "delivered");
            self.ends.delivered += 1;
        }
        if let Some(at) = failed
            && let Meaning::Failed(reason) = receipts[at].status.meaning
        {
            self.count("sms_messages_failed_total", &[channel, ("flow", flow), country, ("reason", reason)], 1);
            self.network(message, &receipts[..=at], "failed");
            if delivered.is_some() {
                let set = [channel, ("flow", flow), country, ("from", "failed")];
                self.count("sms_messages_corrected_total", &set, 1);
            } else {
                self.ends.failed += 1;
            }
        }
        if read.is_some() {
            self.count("sms_messages_read_total", &set, 1);
            self.ends.read += 1;
        }
        if delivered.is_none() && failed.is_none() {
            let on_its_way = first(|meaning| meaning == Meaning::Enroute).is_some();
            let scheduled = receipts[0].status.meaning == Meaning::Scheduled && !on_its_way;
            let state = if scheduled { "scheduled" } else { "enroute" };
            self.count("sms_messages_pending", &[channel, ("flow", flow), country, ("state", state)], 1);
            self.ends.pending += 1;
        }

        if message.dialect == Dialect::V1 {
            self.count("sms_message_parts_total", &[channel, country], i64::from(message.content.parts));
        }
        if let Some(price) = message.price.filter(|_| receipts.iter().any(|receipt| receipt.has_price)) {
            let currency = ("currency", if message.dialect == Dialect::V1 { "EUR" } else { "credits" });
            self.add_millionths("sms_message_cost_total", &[channel, country, currency], price);
            if failed.is_some() {
                self.add_millionths("sms_message_failed_cost_total", &[channel, country, currency], price);
            }
        }
    }

    /// An outcome counts for the network if one of the receipts until then has named it.
    fn network(&mut self, message: &Message, until: &[&Receipt], outcome: &str) {
        if until.iter().any(|receipt| receipt.has_network) {
            let network = message.network;
            let labels = [("network", network.mccmnc), ("network_name", network.name), ("outcome", outcome)];
            self.count("sms_network_outcomes_total", &labels, 1);
        }
    }

    fn count(&mut self, name: &str, labels: &[(&str, &str)], by: i64) {
        self.add_millionths(name, labels, by * 1_000_000);
    }

    fn add_millionths(&mut self, name: &str, labels: &[(&str, &str)], by: i64) {
        let mut series = Series::new(name, labels);
        series.labels.insert("source".to_owned(), self.source.clone());
        *self.expected.entry(series).or_default() += by;
    }
}
