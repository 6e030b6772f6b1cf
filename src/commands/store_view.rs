//! Read access of commands to the store, in use or not.

use super::Exit;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::serve::{self, StartError};
use crate::store::OpenError;
use crate::store::query::ReadStore;

/// # Errors
/// There is no store, or it cannot be read.
pub fn view(config: &Config) -> Result<ReadStore, Exit> {
    if let Some(connector) = serve::connector(config) {
        return ReadStore::connect(connector).map_err(|error| store_error(config, error));
    }
    DataDir::must_have_store(&config.data_dir)?;
    ReadStore::open(&DataDir::private_of(&config.data_dir)).map_err(|error| store_error(config, error))
}

pub fn store_error(config: &Config, error: OpenError) -> Exit {
    StartError::Store { path: config.data_dir.clone(), error }.into()
}
