//! The tokens that commands show or use.

use super::Exit;
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::event::SourceName;
use crate::secret::Secret;
use crate::serve;
use crate::settings::{Source, Tokens};

/// The tokens in force. In a folder without a store none is generated unless `create` is set: its URL would be useless.
pub fn all(config: &Config, create: bool) -> Result<Vec<Vec<Secret>>, Exit> {
    // A configured token does not need the data directory.
    let made = |source: &SourceName| {
        if let Some(token) = DataDir::made_token(&config.data_dir, source) {
            return Ok(token);
        }
        if !create {
            DataDir::must_have_store(&config.data_dir).map_err(|error| match error {
                DataDirError::NoStore { path } => DataDirError::NoToken { path, source_name: source.clone() },
                other => other,
            })?;
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        eprintln!("smscope: making a new token for {source} in {:?}", config.data_dir);
        data_dir.token(source)
    };
    Ok(serve::tokens(config, made)?)
}

/// The first token of a source, configured or generated before. None is generated here: it would be useless.
pub fn first(config: &Config, source: &Source) -> Result<Secret, Exit> {
    match &source.tokens {
        Tokens::Given(tokens) => {
            tokens.first().cloned().ok_or_else(|| Exit::Configuration(format!("source {}: no token", source.name)))
        }
        Tokens::Generated => DataDir::made_token(&config.data_dir, &source.name).ok_or_else(|| {
            let (path, source_name) = (config.data_dir.clone(), source.name.clone());
            DataDirError::NoToken { path, source_name }.into()
        }),
    }
}
