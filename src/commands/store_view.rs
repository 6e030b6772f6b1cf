//! Read access of commands to the store, in use or not.

use super::Exit;
use super::terminal::runtime;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::serve::StartError;
use crate::settings::Postgres;
use crate::store::query::ReadStore;
use crate::store::{Connector, Identity, OpenError};

/// # Errors
/// There is no store, or it cannot be read.
pub fn view(config: &Config) -> Result<ReadStore, Exit> {
    match &config.store.postgres {
        Some(postgres) => {
            ReadStore::connect(Connector::new(postgres)).map_err(|error| StartError::database(postgres, error).into())
        }
        None => {
            DataDir::must_have_store(&config.data_dir)?;
            ReadStore::open(&DataDir::private_of(&config.data_dir)).map_err(|error| store_error(config, error))
        }
    }
}

/// What connects to the database of a fleet; `None`: the store is embedded.
pub fn connector(config: &Config) -> Option<Connector> {
    config.store.postgres.as_ref().map(Connector::new)
}

/// The key of the hashes of numbers in log records; `None`: no smscope has run on the data directory.
///
/// # Errors
/// The database of a fleet cannot be read.
pub fn hash_key(config: &Config) -> Result<Option<[u8; 32]>, Exit> {
    let of_fleet = |postgres: &Postgres| {
        let identity = runtime()?.block_on(Identity::read(&Connector::new(postgres)));
        identity.map(|identity| identity.hash_key).map_err(|error| StartError::database(postgres, error).into())
    };
    match &config.store.postgres {
        Some(postgres) => of_fleet(postgres).map(Some),
        None => Ok(DataDir::made_hash_key(&config.data_dir)),
    }
}

pub fn store_error(config: &Config, error: OpenError) -> Exit {
    StartError::Store { path: config.data_dir.clone(), error }.into()
}
