//! What each change of a message, and each receipt and reply, adds to the ledger.

use crate::event::{Outcome, Price, Reason, ReplyKind};
use crate::ledger::catalogue::Metric;
use crate::ledger::{CounterUpdates, Exemplar, Ledger};
use crate::lifecycle::{Change, State};

/// The labels of a message: fixed at its first sight and stored with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLabels {
    pub source: String,
    pub channel: String,
    pub flow: String,
    pub country: String,
}

impl MessageLabels {
    fn set(&self) -> [&str; 4] {
        [&self.source, &self.channel, &self.flow, &self.country]
    }

    fn set_and<'a>(&'a self, last: &'a str) -> [&'a str; 5] {
        [&self.source, &self.channel, &self.flow, &self.country, last]
    }
}

/// The labels of a mobile network: its MCCMNC and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkLabels<'a> {
    pub network: &'a str,
    pub name: &'a str,
}

/// The statuses of smsmode's REST API with their outcomes: they come together, so their series start together.
const DOCUMENTED_STATUSES: [(&str, &str); 6] = [
    ("SCHEDULED", "pending"),
    ("ENROUTE", "pending"),
    ("DELIVERED", "delivered"),
    ("UNDELIVERED", "failed"),
    ("UNDELIVERABLE", "failed"),
    ("READ", "read"),
];

/// The open transaction's updates, with the ledger that they will be applied to.
pub struct Counters<'a> {
    pub ledger: &'a Ledger,
    pub updates: &'a mut CounterUpdates,
}

