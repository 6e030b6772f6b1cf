//! Account watch: how much credit there is, and how much of each limit has been used, in the provider's own numbers.
//!
//! One task a source asks the provider's API now and then. What it learns is kept in memory only and shown as gauges; a provider that
//! does not answer shows in the counters of [`crate::process_metrics`], and values that have grown old are shown no more.

mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::ApiMode;
use crate::diagnostics::LogThrottle;
use crate::event::SourceName;
use crate::process_metrics::AccountMetrics;
use crate::smsmode_api::{ApiError, Operation, Organisation, SmsmodeApi};
use crate::tasks::periodic::{jittered, repeat, stagger};

pub use status::{AccountStatus, Seen};

/// One source's account.
pub struct Watch {
    pub source: SourceName,
    pub api: SmsmodeApi,
    pub interval: Duration,
    pub metrics: AccountMetrics,
    pub status: Arc<AccountStatus>,
}

impl Watch {
    /// Must be used within a tokio runtime.
    pub fn new(source: &SourceName, api: SmsmodeApi, interval: Duration, status: Arc<AccountStatus>) -> Self {
        api.register(match api.mode() {
            ApiMode::Rest => &[Operation::Organisations, Operation::Channels],
            ApiMode::Legacy => &[Operation::Credit],
        });
        Self { source: source.clone(), api, interval, metrics: AccountMetrics::new(source.as_str()), status }
    }
}

/// Polls until `shutdown` resolves.
pub async fn run(watch: Watch, shutdown: impl Future<Output = ()>) {
    let throttle = LogThrottle::default();
    repeat(stagger(watch.interval), shutdown, || async {
        let pause = jittered(watch.interval);
        match poll(&watch).await {
            Ok(()) => {
                watch.metrics.seen(Timestamp::now());
                if throttle.recovered() {
                    tracing::info!(source = %watch.source, "the account can be seen again");
                }
                pause
            }
            Err(error) => {
                watch.metrics.not_seen();
                let text = error.to_string();
                if throttle.is_due(&text) {
                    tracing::warn!(source = %watch.source, "cannot see the account: {text}");
                }
                pause.max(error.retry_after.unwrap_or_default())
            }
        }
    })
    .await;
}

/// One look. What was learnt before something failed is kept.
async fn poll(watch: &Watch) -> Result<(), ApiError> {
    match watch.api.mode() {
        ApiMode::Legacy => {
            let balance = Some(watch.api.credit().await?);
            let organisation =
                Organisation { id: None, state: None, balance, monthly_consumption: None, monthly_limit: None };
            watch.status.organisations(&watch.source, vec![organisation], Timestamp::now());
        }
        ApiMode::Rest => {
            let organisations = watch.api.organisations().await;
            if let Ok(organisations) = &organisations {
                watch.status.organisations(&watch.source, organisations.clone(), Timestamp::now());
            }
            let channels = watch.api.channels().await?;
            watch.status.channels(&watch.source, channels, Timestamp::now());
            organisations?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
