//! How connections to PostgreSQL are made.

use std::time::Duration;

use tokio_postgres::{Config, NoTls};

use super::error::PgError;
use super::session::Session;

/// What a statement may take.
const STATEMENT: Duration = Duration::from_secs(1);
/// What a statement of a migration, a copy or retention may take.
const LONG_STATEMENT: Duration = Duration::from_secs(600);
/// What a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// Makes connections. Each is one of its own: nothing is pooled.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    prepares: bool,
}

impl Connector {
    /// `prepares`: statements are prepared, which a pooler in transaction mode does not support.
    pub fn new(mut config: Config, prepares: bool) -> Self {
        config.connect_timeout(CONNECT);
        config.tcp_user_timeout(Duration::from_secs(3));
        config.keepalives_idle(Duration::from_secs(5));
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        Self { config, prepares }
    }

    /// # Errors
    /// No server can be reached that takes writes.
    pub async fn connect(&self) -> Result<Session, PgError> {
        self.session(STATEMENT).await
    }

    /// A connection for statements that take long.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_for_long(&self) -> Result<Session, PgError> {
        self.session(LONG_STATEMENT).await
    }

    async fn session(&self, limit: Duration) -> Result<Session, PgError> {
        let hosts = u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let all = 2 * CONNECT * hosts;
        let connected = tokio::time::timeout(all, self.config.connect(NoTls)).await;
        let (client, connection) = connected.map_err(|_| PgError::Timeout(all))??;
        Ok(Session::new(client, connection, self.prepares, limit))
    }
}
