//! A request as the front door decoded it, in JSON, for the leader. Both may be of different versions: fields are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::texts::json_without_nul;
use crate::event::{Event, SourceName, TraceParent};
use crate::store::{Raw, Submission};

/// `received.format`: the version of packed requests, with [`Decoded`] and the dictionary, that this smscope writes, and the newest that
/// it reads. Another one where a field is not merely added, and with another dictionary.
pub const FORMAT: i16 = 1;

/// A submission without the request as it came, which is beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decoded {
    source: SourceName,
    arrived_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trace: Option<TraceParent>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    reconciled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    repaired: bool,
    events: Vec<Event>,
}

impl Decoded {
    /// What the leader needs of a submission, and the request.
    pub fn split(submission: Submission) -> (Self, Raw) {
        let Submission { source, arrived_at, trace, reconciled, repaired, raw, events, .. } = submission;
        (Self { source, arrived_at, trace, reconciled, repaired, events }, raw)
    }

    /// No text in it has a NUL.
    ///
    /// # Errors
    /// A time that cannot be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(json_without_nul)
    }

    /// # Errors
    /// It is of a newer version, which has written what this one does not know.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    pub fn into_submission(self, raw: Raw) -> Submission {
        let Self { source, arrived_at, trace, reconciled, repaired, events } = self;
        Submission { source, arrived_at, trace, reconciled, repaired, reprocessed: None, raw, events }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Country, Network, Outcome, Price, Reason, Receipt, Reply, ReplyKind, Status, Unrecognized};
    use crate::store::suite;
    use crate::store::tests::{receipt, reply, submission_at};

    fn at() -> Timestamp {
        "2026-02-03T04:05:06.789012Z".parse().unwrap()
    }

    fn read_back(submission: &Submission) -> Submission {
        let (decoded, raw) = Decoded::split(submission.clone());
        Decoded::from_json(&decoded.to_json().unwrap()).unwrap().into_submission(raw)
    }

    /// All that an event can say.
    fn full_events() -> Vec<Event> {
        let some = |text: &str| Some(text.to_owned());
        let network = Network { mccmnc: some("20801"), name: some("Orange") };
        let receipt = Receipt {
            message_part: "33612345678".into(),
            part_text: some("+33612345678"),
            shares_id: true,
            channel_id: some("ch-1"),
            originator: some("SHOP"),
            status: Status {
                value_text: some("undelivered"),
                detail: some("BLACKLISTED"),
                time: Some(at()),
                time_text: "2026-02-03 04:05:06".into(),
                ..receipt("m", "UNDELIVERED", Outcome::Failed(Reason::Blacklisted)).status
            },
            accepted_at: Some(at()),
            sent_at: Some(at()),
            network: network.clone(),
            price: Some(Price { micros: 45_000, currency: some("EUR") }),
            parts: Some(2),
            ref_client: some("order-1042"),
            campaign_id: some("c"),
            origin_message_id: some("o"),
            text: some("é \"\\u0000\" 👋"),
            ..receipt("m", "UNDELIVERED", Outcome::Failed(Reason::Blacklisted))
        };
        let reply = Reply {
            former_id: some("f"),
            kind: ReplyKind::Stop,
            opts_in: true,
            channel_id: some("ch-1"),
            flow: some("OTP"),
            country: Country::new("FR"),
            time: Some(at()),
            network,
            ref_client: some("order-1042"),
            campaign_id: some("c"),
            origin_message_id: some("m"),
            ..reply("r")
        };
        let unrecognized = Unrecognized { digest: [0xa5; 32], channel_id: some("ch-1"), why: "no messageId".into() };
        vec![Event::Receipt(receipt.into()), Event::Reply(reply.into()), Event::Unrecognized(unrecognized)]
    }

    #[test]
    fn all_that_is_decoded_is_read_back() {
        let submission = Submission {
            trace: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            reconciled: true,
            repaired: true,
            ..submission_at(at(), full_events())
        };
        let read = read_back(&submission);
        assert_eq!((&read.source, read.arrived_at, read.trace), (&submission.source, at(), submission.trace));
        assert_eq!((read.reconciled, read.repaired, read.reprocessed), (true, true, None));
        assert_eq!((read.raw, read.events), (submission.raw, submission.events));
    }

    #[test]
    fn a_nul_is_replaced_before_the_leader_sees_it() {
        let event = Event::Reply(Box::new(Reply { text: Some("a\0b".into()), ..reply("r\0") }));
        let clean = Event::Reply(Box::new(Reply { text: Some("a\u{fffd}b".into()), ..reply("r\u{fffd}") }));
        assert_eq!(read_back(&submission_at(at(), vec![event])).events, [clean]);
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over_and_what_an_older_one_lacks_is_absent() {
        let json = r#"{"source":"smsmode","arrived_at":"2026-02-03T04:05:06Z","color":"red","events":[{"receipt":
            {"message_id":"m","status":{"value":"DELIVERED","outcome":"delivered","shade":1}}}]}"#;
        let decoded = Decoded::from_json(json).unwrap();
        let [Event::Receipt(read)] = &decoded.events[..] else { panic!("{decoded:?}") };
        assert_eq!((read.status.outcome, &read.network, &read.text), (Outcome::Delivered, &Network::default(), &None));
    }

    proptest! {
        #[test]
        fn events_are_read_back_as_they_were(events in prop::collection::vec(suite::event(), 0..8)) {
            let submission = submission_at(at(), events);
            prop_assert_eq!(read_back(&submission).events, submission.events);
        }
    }
}
