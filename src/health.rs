//! Liveness and readiness, for the probes of both listeners and the watchdog of the service manager. Neither depends on a collector.

use std::sync::Arc;

/// `Err`: why not, in a few words.
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
