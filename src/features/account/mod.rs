//! Account watch: how much credit there is, and how much of each limit has been used, in the provider's own numbers.
//!
//! One task per source polls the provider's API. What it reads stays in memory and is exported as gauges; failed polls are counted, and
//! values that are too old are no longer exported.

pub mod metrics;
pub mod settings;
mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::diagnostics::LogThrottle;
use crate::event::SourceName;
use crate::settings::{ApiMode, Source};
use crate::smsmode_api::{ApiError, Operation, Organisation, SmsmodeApi};
use crate::tasks::Task;
use crate::tasks::periodic::{jittered, repeat, stagger};
use crate::tasks::supervisor::Supervisor;

pub use settings::Account;
pub use status::AccountStatus;

/// One source's account.
struct Watch {
    source: SourceName,
    api: SmsmodeApi,
    interval: Duration,
    status: Arc<AccountStatus>,
}

/// Starts the polls of a source that has an API key; without `status` the account is not watched.
pub fn start(source: &Source, settings: Account, status: Option<&Arc<AccountStatus>>, supervisor: &mut Supervisor) {
    let (Some(status), Some(api)) = (status, SmsmodeApi::of(source)) else { return };
    let watch = Arc::new(Watch::new(source.name.clone(), api, settings.interval, status.clone()));
    let span = tracing::info_span!("account", source = %source.name);
    supervisor.spawn_led(span, Task::Account, move |shutdown| watch.clone().run(shutdown.wait()));
}

impl Watch {
    /// Must be used within a tokio runtime.
    fn new(source: SourceName, api: SmsmodeApi, interval: Duration, status: Arc<AccountStatus>) -> Self {
        api.register(match api.mode() {
            ApiMode::Rest => &[Operation::Organisations, Operation::Channels],
            ApiMode::Legacy => &[Operation::Credit],
        });
        metrics::count(&source, None);
        Self { source, api, interval, status }
    }

    /// Polls until `shutdown` resolves.
    async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let throttle = LogThrottle::default();
        repeat(stagger(self.interval), shutdown, || async {
            let polled = self.poll().await;
            metrics::count(&self.source, Some(polled.is_ok()));
            let pause = jittered(self.interval);
            match polled {
                Ok(()) => {
                    if throttle.recovered() {
                        tracing::info!(source = %self.source, "the account can be polled again");
                    }
                    pause
                }
                Err(error) => {
                    let text = error.to_string();
                    if throttle.is_due(&text) {
                        tracing::warn!(source = %self.source, "cannot poll the account: {text}");
                    }
                    pause.max(error.retry_after.unwrap_or_default())
                }
            }
        })
        .await;
    }

    /// One poll. What was read before a request failed is still exported.
    async fn poll(&self) -> Result<(), ApiError> {
        let Self { source, api, status, .. } = self;
        match api.mode() {
            ApiMode::Legacy => {
                let organisation = Organisation { balance: Some(api.credit().await?), ..Organisation::default() };
                status.organisations(source, vec![organisation], Timestamp::now());
            }
            ApiMode::Rest => {
                let organisations = api.organisations().await;
                if let Ok(organisations) = &organisations {
                    status.organisations(source, organisations.clone(), Timestamp::now());
                }
                status.channels(source, api.channels().await?, Timestamp::now());
                organisations?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
