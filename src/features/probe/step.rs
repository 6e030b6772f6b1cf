//! The steps of a probe, and what each found.

use std::time::Duration;

use jiff::Timestamp;
use rustls::ProtocolVersion;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

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
    /// Why it could not be checked.
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

    /// What is wrong and what to do, if the step failed.
    pub fn failure(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Failed { why, advice } => Some(format!("{}: {why}; {advice}", self.name)),
            Outcome::Ok(_) | Outcome::Unknown(_) => None,
        }
    }
}

pub(super) fn of_time(took: Duration, limit: Duration) -> Step {
    let is_quick = took < limit;
    let took = format!("{} ms", took.as_millis());
    match is_quick {
        true => Step::ok("time", took),
        false => Step::failed(
            "time",
            took,
            format!(
                "expected less than {} ms, or the provider retries: check the network path, and \
                 smscope_webhook_duration_seconds for smscope's own part",
                limit.as_millis()
            ),
        ),
    }
}

/// A certificate with fewer days left should have been renewed: those of the usual authorities are by then.
const DAYS_LEFT: i64 = 7;

pub(super) fn of_tls(stream: &TlsStream<TcpStream>, expires: Option<Timestamp>, now: Timestamp) -> Step {
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    of_chain(version, expires, now)
}

fn of_chain(version: &str, expires: Option<Timestamp>, now: Timestamp) -> Step {
    let Some(expires) = expires else { return Step::ok("tls", format!("{version}, a chain that is trusted here")) };
    let days = expires.duration_since(now).as_hours() / 24;
    let until = format!("until {}, {days} days from now", expires.strftime("%Y-%m-%d"));
    match days {
        DAYS_LEFT.. => Step::ok("tls", format!("{version}, a chain that is trusted here {until}")),
        _ => Step::failed("tls", format!("the chain is good {until}"), "renew it, and have the proxy load it"),
    }
}

/// The steps as lines of columns, those that were not reached included.
pub fn lines(steps: &[Step]) -> String {
    let line = |name: &str| match steps.iter().find(|step| step.name == name).map(|step| &step.outcome) {
        Some(Outcome::Ok(found)) => format!("  {name:<9} ok       {found}\n"),
        Some(Outcome::Failed { why, advice }) => format!("  {name:<9} failed   {why}; {advice}\n"),
        Some(Outcome::Unknown(why)) => format!("  {name:<9} unknown  {why}\n"),
        None => format!("  {name:<9} -        not reached\n"),
    };
    STEPS.map(line).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_ends_within_a_week_has_to_be_renewed() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (expires, failed, says) in [
            ("2027-02-01T00:00:00Z", false, "TLS 1.3, a chain that is trusted here until 2027-02-01, 68 days from now"),
            ("2026-12-01T12:00:00Z", false, "7 days from now"),
            ("2026-12-01T11:00:00Z", true, "the chain is good until 2026-12-01, 6 days from now; renew it"),
        ] {
            let step = of_chain("TLS 1.3", Some(expires.parse().unwrap()), now);
            assert_eq!(step.failure().is_some(), failed, "{expires}");
            assert!(format!("{}{:?}", step.failure().unwrap_or_default(), step.outcome).contains(says), "{step:?}");
        }
    }
}
