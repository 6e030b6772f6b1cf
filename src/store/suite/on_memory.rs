//! The store in memory under test.

use super::Harness;
use super::actions::{Action, Dump, Reaction};
use super::memory::Memory;
use crate::ledger::Ledger;
use crate::ledger::caps::LabelCaps;
use crate::store::Settings;
use crate::store::core::{Pseudonymizer, Tx};

pub struct OnMemory {
    settings: Settings,
    pub memory: Memory,
    ledger: Ledger,
    caps: LabelCaps,
}

impl Harness for OnMemory {
    fn new(settings: Settings) -> Self {
        let (memory, ledger) = (Memory::default(), Ledger::default());
        let mut new = Self { settings, memory, ledger, caps: LabelCaps::new([], []) };
        new.run(&Action::Start, true);
        new
    }

    fn run(&mut self, action: &Action, commits: bool) -> Reaction {
        let pseudonymizer = Pseudonymizer::new(b"salt", self.memory.has_erased);
        let mut rules = Tx::new(self.memory.clone(), &self.settings, &self.ledger, &mut self.caps, &pseudonymizer);
        let Ok(reaction) = action.run(&mut rules);
        let (memory, outcome) = rules.finish();
        if commits {
            self.caps.commit();
            self.memory = memory;
            self.ledger.apply(outcome.counters);
        } else {
            self.caps.rollback();
        }
        reaction
    }

    fn restart(&mut self) {
        self.run(&Action::Start, true);
    }

    fn dump(&self) -> Dump {
        let Ok(dump) = Dump::of(&self.memory, &self.ledger);
        dump
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}
