//! Scenarios. Each is one deviation from an ordinary day, so that its effect is seen alone.

use std::time::Duration;

use super::content::Flow;
use super::dice::Dice;
use super::message::Message;
use super::status::Failure;
use super::story::Fate;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Scenario {
    /// An ordinary day: about 95 % delivered, most within seconds, a few hours later; all reasons of failure, replies, opt-outs
    #[default]
    Steady,
    /// From one to two thirds of the run, SFR in France fails: network trouble and absent handsets in legacy, UNDELIVERED in v1;
    /// no want of credit and no limit besides, so that the network's alert is seen alone
    Spike,
    /// Nothing arrives for the middle third of the run, then all of it at once
    Outage,
    /// The provider takes most of the marketing for spam
    Filtered,
    /// From the middle of the run on, every message fails for lack of credit
    CreditExhausted,
    /// Every webhook is sent 6 to 13 times, as when acknowledgements are lost
    Storm,
}

/// The country and the network of [`Scenario::Spike`].
pub const SPIKE: (&str, &str) = ("FR", "20810");

impl Scenario {
    /// The fate of `message`, if it differs from that of an ordinary day. `phase`: the share of the run that has passed, from 0 to 1.
    pub fn fate(self, message: &Message, ordinary: Fate, phase: f64, dice: &mut Dice) -> Option<Fate> {
        let dialect = message.dialect;
        match self {
            Scenario::Spike => {
                let hit = (message.market.country, message.network.mccmnc) == SPIKE && is_middle_third(phase);
                if hit && dice.chance(0.85) {
                    return Some(Fate::Failed(Failure::network(dialect, dice)));
                }
                ordinary.failure().is_some_and(Failure::is_of_the_account).then_some(Fate::Delivered)
            }
            Scenario::Filtered => {
                (message.flow == Flow::Marketing && dice.chance(0.7)).then(|| Fate::Failed(Failure::spam(dialect)))
            }
            Scenario::CreditExhausted => (phase >= 0.5).then(|| Fate::Failed(Failure::credit(dialect))),
            Scenario::Steady | Scenario::Outage | Scenario::Storm => None,
        }
    }

    /// How often and when, in seconds by the provider's clock, a webhook is resent in this scenario; `None`: as usual.
    pub fn copies(self, dice: &mut Dice) -> Option<Vec<f64>> {
        (self == Scenario::Storm).then(|| {
            let count = 5 + dice.below(8);
            (0..count).map(|_| dice.log_uniform(0.05, 300.0)).collect()
        })
    }

    /// When what is due at `due`, after the start of a run that sends for `duration`, really arrives.
    pub fn arrives(self, due: Duration, duration: Duration) -> Duration {
        let phase = due.as_secs_f64() / duration.as_secs_f64();
        if self == Scenario::Outage && is_middle_third(phase) { duration * 2 / 3 } else { due }
    }
}

fn is_middle_third(phase: f64) -> bool {
    (1.0 / 3.0..2.0 / 3.0).contains(&phase)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn a_scenario_is_written_as_the_command_line_has_it_and_explained() {
        for scenario in Scenario::value_variants() {
            let value = scenario.to_possible_value().unwrap();
            assert_eq!(value.get_name(), scenario.to_string());
            assert!(value.get_help().is_some_and(|help| help.to_string().len() > 30), "{scenario}");
        }
    }
}
