//! What follows a commit: everyone sees what the transaction has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::Settings;
use super::core::{Observation, Outcome};
use super::floods::Floods;
use super::shared::Shared;
use crate::process_metrics::SourceMetrics;

/// Publishes the outcomes of one writer's transactions, in their order.
pub struct Publisher {
    shared: Arc<Shared>,
    sources: HashMap<String, SourceMetrics>,
    floods: Floods,
}

impl Publisher {
    pub fn new(shared: Arc<Shared>, settings: &Settings) -> Self {
        let sources =
            settings.sources.iter().map(|name| (name.to_string(), SourceMetrics::new(name.as_str()))).collect();
        Self { shared, sources, floods: Floods::new(settings.flood.clone(), &settings.sources) }
    }

    pub fn publish(&mut self, outcome: Outcome) {
        if outcome.events_changed {
            self.shared.forget_events();
        }
        self.shared.publish(outcome.counters, outcome.newest, outcome.appended);
        if let Some(seq) = outcome.newest_opt_out {
            self.shared.opt_outs.send_replace(seq);
        }
        if outcome.relays_changed {
            self.shared.relays.send_modify(|changes| *changes += 1);
        }
        if outcome.resends_changed {
            self.shared.resends.send_modify(|changes| *changes += 1);
        }
        for Observation { labels, delivered_in, delayed } in outcome.observations {
            let Some(metrics) = self.sources.get(&labels.source) else { continue };
            if let Some(took) = delivered_in {
                metrics.delivered_in(&labels.channel, &labels.country, took);
            }
            if let Some(delay) = delayed {
                metrics.receipt_delayed(delay);
            }
        }
        let now = Instant::now();
        for message in &outcome.first_sights {
            self.floods.seen(message, now);
        }
    }

    /// Reports recipients of too many messages, once in a while.
    pub fn report_floods(&mut self) {
        self.floods.report(Instant::now());
    }
}
