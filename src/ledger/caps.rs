//! Bounds on label values that come from outside: at most 50 distinct ones a label, remembered durably; past that, `other`.
//!
//! The values that the provider documents take the first places, so that junk can never push them out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use strum::{EnumCount, EnumString, IntoStaticStr, VariantArray};

use crate::number::networks;

pub const UNKNOWN: &str = "unknown";
pub const OTHER: &str = "other";

/// Distinct values of one label.
const CAP: usize = 50;
/// Bytes of one value. No documented value comes near it.
const MAX_LENGTH: usize = 64;

/// Digits of one value: a network has six, and from seven on it could be somebody's number.
const MAX_DIGITS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumCount, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Label {
    Channel,
    Flow,
    Status,
    Network,
    Currency,
}

impl Label {
    pub const ALL: [Label; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    pub fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The values that smsmode documents, which always have room under the cap.
    fn documented(self) -> &'static [&'static str] {
        match self {
            Label::Channel => &["SMS", "RCS", "WHATSAPP"],
            Label::Flow => &["MARKETING", "TRANSACTIONAL", "OTP"],
            Label::Status => &["SCHEDULED", "ENROUTE", "DELIVERED", "UNDELIVERED", "UNDELIVERABLE", "READ"],
            Label::Currency => &["EUR", "credits"],
            Label::Network => &[],
        }
    }
}

/// The values seen so far.
#[derive(Debug)]
pub struct LabelCaps {
    seen: HashMap<Label, HashSet<String>>,
    /// Admitted since the last [`LabelCaps::commit`]: to be saved with the transaction, or rolled back with it.
    uncommitted: Vec<(Label, String)>,
    capped: Vec<Label>,
    /// The name of each network that has been counted: the first one stays, so that its series never become two.
    names: HashMap<String, Arc<str>>,
    /// Networks named since the last [`LabelCaps::commit`].
    newly_named: Vec<String>,
}

impl LabelCaps {
    /// `saved`: what earlier transactions admitted. Labels that no longer exist are passed over. `names`: those of the networks in
    /// the ledger.
    pub fn new(
        saved: impl IntoIterator<Item = (String, String)>,
        names: impl IntoIterator<Item = (String, Arc<str>)>,
    ) -> Self {
        let mut seen: HashMap<Label, HashSet<String>> = Label::ALL
            .into_iter()
            .map(|label| (label, label.documented().iter().map(|&value| value.to_owned()).collect()))
            .collect();
        for (name, value) in saved {
            if let Ok(label) = name.parse::<Label>() {
                seen.entry(label).or_default().insert(value);
            }
        }
        let names = names.into_iter().collect();
        Self { seen, uncommitted: Vec::new(), capped: Vec::new(), names, newly_named: Vec::new() }
    }

