//! How smscope is doing, in the two words that probes ask for. Both listeners answer them, and so does the service manager's
//! watchdog; none of them asks a collector.

use std::sync::Arc;

/// `Err` in a few words: why not.
pub type Check = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

#[derive(Clone)]
pub struct Health {
    /// Whether the process should go on running; if not, restart it.
    pub liveness: Check,
    /// Whether webhooks are accepted now.
    pub readiness: Check,
}

#[cfg(test)]
impl Health {
    /// Alive and ready.
    pub fn good() -> Self {
        Self { liveness: Arc::new(|| Ok(())), readiness: Arc::new(|| Ok(())) }
    }
}
