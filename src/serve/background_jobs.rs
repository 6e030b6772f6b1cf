//! The jobs that run beside the webhooks where they are configured: a line per optional part.

use super::Context;
use super::scrape::Scrape;
use crate::features::{account, probe, reconcile, relay, resend};
use crate::tasks::supervisor::Supervisor;

pub(super) fn start(context: &Context<'_>, scrape: &Scrape, supervisor: &mut Supervisor) {
    let Context { config, store, tokens, challenge_key, .. } = context;
    let limit = context.flush_limit();
    relay::start(&config.relays, store, context.instance, limit, supervisor);
    for (source, tokens) in config.sources.iter().zip(tokens) {
        let callback_url = tokens.first().map(|token| config.callback_url(&source.name, token.reveal()));
        account::start(source, config.account, scrape.account.as_ref(), supervisor);
        reconcile::start(config.reconcile, source, store, supervisor);
        probe::start(&config.self_probe, source, callback_url.as_deref(), challenge_key, supervisor);
        let public_url = callback_url.filter(|_| config.public_url.is_some());
        resend::start(&config.resends, source, public_url, store, limit, supervisor);
    }
}
