//! What smscope does of its own accord, where it is configured: account watch, self-probe, reconciliation, sending again.

use std::sync::Arc;

use super::flush_limit;
use super::supervisor::Supervisor;
use crate::account::{self, AccountStatus, Watch};
use crate::config::{ApiMode, Config};
use crate::probe::{self, Probe, Target};
use crate::probe_challenge::ChallengeKey;
use crate::process_metrics::{ProbeMetrics, ReconcileMetrics};
use crate::reconcile::{self, Reconciler};
use crate::resend::{self, Resender};
use crate::secret::Secret;
use crate::smsmode_api::SmsmodeApi;
use crate::store::Store;
use crate::tasks::Task;

/// Starts all of it.
pub fn start(
    config: &Config,
    tokens: &[Vec<Secret>],
    store: &Store,
    account: Option<&Arc<AccountStatus>>,
    challenge_key: &ChallengeKey,
    supervisor: &mut Supervisor,
) {
    for (source, tokens) in config.sources.iter().zip(tokens) {
        let api = || source.api.as_ref().map(|api| (SmsmodeApi::new(&source.name, api.clone()), api.mode));
        if let (Some(status), Some((api, _))) = (account, api()) {
            let watch = Watch::new(&source.name, api, config.account.interval, status.clone());
            supervisor.spawn(Task::Account, |shutdown| account::run(watch, shutdown.wait()));
        }
        if let (true, Some((api, ApiMode::Rest))) = (config.reconcile.enabled, api()) {
            let reconciler = Reconciler::new(source, api, store.clone(), config.reconcile);
            let metrics = ReconcileMetrics::new(source.name.as_str());
            supervisor.spawn(Task::Reconcile, |shutdown| reconcile::run(reconciler, metrics, shutdown.wait()));
        }
        if config.resends.iter().any(|rule| rule.filter.takes_source(&source.name)) {
            let api = api().filter(|(_, mode)| *mode == ApiMode::Rest).map(|(api, _)| api);
            let reported_to = config.public_url.as_ref().and(tokens.first());
            let callback_url = reported_to.map(|token| config.callback_url(&source.name, token.reveal()));
            let resender = Resender::new(source, api, callback_url, store.clone());
            let limit = flush_limit(config);
            supervisor.spawn(Task::Resend, |shutdown| resend::run(resender, shutdown.wait(), limit));
        }
        if config.self_probe.enabled
            && let Some(token) = tokens.first()
        {
            let url = config.callback_url(&source.name, token.reveal());
            // The loader has seen to it that it is a URL, and that there is TLS for https.
            let (tls, key) = (config.self_probe.tls.clone(), challenge_key.clone());
            let Some(target) = Target::new(source, &url, tls, Some(key)) else { continue };
            let metrics = Arc::new(ProbeMetrics::new(source.name.as_str()));
            let probe = Probe { source: source.name.clone(), target, interval: config.self_probe.interval, metrics };
            supervisor.spawn(Task::SelfProbe, |shutdown| probe::run(probe, shutdown.wait()));
        }
    }
}
