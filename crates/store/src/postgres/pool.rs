//! Connections, and what their errors mean.

use std::time::Duration;

use ::budget::StoreError;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::{Error, Row, error::SqlState, types::ToSql};

use super::{batch::Failure, tls::Target};
use crate::OpenError;

/// Connections of one replica: one commits, the others read.
const CONNECTIONS: usize = 8;

/// How long to wait for a connection before the database counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long what was sent may stay unheard before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Sessions count in UTC, a commit is on disk when it returns, and a replica that is cut off in a
/// transaction does not keep its tenants locked.
const SESSION: &str = "-c timezone=UTC -c synchronous_commit=on \
    -c default_transaction_isolation=read\\ committed \
    -c idle_in_transaction_session_timeout=30000";

/// Bound parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

#[derive(Clone)]
pub(super) struct Pool(deadpool_postgres::Pool);

impl Pool {
    /// Connects once, so that what is wrong with the address shows at the start.
    pub(super) async fn open(url: &str) -> Result<(Self, Object), OpenError> {
        let mut target = Target::parse(url)?;
        let tls = target.connector()?;
        let config = &mut target.config;
        let session = match config.get_options() {
            Some(given) => format!("{SESSION} {given}"),
            None => SESSION.to_owned(),
        };
        config.options(session).connect_timeout(PATIENCE).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(PATIENCE).keepalives_retries(2);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("bursar");
        }
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = Manager::from_config(config.clone(), tls, recycling);
        let timeouts =
            Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(CONNECTIONS)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Connect(error.to_string()))?;
        let first = pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => target.explain(&error),
            error => OpenError::Connect(error.to_string()),
        })?;
        Ok((Self(pool), first))
    }

    pub(super) async fn get(&self) -> Result<Object, StoreError> {
        self.0.get().await.map_err(StoreError::unavailable)
    }

    /// A connection for a transaction that may be tried again.
    pub(super) async fn writer(&self) -> Result<Object, Failure> {
        self.get().await.map_err(|error| Failure { error, passing: true, held: false })
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let db = self.get().await?;
        let statement = db.prepare_cached(sql).await.map_err(unavailable)?;
        db.query(&statement, parameters).await.map_err(unavailable)
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        let db = self.get().await?;
        let statement = db.prepare_cached(sql).await.map_err(unavailable)?;
        db.execute(&statement, parameters).await.map_err(unavailable)
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

pub(super) fn unavailable(error: Error) -> StoreError {
    tracing::warn!(error = describe(&error), "the database has refused a statement");
    StoreError::unavailable(error)
}

/// What the server says, for a log or an operator.
pub(super) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(cause) => {
            let place = cause.where_().map(|place| format!(" ({place})")).unwrap_or_default();
            format!("{}: {}{place}", cause.code().code(), cause.message())
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Whether the same transaction may succeed when it is tried again: somebody else was first, was in
/// the way, or the connection is gone.
pub(super) fn is_passing(error: &Error) -> bool {
    match error.code() {
        None => error.is_closed() || std::error::Error::source(error).is_some(),
        Some(code) => {
            [
                SqlState::UNIQUE_VIOLATION,
                // What was sent behind a statement that has failed may be heard of first.
                SqlState::IN_FAILED_SQL_TRANSACTION,
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                SqlState::READ_ONLY_SQL_TRANSACTION,
            ]
            .contains(code)
                || code.code().starts_with("08")
        }
    }
}
