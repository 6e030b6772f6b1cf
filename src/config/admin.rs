//! How the admin listener speaks, and to whom: `[admin]`.

use super::file::Table;
use super::listener_tls::{self, ListenerTls};
use super::value::TOKEN_EXPECTED;
use super::{Basic, ConfigError, source};
use crate::secret::Secret;

/// Nothing of it: plain HTTP, to anyone who reaches the listener.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    pub tls: Option<ListenerTls>,
    pub basic: Option<Basic>,
    pub bearer_token: Option<Secret>,
}

impl Admin {
    /// Whether a client has to prove who it is.
    pub fn asks_for_credentials(&self) -> bool {
        self.basic.is_some() || self.bearer_token.is_some()
    }
}

pub(super) fn read(mut table: Table) -> Result<Admin, ConfigError> {
    let tls = listener_tls::read(table.table("tls")?)?;
    let basic = table.optional_table("basic")?.map(source::basic).transpose()?;
    let bearer_token = source::optional_token(&mut table, "bearer_token", "bearer_token_file", TOKEN_EXPECTED)?;
    table.finish()?;
    Ok(Admin { tls, basic, bearer_token })
}
