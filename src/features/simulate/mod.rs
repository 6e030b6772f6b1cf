//! Plays the provider against a running smscope: traffic as life has it, planned from a seed, sent as smsmode sends it.
//!
//! [`plan`] says what will be told of which message and when (pure), [`wire`] writes that as webhooks (pure), [`sender`] sends them
//! and comes back on the provider's ladder, and [`verify`] compares what the sidecar counts with what it was told.
//! Nothing here uses the sidecar's own decoder, life cycle or ledger: it is to be a check on them.

pub mod caller;
pub mod clock;
mod content;
mod dice;
mod ladder;
mod market;
pub mod message;
pub mod plan;
pub mod progress;
pub mod scenario;
pub mod sender;
mod status;
mod story;
mod summary;
pub mod tally;
pub mod target;
pub mod verify;
pub mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use hyper::http::Uri;
use jiff::tz::TimeZone;
use rustls::ClientConfig;
use tokio::time::Instant;

use caller::{AttemptOutcome, Caller};
use clock::Clock;
use plan::{Plan, Settings};
use progress::Progress;
use sender::{Outcome, Sender};
use target::Target;
use verify::{Comparison, Page};

/// One run.
pub struct Run {
    pub settings: Settings,
    pub target: Target,
    /// Whose certificates are trusted, where the target or the page of metrics is secure.
    pub trust: ClientConfig,
    /// The zone in which timestamps are written.
    pub zone: TimeZone,
    /// Calls at a time, at most.
    pub connections: usize,
    /// The page of metrics to compare with; `None`: nothing is compared.
    pub metrics: Option<Uri>,
    /// What that page asks for.
    pub metrics_authorization: Option<HeaderValue>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// For a person, in several lines.
    pub text: String,
    /// `false`: the sidecar counts something else than what it was told.
    pub agrees: bool,
}

/// Why there is no run, or no comparison: one line, without the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("{url}: nobody answers; expected a running smscope")]
    Unreachable { url: String },
    #[error(
        "{url}: nobody answers whose certificate is trusted; expected a running smscope, and its authority (--certificate) or the \
         system's"
    )]
    Untrusted { url: String },
    #[error("{url}: it answers {status}; expected the callback URL of a running smscope, which this machine may call")]
    Refused { url: String, status: StatusCode },
    #[error("{url}: {problem}; expected the metrics of a running smscope (--admin)")]
    NoMetrics { url: String, problem: String },
}

/// For how long the sidecar's metrics may differ after the last answer.
const SETTLE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Series that differ and are listed; the rest is counted.
const LISTED: usize = 40;

/// Plays the provider until everything has been told, or until `stop` resolves.
///
/// # Errors
/// Nobody answers, or it is not the callback URL of an smscope, or not the page of its metrics.
pub async fn run(run: Run, stop: impl Future<Output = ()>) -> Result<Report, RunError> {
    let Run { settings, target, trust, zone, connections, metrics, metrics_authorization } = run;
    let clock = Clock::new(&settings, zone);
    let plan = Plan::new(settings);
    let caller = Caller::new(target, trust, metrics_authorization);
    probe(&caller).await?;
    let before = match &metrics {
        Some(url) => Some(page(&caller, url).await?),
        None => None,
    };

    eprintln!("playing {} messages against {}", plan.count(), caller.target().shown());
    let mut progress = Progress::new(plan.count());
    let outcome = Sender::new(caller.clone(), clock, connections).run(&plan, &mut progress, stop).await;

    let mut text = summary::summary(plan.settings(), &outcome);
    let mut agrees = true;
    if let (Some(url), Some(before)) = (&metrics, &before) {
        let comparison = settled(&caller, url, before, &outcome).await?;
        agrees = comparison.agrees() && is_comparable(&outcome);
        text.push_str(&verdict(&comparison, &outcome));
    }
    Ok(Report { text, agrees })
}

/// Asks whether the callback URL is taken at all: a GET without parameters, which stores nothing.
async fn probe(caller: &Caller) -> Result<(), RunError> {
    let url = caller.target().shown();
    match caller.call(&wire::Request::default()).await {
        AttemptOutcome::Unreachable if caller.target().is_secure() => Err(RunError::Untrusted { url }),
        AttemptOutcome::Unreachable => Err(RunError::Unreachable { url }),
        AttemptOutcome::Rejected { status, .. }
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
        {
            Err(RunError::Refused { url, status })
        }
        // One that cannot take anything now is just what the ladder is for.
        AttemptOutcome::Rejected { .. } | AttemptOutcome::Unanswered | AttemptOutcome::Acknowledged(_) => Ok(()),
    }
}

async fn page(caller: &Caller, url: &Uri) -> Result<Page, RunError> {
    match caller.page(url).await {
        Ok(text) if text.contains("smscope_build_info") => Ok(Page::read(&text)),
        Ok(_) => Err(RunError::NoMetrics { url: url.to_string(), problem: "it shows something else".to_owned() }),
        Err(problem) => Err(RunError::NoMetrics { url: url.to_string(), problem }),
    }
}

/// Compares until all agrees, or until the metrics have had time to.
async fn settled(caller: &Caller, url: &Uri, before: &Page, outcome: &Outcome) -> Result<Comparison, RunError> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let after = page(caller, url).await?;
        let source = caller.target().source.as_str();
        let comparison = Comparison::new(&outcome.model.expected, before, &after, source);
        if comparison.agrees() || Instant::now() >= deadline {
            return Ok(comparison);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Either everything was new to the sidecar or nothing was: of a message that it knew in part, nobody can say what must be
/// counted.
fn is_comparable(outcome: &Outcome) -> bool {
    outcome.known_before == 0 || outcome.model.expected.is_empty()
}

fn verdict(comparison: &Comparison, outcome: &Outcome) -> String {
    let mut text = if !is_comparable(outcome) {
        "verify        cannot say: a part of this was known before; expected a store that knows all of it or nothing\n"
            .to_owned()
    } else if comparison.agrees() {
        format!("verify        agrees: {} series as expected\n", comparison.series)
    } else {
        format!("verify        DISAGREES: {} of {} series\n", comparison.differences.len(), comparison.series)
    };
    for difference in comparison.differences.iter().take(LISTED) {
        let [expected, counted] = [difference.expected, difference.counted].map(|millionths| millionths as f64 / 1e6);
        text.push_str(&format!("  {}: expected {expected}, counted {counted}\n", difference.series));
    }
    if comparison.differences.len() > LISTED {
        text.push_str(&format!("  and {} more\n", comparison.differences.len() - LISTED));
    }
    if outcome.uncertain > 0 {
        text.push_str(&format!(
            "  {} webhooks were never answered: whether they were taken is not known\n",
            outcome.uncertain
        ));
    }
    if comparison.expired != 0 {
        text.push_str(&format!(
            "  {} messages expired meanwhile: what is pending was not compared\n",
            comparison.expired
        ));
    }
    text
}
