//! Resends failed messages by the provider's API when they are due. The store decides on each, and records the decision before the
//! request to the provider and the result after it: see `src/store/core/resends/`.

pub mod settings;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::diagnostics::LogThrottle;
use crate::event::{Event, TraceParent};
use crate::inbound::{self, Origin};
use crate::route::ResendRule;
use crate::settings::{ApiMode, Source};
use crate::smsmode_api::{ApiError, Operation, Outgoing, SmsmodeApi, pause};
use crate::store::ids::ResendId;
use crate::store::resends::{ResendResult, SendDecision, SendResult, ToSend};
use crate::store::{Store, Submission};
use crate::tasks::Task;
use crate::tasks::supervisor::Supervisor;

/// Due messages that are read at once; they are sent one after the other.
const BATCH_SIZE: usize = 100;

/// Between two attempts while the store fails.
const STORE_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Resends the messages of one source.
struct Resender {
    source: Source,
    /// `None`: no rule of the source resends by the API.
    api: Option<SmsmodeApi>,
    /// The callback URL of what is sent; `None`: that of the channel.
    callback_url: Option<String>,
    store: Store,
}

/// Starts the resends of a source, if a rule is about it. `callback_url`: that of what is sent, if it is not the channel's.
pub fn start(
    rules: &[ResendRule],
    source: &Source,
    callback_url: Option<String>,
    store: &Store,
    limit: Duration,
    supervisor: &mut Supervisor,
) {
    if !rules.iter().any(|rule| rule.filter.takes_source(&source.name)) {
        return;
    }
    let api = SmsmodeApi::of(source).filter(|api| api.mode() == ApiMode::Rest);
    if let Some(api) = &api {
        api.register(&[Operation::Send]);
    }
    let resender = Arc::new(Resender { source: source.clone(), api, callback_url, store: store.clone() });
    let span = tracing::info_span!("resend", source = %source.name);
    supervisor.spawn_led(span, Task::Resend, move |shutdown| run(resender.clone(), shutdown.wait(), limit));
}

impl Resender {
    /// Processes a due message. Returns the pause before the next request to the provider.
    async fn process(&self, id: ResendId, health: &mut ApiHealth) -> Duration {
        let source = &self.source.name;
        let to_send = match self.store.begin_resend(id).await {
            Ok(SendDecision::Send(to_send)) => to_send,
            Ok(SendDecision::Ended(result)) => {
                tracing::info!(%source, resend = id.0, result = result.as_str(), "a failed message was not resent");
                return Duration::ZERO;
            }
            Ok(SendDecision::Gone) => return Duration::ZERO,
            Err(_) => return STORE_RETRY_PAUSE,
        };
        let sent = match &self.api {
            Some(api) => api.send(&self.outgoing(&to_send)).await,
            // The loader has checked that there is one.
            None => {
                let _uncertain_otherwise = self.store.end_resend(id, SendResult::Rejected).await;
                return Duration::ZERO;
            }
        };
        let (end, wait) = match sent {
            Ok(message) => {
                if health.throttle.recovered() {
                    tracing::info!(%source, "resends by smsmode's API succeed again");
                }
                health.failures = 0;
                tracing::info!(%source, replaces = to_send.message_id, "a failed message was resent");
                (SendResult::Sent(self.submission(&to_send, &message).map(Box::new)), Duration::ZERO)
            }
            Err(error) => self.failed(&to_send, &error, health),
        };
        // A result that is not stored is uncertain at the next start.
        while self.store.end_resend(id, end.clone()).await.is_err() {
            tokio::time::sleep(STORE_RETRY_PAUSE).await;
        }
        wait
    }

