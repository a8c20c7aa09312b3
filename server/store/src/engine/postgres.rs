//! PostgreSQL: a pool of connections, transactions that are repeated on conflict, and what its errors mean.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use chasqui_base::fault_point;
use postgres::error::{ErrorPosition, SqlState};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Client, Config};

use super::writer::Counters;
use crate::software::Bases;
use crate::tx::{Conn, Failure, Trouble, Tx};
use crate::{Engine, Statement, StoreError, Value};

/// Times one closure is run before a conflict is told to the caller.
const ATTEMPTS: u32 = 20;

/// Attempts after which a closure lets no other begin beside it: against a hundred writers of one row, chance alone would
/// not let it through in time.
const ATTEMPTS_AT_ONCE: u32 = 4;

/// Longest a write waits at the gate. A closure that closed the gate and then hangs holds up the others by no more than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Times a duplicate or a missing key is taken for a conflict: a concurrent transaction may have inserted what this one
/// looked for, or deleted what it refers to.
const KEY_ATTEMPTS: u32 = 3;

/// Longest pause between two attempts, before jitter.
const PAUSE_MS: u64 = 200;

/// How a write sees the writes beside it.
#[derive(Clone, Copy)]
pub(crate) enum Isolation {
    /// As if alone.
    Serializable,
    /// One snapshot; two changes of one row still exclude each other.
    Snapshot,
}

impl Isolation {
    fn begin(self) -> &'static str {
        // A scan of a whole small table would put a lock on all of it and make every other serializable writer a conflict;
        // and it is what the planner takes for long IN lists, of which most parameters are often filling.
        match self {
            Self::Serializable => {
                "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL enable_seqscan = off"
            }
            Self::Snapshot => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL enable_seqscan = off"
            }
        }
    }
}

/// One connection with its prepared statements.
pub(crate) struct PgConn {
    pub(crate) client: Client,
    prepared: HashMap<&'static str, postgres::Statement>,
}

impl PgConn {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            prepared: HashMap::new(),
        }
    }

    fn prepare(&mut self, statement: &'static Statement) -> Result<postgres::Statement, Failure> {
        let text = statement.text(Engine::Postgres);
        if let Some(ready) = self.prepared.get(text) {
            return Ok(ready.clone());
        }
        let ready = self
            .client
            .prepare(text)
            .map_err(|error| failure(&error, Some(statement)))?;
        self.prepared.insert(text, ready.clone());
        Ok(ready)
    }

    fn ready(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<postgres::Statement, Failure> {
        let ready = self.prepare(statement)?;
        if ready.params().len() != params.len() {
            return Err(super::sqlite::wrong_count(
                statement,
                ready.params().len(),
                params.len(),
            ));
        }
        Ok(ready)
    }

    pub(crate) fn execute(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<u64, Trouble> {
        let ready = self.ready(statement, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        self.client
            .execute(&ready, &params)
            .map_err(|error| failure(&error, Some(statement)).into())
    }

    pub(crate) fn each(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        mut visit: impl FnMut(&postgres::Row) -> Result<(), StoreError>,
    ) -> Result<(), Trouble> {
        let ready = self.ready(statement, params)?;
        let mut rows = self
            .client
            .query_raw(&ready, params.iter())
            .map_err(|error| failure(&error, Some(statement)))?;
        while let Some(row) = rows
            .next()
            .map_err(|error| failure(&error, Some(statement)))?
        {
            visit(&row).map_err(Trouble::Visit)?;
        }
        Ok(())
    }

    /// Prepares a statement without running it, for the test over the registry.
    pub(crate) fn check(&mut self, statement: &'static Statement) -> Result<usize, StoreError> {
        self.prepare(statement)
            .map(|ready| ready.params().len())
            .map_err(|failure| failure.error)
    }
}

/// Where the writes of one coordinator pass before they begin. A closure that has lost several times closes it: those already
/// begun end without being waited for, and then nothing is left here to lose against.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Waits until the gate is open, at most [`PATIENCE`].
    fn pass(&self) {
        drop(self.wait());
    }

    /// Waits like [`Self::pass`], then closes the gate until the answer is dropped; `None` when another still holds it closed.
    fn close(&self) -> Option<Closed<'_>> {
        let mut closed = self.wait();
        if *closed {
            return None;
        }
        *closed = true;
        Some(Closed(self))
    }

    fn wait(&self) -> std::sync::MutexGuard<'_, bool> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        self.opened
            .wait_timeout_while(closed, PATIENCE, |closed| *closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

/// A gate that is closed until this is dropped.
struct Closed<'gate>(&'gate Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        *self.0.closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.opened.notify_all();
    }
}

/// Connections to one database. Closures run on the caller's thread, which must not be an async one.
pub(crate) struct Pool {
    config: Config,
    tls: super::tls::Tls,
    idle: Mutex<Vec<Tx>>,
    gate: Gate,
    keep: usize,
    bases: Arc<Bases>,
    pub(crate) counters: Counters,
}

