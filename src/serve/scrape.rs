//! All metrics at one moment: for the scrape, the push and the page.

use std::sync::Arc;

use jiff::Timestamp;

use super::Context;
use crate::admin::format::Format;
use crate::features::account::AccountStatus;
use crate::ledger::snapshot::Snapshot;
use crate::store::Store;
use crate::telemetry::export_logs::ExportStatus;
use crate::telemetry::process::ProcessMetrics;
use crate::telemetry::{openmetrics, prometheus};

/// Where the metrics are read.
#[derive(Clone)]
pub(super) struct Scrape {
    store: Store,
    pub process: Arc<ProcessMetrics>,
    /// `None` if logs are not exported.
    pub export: Option<Arc<ExportStatus>>,
    /// `None` if the account is not watched.
    pub account: Option<Arc<AccountStatus>>,
}

impl Scrape {
    pub fn new(context: &Context<'_>, process: Arc<ProcessMetrics>) -> Self {
        let Context { config, store, .. } = context;
        Self {
            store: store.clone(),
            process,
            export: config.otlp.logs.is_some().then(Arc::default),
            account: config.account.enabled.then(|| Arc::new(AccountStatus::new(config.account.interval))),
        }
    }

    /// The ledger with the gauges of the store, of the export and of the account: nothing where another replica leads. Blocks on the disk.
    pub fn snapshot(&self) -> Snapshot {
        self.with_gauges(self.store.blocking().snapshot())
    }

    /// The same for the page, whichever replica leads. Blocks on the disk.
    pub fn page_snapshot(&self) -> Snapshot {
        self.with_gauges(self.store.blocking().page_snapshot())
    }

    fn with_gauges(&self, mut snapshot: Snapshot) -> Snapshot {
        if snapshot.families.is_empty() || !self.store.leadership().borrow().holds() {
            return snapshot;
        }
        if let Some(export) = &self.export {
            snapshot.families.extend(export.families(*self.store.newest().borrow(), self.store.cursor()));
        }
        if let Some(account) = &self.account {
            snapshot.families.extend(account.families(Timestamp::now()));
        }
        snapshot
    }

    /// The same for a push, and the time of it: later than that of any push before, by whichever replica. Blocks on the disk.
    pub fn to_be_pushed(&self) -> (Snapshot, Timestamp) {
        let snapshot = self.snapshot();
        match self.store.blocking().push_time() {
            Ok(time) => (snapshot, time),
            // Another replica leads, and pushes them.
            Err(_) => (Snapshot::default(), Timestamp::now()),
        }
    }

    /// What `/metrics` responds. Blocks on the disk.
    pub fn encode(&self, format: Format) -> String {
        let (snapshot, process) = (self.snapshot(), self.process.render());
        match format {
            Format::Text => {
                let mut text = String::new();
                prometheus::encode(&snapshot, &mut text);
                text + &process
            }
            Format::OpenMetrics => openmetrics::encode(&snapshot, &self.store.exemplars(), &process),
        }
    }
}
