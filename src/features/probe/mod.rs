//! Calls smscope's own callback URL as the provider would: name, connection, TLS, response, time, and whether this smscope responded.
//!
//! It stores nothing: a GET without parameters is a probe. `smscope check --public-url` shows each step, the periodic probe
//! counts the result.

mod connection;
pub mod metrics;
mod request;
pub mod settings;
mod step;

use std::sync::Arc;
use std::time::Duration;

use hyper::http::Uri;
use jiff::Timestamp;

use crate::diagnostics::LogThrottle;
use crate::event::SourceName;
use crate::probe_challenge::ChallengeKey;
use crate::settings::{Source, Tls};
use crate::tasks::Task;
use crate::tasks::periodic::{jittered, repeat, stagger};
use crate::tasks::supervisor::Supervisor;
use metrics::ProbeResult;

pub use settings::SelfProbe;
pub use step::{Outcome, Step, lines};

/// How long each step may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A callback URL. It holds a token, so it is not shown.
#[derive(Clone)]
pub struct Target {
    url: Uri,
    host: String,
    port: u16,
    /// There if, and only if, the URL is https.
    tls: Option<Tls>,
    /// That of the smscope that should respond, if it is known.
    challenge_key: Option<ChallengeKey>,
    /// The provider wants a response within this time.
    response_time: Duration,
    /// How long each step may take.
    timeout: Duration,
}

/// The result of calls of a callback URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In order, up to the first that failed.
    pub steps: Vec<Step>,
    pub result: ProbeResult,
    /// From the call to its response, of several the median.
    pub took: Option<Duration>,
    /// The earliest end of the server's certificates.
    pub expires: Option<Timestamp>,
}

impl Target {
    /// A callback URL of `source`. `None` when `url` is no http or https URL, or there is no `tls` for https.
    pub fn new(source: &Source, url: &str, tls: Option<Tls>, challenge_key: Option<ChallengeKey>) -> Option<Self> {
        let url: Uri = url.parse().ok()?;
        let is_secure = match url.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tls = tls.filter(|_| is_secure);
        let response_time = source.provider.callback_limits().response_time;
        (is_secure == tls.is_some()).then_some(Self {
            url,
            host,
            port,
            tls,
            challenge_key,
            response_time,
            timeout: TIMEOUT,
        })
    }
}

/// Calls `target` `calls` times, one after the other.
pub async fn call(target: &Target, calls: usize) -> Report {
    let mut steps = Vec::new();
    let mut expires = None;
    match try_steps(target, calls, &mut steps, &mut expires).await {
        Ok((result, took)) => Report { steps, result, took: Some(took), expires },
        Err((result, failed)) => {
            steps.push(failed);
            Report { steps, result, took: None, expires }
        }
    }
}

type Failed = (ProbeResult, Step);

async fn try_steps(
    target: &Target,
    calls: usize,
    steps: &mut Vec<Step>,
    expires: &mut Option<Timestamp>,
) -> Result<(ProbeResult, Duration), Failed> {
    let addresses = connection::resolve(target, steps).await?;
    let stream = connection::connect(target, &addresses, steps).await?;
    let mut sender = match &target.tls {
        Some(tls) => {
            let stream = connection::secure(target, tls, stream).await?;
            *expires = connection::expires(&stream);
            steps.push(step::of_tls(&stream, *expires, Timestamp::now()));
            request::open(stream).await?
        }
        None => {
            let secure = "the token can be read on the way; expected https, but for a test on this machine";
            steps.push(Step::ok("tls", format!("none: {secure}")));
            request::open(stream).await?
        }
    };
    let replies = request::call(target, &mut sender, calls).await?;
    steps.push(Step::ok("answer", "200 {\"result\":\"probe\"}"));
    let (is_ours, process) = request::identify(target, &replies);
    let mut times: Vec<Duration> = replies.iter().map(|reply| reply.took).collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    let is_quick = middle < target.response_time;
    steps.push(step::of_time(middle, target.response_time));
    steps.push(process);
    let result = match (is_ours, is_quick) {
        (false, _) => ProbeResult::Other,
        (true, false) => ProbeResult::Slow,
        (true, true) => ProbeResult::Ok,
    };
    Ok((result, middle))
}

/// Starts the periodic probe of a source's callback URL, if it is enabled.
pub fn start(
    settings: &SelfProbe,
    source: &Source,
    callback_url: Option<&str>,
    key: &ChallengeKey,
    supervisor: &mut Supervisor,
) {
    let (interval, tls) = (settings.interval, settings.tls.clone());
    let target = callback_url.filter(|_| settings.enabled);
    // The loader has checked that it is a URL, and that there is TLS for https.
    let Some(target) = target.and_then(|url| Target::new(source, url, tls, Some(key.clone()))) else { return };
    let source = source.name.clone();
    metrics::count(&source, None);
    let span = tracing::info_span!("self_probe", %source);
    let target = Arc::new(target);
    supervisor.spawn_led(span, Task::SelfProbe, move |shutdown| {
        run(source.clone(), target.clone(), interval, shutdown.wait())
    });
}

/// Probes until `shutdown` resolves.
async fn run(source: SourceName, target: Arc<Target>, interval: Duration, shutdown: impl Future<Output = ()>) {
    let throttle = LogThrottle::default();
    repeat(stagger(interval), shutdown, || async {
        let report = call(&target, 1).await;
        metrics::record(&source, &report);
        match report.steps.iter().find_map(Step::failure) {
            None if throttle.recovered() => tracing::info!(%source, "the public URL works again"),
            Some(failure) if throttle.is_due(report.result.into_str()) => {
                tracing::warn!(%source, result = report.result.into_str(), "the public URL does not work: {failure}");
            }
            _ => {}
        }
        jittered(interval)
    })
    .await;
}

#[cfg(test)]
mod tests;