impl Pool {
    pub(crate) fn new(
        config: Config,
        tls: super::tls::Tls,
        keep: usize,
        bases: &Arc<Bases>,
    ) -> Self {
        Self {
            config,
            tls,
            idle: Mutex::new(Vec::new()),
            gate: Gate::default(),
            keep,
            bases: Arc::clone(bases),
            counters: Counters::default(),
        }
    }

    /// A fresh connection outside the pool, for migrations, backup and restore.
    pub(crate) fn connect(&self) -> Result<Tx, StoreError> {
        let client = self.tls.connect(&self.config)?;
        Ok(Tx::new(
            Conn::Postgres(Box::new(PgConn::new(client))),
            &self.bases,
        ))
    }

    /// Runs a closure in one transaction, again on conflict.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        isolation: Isolation,
        work: &dyn Fn(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut attempt, mut about_keys) = (1, 0);
        let mut closed = None;
        loop {
            count(&self.counters.closures);
            if attempt <= ATTEMPTS_AT_ONCE {
                self.gate.pass();
            } else if closed.is_none() {
                closed = self.gate.close();
            }
            let (tx, outcome) = self.run(isolation.begin(), work)?;
            let (error, failure) = match self.finish(tx, outcome) {
                Ok(value) => {
                    count(&self.counters.commits);
                    return Ok(value);
                }
                Err(ended) => ended,
            };
            let Some(failure) = failure.filter(|failure| failure.retry) else {
                return Err(error);
            };
            if matches!(
                failure.error,
                StoreError::Duplicate(_) | StoreError::Constraint(_)
            ) {
                about_keys += 1;
            }
            if attempt >= ATTEMPTS || about_keys >= KEY_ATTEMPTS {
                return Err(error);
            }
            count(&self.counters.retries);
            std::thread::sleep(pause(attempt));
            attempt += 1;
        }
    }

    /// Runs a closure in one snapshot.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        work: &dyn Fn(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut tx, outcome) =
            self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)?;
        if control(&mut tx, "ROLLBACK").is_ok() {
            self.put(tx);
        }
        outcome
    }

    /// Begins, on a fresh connection when the pooled one turns out to be dead, and runs the closure.
    fn run<T, E: From<StoreError>>(
        &self,
        begin: &str,
        work: &dyn Fn(&mut Tx) -> Result<T, E>,
    ) -> Result<(Tx, Result<T, E>), E> {
        let idle = self.take();
        let mut tx = match idle {
            Some(mut tx) => match control(&mut tx, begin) {
                Ok(()) => tx,
                Err(_) => self.fresh(begin)?,
            },
            None => self.fresh(begin)?,
        };
        tx.failed = None;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut tx)))
            .unwrap_or_else(|panic| Err(E::from(super::panic_text(panic.as_ref()))));
        Ok((tx, outcome))
    }

    fn fresh(&self, begin: &str) -> Result<Tx, StoreError> {
        let mut tx = self.connect()?;
        control(&mut tx, begin).map_err(|failure| failure.error)?;
        Ok(tx)
    }

    /// Commits or rolls back.
    fn finish<T, E: From<StoreError>>(
        &self,
        mut tx: Tx,
        outcome: Result<T, E>,
    ) -> Result<T, (E, Option<Failure>)> {
        let failed = tx.failed.take();
        match (outcome, failed) {
            (Ok(value), None) => {
                fault_point!("store.commit.before");
                match control(&mut tx, "COMMIT") {
                    Ok(()) => {
                        fault_point!("store.commit.after");
                        self.put(tx);
                        Ok(value)
                    }
                    Err(failure) => {
                        self.put_after(tx);
                        Err((E::from(failure.error.clone()), Some(failure)))
                    }
                }
            }
            // A closure that swallowed an engine's error must not commit half of its work.
            (Ok(_), Some(failure)) => {
                self.put_after(tx);
                let error = StoreError::Aborted(failure.error.to_string());
                Err((E::from(error), Some(failure)))
            }
            (Err(error), failed) => {
                self.put_after(tx);
                Err((error, failed))
            }
        }
    }

    fn put_after(&self, mut tx: Tx) {
        if control(&mut tx, "ROLLBACK").is_ok() {
            self.put(tx);
        }
    }

    fn take(&self) -> Option<Tx> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(tx) = idle.pop() {
            match &tx.conn {
                Conn::Postgres(conn) if !conn.client.is_closed() => return Some(tx),
                _ => {}
            }
        }
        None
    }

    fn put(&self, tx: Tx) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.keep {
            idle.push(tx);
        }
    }
}

impl Drop for Pool {
    /// A connection owns a small runtime, and a runtime may not be dropped on an async thread: a plain thread does it.
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        if let Ok(thread) = std::thread::Builder::new().spawn(move || drop(idle)) {
            let _ = thread.join();
        }
    }
}