    fn failed(&self, to_send: &ToSend, error: &ApiError, health: &mut ApiHealth) -> (SendResult, Duration) {
        let source = &self.source.name;
        health.failures = health.failures.saturating_add(1);
        let text = error.to_string();
        if health.throttle.is_due(&text) {
            tracing::warn!(%source, "cannot resend: {text}");
        }
        if error.may_have_succeeded() {
            let result = ResendResult::Uncertain.as_str();
            tracing::warn!(%source, replaces = to_send.message_id, result, "a failed message may have been resent");
            return (SendResult::Uncertain, Duration::ZERO);
        }
        if !error.is_transient() {
            return (SendResult::Rejected, Duration::ZERO);
        }
        let wait = pause(error, health.failures);
        (SendResult::Again(self.store.now().checked_add(wait).unwrap_or(Timestamp::MAX)), wait)
    }

    fn outgoing(&self, to_send: &ToSend) -> Outgoing {
        let longest = self.source.provider.callback_limits().url_length;
        // The trace of the message that failed continues with the one that replaces it.
        let with_trace = |url: &String| {
            let traced = to_send.trace.as_ref().map(|trace| format!("{url}?traceparent={trace}"));
            traced.filter(|url| url.len() <= longest).unwrap_or_else(|| url.clone())
        };
        let callback_url = self.callback_url.as_ref().map(with_trace);
        Outgoing {
            to: to_send.number.clone(),
            text: to_send.text.clone(),
            from: to_send.originator.clone(),
            ref_client: to_send.ref_client.clone(),
            callback_url_status: callback_url.clone(),
            callback_url_mo: callback_url,
        }
    }

    /// The API's response, which has the shape of a webhook, as a submission that registers the message as pending.
    fn submission(&self, to_send: &ToSend, message: &Value) -> Option<Submission> {
        let decoded = inbound::api_message(&self.source, "POST", message)?;
        let trace = to_send.trace.as_deref().and_then(TraceParent::parse);
        let is_receipt = matches!(decoded.events[..], [Event::Receipt(_)]);
        is_receipt.then(|| decoded.into_submission(Timestamp::now(), trace, Origin::Webhook))
    }
}

/// How the provider's API has been responding.
#[derive(Default)]
struct ApiHealth {
    failures: u32,
    throttle: LogThrottle,
}

/// Sends due messages until `stop` resolves; the request in flight then gets `limit` for its response.
async fn run(resender: Arc<Resender>, stop: impl Future<Output = ()>, limit: Duration) {
    let mut changed = resender.store.resends_changed();
    let mut health = ApiHealth::default();
    tokio::pin!(stop);
    loop {
        // Before the reading: a message that becomes due meanwhile is another change.
        changed.mark_unchanged();
        let (source, now) = (resender.source.name.clone(), resender.store.now());
        let due = resender.store.with_blocking(move |store| store.due_resends(&source, now, BATCH_SIZE)).await;
        let wake = match due {
            Ok(due) => {
                let more = !due.ids.is_empty();
                for id in due.ids {
                    let processed = resender.process(id, &mut health);
                    tokio::pin!(processed);
                    let pause = tokio::select! {
                        pause = &mut processed => pause,
                        () = &mut stop => {
                            let _uncertain = tokio::time::timeout(limit, processed).await;
                            return;
                        }
                    };
                    if !pause.is_zero() {
                        // Before the next request, also for another message.
                        tokio::select! {
                            () = &mut stop => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        break;
                    }
                }
                let next = due.next.map(|next| Duration::try_from(next.duration_since(resender.store.now())));
                if more { Some(Duration::ZERO) } else { next.map(|wait| wait.unwrap_or_default()) }
            }
            Err(error) => {
                tracing::warn!(source = %resender.source.name, %error, "due resends cannot be read");
                Some(STORE_RETRY_PAUSE)
            }
        };
        // A clock change is noticed within the minute.
        let wake = wake.map(|wait| wait.min(Duration::from_secs(60)));
        tokio::select! {
            () = &mut stop => return,
            changes = changed.changed(), if wake.is_none_or(|wait| !wait.is_zero()) => if changes.is_err() { return },
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
    }
}
