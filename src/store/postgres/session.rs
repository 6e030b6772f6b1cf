//! One connection to PostgreSQL, and statements on it.
//!
//! Every statement names the types of its parameters: it is prepared once per connection or, behind a pooler in transaction mode, sent
//! with its types each time. Both are one round trip. Nothing depends on the state of the session.
//!
//! A wait for a standby that is canceled ends a commit with success and a warning, so a warning makes a statement fail here. A
//! statement that takes too long is never canceled, for the same reason: the connection is dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Statement};

use super::error::PgError;

/// A value and its type.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Parameters with their types: `params![id => INT8, name => TEXT]`.
macro_rules! params {
    ($($value:expr => $type:ident),* $(,)?) => {
        &[$((&$value as &(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type::$type)),*]
    };
}
pub(super) use params;

/// Owned parameters, for a [`Pipeline`].
macro_rules! columns {
    ($($value:expr => $type:ident),* $(,)?) => {
        vec![$((
            Box::new($value) as Box<dyn tokio_postgres::types::ToSql + Sync + Send>,
            tokio_postgres::types::Type::$type,
        )),*]
    };
}
pub(super) use columns;

pub struct Session {
    client: Client,
    prepares: bool,
    /// By the address of its text, which is constant.
    statements: Mutex<HashMap<&'static str, Statement>>,
    has_warned: Arc<AtomicBool>,
    limit: Duration,
    /// How often the server was asked, but for statements to be prepared.
    #[cfg(test)]
    pub round_trips: std::sync::atomic::AtomicUsize,
}

/// Statements to be sent together, and answered together, in their order.
#[derive(Default)]
pub struct Pipeline(Vec<(&'static str, Columns)>);

type Columns = Vec<(Box<dyn ToSql + Sync + Send>, Type)>;

impl Pipeline {
    pub fn of(sql: &'static str, columns: Columns) -> Self {
        Self(vec![(sql, columns)])
    }

    pub fn add(&mut self, sql: &'static str, columns: Columns) {
        self.0.push((sql, columns));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the statements of another one after its own.
    pub fn append(&mut self, other: Pipeline) {
        self.0.extend(other.0);
    }
}

impl Session {
    /// Runs `connection` in the background until the session is dropped. `limit`: what a statement may take.
    pub fn new<S, T>(client: Client, connection: Connection<S, T>, prepares: bool, limit: Duration) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_warned = Arc::new(AtomicBool::new(false));
        tokio::spawn(watch(connection, has_warned.clone()));
        Self {
            client,
            prepares,
            statements: Mutex::default(),
            has_warned,
            limit,
            #[cfg(test)]
            round_trips: Default::default(),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// # Errors
    /// It failed, took too long, or a commit was not replicated.
    pub async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, PgError> {
        self.timed(async {
            if !self.prepares {
                return Ok(self.client.query_typed(sql, params).await?);
            }
            let statement = self.statement(sql, params.iter().map(|(_, r#type)| r#type.clone())).await?;
            let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
            Ok(self.client.query(&statement, &values).await?)
        })
        .await
    }

    /// As [`Session::query`], of at most one row.
    ///
    /// # Errors
    /// Those of [`Session::query`].
    pub async fn query_opt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, PgError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Gives how many rows it changed.
    ///
    /// # Errors
    /// Those of [`Session::query`].
    pub async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, PgError> {
        self.timed(async {
            if !self.prepares {
                return Ok(self.client.execute_typed(sql, params).await?);
            }
            let statement = self.statement(sql, params.iter().map(|(_, r#type)| r#type.clone())).await?;
            let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
            Ok(self.client.execute(&statement, &values).await?)
        })
        .await
    }

    /// Statements without parameters or results.
    ///
    /// # Errors
    /// Those of [`Session::query`].
    pub async fn batch(&self, sql: &str) -> Result<(), PgError> {
        self.timed(async { Ok(self.client.batch_execute(sql).await?) }).await
    }

    /// Sends `before`, all statements of the pipeline and `after` in one round trip. Gives the rows of each statement.
    ///
    /// # Errors
    /// The first one that has a reason of its own: after it, the transaction fails whatever is asked. The transaction has to be rolled
    /// back.
    pub async fn run(
        &self,
        before: Option<&'static str>,
        pipeline: &Pipeline,
        after: Option<&'static str>,
    ) -> Result<Vec<Vec<Row>>, PgError> {
        self.timed(async {
            // All of them first: one that is prepared on its way would be overtaken by what follows it.
            let mut statements = Vec::with_capacity(pipeline.0.len());
            if self.prepares {
                for (sql, columns) in &pipeline.0 {
                    let types = columns.iter().map(|(_, r#type)| r#type.clone());
                    statements.push(self.statement(sql, types).await?);
                }
            }
            let edge = async |sql: Option<&str>| match sql {
                Some(sql) => self.client.batch_execute(sql).await.map(|()| Vec::new()),
                None => Ok(Vec::new()),
            };
            let middle = pipeline.0.iter().enumerate().map(|(at, (sql, columns))| {
                let statement = statements.get(at);
                async move {
                    if let Some(statement) = statement {
                        let values: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|(value, _)| &**value as _).collect();
                        return self.client.query(statement, &values).await;
                    }
                    let typed: Vec<Param<'_>> =
                        columns.iter().map(|(value, r#type)| (&**value as _, r#type.clone())).collect();
                    self.client.query_typed(sql, &typed).await
                }
            });
            let (first, rows, last) = tokio::join!(biased; edge(before), join_all(middle), edge(after));
            let mut all = Vec::with_capacity(rows.len());
            let mut failed: Option<PgError> = None;
            for result in std::iter::once(first).chain(rows).chain([last]) {
                match result.map_err(PgError::from) {
                    Ok(rows) => all.push(rows),
                    Err(error) if failed.as_ref().is_none_or(PgError::is_consequence) => failed = Some(error),
                    Err(_) => {}
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            all.pop();
            all.remove(0);
            Ok(all)
        })
        .await
    }

    async fn statement(&self, sql: &'static str, types: impl Iterator<Item = Type>) -> Result<Statement, PgError> {
        let statements = || self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = statements().get(sql) {
            return Ok(statement.clone());
        }
        let types: Vec<Type> = types.collect();
        let statement = self.client.prepare_typed(sql, &types).await?;
        statements().insert(sql, statement.clone());
        Ok(statement)
    }

    async fn timed<T>(&self, work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        #[cfg(test)]
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let done = tokio::time::timeout(self.limit, work).await.map_err(|_| PgError::Timeout(self.limit))?;
        if self.has_warned.swap(false, Ordering::AcqRel) {
            return Err(PgError::NotReplicated);
        }
        done
    }
}

/// Runs a connection, and notes warnings. It is polled for them before the statement that caused one is answered.
async fn watch<S, T>(mut connection: Connection<S, T>, has_warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| -> Poll<_> { connection.poll_message(context) }).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                let is_warning = notice.parsed_severity() == Some(Severity::Warning);
                if is_warning && *notice.code() == SqlState::WARNING {
                    tracing::warn!(notice = notice.message(), "PostgreSQL warns of a commit");
                    has_warned.store(true, Ordering::Release);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "a connection to PostgreSQL has failed");
                return;
            }
            None => return,
        }
    }
}
