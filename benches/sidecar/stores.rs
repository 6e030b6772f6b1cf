//! Stores by themselves, in this process: what is left of a webhook's way without HTTP.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smscope::config::Config;
use smscope::inbound::{InboundRequest, Origin};
use smscope::serve::store_settings;
use smscope::store::{Connector, IngestOutcome, Store, StoreThreads};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::Result;
use crate::load::{self, Message, WARM_UP};
use crate::server::TOKEN;

pub struct OpenStore {
    store: Store,
    threads: StoreThreads,
    config: Arc<Config>,
}

impl OpenStore {
    pub async fn embedded(folder: &Path) -> Result<Self> {
        let (config, folder) = (configuration([])?, folder.to_owned());
        Self::open(config, move |config| Ok(Store::open(&folder, store_settings(config))?)).await
    }

    /// A replica.
    pub async fn on_database(url: String) -> Result<Self> {
        let config = configuration([("SMSCOPE_STORE_URL".to_owned(), url)])?;
        let join = |config: &Config| {
            let database = config.store.postgres.as_ref().ok_or("it has a URL")?;
            Ok(Store::join(Connector::new(database), store_settings(config))?)
        };
        Self::open(config, join).await
    }

    async fn open(
        config: Config,
        open: impl FnOnce(&Config) -> Result<(Store, StoreThreads)> + Send + 'static,
    ) -> Result<Self> {
        let config = Arc::new(config);
        let opened = config.clone();
        let (store, threads) = spawn_blocking(move || open(&opened)).await??;
        Ok(Self { store, threads, config })
    }

    pub async fn close(self) -> Result<()> {
        drop(self.store);
        Ok(spawn_blocking(|| self.threads.wait()).await?)
    }
}

fn configuration<const N: usize>(variables: [(String, String); N]) -> Result<Config> {
    let mut environment = BTreeMap::from(variables);
    environment.insert("SMSCOPE_TOKEN".to_owned(), TOKEN.to_owned());
    Ok(Config::load(&Default::default(), &environment)?.config)
}

/// Webhooks per second that are committed, decoding included, with so many in flight at each store.
pub async fn committed(stores: &[OpenStore], in_flight: usize, time: Duration) -> Result<f64> {
    let (run, begin) = (load::new_run(), Instant::now() + WARM_UP);
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for number in 0..stores.len() * in_flight {
        let OpenStore { store, config, .. } = &stores[number % stores.len()];
        let (store, config) = (store.clone(), config.clone());
        tasks.spawn(async move {
            let source = config.sources.first().ok_or("a source")?;
            let (mut sent, mut committed) = (0, 0);
            while Instant::now() < end {
                let (status, message) = load::nth_receipt(sent);
                let body = Message::new(run, number, message).receipt(status).into();
                let content_type = Some("application/json");
                let request = InboundRequest { method: "POST", query: "".into(), content_type, body };
                let submission = request.decode(source).into_submission(Timestamp::now(), None, Origin::Webhook);
                if store.commit(submission).await? != IngestOutcome::Accepted {
                    return Err("a receipt was not accepted".into());
                }
                sent += 1;
                committed += usize::from((begin..end).contains(&Instant::now()));
            }
            Result::Ok(committed)
        });
    }
    let mut committed = 0;
    while let Some(finished) = tasks.join_next().await {
        committed += finished??;
    }
    Ok(committed as f64 / time.as_secs_f64())
}
