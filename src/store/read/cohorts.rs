//! What became of the messages that were accepted in each hour, as of now: receipts arrive late, so a rate by arrival lies during an
//! incident, and a rate by acceptance does not.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{ReadStore, Table};
use crate::number::networks;
use crate::store::StoreError;
use crate::store::ids::MessageRowId;

/// Every zone's hours and days begin with a quarter of an hour of UTC. In milliseconds.
pub(in crate::store) const QUARTER: i64 = 900_000;

/// By what messages are grouped besides the labels of their counters: each makes more rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub campaign: bool,
    pub network: bool,
}

/// Messages of one source, time of acceptance, channel, flow and country, in one state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohort {
    pub source: String,
    /// Start of the quarter of an hour.
    pub quarter: Timestamp,
    pub channel: String,
    pub flow: String,
    pub country: String,
    /// Empty where there is none, or it is not asked for.
    pub campaign: String,
    /// The network's name; empty where it is not known, or not asked for.
    pub network: String,
    /// `scheduled`, `enroute`, `delivered`, `read`, `failed` or `expired`.
    pub state: String,
    /// The normalized cause, for `failed`.
    pub reason: Option<String>,
}

impl ReadStore {
    /// Counts the messages that were accepted at `since` or later, from a store that may be in use meanwhile. Reads every such message
    /// once: about a second for a million.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn cohorts(&self, since: Timestamp, detail: Detail) -> Result<BTreeMap<Cohort, u64>, StoreError> {
        let first = MessageRowId(self.first_since(Table::Messages, since)?);
        let rows = self.0.cohorts(first, since, detail)?;
        let names = if detail.network { self.0.network_names()? } else { Default::default() };
        // Codes of one operator have one name.
        let mut counts = BTreeMap::new();
        for (mut cohort, count) in rows {
            let code = &cohort.network;
            cohort.network = match names.get(code) {
                Some(name) => name.clone(),
                None if code.is_empty() => String::new(),
                None => networks::name(code, None),
            };
            *counts.entry(cohort).or_default() += count;
        }
        Ok(counts)
    }
}
