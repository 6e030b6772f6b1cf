//! What each step of a walk found.

use std::time::Duration;

use super::QUICK;

/// One step, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `dns`, `connect`, `tls`, `answer`, `time` or `process`.
    pub name: &'static str,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was found.
    Ok(String),
    /// What is wrong, and what to do.
    Failed { why: String, advice: String },
    /// Why it could not be looked at.
    Unknown(String),
}

/// The steps there are, in their order.
pub const STEPS: [&str; 6] = ["dns", "connect", "tls", "answer", "time", "process"];

impl Step {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok(found.into()) }
    }

    pub fn failed(name: &'static str, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed { why: why.into(), advice: advice.into() } }
    }

    pub fn unknown(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Unknown(why.into()) }
    }

    /// What is wrong and what to do, where something is.
    pub fn failure(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Failed { why, advice } => Some(format!("{}: {why}; {advice}", self.name)),
            Outcome::Ok(_) | Outcome::Unknown(_) => None,
        }
    }
}

pub(super) fn of_time(took: Duration, is_quick: bool) -> Step {
    let took = format!("{} ms", took.as_millis());
    match is_quick {
        true => Step::ok("time", took),
        false => Step::failed(
            "time",
            took,
            format!(
                "expected less than {} ms, or the provider sends again: look at the way here, and at \
                 smscope_webhook_duration_seconds for smscope's own part",
                QUICK.as_millis()
            ),
        ),
    }
}

/// The steps as lines of columns; those that were not reached say so.
pub fn lines(steps: &[Step]) -> String {
    let line = |name: &str| match steps.iter().find(|step| step.name == name).map(|step| &step.outcome) {
        Some(Outcome::Ok(found)) => format!("  {name:<9} ok       {found}\n"),
        Some(Outcome::Failed { why, advice }) => format!("  {name:<9} failed   {why}; {advice}\n"),
        Some(Outcome::Unknown(why)) => format!("  {name:<9} unknown  {why}\n"),
        None => format!("  {name:<9} -        not reached\n"),
    };
    STEPS.map(line).concat()
}