fn count(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// Full jitter: concurrent losers must not meet again.
fn pause(attempt: u32) -> Duration {
    let top = PAUSE_MS.min(2_u64.saturating_pow(attempt.min(10)).saturating_mul(2));
    let random = RandomState::new().hash_one(attempt);
    Duration::from_millis(random % top.max(1))
}

/// BEGIN, COMMIT and their like.
pub(crate) fn control(tx: &mut Tx, text: &str) -> Result<(), Failure> {
    let Conn::Postgres(conn) = &mut tx.conn else {
        return Err(Failure {
            error: StoreError::Closed,
            retry: false,
        });
    };
    conn.client
        .batch_execute(text)
        .map_err(|error| failure(&error, None))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(int) if *kind == Type::INT8 => int.to_sql(kind, out),
            Self::Int(int) if *kind == Type::INT4 => i32::try_from(*int)?.to_sql(kind, out),
            Self::Int(int) if *kind == Type::INT2 => i16::try_from(*int)?.to_sql(kind, out),
            Self::Real(real) if *kind == Type::FLOAT8 => real.to_sql(kind, out),
            Self::Text(text) if matches!(*kind, Type::TEXT | Type::VARCHAR) => text.to_sql(kind, out),
            Self::Blob(bytes) if *kind == Type::BYTEA => bytes.to_sql(kind, out),
            other => Err(format!(
                "{} given where PostgreSQL takes the parameter for {kind}: say CAST($n AS BIGINT), TEXT or BYTEA",
                other.kind()
            )
            .into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Reads one column; the error is text that says why it cannot be read.
pub(crate) fn column(row: &postgres::Row, index: usize) -> Result<Value, String> {
    let column = row
        .columns()
        .get(index)
        .ok_or_else(|| format!("there are only {} columns", row.columns().len()))?;
    let text = |error: postgres::Error| error.to_string();
    let value = match *column.type_() {
        Type::INT8 => row
            .try_get::<_, Option<i64>>(index)
            .map_err(text)?
            .map(Value::Int),
        Type::INT4 => row
            .try_get::<_, Option<i32>>(index)
            .map_err(text)?
            .map(|int| Value::Int(i64::from(int))),
        Type::INT2 => row
            .try_get::<_, Option<i16>>(index)
            .map_err(text)?
            .map(|int| Value::Int(i64::from(int))),
        Type::BOOL => row
            .try_get::<_, Option<bool>>(index)
            .map_err(text)?
            .map(Value::from),
        Type::FLOAT8 => row
            .try_get::<_, Option<f64>>(index)
            .map_err(text)?
            .map(Value::Real),
        Type::TEXT | Type::VARCHAR | Type::NAME => row
            .try_get::<_, Option<String>>(index)
            .map_err(text)?
            .map(Value::Text),
        Type::BYTEA => row
            .try_get::<_, Option<Vec<u8>>>(index)
            .map_err(text)?
            .map(Value::Blob),
        ref other => {
            return Err(format!(
                "PostgreSQL answers {other}: say CAST(... AS BIGINT), TEXT or BYTEA (a SUM is NUMERIC there)"
            ));
        }
    };
    Ok(value.unwrap_or(Value::Null))
}

/// What an error of PostgreSQL means, and whether the closure may be repeated.
pub(crate) fn failure(error: &postgres::Error, statement: Option<&Statement>) -> Failure {
    let name = || statement.map_or_else(|| "of the engine".to_owned(), Statement::full_name);
    let Some(db) = error.as_db_error() else {
        let lost = error.is_closed() || is_io(error);
        let detail = with_source(error);
        let error = if lost {
            StoreError::Unavailable(detail)
        } else {
            StoreError::Statement {
                statement: name(),
                detail,
            }
        };
        return Failure {
            error,
            retry: false,
        };
    };
    let code = db.code();
    let mut detail = db.message().to_owned();
    if let Some(more) = db.detail() {
        detail = format!("{detail}: {more}");
    }
    let unavailable = code.code().starts_with("08")
        || code.code().starts_with("57P")
        || code.code().starts_with("28")
        || code.code().starts_with("58")
        || matches!(
            *code,
            SqlState::TOO_MANY_CONNECTIONS | SqlState::INVALID_CATALOG_NAME
        )
        || *code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
    let (error, retry) = match code {
        _ if *code == SqlState::T_R_SERIALIZATION_FAILURE
            || *code == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            (StoreError::Conflict(detail), true)
        }
        _ if *code == SqlState::UNIQUE_VIOLATION => (StoreError::Duplicate(detail), true),
        _ if *code == SqlState::FOREIGN_KEY_VIOLATION => (StoreError::Constraint(detail), true),
        _ if code.code().starts_with("23") => (StoreError::Constraint(detail), false),
        _ if *code == SqlState::DISK_FULL
            || code.code().starts_with("53") && *code != SqlState::TOO_MANY_CONNECTIONS =>
        {
            (StoreError::Full(detail), false)
        }
        _ if unavailable => (StoreError::Unavailable(detail), false),
        _ if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
            (StoreError::Corrupt(detail), false)
        }
        _ => {
            let place = match db.position() {
                Some(ErrorPosition::Original(at)) => format!(" at character {at}"),
                _ => String::new(),
            };
            let error = StoreError::Statement {
                statement: name(),
                detail: format!("{detail}{place} ({})", code.code()),
            };
            (error, false)
        }
    };
    Failure { error, retry }
}

fn is_io(error: &postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

pub(crate) fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}
