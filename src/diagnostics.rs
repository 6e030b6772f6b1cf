//! The diagnostics of smscope on stderr: text for a terminal, JSON lines for everything else.
//!
//! Callers never pass a secret: this module cannot recognize one.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::environment::Environment;

/// Libraries whose progress is of no interest to an operator, by the prefix of their targets; that of `tokio_postgres` would show the
/// values of statements.
const QUIET: &str = "hyper=warn,h2=warn,opentelemetry=warn,tokio_postgres=warn";

const DEFAULT_LEVEL: &str = "info";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Starts the diagnostics of this process, at the level of RUST_LOG. An invalid RUST_LOG is a warning, and is not used. Does nothing
/// if there is a subscriber already, as in tests.
pub fn init(env: &dyn Environment) {
    let format = if stderr().is_terminal() { Format::Text } else { Format::Json };
    let (filter, warning) = filter(env.get("RUST_LOG").as_deref().unwrap_or_default());
    if subscriber(format, filter, stderr).try_init().is_ok() {
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// The error and its causes on one line: "client error (Connect): tcp connect error: Connection refused".
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Where it was, and why if that is a text of the program's own: one that is made up at run time may quote a number, a text or a
/// secret.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let why = panic.payload().downcast_ref::<&'static str>().unwrap_or(&"not shown, it may quote what was processed");
    let thread = std::thread::current();
    tracing::error!(location, thread = thread.name(), why, "panicked");
}

/// The filter of `rust_log`, or the default and a warning.
fn filter(rust_log: &str) -> (Targets, Option<String>) {
    let rust_log = rust_log.trim();
    let directives = if rust_log.is_empty() { DEFAULT_LEVEL } else { rust_log };
    // The later directive wins, so that a library can be listened to by name.
    let quieter = |valid: &str| format!("{QUIET},{valid}").parse::<Targets>().expect("valid lists make a valid list");
    let Ok(filter) = directives.parse::<Targets>() else {
        let warning = format!("RUST_LOG = {rust_log:?}: not used; expected levels such as info or smscope=debug");
        return (quieter(DEFAULT_LEVEL), Some(warning));
    };
    // Errors alone, or nothing, is meant for the libraries too.
    let is_meant_for_all = Layer::<Registry>::max_level_hint(&filter).is_some_and(|level| level <= LevelFilter::WARN);
    (if is_meant_for_all { filter } else { quieter(directives) }, None)
}

fn subscriber<W>(format: Format, filter: Targets, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish().with(filter)),
        Format::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish().with(filter)),
    }
}

/// Permits a line if it is new, or the interval has passed since the last one, and counts the others: for a failure that recurs with each attempt, or thousands of times a second.
#[derive(Debug)]
pub struct LogThrottle {
    interval: Duration,
    // A std lock: held for a few instructions, never across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<(String, Instant)>,
    suppressed: u64,
}

impl Default for LogThrottle {
    /// The same line every ten minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(600))
    }
}

impl LogThrottle {
    pub const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(State { last: None, suppressed: 0 }) }
    }

    /// Whether a line may be written now, whatever its text: if so, how many were suppressed since the last one.
    pub fn permit(&self) -> Option<u64> {
        self.permit_at("", self.interval, Instant::now())
    }

    /// Whether a line with `text` may be written now.
    pub fn is_due(&self, text: &str) -> bool {
        self.is_due_after(self.interval, text)
    }

    /// The same with another interval.
    pub fn is_due_after(&self, interval: Duration, text: &str) -> bool {
        self.permit_at(text, interval, Instant::now()).is_some()
    }

    /// Whether a line was written since the last recovery, so that this one is worth another.
    pub fn recovered(&self) -> bool {
        self.state().last.take().is_some()
    }

    fn permit_at(&self, text: &str, interval: Duration, now: Instant) -> Option<u64> {
        let mut state = self.state();
        let is_recent = |when| now.saturating_duration_since(when) < interval;
        if state.last.as_ref().is_some_and(|(last, when)| last == text && is_recent(*when)) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some((text.to_owned(), now));
        Some(std::mem::take(&mut state.suppressed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written under a RUST_LOG when our code and hyper each say something at every level.
    fn written(format: Format, rust_log: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(format, filter(rust_log).0, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "smscope", "ours-debug");
            tracing::info!(target: "smscope", answer = 42, "ours-info");
            tracing::error!(target: "smscope", "ours-error");
            tracing::info!(target: "hyper_util::client", "hyper-info");
            tracing::warn!(target: "hyper::proto", "hyper-warn");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_level_is_what_rust_log_says_and_libraries_are_quieter_unless_named() {
        let all = ["ours-debug", "ours-info", "ours-error", "hyper-info", "hyper-warn"];
        for (rust_log, expected) in [
            ("", &["ours-info", "ours-error", "hyper-warn"][..]),
            ("debug", &["ours-debug", "ours-info", "ours-error", "hyper-warn"]),
            ("info,hyper=info", &["ours-info", "ours-error", "hyper-info", "hyper-warn"]),
            ("error", &["ours-error"]),
            ("off", &[]),
            ("smscope=loud", &["ours-info", "ours-error", "hyper-warn"]),
        ] {
            let written = written(Format::Json, rust_log);
            let seen: Vec<&str> = all.into_iter().filter(|line| written.contains(line)).collect();
            assert_eq!(seen, expected, "{rust_log}");
        }
    }

    #[test]
    fn a_bad_rust_log_is_a_warning() {
        for (rust_log, warned) in [("", false), ("debug", false), ("smscope=debug,off", false), ("smscope=loud", true)]
        {
            assert_eq!(filter(rust_log).1.is_some(), warned, "{rust_log}");
        }
        assert_eq!(
            filter("smscope=loud").1.unwrap(),
            "RUST_LOG = \"smscope=loud\": not used; expected levels such as info or smscope=debug"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_its_fields_at_the_top() {
        let written = written(Format::Json, "");
        let first: serde_json::Value = serde_json::from_str(written.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "ours-info");
        assert_eq!(first["answer"], 42);
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["target"], "smscope");
        assert!(first["timestamp"].is_string());
    }

    #[test]
    fn text_has_a_line_each() {
        assert_eq!(written(Format::Text, "").lines().count(), 3);
    }

    #[test]
    fn a_throttle_permits_one_line_per_interval_and_counts_the_suppressed() {
        static THROTTLE: LogThrottle = LogThrottle::new(Duration::from_secs(10));
        let start = Instant::now();
        for (second, expected) in [
            (0, Some(0)),
            (1, None),
            (9, None),
            (10, Some(2)),
            (11, None),
            (40, Some(1)),
            (39, None),
            (50, Some(1)),
            (60, Some(0)),
        ] {
            assert_eq!(
                THROTTLE.permit_at("", THROTTLE.interval, start + Duration::from_secs(second)),
                expected,
                "second {second}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_line_is_written_once_in_ten_minutes_and_another_one_at_once() {
        let throttle = LogThrottle::default();
        assert!(!throttle.recovered());
        assert!(throttle.is_due("answered 401"));
        assert!(!throttle.is_due("answered 401"));
        assert!(throttle.is_due("answered 403"));
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!(throttle.is_due("answered 403"));
        assert!(throttle.recovered());
        assert!(throttle.is_due("answered 403"));
    }
}
