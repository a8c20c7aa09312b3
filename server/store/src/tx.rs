//! One transaction, as a closure sees it. It knows statements and values, not what they are about.

use std::sync::Arc;

use crate::error::StoreError;
use crate::software::Bases;
use crate::value::{Row, RowRef, Value};
use crate::{Engine, Statement};

/// Rows one query may return; more is an error, never a silent cut.
pub const MAX_ROWS: usize = 100_000;

/// An open transaction on one connection. Closures of [`Store::write`](crate::Store::write) and
/// [`Store::read`](crate::Store::read) get one; helper functions take `tx: &mut Tx`.
pub struct Tx {
    pub(crate) conn: Conn,
    pub(crate) failed: Option<Failure>,
    /// Whole lists of programs at hand; shared by the connections of a store.
    pub(crate) bases: Arc<Bases>,
}

pub(crate) enum Conn {
    Sqlite(rusqlite::Connection),
    Postgres(Box<crate::engine::postgres::PgConn>),
}

/// What a failed statement leaves behind: the transaction can only be rolled back.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: StoreError,
    /// Repeating the whole closure may succeed.
    pub(crate) retry: bool,
}

impl Tx {
    pub(crate) fn new(conn: Conn, bases: &Arc<Bases>) -> Self {
        Self {
            conn,
            failed: None,
            bases: Arc::clone(bases),
        }
    }

    /// Which engine runs this transaction. For messages and the named exceptions; rules must not depend on it.
    pub fn engine(&self) -> Engine {
        match self.conn {
            Conn::Sqlite(_) => Engine::Sqlite,
            Conn::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a statement that returns no rows.
    ///
    /// # Returns
    /// The number of rows inserted, changed or deleted.
    ///
    /// # Errors
    /// Whatever the engine refuses, as [`StoreError`]. After an engine's error the transaction can only end: further
    /// statements answer [`StoreError::Aborted`] on both engines. Use `ON CONFLICT` where a duplicate is expected.
    pub fn execute(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<u64, StoreError> {
        self.guard(params, statement)?;
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => crate::engine::sqlite::execute(conn, statement, params),
            Conn::Postgres(conn) => conn.execute(statement, params),
        };
        self.note(done)
    }

    /// All rows of a query, at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute); [`StoreError::TooMany`] above the bound; the first error of `read_row`.
    pub fn query<T>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        mut read_row: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = Vec::new();
        self.each(statement, params, |row| {
            if rows.len() >= MAX_ROWS {
                return Err(StoreError::TooMany {
                    statement: statement.full_name(),
                    bound: MAX_ROWS,
                });
            }
            rows.push(read_row(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Every row of a query, one at a time, without a bound and without holding them: for checks and exports.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); the first error of `visit` ends the walk.
    pub fn each(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        mut visit: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.guard(params, statement)?;
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => crate::engine::sqlite::each(conn, statement, params, |row| {
                visit(&Row {
                    inner: RowRef::Sqlite(row),
                    statement,
                })
            }),
            Conn::Postgres(conn) => conn.each(statement, params, |row| {
                visit(&Row {
                    inner: RowRef::Postgres(row),
                    statement,
                })
            }),
        };
        self.note(done)
    }

    /// The only row, or nothing. More than one row is an error.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn query_opt<T>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        mut read_row: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        self.each(statement, params, |row| {
            if found.is_some() {
                return Err(StoreError::TooMany {
                    statement: statement.full_name(),
                    bound: 1,
                });
            }
            found = Some(read_row(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The only row.
    ///
    /// # Errors
    /// As [`query_opt`](Self::query_opt); [`StoreError::NoRow`] when there is none.
    pub fn query_one<T>(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        read_row: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.query_opt(statement, params, read_row)?
            .ok_or_else(|| StoreError::NoRow(statement.full_name()))
    }

    /// Now by the database's clock, UTC milliseconds: one clock for all replicas. For leases and their like; what is
    /// written on rows is the `now_ms` the caller passes in.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn now_db_ms(&mut self) -> Result<i64, StoreError> {
        self.query_one(
            crate::sql_engines!(
                sqlite: "SELECT CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
                postgres: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
            ),
            &[],
            |row| row.get(0),
        )
    }

    fn guard(&self, params: &[Value], statement: &Statement) -> Result<(), StoreError> {
        if let Some(failure) = &self.failed {
            return Err(StoreError::Aborted(failure.error.to_string()));
        }
        for (index, value) in params.iter().enumerate() {
            // PostgreSQL cannot store it, SQLite would cut text at it in places.
            if matches!(value, Value::Text(text) if text.contains('\0')) {
                return Err(StoreError::Invalid(format!(
                    "statement {}, parameter ${}: text with a NUL character",
                    statement.full_name(),
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn note<T>(&mut self, done: Result<T, Trouble>) -> Result<T, StoreError> {
        match done {
            Ok(value) => Ok(value),
            Err(Trouble::Visit(error)) => Err(error),
            Err(Trouble::Engine(failure)) => {
                let error = failure.error.clone();
                self.failed = Some(failure);
                Err(error)
            }
        }
    }
}

/// Why a statement did not end well: the engine (the transaction is lost) or the caller's own row reader (it is not).
pub(crate) enum Trouble {
    Engine(Failure),
    Visit(StoreError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}
