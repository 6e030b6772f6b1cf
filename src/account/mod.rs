//! Account watch: how much credit there is, and how much of each limit has been used, in the provider's own numbers.
//!
//! One task a source asks the provider's API now and then. What it learns is kept in memory only and shown as gauges; a provider that
//! does not answer shows in the counters of [`crate::meters`], and values that have grown old are shown no more.

mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::ApiMode;
use crate::event::SourceName;
use crate::meters::AccountMeters;
use crate::outbound::Notice;
use crate::smsmode_api::{ApiError, Operation, Organisation, SmsmodeApi};

pub use status::{AccountStatus, Seen};

/// One source's account.
pub struct Watch {
    pub source: SourceName,
    pub api: SmsmodeApi,
    pub interval: Duration,
    pub meters: AccountMeters,
    pub status: Arc<AccountStatus>,
}

impl Watch {
    /// Must be used within a tokio runtime.
    pub fn new(source: &SourceName, api: SmsmodeApi, interval: Duration, status: Arc<AccountStatus>) -> Self {
        api.expect(match api.mode() {
            ApiMode::Rest => &[Operation::Organisations, Operation::Channels],
            ApiMode::Legacy => &[Operation::Credit],
        });
        Self { source: source.clone(), api, interval, meters: AccountMeters::new(source.as_str()), status }
    }
}

/// Polls until `stop` resolves.
pub async fn run(watch: Watch, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut notice = Notice::default();
    // So that a fleet that was started at once does not ask at once.
    let mut next = Instant::now() + share(watch.interval / 10);
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let polled = tokio::select! {
            () = &mut stop => return,
            polled = poll(&watch) => polled,
        };
        // Ten percent of jitter: polls of many do not fall into step.
        let mut pause = watch.interval.mul_f64(0.95) + share(watch.interval / 10);
        match polled {
            Ok(()) => {
                watch.meters.seen(Timestamp::now());
                if notice.all_is_well() {
                    tracing::info!(source = %watch.source, "the account can be seen again");
                }
            }
            Err(error) => {
                watch.meters.not_seen();
                pause = pause.max(error.after.unwrap_or_default());
                let text = error.to_string();
                if notice.is_due(&text) {
                    tracing::warn!(source = %watch.source, "cannot see the account: {text}");
                }
            }
        }
        next = Instant::now() + pause;
    }
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

/// Any part of a time.
fn share(of: Duration) -> Duration {
    of.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests;
