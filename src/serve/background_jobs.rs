//! What smscope does of its own accord, where it is configured: relays, account watch, self-probe, reconciliation, resends. A function
//! each, so that a job can be taken out with its line.

use std::sync::Arc;

use super::Context;
use super::scrape::Scrape;
use super::supervisor::Supervisor;
use crate::config::{ApiMode, Source};
use crate::features::account::{self, Watch};
use crate::features::probe::{self, Probe, Target};
use crate::features::reconcile::{self, Reconciler};
use crate::features::relay;
use crate::features::resend::{self, Resender};
use crate::process_metrics::{ProbeMetrics, ReconcileMetrics};
use crate::secret::Secret;
use crate::smsmode_api::SmsmodeApi;
use crate::tasks::Task;

/// Starts all of them.
pub(super) fn start(context: &Context<'_>, scrape: &Scrape, supervisor: &mut Supervisor) {
    relays(context, supervisor);
    for (source, tokens) in context.config.sources.iter().zip(&context.tokens) {
        account(context, source, scrape, supervisor);
        reconciliation(context, source, supervisor);
        resends(context, source, tokens, supervisor);
        self_probe(context, source, tokens, supervisor);
    }
}

fn relays(context: &Context<'_>, supervisor: &mut Supervisor) {
    for relay in &context.config.relays {
        let (relay, store) = (relay.clone(), context.store.clone());
        let (instance, limit) = (context.instance, context.flush_limit());
        let span = tracing::info_span!("relay", relay = %relay.route.relay);
        supervisor.spawn_in(span, Task::Relay, |shutdown| relay::run(relay, store, instance, shutdown.wait(), limit));
    }
}

fn account(context: &Context<'_>, source: &Source, scrape: &Scrape, supervisor: &mut Supervisor) {
    if let (Some(status), Some((api, _))) = (&scrape.account, api(source)) {
        let watch = Watch::new(&source.name, api, context.config.account.interval, status.clone());
        let span = tracing::info_span!("account", source = %source.name);
        supervisor.spawn_in(span, Task::Account, |shutdown| account::run(watch, shutdown.wait()));
    }
}

fn reconciliation(context: &Context<'_>, source: &Source, supervisor: &mut Supervisor) {
    if let (true, Some((api, ApiMode::Rest))) = (context.config.reconcile.enabled, api(source)) {
        let reconciler = Reconciler::new(source, api, context.store.clone(), context.config.reconcile);
        let metrics = ReconcileMetrics::new(source.name.as_str());
        let span = tracing::info_span!("reconcile", source = %source.name);
        supervisor.spawn_in(span, Task::Reconcile, |shutdown| reconcile::run(reconciler, metrics, shutdown.wait()));
    }
}

fn resends(context: &Context<'_>, source: &Source, tokens: &[Secret], supervisor: &mut Supervisor) {
    let config = context.config;
    if config.resends.iter().any(|rule| rule.filter.takes_source(&source.name)) {
        let api = api(source).filter(|(_, mode)| *mode == ApiMode::Rest).map(|(api, _)| api);
        let reported_to = config.public_url.as_ref().and(tokens.first());
        let callback_url = reported_to.map(|token| config.callback_url(&source.name, token.reveal()));
        let resender = Resender::new(source, api, callback_url, context.store.clone());
        let limit = context.flush_limit();
        let span = tracing::info_span!("resend", source = %source.name);
        supervisor.spawn_in(span, Task::Resend, |shutdown| resend::run(resender, shutdown.wait(), limit));
    }
}

fn self_probe(context: &Context<'_>, source: &Source, tokens: &[Secret], supervisor: &mut Supervisor) {
    let config = context.config;
    let Some(token) = tokens.first().filter(|_| config.self_probe.enabled) else { return };
    let url = config.callback_url(&source.name, token.reveal());
    // The loader has checked that it is a URL, and that there is TLS for https.
    let (tls, key) = (config.self_probe.tls.clone(), context.challenge_key.clone());
    let Some(target) = Target::new(source, &url, tls, Some(key)) else { return };
    let metrics = Arc::new(ProbeMetrics::new(source.name.as_str()));
    let probe = Probe { source: source.name.clone(), target, interval: config.self_probe.interval, metrics };
    let span = tracing::info_span!("self_probe", source = %source.name);
    supervisor.spawn_in(span, Task::SelfProbe, |shutdown| probe::run(probe, shutdown.wait()));
}

fn api(source: &Source) -> Option<(SmsmodeApi, ApiMode)> {
    source.api.as_ref().map(|api| (SmsmodeApi::new(&source.name, api.clone()), api.mode))
}