    /// The values of the labels `network` and `network_name` for a MCCMNC and the name that the provider `reported`.
    pub fn admit_network<'v>(&mut self, mccmnc: &'v str, reported: Option<&str>) -> (Cow<'v, str>, Arc<str>) {
        let network = self.admit(Label::Network, Some(mccmnc));
        if let Some(name) = self.names.get(&*network) {
            return (network, name.clone());
        }
        if network == OTHER {
            return (network, OTHER.into());
        }
        let name: Arc<str> = networks::name(mccmnc, reported).into();
        self.names.insert(mccmnc.to_owned(), name.clone());
        self.newly_named.push(mccmnc.to_owned());
        (network, name)
    }

    /// The value to count under: itself, `unknown` when absent or empty, `other` past the cap.
    pub fn admit<'v>(&mut self, label: Label, value: Option<&'v str>) -> Cow<'v, str> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Cow::Borrowed(UNKNOWN);
        };
        let seen = self.seen.entry(label).or_default();
        if seen.contains(value) || value == UNKNOWN || value == OTHER {
            return Cow::Borrowed(value);
        }
        let may_be_a_number = value.chars().filter(|c| c.is_numeric()).count() > MAX_DIGITS;
        if seen.len() >= CAP || value.len() > MAX_LENGTH || value.chars().any(char::is_control) || may_be_a_number {
            self.capped.push(label);
            return Cow::Borrowed(OTHER);
        }
        seen.insert(value.to_owned());
        self.uncommitted.push((label, value.to_owned()));
        Cow::Borrowed(value)
    }

    /// What the open transaction has to save.
    pub fn uncommitted(&self) -> &[(Label, String)] {
        &self.uncommitted
    }

    /// The transaction committed: what it admitted stays. Gives the labels of values that became `other`, one each time.
    pub fn commit(&mut self) -> Vec<Label> {
        self.uncommitted.clear();
        self.newly_named.clear();
        std::mem::take(&mut self.capped)
    }

    /// The transaction did not commit: what it admitted is forgotten.
    pub fn rollback(&mut self) {
        for (label, value) in self.uncommitted.drain(..) {
            self.seen.entry(label).or_default().remove(&value);
        }
        for network in self.newly_named.drain(..) {
            self.names.remove(&network);
        }
        self.capped.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> LabelCaps {
        LabelCaps::new([], [])
    }

    #[test]
    fn fifty_values_are_admitted_and_the_rest_is_other_and_counted() {
        let mut caps = none();
        let names: Vec<String> = (0..60).map(|n| format!("20{n:03}")).collect();
        let admitted: HashSet<String> =
            names.iter().map(|name| caps.admit(Label::Network, Some(name)).into_owned()).collect();
        assert_eq!(admitted.len(), 51);
        assert!(admitted.contains(OTHER));
        assert_eq!(caps.commit(), vec![Label::Network; 10]);
        assert_eq!(caps.admit(Label::Network, Some("20000")), "20000", "one of the first stays");
    }

    #[test]
    fn documented_values_always_have_a_place() {
        let mut caps = none();
        for n in 0..100 {
            caps.admit(Label::Status, Some(&format!("JUNK{n}")));
        }
        assert_eq!(caps.admit(Label::Status, Some("DELIVERED")), "DELIVERED");
    }

    #[test]
    fn absent_is_unknown_and_what_is_no_label_is_other() {
        let mut caps = none();
        assert_eq!(caps.admit(Label::Flow, None), UNKNOWN);
        assert_eq!(caps.admit(Label::Flow, Some("")), UNKNOWN);
        assert_eq!(caps.admit(Label::Flow, Some("a\nb")), OTHER);
        assert_eq!(caps.admit(Label::Flow, Some(&"x".repeat(65))), OTHER);
        assert_eq!(caps.admit(Label::Status, Some("OFF +33 6 12 34 56 78")), OTHER);
        assert!(caps.uncommitted().is_empty());
    }

    #[test]
    fn a_transaction_that_did_not_commit_leaves_nothing() {
        let mut caps = none();
        caps.admit(Label::Channel, Some("PIGEON"));
        assert_eq!(caps.uncommitted(), [(Label::Channel, "PIGEON".to_owned())]);
        caps.rollback();
        assert!(caps.uncommitted().is_empty());
        caps.admit(Label::Channel, Some("PIGEON"));
        assert_eq!(caps.uncommitted().len(), 1, "admitted again, so it will be saved");
    }

    #[test]
    fn what_was_saved_is_remembered() {
        let mut caps = LabelCaps::new((0..50).map(|n| ("network".to_owned(), format!("30{n:03}"))), []);
        assert_eq!(caps.admit(Label::Network, Some("30049")), "30049");
        assert_eq!(caps.admit(Label::Network, Some("20801")), OTHER);
    }

    #[test]
    fn a_network_keeps_the_name_it_was_first_counted_under() {
        let mut caps = LabelCaps::new([], [("20801".to_owned(), "Orange".into())]);
        let name = |caps: &mut LabelCaps, code, reported| caps.admit_network(code, reported).1;
        assert_eq!(&*name(&mut caps, "20801", Some("Wanadoo")), "Orange", "as the ledger has it");
        assert_eq!(&*name(&mut caps, "20815", Some("Reglo")), "Reglo");
        caps.rollback();
        assert_eq!(&*name(&mut caps, "20815", None), "Free Mobile", "the first was never counted");
        caps.commit();
        caps.rollback();
        assert_eq!(&*name(&mut caps, "20815", Some("Reglo")), "Free Mobile");
    }

    #[test]
    fn past_the_cap_a_network_and_its_name_are_other() {
        let mut caps = LabelCaps::new((0..50).map(|n| ("network".to_owned(), format!("30{n:03}"))), []);
        let (network, name) = caps.admit_network("20801", Some("Orange"));
        assert_eq!((&*network, &*name), (OTHER, OTHER));
        let (network, name) = caps.admit_network("30001", None);
        assert_eq!((&*network, &*name), ("30001", "30001"));
    }
}
