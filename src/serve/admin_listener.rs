//! The admin listener: metrics, health, the page and the list of opt-outs.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::scrape::Scrape;
use super::{Context, page};
use crate::admin::access::Access;
use crate::admin::{self, Admin};
use crate::data_dir::DataDirError;
use crate::features::opt_outs;
use crate::health::Health;
use crate::listener::tls;
use crate::tasks::Task;
use crate::tasks::supervisor::Supervisor;

/// # Errors
/// The token of the list of opt-outs cannot be read or made.
pub(super) fn start(
    context: &Context<'_>,
    scrape: &Scrape,
    health: &Health,
    listener: TcpListener,
    supervisor: &mut Supervisor,
) -> Result<(), DataDirError> {
    let Context { config, data_dir, store, .. } = context;
    let address = listener.local_addr().unwrap_or(config.admin_listen);
    let token = |settings: &opt_outs::OptOuts| settings.api_token.clone().map_or_else(|| data_dir.opt_outs_token(), Ok);
    let opt_outs_token = config.opt_outs.as_ref().map(token).transpose()?;
    let page = Arc::new(page::page(config, address, store, scrape));
    let admin = Admin {
        opt_outs: opt_outs_token.map(|token| opt_outs::list(token, &config.sources, store)),
        page: page.clone(),
        metrics: Arc::new({
            let scrape = scrape.clone();
            move |format| scrape.encode(format)
        }),
        access: Access { basic: config.admin.basic.clone(), bearer_token: config.admin.bearer_token.clone() },
        health: health.clone(),
    };
    // A failing scrape shows what the metrics of TLS would.
    let handshakes = config.admin.tls.clone().map(|tls| tls::start(tls, false, supervisor));
    supervisor.spawn(Task::AdminListener, |shutdown| admin::run(listener, admin, handshakes, shutdown.wait()));
    let process = scrape.process.clone();
    supervisor.spawn(Task::Upkeep, |shutdown| async move {
        tokio::join!(process.upkeep(shutdown.clone().wait()), page.remember(shutdown.wait()));
    });
    Ok(())
}