impl Counters<'_> {
    fn add(&mut self, metric: Metric, labels: &[&str], amount: i64) {
        self.updates.add(self.ledger, metric, labels, amount);
    }

    /// Counts what changed of one message. `network`: its network, when that is known.
    pub fn message(&mut self, labels: &MessageLabels, network: Option<NetworkLabels<'_>>, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::FirstSeen => {
                    self.open_label_set(labels);
                    self.add(Metric::Messages, &labels.set(), 1);
                }
                Change::PendingEntered(state) => {
                    self.add(Metric::Pending, &labels.set_and(state.as_str()), 1);
                }
                Change::PendingLeft(state) => {
                    self.add(Metric::Pending, &labels.set_and(state.as_str()), -1);
                }
                Change::Delivered => {
                    self.add(Metric::Delivered, &labels.set(), 1);
                    self.network_outcome(labels, network, Outcome::Delivered);
                }
                Change::Failed(reason) => {
                    self.add(Metric::Failed, &labels.set_and(reason.as_str()), 1);
                    self.network_outcome(labels, network, Outcome::Failed(reason));
                }
                Change::Read => self.add(Metric::Read, &labels.set(), 1),
                Change::Expired => self.add(Metric::Expired, &labels.set(), 1),
                Change::Corrected { from } => {
                    self.add(Metric::Corrected, &labels.set_and(from.as_str()), 1);
                }
            }
        }
    }

    /// Remembers the trace by which a message was delivered or failed.
    pub fn exemplify(&mut self, labels: &MessageLabels, changes: &[Change], exemplar: Exemplar) {
        for change in changes {
            match *change {
                Change::Delivered => self.updates.exemplify(Metric::Delivered, &labels.set(), exemplar),
                Change::Failed(reason) => {
                    self.updates.exemplify(Metric::Failed, &labels.set_and(reason.as_str()), exemplar);
                }
                _ => {}
            }
        }
    }

    /// Counts one distinct receipt. `status`: the provider's value, as a label.
    pub fn receipt(&mut self, source: &str, channel: &str, status: &str, outcome: Outcome) {
        let labels = [source, channel, status, outcome.label()];
        let is_documented = DOCUMENTED_STATUSES.iter().any(|(documented, _)| *documented == status);
        if is_documented && !self.ledger.contains(Metric::Receipts, &labels) {
            for (documented, outcome) in DOCUMENTED_STATUSES {
                self.add(Metric::Receipts, &[source, channel, documented, outcome], 0);
            }
        }
        self.add(Metric::Receipts, &labels, 1);
    }

    /// Counts one reply.
    pub fn reply(&mut self, source: &str, channel: &str, kind: ReplyKind) {
        self.open_reply_kinds(source, channel);
        self.add(Metric::Replies, &[source, channel, kind.as_str()], 1);
    }

    /// Both kinds exist from the start, so that the first STOP of all is an increase.
    pub fn open_reply_kinds(&mut self, source: &str, channel: &str) {
        for kind in ReplyKind::ALL {
            self.add(Metric::Replies, &[source, channel, kind.as_str()], 0);
        }
    }

    /// Counts a message that is seen for the first time, if its recipient had opted out before it was sent.
    pub fn after_opt_out(&mut self, labels: &MessageLabels, is_after: bool) {
        self.add(Metric::AfterOptOut, &labels.set(), is_after.into());
    }

    /// Counts one distinct receipt that did not come and was learnt by asking.
    pub fn reconciled(&mut self, source: &str, outcome: Outcome) {
        self.add(Metric::Reconciled, &[source, outcome.label()], 1);
    }

    /// Every outcome exists from the start, so that the first receipt that did not come is an increase.
    pub fn open_reconciled(&mut self, source: &str) {
        for outcome in ["pending", "delivered", "failed", "read", "unknown"] {
            self.add(Metric::Reconciled, &[source, outcome], 0);
        }
    }

    pub fn parts(&mut self, labels: &MessageLabels, parts: u32) {
        self.add(Metric::Parts, &[&labels.source, &labels.channel, &labels.country], parts.into());
    }

    /// `currency`: the price's, as a label.
    pub fn cost(&mut self, labels: &MessageLabels, price: &Price, currency: &str) {
        let set = [&*labels.source, &*labels.channel, &*labels.country, currency];
        self.add(Metric::Cost, &set, price.micros);
        self.add(Metric::FailedCost, &set, 0);
    }

    pub fn failed_cost(&mut self, labels: &MessageLabels, micros: i64, currency: &str) {
        let set = [&*labels.source, &*labels.channel, &*labels.country, currency];
        self.add(Metric::FailedCost, &set, micros);
    }

    fn network_outcome(&mut self, labels: &MessageLabels, network: Option<NetworkLabels<'_>>, outcome: Outcome) {
        let Some(NetworkLabels { network, name }) = network else { return };
        for (other, amount) in [(Outcome::Delivered, 0), (Outcome::Failed(Reason::Unknown), 0), (outcome, 1)] {
            self.add(Metric::NetworkOutcomes, &[&labels.source, network, name, other.label()], amount);
        }
    }

    /// All series of a label set exist from its first message on: `increase()` does not see a series' first sample.
    fn open_label_set(&mut self, labels: &MessageLabels) {
        if self.ledger.contains(Metric::Messages, &labels.set()) {
            return;
        }
        for metric in [Metric::Messages, Metric::Delivered, Metric::Read, Metric::Expired] {
            self.add(metric, &labels.set(), 0);
        }
        for reason in Reason::ALL {
            self.add(Metric::Failed, &labels.set_and(reason.as_str()), 0);
        }
        for from in [State::Failed(Reason::Unknown), State::Expired] {
            self.add(Metric::Corrected, &labels.set_and(from.as_str()), 0);
        }
        for state in [State::Scheduled, State::Enroute] {
            self.add(Metric::Pending, &labels.set_and(state.as_str()), 0);
        }
        self.add(Metric::Parts, &[&labels.source, &labels.channel, &labels.country], 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> MessageLabels {
        MessageLabels { source: "smsmode".into(), channel: "SMS".into(), flow: "OTP".into(), country: "FR".into() }
    }

    #[test]
    fn the_first_message_of_a_label_set_brings_all_its_series() {
        let ledger = Ledger::default();
        let mut updates = CounterUpdates::default();
        let changes = [Change::FirstSeen, Change::PendingEntered(State::Enroute)];
        Counters { ledger: &ledger, updates: &mut updates }.message(&labels(), None, &changes);
        let count = |metric| updates.new_series().iter().filter(|(series, _)| series.metric == metric).count();
        assert_eq!(count(Metric::Failed), 17);
        assert_eq!(count(Metric::Corrected), 2);
        assert_eq!(count(Metric::Pending), 2);
        for metric in [Metric::Messages, Metric::Delivered, Metric::Read, Metric::Expired, Metric::Parts] {
            assert_eq!(count(metric), 1, "{metric:?}");
        }
        let total: i64 = updates.new_series().iter().map(|(_, amount)| amount).sum();
        assert_eq!(total, 2, "one message, one pending, all else 0");
    }

    #[test]
    fn an_outcome_counts_for_its_network_where_that_is_known() {
        let mut ledger = Ledger::default();
        let mut updates = CounterUpdates::default();
        let mut counters = Counters { ledger: &ledger, updates: &mut updates };
        let orange = NetworkLabels { network: "20801", name: "Orange" };
        counters.message(&labels(), Some(orange), &[Change::Failed(Reason::Network)]);
        counters.message(&labels(), None, &[Change::Delivered]);
        ledger.apply(updates);
        let value = |outcome| ledger.value(Metric::NetworkOutcomes, &["smsmode", "20801", "Orange", outcome]);
        assert_eq!((value("failed"), value("delivered")), (1, 0));
    }
}
