//! The data of the page.

use std::net::SocketAddr;

use super::scrape::Scrape;
use crate::admin::page::{About, CallbackUrl, Now, Page};
use crate::config::Config;
use crate::settings::Recipient;
use crate::store::Store;

/// `scrape`: that of `/metrics`; `admin_listen` is where the page is really served.
pub(super) fn page(config: &Config, admin_listen: SocketAddr, store: &Store, scrape: &Scrape) -> Page {
    let callback_url = |source: &crate::settings::Source| CallbackUrl {
        url: config.callback_url(&source.name, "<token>"),
        source: source.name.clone(),
    };
    let about = About {
        admin_listen,
        created_at: store.created_at(),
        callback_urls: config.sources.iter().map(callback_url).collect(),
    };
    let now = {
        let (store, scrape) = (store.clone(), scrape.clone());
        move || Now {
            snapshot: scrape.page_snapshot(),
            process: scrape.process.values(),
            store_is_healthy: store.is_healthy(),
        }
    };
    let latest = {
        let (store, policy) = (store.clone(), super::exports::privacy_policy(config));
        move |limit: usize| {
            let mut entries = store.blocking().latest(limit).map_err(|error| error.to_string())?;
            for entry in &mut entries {
                if policy.of(&entry.record.source).recipient == Recipient::Hashed {
                    entry.record.number = None;
                }
            }
            Ok(entries)
        }
    };
    Page { about, now: Box::new(now), latest: Box::new(latest), history: Default::default() }
}
