//! A store without anything in it.

use std::path::Path;
use std::time::Duration;

use smscope::store::{FloodRule, Settings, Store};

/// Makes a store in `folder`, and closes it after `work`.
pub fn with_new_store<T>(folder: &Path, work: impl FnOnce(Store) -> T) -> T {
    let settings = Settings {
        retention: Duration::from_secs(60),
        horizon: Duration::from_secs(60),
        export_retention: Duration::from_secs(60),
        size_limit: None,
        sources: Vec::new(),
        exports_logs: false,
        relays: Vec::new(),
        resends: Vec::new(),
        opt_outs: None,
        conversations: None,
        flood: FloodRule::silent(20),
    };
    let (store, end) = Store::open(folder, settings).unwrap();
    let result = work(store);
    end.wait();
    result
}
