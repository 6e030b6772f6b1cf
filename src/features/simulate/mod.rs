//! Plays the provider against a running smscope.
//!
//! The traffic, its retries and the model of what should be counted are those of the crate `smscope-simulator`, which knows nothing of
//! this one; here are the transport and the run.

pub mod caller;
pub mod target;

#[cfg(test)]
mod tests;

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use hyper::http::Uri;
use jiff::tz::TimeZone;
use rustls::ClientConfig;
use smscope_simulator::clock::Clock;
use smscope_simulator::plan::{Plan, Settings};
use smscope_simulator::progress::Progress;
use smscope_simulator::sender::{Outcome, Sender};
use smscope_simulator::summary::summary;
use smscope_simulator::transport::{AttemptOutcome, Transport};
use smscope_simulator::verify::{Comparison, Difference, Page};
use smscope_simulator::wire;
use tokio::time::Instant;

use caller::Caller;
use target::Target;

/// One run.
pub struct Run {
    pub settings: Settings,
    pub target: Target,
    /// The trusted certificates of https URLs.
    pub trust: ClientConfig,
    /// The zone in which timestamps are written.
    pub zone: TimeZone,
    /// The limit of concurrent requests.
    pub connections: usize,
    /// The page of metrics to compare; `None`: nothing is compared.
    pub metrics: Option<Uri>,
    /// The credentials of that page.
    pub metrics_authorization: Option<HeaderValue>,
}

/// The report of a run.
#[derive(Debug)]
pub struct Report {
    /// For a person, in several lines.
    pub text: String,
    /// `false`: the sidecar counts something else than what it acknowledged.
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
    Rejected { url: String, status: StatusCode },
    #[error("{url}: {problem}; expected the metrics of a running smscope (--admin)")]
    NoMetrics { url: String, problem: String },
}

/// For how long the metrics of the sidecar may differ after the last response.
const SETTLE: Duration = Duration::from_secs(5);
const COMPARE_INTERVAL: Duration = Duration::from_millis(200);

/// Series that differ and are listed; the rest is counted.
const LISTED: usize = 40;

/// Plays the provider until all webhooks are acknowledged or given up, or until `stop` resolves.
///
/// # Errors
/// The URL is unreachable, or not the callback URL of an smscope, or not the page of its metrics.
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
    let source = caller.target().source.as_str();
    let outcome = Sender::new(caller.clone(), source, clock, connections).run(&plan, &mut progress, stop).await;

    let mut text = summary(plan.settings(), &outcome);
    let mut agrees = true;
    if let (Some(url), Some(before)) = (&metrics, &before) {
        let comparison = settled(&caller, url, before, &outcome).await?;
        agrees = comparison.agrees() && is_comparable(&outcome);
        text.push_str(&verdict(&comparison, &outcome));
    }
    Ok(Report { text, agrees })
}

/// Checks that the callback URL is valid: a GET without parameters, which stores nothing.
async fn probe(caller: &Caller) -> Result<(), RunError> {
    let url = caller.target().shown();
    match caller.call(&wire::Request::default()).await {
        AttemptOutcome::Unreachable if caller.target().is_secure() => Err(RunError::Untrusted { url }),
        AttemptOutcome::Unreachable => Err(RunError::Unreachable { url }),
        AttemptOutcome::Rejected { status, .. }
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
        {
            Err(RunError::Rejected { url, status })
        }
        // If the sidecar is unavailable, the retries are played.
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

/// Compares until all agrees, or until the time for that is over.
async fn settled(caller: &Caller, url: &Uri, before: &Page, outcome: &Outcome) -> Result<Comparison, RunError> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let after = page(caller, url).await?;
        let source = caller.target().source.as_str();
        let comparison = Comparison::new(&outcome.model.expected, before, &after, source);
        if comparison.agrees() || Instant::now() >= deadline {
            return Ok(comparison);
        }
        tokio::time::sleep(COMPARE_INTERVAL).await;
    }
}

/// Either all webhooks were new to the sidecar or none: the expected counts of a message that it knew in part are unknown.
fn is_comparable(outcome: &Outcome) -> bool {
    outcome.known_before == 0 || outcome.model.expected.is_empty()
}

fn verdict(comparison: &Comparison, outcome: &Outcome) -> String {
    let found = comparison.differences.len();
    let mut text = if !is_comparable(outcome) {
        "verify        cannot say: a part of this was known before; expected a store that knows all of it or nothing\n"
            .to_owned()
    } else if comparison.agrees() {
        format!("verify        agrees: {} series as expected\n", comparison.series)
    } else {
        format!("verify        DISAGREES: {found} of {} series\n", comparison.series)
    };
    for Difference { series, expected, counted } in comparison.differences.iter().take(LISTED) {
        let [expected, counted] = [expected, counted].map(|millionths| *millionths as f64 / 1e6);
        text += &format!("  {series}: expected {expected}, counted {counted}\n");
    }
    for (count, what) in [
        (found.saturating_sub(LISTED) as i64, "more differences"),
        (outcome.uncertain as i64, "webhooks were never answered: whether they were accepted is not known"),
        (comparison.expired, "messages expired meanwhile: what is pending was not compared"),
    ] {
        if count != 0 {
            text += &format!("  {count} {what}\n");
        }
    }
    text
}
